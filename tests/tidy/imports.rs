//! Who uses whom: for each file of a package, the files that define what it refers to.
//!
//! ```text
//!   use crate::worker::WorkerHandle;       in session/actor.rs
//!       │ worker/mod.rs hands it on: pub use messages::WorkerHandle
//!       ▼
//!   session/actor.rs ─▶ worker/messages.rs
//! ```
//!
//! Tests are left out, and so is what a module hands on (`pub use`): it counts where it is used.
//! Macros are not looked into.

use std::collections::{BTreeMap, BTreeSet};

use crate::modules::{self, ModulePath, Modules};
use crate::source::Package;

/// By file, as a path below the folder of sources: the other files that it refers to.
pub(crate) type Imports = BTreeMap<String, BTreeSet<String>>;

/// How many hands a name may go through before it is given up on.
const HANDS_MAX: usize = 8;

pub(crate) fn of(package: &Package) -> Imports {
    let modules = modules::of(package);
    let name = |file: usize| modules::short(package, &package.sources[file]);
    let mut imports = Imports::new();
    for (path, module) in modules.iter().filter(|(_, module)| !module.is_test) {
        let from = imports.entry(name(module.file)).or_default();
        for reference in &module.paths {
            if let Some(file) = resolve(&modules, path, reference, HANDS_MAX) {
                from.insert(name(file));
            }
        }
    }
    for (from, to) in &mut imports {
        to.remove(from);
    }
    imports
}

/// The file that defines what a path means in a module; none if another package does.
fn resolve(modules: &Modules, at: &ModulePath, path: &[String], hands: usize) -> Option<usize> {
    if hands == 0 || path.is_empty() {
        return None;
    }
    let (mut at, mut rest) = (at.clone(), path);
    loop {
        match rest.first().map(String::as_str) {
            Some("crate") => at.clear(),
            Some("self") => {}
            Some("super") => drop(at.pop()),
            _ => break,
        }
        rest = &rest[1..];
    }
    let is_anchored = rest.len() < path.len();
    descend(modules, &at, rest, is_anchored, hands)
}

fn descend(
    modules: &Modules,
    at: &ModulePath,
    rest: &[String],
    is_anchored: bool,
    hands: usize,
) -> Option<usize> {
    let module = modules.get(at)?;
    let Some((first, others)) = rest.split_first() else {
        return Some(module.file);
    };
    let mut below = at.clone();
    below.push(first.clone());
    if modules.get(&below).is_some_and(|module| !module.is_test) {
        return descend(modules, &below, others, true, hands);
    }
    if module.items.contains(first) {
        return Some(module.file);
    }
    if let Some(meaning) = module.uses.get(first) {
        // A name that is brought in from elsewhere may itself be a module.
        let whole = [meaning.as_slice(), others].concat();
        return resolve(modules, at, &whole, hands - 1);
    }
    let globs = module.globs.iter().filter(|glob| !glob.is_empty());
    let mut found = globs.filter_map(|glob| {
        let whole = [glob.as_slice(), rest].concat();
        resolve(modules, at, &whole, hands - 1)
    });
    // Of a path that does not name its start, nothing is known but that it is not ours.
    found
        .next_back()
        .or_else(|| is_anchored.then_some(module.file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(files: &[(&str, &str)]) -> Vec<String> {
        let all = of(&Package::of(files));
        let arrow = |(from, to): (String, BTreeSet<String>)| {
            to.into_iter().map(move |to| format!("{from} > {to}"))
        };
        all.into_iter().flat_map(arrow).collect()
    }

    #[test]
    fn names_are_followed_to_where_they_are_defined() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            (
                "a/mod.rs",
                "mod c; pub use c::X; pub(crate) use self::c::Y as Z;",
            ),
            ("a/c.rs", "pub struct X; pub struct Y;"),
            (
                "b.rs",
                "use crate::a::{X, Z}; fn f() { crate::a::X::new(); std::mem::drop(1) }",
            ),
        ];
        assert_eq!(imports(&files), ["b.rs > a/c.rs"]);
    }

    #[test]
    fn what_stands_in_functions_and_types_counts() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "pub struct A; pub fn f() { use crate::c::g; g() }"),
            ("b.rs", "fn f(_: super::a::A) {}"),
            ("c.rs", "pub fn g() {}"),
        ];
        assert_eq!(imports(&files), ["a.rs > c.rs", "b.rs > a.rs"]);
    }

    #[test]
    fn tests_do_not_count() {
        let tests = "#[cfg(test)] mod tests { use crate::a::A; } #[cfg(test)] use crate::a::A;";
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "pub struct A;"),
            ("b.rs", tests),
        ];
        assert_eq!(imports(&files), [""; 0]);
    }
}
