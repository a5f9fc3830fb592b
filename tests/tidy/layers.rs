//! Circles between files and folders, and arrows that go up.
//!
//! docs/architecture.md tells the order of the rooms of every package in a block like this one,
//! from the ground floor up. A room is a file or a folder below the folder of sources. It may use
//! what stands on lower floors; rooms of one floor do not know each other.
//!
//! ````text
//! ```text rooms vestibule_actors
//! limits  clock
//! engine
//! ```
//! ````

use std::collections::{BTreeMap, BTreeSet};

use crate::imports::Imports;
use crate::source::Package;

/// How many files of one folder may know each other in a circle.
const CIRCLE_MAX: usize = 3;

/// The floor of every room, by package.
pub(crate) struct Orders(BTreeMap<String, BTreeMap<String, usize>>);

impl Orders {
    pub(crate) fn read(document: &str) -> Self {
        let mut orders = BTreeMap::<String, BTreeMap<String, usize>>::new();
        let mut package = None;
        for (number, line) in document.lines().enumerate() {
            if let Some(name) = line.strip_prefix("```text rooms ") {
                package = Some(name.trim().to_owned());
            } else if line.starts_with("```") {
                package = None;
            } else if let Some(package) = &package {
                let floors = orders.entry(package.clone()).or_default();
                floors.extend(
                    line.split_whitespace()
                        .map(|room| (room.to_owned(), number)),
                );
            }
        }
        Self(orders)
    }
}

/// The room of a file; none for the root of a package, which may use all of them.
fn room(file: &str) -> Option<&str> {
    let room = file.split('/').next()?.trim_end_matches(".rs");
    (!["lib", "main"].contains(&room)).then_some(room)
}

pub(crate) fn against(package: &Package, orders: &Orders, imports: &Imports) -> Vec<String> {
    let Some(floors) = orders.0.get(&package.name) else {
        return vec![format!(
            "docs/architecture.md has no rooms of {}",
            package.name
        )];
    };
    let mut findings = BTreeSet::new();
    let there: BTreeSet<&str> = imports.keys().filter_map(|file| room(file)).collect();
    for room in &there {
        if !floors.contains_key(*room) {
            findings.insert(format!("{}: room {room} is in no order", package.name));
        }
    }
    for room in floors.keys().filter(|room| !there.contains(room.as_str())) {
        findings.insert(format!("{}: there is no room {room}", package.name));
    }
    for (from, to) in arrows(imports) {
        let (Some(own), Some(used)) = (room(from), room(to)) else {
            if room(from).is_some() {
                findings.insert(format!("{}: {from} uses the root, {to}", package.name));
            }
            continue;
        };
        if own != used && floors.get(own) <= floors.get(used) {
            findings.insert(format!(
                "{}: {from} uses {to}, which is not below it",
                package.name
            ));
        }
    }
    findings.into_iter().collect()
}

fn arrows(imports: &Imports) -> impl Iterator<Item = (&str, &str)> {
    let pairs = imports.iter();
    pairs.flat_map(|(from, all)| all.iter().map(move |to| (from.as_str(), to.as_str())))
}

/// Circles that are too large, or that lead through more than one folder.
pub(crate) fn circles(imports: &Imports) -> Vec<String> {
    let mut findings = Vec::new();
    for circle in strongly_connected(&graph(imports.keys(), arrows(imports))) {
        if circle.len() > CIRCLE_MAX {
            findings.push(format!(
                "{} files in a circle: {}",
                circle.len(),
                circle.join(", ")
            ));
        }
    }
    let files = imports.keys().flat_map(|file| folders(file));
    for folder in files.collect::<BTreeSet<_>>() {
        let within = arrows(imports).filter_map(|(from, to)| {
            let pair = (child(folder, from)?, child(folder, to)?);
            (pair.0 != pair.1).then_some(pair)
        });
        let children = imports.keys().filter_map(|file| child(folder, file));
        let children: BTreeSet<String> = children.map(str::to_owned).collect();
        for circle in strongly_connected(&graph(children.iter(), within)) {
            if circle.iter().any(|name| !name.ends_with(".rs")) {
                let place = if folder.is_empty() {
                    "the package"
                } else {
                    folder
                };
                findings.push(format!("in {place}, a circle of {}", circle.join(", ")));
            }
        }
    }
    findings
}

/// The folders around a file, the package's own, "", first.
fn folders(file: &str) -> Vec<&str> {
    let slashes = file.match_indices('/').map(|(at, _)| &file[..at]);
    std::iter::once("").chain(slashes).collect()
}

/// Which child of a folder a file is or is in. The folder's own `mod.rs` is none of them.
fn child<'a>(folder: &str, file: &'a str) -> Option<&'a str> {
    let below = match folder {
        "" => file,
        folder => file.strip_prefix(folder)?.strip_prefix('/')?,
    };
    let end = below.find('/').unwrap_or(below.len());
    let name = &below[..end];
    (!["mod.rs", "lib.rs", "main.rs"].contains(&name)).then_some(name)
}

type Graph = BTreeMap<String, BTreeSet<String>>;

fn graph<'a>(
    nodes: impl Iterator<Item = &'a String>,
    arrows: impl Iterator<Item = (&'a str, &'a str)>,
) -> Graph {
    let mut graph: Graph = nodes.map(|node| (node.clone(), BTreeSet::new())).collect();
    for (from, to) in arrows {
        graph
            .entry(from.to_owned())
            .or_default()
            .insert(to.to_owned());
    }
    graph
}

/// The groups of nodes that all reach each other, of two and more.
fn strongly_connected(graph: &Graph) -> Vec<Vec<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> = graph
        .keys()
        .map(|node| (node, reach(graph, node)))
        .collect();
    let mut groups = BTreeSet::new();
    for (node, own) in &reached {
        let back = |other: &&&String| reached.get(**other).is_some_and(|own| own.contains(node));
        let mut group: Vec<String> = own
            .iter()
            .filter(back)
            .map(|name| name.to_string())
            .collect();
        if !own.contains(node) {
            continue;
        }
        group.sort();
        if group.len() > 1 {
            groups.insert(group);
        }
    }
    groups.into_iter().collect()
}

/// What can be reached from a node in one step and more.
fn reach<'a>(graph: &'a Graph, node: &String) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&String> = graph.get(node).into_iter().flatten().collect();
    while let Some(next) = open.pop() {
        if reached.insert(next) {
            open.extend(graph.get(next).into_iter().flatten());
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(arrows: &[(&str, &str)]) -> Imports {
        let mut all = Imports::new();
        for (from, to) in arrows {
            all.entry((*from).to_owned())
                .or_default()
                .insert((*to).to_owned());
            all.entry((*to).to_owned()).or_default();
        }
        all
    }

    #[test]
    fn files_may_know_each_other_but_not_in_wide_circles() {
        let three = [("a.rs", "b.rs"), ("b.rs", "c.rs"), ("c.rs", "a.rs")];
        assert_eq!(circles(&imports(&three)), [""; 0]);
        let four = [three[0], three[1], ("c.rs", "d.rs"), ("d.rs", "a.rs")];
        let found = circles(&imports(&four));
        assert_eq!(found, ["4 files in a circle: a.rs, b.rs, c.rs, d.rs"]);
    }

    #[test]
    fn folders_may_not_know_each_other() {
        let found = circles(&imports(&[("a/x.rs", "b/y.rs"), ("b/z.rs", "a/x.rs")]));
        assert_eq!(found, ["in the package, a circle of a, b"]);
        let found = circles(&imports(&[("a/b/x.rs", "a/c.rs"), ("a/c.rs", "a/b/y.rs")]));
        assert_eq!(found, ["in a, a circle of b, c.rs"]);
        let down = [
            ("a/x.rs", "b/y.rs"),
            ("a/mod.rs", "b/y.rs"),
            ("a/z.rs", "a/mod.rs"),
        ];
        assert_eq!(circles(&imports(&down)), [""; 0]);
    }

    #[test]
    fn arrows_go_down_and_every_room_has_a_floor() {
        let document = "text\n```text rooms p\nlow also\nhigh gone\n```\nother\n";
        let orders = Orders::read(document);
        let package = Package::of(&[]);
        let arrows = [
            ("low.rs", "high/x.rs"),
            ("high/x.rs", "low.rs"),
            ("also.rs", "new.rs"),
        ];
        let arrows = [
            arrows.as_slice(),
            &[("low.rs", "also.rs"), ("low.rs", "lib.rs")],
        ]
        .concat();
        let found = against(&package, &orders, &imports(&arrows));
        let expected = [
            "p: low.rs uses also.rs, which is not below it",
            "p: low.rs uses high/x.rs, which is not below it",
            "p: low.rs uses the root, lib.rs",
            "p: room new is in no order",
            "p: there is no room gone",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_package_without_an_order_is_found() {
        let found = against(&Package::of(&[]), &Orders::read(""), &Imports::new());
        assert_eq!(found, ["docs/architecture.md has no rooms of p"]);
    }
}
