//! What the house rules say of the sources, held by the machine: layers, circles, sizes, names.
//!
//! ```text
//!   files ─▶ source (read, parsed) ─┬▶ modules (who is where) ─▶ imports (who uses whom) ─▶ layers
//!                                   ├▶ sizes, words, types, numbers
//!                                   └▶ docs: tables of modules, links
//! ```
//!
//! Every rule is a function from sources to findings. The tests at the end of each file show that
//! the rule can fail; those here hold the tree itself against it.
//!
//! | module | the rule |
//! |---|---|
//! | `source` | reads and parses the workspace |
//! | `modules` | every file is reachable from the root of its package |
//! | `imports` | who uses whom, re-exports resolved |
//! | `layers` | no circles; arrows go down the order that docs/architecture.md tells |
//! | `sizes` | lines of a file, lines of a function, columns of a line |
//! | `words` | words that comments do without, pronouns, paths that climb, sections on errors |
//! | `names` | no two types of one name in a package, numbers of errors in one place |
//! | `docs` | tables of modules are whole, links lead somewhere |

mod docs;
mod imports;
mod layers;
mod modules;
mod names;
mod sizes;
mod source;
mod words;

use source::Workspace;

/// Fails with all findings at once, one on a line.
fn hold(rule: &str, findings: &[String]) {
    let count = findings.len();
    assert!(
        findings.is_empty(),
        "{count} against the rule '{rule}':\n{}",
        findings.join("\n")
    );
}

#[test]
fn every_file_is_reachable() {
    let workspace = Workspace::read();
    for package in &workspace.packages {
        hold("no dead files", &modules::unreachable(package));
    }
}

#[test]
fn the_layers_of_every_package_are_as_the_architecture_says() {
    let workspace = Workspace::read();
    let orders = layers::Orders::read(&workspace.text("docs/architecture.md"));
    for package in &workspace.packages {
        let imports = imports::of(package);
        hold(
            "imports go down",
            &layers::against(package, &orders, &imports),
        );
    }
}

#[test]
fn no_circles() {
    for package in &Workspace::read().packages {
        hold("no circles", &layers::circles(&imports::of(package)));
    }
}

#[test]
fn files_functions_and_lines_are_short() {
    let workspace = Workspace::read();
    hold(
        "short",
        &workspace
            .sources()
            .flat_map(sizes::too_long)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn comments_are_in_plain_words() {
    let workspace = Workspace::read();
    hold(
        "plain words",
        &workspace
            .sources()
            .flat_map(words::banned)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn documentation_begins_with_what_it_is_about() {
    let workspace = Workspace::read();
    let findings = workspace.sources().flat_map(words::nameless);
    hold("no pronoun first", &findings.collect::<Vec<_>>());
}

#[test]
fn paths_do_not_climb_twice() {
    let workspace = Workspace::read();
    hold(
        "no super::super",
        &workspace
            .sources()
            .flat_map(words::climbing)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn errors_are_told_by_name() {
    let workspace = Workspace::read();
    hold(
        "errors by name",
        &workspace
            .sources()
            .flat_map(words::bare_numbers)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn production_does_not_know_its_tests() {
    let packages = Workspace::read().packages;
    let findings = packages.iter().flat_map(modules::test_imports);
    hold("no simulation in production", &findings.collect::<Vec<_>>());
}

#[test]
fn one_type_has_one_name() {
    let packages = Workspace::read().packages;
    hold(
        "one name, one type",
        &packages.iter().flat_map(names::twice).collect::<Vec<_>>(),
    );
}

#[test]
fn numbers_of_errors_stand_in_one_place() {
    let workspace = Workspace::read();
    hold(
        "codes! alone",
        &workspace
            .sources()
            .flat_map(names::loose_codes)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn tables_of_modules_are_whole() {
    let packages = Workspace::read().packages;
    hold(
        "whole tables",
        &packages
            .iter()
            .flat_map(docs::missing_rows)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn links_in_documents_lead_somewhere() {
    let workspace = Workspace::read();
    hold("no dead links", &docs::dead_links(&workspace));
}
