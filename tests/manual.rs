//! What is made from the command line: completions, pages of the manual, and the chapter of the
//! documentation.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use support::Directory;

/// Commands that stand for all.
const SOME: [&str; 5] = ["serve", "check", "ctl", "probe", "completions"];

fn vestibule(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command.env_clear().args(arguments);
    command.output().expect("the binary runs")
}

fn told(arguments: &[&str]) -> String {
    let output = vestibule(arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("it is text")
}

#[test]
fn the_chapter_of_commands_is_what_the_binary_says() {
    let chapter = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/commands.md");
    let chapter = fs::read_to_string(chapter).unwrap();
    let generated = told(&["man", "--chapter"]);
    let (_, written) = chapter.split_once("from here on. -->\n").unwrap();
    assert_eq!(written, generated, "run packaging/generate");
    for name in SOME {
        assert!(
            generated.contains(&format!("\n## vestibule {name}\n")),
            "{name}"
        );
    }
}

#[test]
fn every_shell_completes_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = told(&["completions", shell]);
        for name in SOME {
            assert!(script.contains(name), "{shell}: {name}");
        }
    }
    // What a shell takes it for.
    let directory = Directory::new();
    let file = directory.path().join("vestibule.bash");
    fs::write(&file, told(&["completions", "bash"])).unwrap();
    let completed = Command::new("bash")
        .arg("-c")
        .arg(
            ". \"$1\"; COMP_WORDS=(vestibule ctl dr); COMP_CWORD=2; \
             _vestibule vestibule dr ctl; echo \"${COMPREPLY[@]}\"",
        )
        .arg("bash")
        .arg(&file)
        .output()
        .expect("bash can be run");
    assert_eq!(
        String::from_utf8_lossy(&completed.stdout),
        "drain drain-upstream\n",
        "{completed:?}"
    );
    assert_eq!(vestibule(&["completions", "tcsh"]).status.code(), Some(2));
}

#[test]
fn every_command_has_its_page() {
    let directory = Directory::new();
    let pages = directory.path().join("man1");
    told(&["man", "--output", pages.to_str().unwrap()]);
    for (file, command) in [
        ("vestibule.1", &[][..]),
        ("vestibule-ctl-drain.1", &["ctl", "drain"]),
        ("vestibule-config-check.1", &["config", "check"]),
    ] {
        let page = fs::read_to_string(pages.join(file)).unwrap();
        assert_eq!(page, told(&[&["man"], command].concat()), "{file}");
        let name = file.trim_end_matches(".1");
        assert!(page.contains(&format!(".TH {name} 1")), "{file}");
    }
    let count = fs::read_dir(&pages).unwrap().count();
    let sections = told(&["man", "--chapter"]).matches("\n## ").count();
    assert_eq!(
        count, sections,
        "the hidden ones have none, and there is no page of help"
    );
    let page = fs::read_to_string(pages.join("vestibule-check.1")).unwrap();
    assert!(page.contains("VESTIBULE_DATA"), "variables are told");
    let unknown = vestibule(&["man", "nix"]);
    assert_eq!(unknown.status.code(), Some(1));
}
