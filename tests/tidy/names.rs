//! One type, one name; one number of an error, one place.

use std::collections::BTreeMap;

use crate::modules;
use crate::source::{Package, Source};

/// Where the list of error codes stands.
const CODES: &str = "wire/src/error";

/// Types of one name in several modules of a package.
pub(crate) fn twice(package: &Package) -> Vec<String> {
    let mut places = BTreeMap::<String, Vec<String>>::new();
    for module in modules::of(package)
        .values()
        .filter(|module| !module.is_test)
    {
        let source = &package.sources[module.file];
        for name in &module.types {
            places
                .entry(name.clone())
                .or_default()
                .push(source.path.clone());
        }
    }
    let several = places.into_iter().filter(|(_, places)| places.len() > 1);
    several
        .map(|(name, places)| format!("{name}: {}", places.join(", ")))
        .collect()
}

/// Error codes that are made of a number outside of the list.
pub(crate) fn loose_codes(source: &Source) -> Vec<String> {
    if source.path.starts_with(CODES) || source.path.starts_with("tests/tidy/") {
        return Vec::new();
    }
    let lines = source.text.lines().enumerate();
    let found = lines.filter(|(_, line)| {
        let mut parts = line.split("ErrorCode(").skip(1);
        parts.any(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    });
    found
        .map(|(number, line)| format!("{}:{}: {}", source.path, number + 1, line.trim()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_types_of_one_name_are_found() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "struct X; fn f() {}"),
            (
                "b.rs",
                "enum X {} fn f() {} #[cfg(test)] mod tests { struct Y; struct X; }",
            ),
        ];
        assert_eq!(twice(&Package::of(&files)), ["X: p/src/a.rs, p/src/b.rs"]);
    }

    #[test]
    fn a_loose_number_is_found() {
        let source = Source::new("a.rs", "const A: ErrorCode = ErrorCode(72);\n");
        assert_eq!(
            loose_codes(&source),
            ["a.rs:1: const A: ErrorCode = ErrorCode(72);"]
        );
        let source = Source::new("a.rs", "fn f(code: u32) { ErrorCode(code); }\n");
        assert_eq!(loose_codes(&source), [""; 0]);
    }
}
