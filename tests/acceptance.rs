//! docs/acceptance.md names tests that exist, and every case once.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the tests are that the document names by file alone, in a part of it.
fn path_of(file: &str, directory: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    match file {
        "machine" => root.join("actors/src/transitions/tests.rs"),
        file if file.contains('/') => root.join(file),
        file => root.join(directory).join(file),
    }
}

fn document() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(root.join("docs/acceptance.md")).unwrap()
}

#[test]
fn every_test_that_the_document_names_exists() {
    let document = document();
    let (transitions, gateway) = document.split_once("\n## The gateway\n").unwrap();
    tests_exist(transitions, "actors/tests", 80);
    tests_exist(gateway, "actors/tests/gateway", 40);
}

fn tests_exist(part: &str, directory: &str, named_min: usize) {
    let quoted = part.split('`').skip(1).step_by(2);
    let named: Vec<_> = quoted.filter_map(|text| text.split_once("::")).collect();
    assert!(named.len() > named_min, "only {} were found", named.len());
    for (file, name) in named {
        let path = path_of(file, directory);
        let source = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(source.contains(&format!("fn {name}(")), "{file}::{name}");
    }
}

#[test]
fn every_case_is_in_the_document_once() {
    let document = document();
    let count = |case: &str| document.matches(&format!("\n| {case} |")).count();
    let range = |letters: &str, numbers: &[u32]| {
        let case = |number: &u32| format!("{letters}-{number:02}");
        numbers.iter().map(case).collect::<Vec<_>>()
    };
    let upto = |last: u32| (1..=last).collect::<Vec<_>>();
    let mut cases = range("SM", &(9..=21).collect::<Vec<_>>());
    cases.extend(range("RW", &[1]));
    cases.extend(range("QL", &upto(3)));
    cases.extend(range("TE", &upto(4)));
    cases.extend(range("SP", &[2, 3, 4, 5]));
    cases.extend(range("TP", &[4, 13, 15, 16, 17, 18, 19, 20]));
    cases.extend(range("TS", &[4, 9, 10]));
    cases.extend((1..=17).map(|number| format!("C3-{number}")));
    cases.extend(range("X", &upto(15)));
    cases.extend(range("M", &upto(15)));
    cases.extend((1..=15).map(|number| format!("R-{number}")));
    cases.extend(range("GW", &upto(15)));
    for case in cases {
        assert_eq!(count(&case), 1, "{case}");
    }
}
