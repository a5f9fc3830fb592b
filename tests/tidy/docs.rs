//! Tables of modules that leave a module out, links in documents that lead nowhere.

use std::fs;
use std::path::PathBuf;

use crate::modules;
use crate::source::{Package, Workspace, collect};

/// Modules that the table at the head of their folder's file does not name. A file without a table
/// is no finding, unless it has more than a few modules.
pub(crate) fn missing_rows(package: &Package) -> Vec<String> {
    let all = modules::of(package);
    let mut findings = Vec::new();
    for (path, module) in all.iter().filter(|(_, module)| !module.is_test) {
        let source = &package.sources[module.file];
        let is_folder = ["mod.rs", "lib.rs", "main.rs"]
            .iter()
            .any(|end| source.path.ends_with(end));
        if !is_folder {
            continue;
        }
        let head: String = source
            .text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .collect();
        let below =
            |other: &&modules::ModulePath| other.len() == path.len() + 1 && other.starts_with(path);
        let children = all
            .iter()
            .filter(|(other, own)| below(other) && !own.is_test);
        for (other, own) in children {
            let name = &other[path.len()];
            if own.file != module.file && !head.contains(&format!("`{name}`")) {
                findings.push(format!("{}: its head does not name `{name}`", source.path));
            }
        }
    }
    findings
}

/// Links to files that are not there, and to headings that a document does not have.
pub(crate) fn dead_links(workspace: &Workspace) -> Vec<String> {
    let mut paths = Vec::<PathBuf>::new();
    collect(&workspace.root, "md", &mut paths);
    let mut findings = Vec::new();
    for path in paths {
        let name = path
            .strip_prefix(&workspace.root)
            .expect("found there")
            .to_string_lossy();
        let text = workspace.text(&name);
        for (link, place) in links(&text) {
            let folder = path.parent().expect("a file is in a folder");
            let target = match link {
                "" => path.clone(),
                link => folder.join(link),
            };
            let is_document = target.extension().is_some_and(|own| own == "md");
            let has_place = || {
                let text = fs::read_to_string(&target).unwrap_or_default();
                headings(&text).any(|own| own == place)
            };
            if !target.exists() || (is_document && !place.is_empty() && !has_place()) {
                let hash = if place.is_empty() { "" } else { "#" };
                findings.push(format!("{name}: {link}{hash}{place}"));
            }
        }
    }
    findings
}

/// Targets of links within the tree: the file, empty for the same one, and the place inside of it.
fn links(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let targets = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    let inside = targets
        .filter(|own| !own.is_empty() && !own.contains("://") && !own.contains(' '))
        .map(|own| own.split_once('#').unwrap_or((own, "")));
    inside.filter(|(file, place)| !file.is_empty() || !place.is_empty())
}

/// The headings of a document, as links name them.
fn headings(text: &str) -> impl Iterator<Item = String> {
    let lines = text.lines().filter(|line| line.starts_with('#'));
    lines.map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = |own: &char| own.is_alphanumeric() || " -_".contains(*own);
        title
            .chars()
            .filter(kept)
            .collect::<String>()
            .replace(' ', "-")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_the_table_leaves_out_is_found() {
        let files = [
            (
                "lib.rs",
                "//! | `a` | the one |\n\nmod a;\nmod b;\n#[cfg(test)]\nmod tests;\n",
            ),
            ("a.rs", ""),
            ("b.rs", ""),
            ("tests.rs", ""),
        ];
        let found = missing_rows(&Package::of(&files));
        assert_eq!(found, ["p/src/lib.rs: its head does not name `b`"]);
    }

    #[test]
    fn links_to_files_are_seen() {
        let text = "[a](b.md#c) [d](https://x/y) [e](#f) `v[0](1, 2)` [g](h/)";
        let expected = [("b.md", "c"), ("", "f"), ("h/", "")];
        assert_eq!(links(text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn headings_are_places() {
        let text = "# A `b`, and C-d\n\ntext\n## When not to use it\n";
        let found: Vec<_> = headings(text).collect();
        assert_eq!(found, ["a-b-and-c-d", "when-not-to-use-it"]);
    }
}
