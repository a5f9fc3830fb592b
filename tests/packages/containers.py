"""What can be known of the container files without building them: that they are well-formed, that
each option in them is one, and that the binary takes them together.

Usage: containers.py BINARY PACKAGING HTTP_ADDRESS DIRECTORY
"""

import json
import pathlib
import re
import subprocess
import sys
import urllib.request

import yaml
import yamllint.config
import yamllint.linter

BINARY, PACKAGING, HTTP, DIRECTORY = sys.argv[1:]
PACKAGING = pathlib.Path(PACKAGING)
SECRET = pathlib.Path(DIRECTORY) / "admin.password"
YAMLLINT = yamllint.config.YamlLintConfig(
    "{extends: default, rules: {line-length: disable, document-start: disable,"
    " braces: {max-spaces-inside: 1}, comments: {require-starting-space: true},"
    " truthy: {check-keys: false}, octal-values: disable}}"
)


def run(arguments, environment):
    return subprocess.run(
        [BINARY, *arguments], env=environment, capture_output=True, text=True, timeout=30
    )


def read_yaml(file):
    text = (PACKAGING / file).read_text()
    problems = [str(one) for one in yamllint.linter.run(text, YAMLLINT)]
    assert not problems, f"{file}: {problems}"
    return list(yaml.safe_load_all(text))


def instructions(text):
    """The instructions of a Dockerfile, comments left out and lines joined."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    for line in filter(str.strip, joined.splitlines()):
        name, rest = line.split(None, 1)
        yield name, " ".join(rest.split())


def dockerfile():
    """The environment of the image, and the command that tells whether it is well."""
    all_of_it = list(instructions((PACKAGING / "docker" / "Dockerfile").read_text()))
    names = [name for name, _ in all_of_it]
    known = set(
        "FROM WORKDIR COPY RUN ENV USER VOLUME EXPOSE STOPSIGNAL HEALTHCHECK ENTRYPOINT CMD".split()
    )
    assert set(names) <= known, set(names) - known
    assert names.count("FROM") == 2, "two stages: nothing that builds is in the image"
    last = names[len(names) - names[::-1].index("FROM") - 1 :]
    assert last.index("USER") > last.index("RUN"), "what runs is not root"
    environment, health = {}, None
    for name, rest in all_of_it:
        if name == "ENV":
            environment.update(re.findall(r"(\w+)=(\S+)", rest))
        if name == "HEALTHCHECK":
            health = json.loads(rest[rest.index("CMD") + 3 :])
        if name in ("ENTRYPOINT", "CMD"):
            json.loads(rest)
        if name == "COPY" and "--from" not in rest:
            assert rest == ". .", rest
    user = [rest for name, rest in all_of_it if name == "USER"]
    assert user not in ([], ["root"], ["0"]), user
    return environment, health


def check_server(where, environment):
    """The binary takes this environment, and each variable of it is one of its own."""
    environment = dict(environment)
    if "VESTIBULE_ADMIN_PASSWORD_FILE" in environment:
        environment["VESTIBULE_ADMIN_PASSWORD_FILE"] = str(SECRET)
    checked = run(["config", "check"], environment)
    assert checked.returncode == 0, f"{where}: {checked.stderr}"
    shown = run(["config", "show"], environment).stdout
    helped = run(["ctl", "--help"], {}).stdout + run(["probe", "--help"], {}).stdout
    for variable in environment:
        is_known = f"# environment {variable}\n" in shown or f"{variable}=" in helped
        assert is_known, f"{where}: {variable} is no variable"
    return environment


def check_command(where, command, environment):
    """The binary knows this command: where nobody answers it fails, and that is no wrong usage."""
    assert command[0] == "vestibule", command
    nobody = {"VESTIBULE_CTL_CONNECT": "127.0.0.1:1", "VESTIBULE_PROBE_HTTP": "127.0.0.1:1"}
    done = run(command[1:], environment | nobody)
    assert done.returncode == 1, f"{where}: {done}"
    assert "127.0.0.1:1" in done.stderr, f"{where}: {done}"


def compose(image):
    (own,) = read_yaml("docker/compose.yml")
    server = own["services"]["vestibule"]
    build = server["build"]
    root = (PACKAGING / "docker" / build["context"]).resolve()
    assert (root / build["dockerfile"]).is_file(), build
    environment = check_server("compose.yml", image | server["environment"])
    # Prometheus asks by the name of the service, which the door has to be told.
    assert environment["VESTIBULE_HTTP_HOST"] == "vestibule"
    (scraped,) = read_yaml("docker/prometheus.yml")
    target = scraped["scrape_configs"][0]["static_configs"][0]["targets"][0]
    assert target == "vestibule:" + image["VESTIBULE_HTTP_LISTEN"].rsplit(":", 1)[1]
    for name in ("grafana-datasource", "grafana-dashboards"):
        read_yaml(f"docker/{name}.yml")
    for service in own["services"].values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (PACKAGING / "docker" / source).is_file(), volume
            else:
                assert source in own["volumes"], volume


def kubernetes(image):
    documents = {one["kind"]: one for one in read_yaml("kubernetes/vestibule.yml")}
    own = documents["StatefulSet"]["spec"]
    pod = own["template"]["spec"]
    (container,) = pod["containers"]
    environment = {one["name"]: one.get("value", "a-name") for one in container["env"]}
    environment = check_server("kubernetes", image | environment)
    labels = own["template"]["metadata"]["labels"]
    assert own["selector"]["matchLabels"] == labels
    assert documents["Service"]["spec"]["selector"] == labels
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    assert ports["http"] == int(image["VESTIBULE_HTTP_LISTEN"].rsplit(":", 1)[1])
    assert ports["iproto"] == int(image["VESTIBULE_LISTEN"].rsplit(":", 1)[1])
    for probe, path in (("startup", "/startupz"), ("liveness", "/livez"), ("readiness", "/readyz")):
        asked = container[f"{probe}Probe"]["httpGet"]
        assert (asked["path"], asked["port"]) == (path, "http"), asked
        with urllib.request.urlopen(f"http://{HTTP}{path}", timeout=10) as answer:
            assert answer.status == 200
    check_command("preStop", container["lifecycle"]["preStop"]["exec"]["command"], environment)
    volumes = {one["name"] for one in pod["volumes"]}
    volumes |= {one["metadata"]["name"] for one in own["volumeClaimTemplates"]}
    assert volumes == {one["name"] for one in container["volumeMounts"]}
    # What the image calls its user's.
    text = (PACKAGING / "docker" / "Dockerfile").read_text()
    assert f"--uid {pod['securityContext']['runAsUser']} " in text


def main():
    SECRET.write_text("planted\n")
    SECRET.chmod(0o640)
    image, health = dockerfile()
    check_server("Dockerfile", image)
    check_command("HEALTHCHECK", health, image)
    compose(image)
    kubernetes(image)
    read_yaml("prometheus/alerts.yml")


main()
