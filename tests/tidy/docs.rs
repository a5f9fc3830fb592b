//! Tables of modules that leave a module out, links in documents that lead nowhere.

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

/// Links to files that are not there.
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
        for link in links(&text) {
            let folder = path.parent().expect("a file is in a folder");
            if !folder.join(link).exists() {
                findings.push(format!("{name}: {link}"));
            }
        }
    }
    findings
}

/// Targets of links to files of the tree, without the place inside of them.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    let files = targets.map(|target| target.split('#').next().unwrap_or_default());
    files.filter(|target| !target.is_empty() && !target.contains("://") && !target.contains(' '))
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
        assert_eq!(links(text).collect::<Vec<_>>(), ["b.md", "h/"]);
    }
}
