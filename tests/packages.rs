//! What comes with the sources for those who run it: the Debian package, and files for containers.
//!
//! `tests/run` installs what these tests need. Without it they fail and say so; they are left out
//! only by `VESTIBULE_TEST_SKIP_INTEROP=1`, loudly.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::{Directory, Server, is_skipped, tool};

const BINARY: &str = env!("CARGO_BIN_EXE_vestibule");

fn tree(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// What a command writes that has to work.
fn well(command: &mut Command) -> String {
    let output = output(command);
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).expect("it is text")
}

fn output(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|fault| panic!("{command:?}: {fault}"))
}

fn vestibule(arguments: &[&str]) -> String {
    well(Command::new(BINARY).env_clear().args(arguments))
}

#[test]
fn the_debian_package_has_what_the_binary_says_and_a_configuration_of_its_own() {
    if is_skipped("the Debian package") {
        return;
    }
    let directory = Directory::new();
    let package = well(
        Command::new(tree("packaging/deb"))
            .arg(BINARY)
            .arg(directory.path()),
    );
    let package = package.trim();
    let field = |name| well(Command::new("dpkg-deb").args(["--field", package, name]));
    assert_eq!(field("Package"), "vestibule\n");
    assert_eq!(field("Version").trim(), env!("CARGO_PKG_VERSION"));
    let depends = field("Depends");
    assert!(
        depends.contains("libc6 (>= ") && depends.contains("adduser"),
        "{depends}"
    );
    let root = directory.path().join("root");
    well(
        Command::new("dpkg-deb")
            .args(["--raw-extract", package])
            .arg(&root),
    );
    let conffiles = fs::read_to_string(root.join("DEBIAN/conffiles")).unwrap();
    assert_eq!(conffiles, "/etc/vestibule/vestibule.toml\n");
    for script in ["postinst", "prerm", "postrm"] {
        well(
            Command::new("sh")
                .arg("-n")
                .arg(root.join("DEBIAN").join(script)),
        );
    }
    let installed = well(Command::new(root.join("usr/bin/vestibule")).arg("--version"));
    assert_eq!(installed, vestibule(&["--version"]));
    completions_and_pages_are_those_of_the_binary(directory.path(), &root);
    only_what_an_installed_server_needs_is_set(&root);
    the_units_hold(directory.path(), &root);
    let listed = well(Command::new("dpkg-deb").args(["--contents", package]));
    let foreign: Vec<_> = listed
        .lines()
        .filter(|line| !line.contains(" root/root "))
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    let checked = output(
        Command::new("lintian")
            .args([
                "--allow-root",
                "--fail-on",
                "error,warning",
                "--profile",
                "debian",
            ])
            .arg(package),
    );
    assert!(checked.status.success(), "{checked:?}");
}

fn completions_and_pages_are_those_of_the_binary(scratch: &Path, root: &Path) {
    for (shell, file) in [
        ("bash", "usr/share/bash-completion/completions/vestibule"),
        ("zsh", "usr/share/zsh/vendor-completions/_vestibule"),
        ("fish", "usr/share/fish/vendor_completions.d/vestibule.fish"),
    ] {
        let packaged = fs::read_to_string(root.join(file)).unwrap();
        assert_eq!(packaged, vestibule(&["completions", shell]), "{shell}");
    }
    let pages = scratch.join("pages");
    vestibule(&["man", "--output", pages.to_str().unwrap()]);
    for page in fs::read_dir(pages).unwrap() {
        let page = page.unwrap();
        let name = page.file_name().into_string().unwrap();
        let packed = root.join("usr/share/man/man1").join(format!("{name}.gz"));
        let packaged = well(
            Command::new("gzip")
                .args(["--decompress", "--stdout"])
                .arg(packed),
        );
        assert_eq!(packaged, fs::read_to_string(page.path()).unwrap(), "{name}");
    }
}

/// The file of the package says no more than it has to, and is otherwise the one in the tree.
fn only_what_an_installed_server_needs_is_set(root: &Path) {
    let file = root.join("etc/vestibule/vestibule.toml");
    let name = file.to_str().unwrap();
    let shown = vestibule(&["config", "show", "--config", name]);
    let set: Vec<_> = shown
        .lines()
        .filter_map(|line| line.rsplit_once("  # "))
        .filter(|(_, origin)| *origin != "default")
        .map(|(line, _)| line.trim())
        .collect();
    let expected = [
        "admin_listen = [\"unix:/run/vestibule/admin.sock\"]",
        "data = \"/var/lib/vestibule\"",
        "listen = [\"127.0.0.1:8081\"]",
    ];
    assert_eq!(set, expected, "{shown}");
    let lines = |path: &Path| fs::read_to_string(path).unwrap().lines().count();
    assert_eq!(lines(&file), lines(&tree("packaging/vestibule.toml")));
}

/// As the service manager reads them, with the binary where it is.
fn the_units_hold(scratch: &Path, root: &Path) {
    let units = scratch.join("units");
    fs::create_dir(&units).unwrap();
    for unit in fs::read_dir(root.join("usr/lib/systemd/system")).unwrap() {
        let unit = unit.unwrap();
        let packaged = fs::read_to_string(unit.path()).unwrap();
        let in_tree = tree("packaging/systemd").join(unit.file_name());
        assert_eq!(packaged, fs::read_to_string(in_tree).unwrap());
        let here = packaged.replace("/usr/bin/vestibule", BINARY);
        fs::write(units.join(unit.file_name()), here).unwrap();
    }
    let in_tree = fs::read_dir(tree("packaging/systemd")).unwrap();
    assert_eq!(fs::read_dir(&units).unwrap().count(), in_tree.count());
    let verified = output(
        Command::new("systemd-analyze")
            .args(["verify", "--man=no", "--recursive-errors=no"])
            .args(["vestibule.service", "vestibule.socket"].map(|own| units.join(own))),
    );
    assert!(
        verified.status.success() && verified.stderr.is_empty(),
        "{verified:?}"
    );
}

#[test]
fn container_files_say_what_the_binary_takes() {
    if is_skipped("container files") {
        return;
    }
    let directory = Directory::new();
    let server = Server::start(directory.path(), &["--http-listen", "127.0.0.1:0"]);
    well(
        Command::new(tool("VESTIBULE_TEST_PYTHON"))
            .arg(tree("tests/packages/containers.py"))
            .arg(BINARY)
            .arg(tree("packaging"))
            .arg(server.http_address().to_string())
            .arg(directory.path()),
    );
    // As the container has them: side by side.
    for file in ["docker/prometheus.yml", "prometheus/alerts.yml"] {
        let name = Path::new(file).file_name().unwrap();
        fs::copy(tree("packaging").join(file), directory.path().join(name)).unwrap();
    }
    well(
        Command::new(tool("VESTIBULE_TEST_PROMTOOL"))
            .args(["check", "config"])
            .arg(directory.path().join("prometheus.yml")),
    );
}
