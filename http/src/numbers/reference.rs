//! The documentation of all metrics, from the tables that they are read by.

use std::fmt::Write;

use super::GROUPS;
use super::family::Family;

/// The documentation of all metrics, as Markdown: a table for each part of them.
#[must_use]
pub fn metrics_reference() -> String {
    let mut text = String::new();
    for group in GROUPS {
        // Nothing that is written into memory fails.
        let _ = write!(
            text,
            "## {}\n\n| name | kind | labels | what |\n|---|---|---|---|\n",
            group.title
        );
        for family in group.families {
            text.push_str(&row(family, group.is_tarantools));
        }
        text.push('\n');
    }
    text
}

fn row(family: &Family, has_alias: bool) -> String {
    let alias = has_alias.then_some("alias");
    let labels = alias.into_iter().chain(family.labels.iter().copied());
    let labels: Vec<_> = labels.map(|label| format!("`{label}`")).collect();
    let (name, kind, help) = (family.name, family.kind.name(), family.help);
    format!("| `{name}` | {kind} | {} | {help} |\n", labels.join(", "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::numbers::family::Kind;

    #[test]
    fn names_are_unique_and_end_as_their_kind_wants() {
        let families = || GROUPS.iter().flat_map(|group| group.families);
        let names: BTreeSet<_> = families().map(|own| own.name).collect();
        assert_eq!(names.len(), families().count());
        for own in families() {
            let is_total = own.name.ends_with("_total");
            assert_eq!(is_total, own.kind == Kind::Counter, "{}", own.name);
            assert!(!own.help.ends_with('.'), "{}", own.name);
            assert!(!own.help.contains(['|', '\n']), "{}", own.name);
        }
    }
}
