//! Index parts in descending order.

use super::secondary::{Wanted, find, nullable, part, put, tree};
use super::{NONE, Printed, Rig, pack};
use crate::model::field::FieldType::{String, Unsigned};
use crate::model::index::Part;

fn descending(part: Part) -> Part {
    Part {
        is_descending: true,
        ..part
    }
}

/// A space whose primary index has its texts in descending order.
fn texts(all: &[&str]) -> Rig {
    let mut rig = Rig::with_space(&[(1, "string")]);
    let parts = [descending(part(0, String))];
    assert_eq!(put(&mut rig, tree(0, true, &parts)), None);
    for text in all {
        rig.insert(&(text, 1));
    }
    rig
}

#[test]
fn a_descending_primary_index_holds_through_journal_and_checkpoint() {
    let mut rig = texts(&["a", "c", "ab", "", "b"]);
    let all = r#"[["c", 1], ["b", 1], ["ab", 1], ["a", 1], ["", 1]]"#;
    assert_eq!(find(&mut rig, 0, 2, &NONE), all);
    rig.commit();
    assert_eq!(rig.delete(&("b",)), r#"[["b", 1]]"#);
    rig.commit();
    rig.reopen();
    let left = r#"[["c", 1], ["ab", 1], ["a", 1], ["", 1]]"#;
    assert_eq!(find(&mut rig, 0, 2, &NONE), left);
    rig.call("box.snapshot", &[0; 0]);
    rig.reopen();
    assert_eq!(find(&mut rig, 0, 2, &NONE), left);
    for (iterator, expected) in [
        (0, r#"[["ab", 1]]"#),
        (3, r#"[["c", 1]]"#),
        (4, r#"[["ab", 1], ["c", 1]]"#),
        (5, r#"[["ab", 1], ["a", 1], ["", 1]]"#),
        (6, r#"[["a", 1], ["", 1]]"#),
    ] {
        assert_eq!(find(&mut rig, 0, iterator, &("ab",)), expected);
    }
}

#[test]
fn prefixes_are_skipped_in_a_descending_index_in_both_directions() {
    let mut rig = texts(&["", "a", "aa", "ab", "b", "ba", "c"]);
    let (next, previous) = (12, 13);
    for (iterator, prefix, expected) in [
        (next, "b", &["ab", "aa", "a", ""][..]),
        (next, "a", &[""]),
        (next, "", &[]),
        (previous, "a", &["b", "ba", "c"]),
        (previous, "b", &["c"]),
        (previous, "c", &[]),
        (previous, "", &[]),
    ] {
        let rows: Vec<_> = expected.iter().map(|text| (text, 1)).collect();
        let told = find(&mut rig, 0, iterator, &(prefix,));
        assert_eq!(
            told,
            Printed(&pack(&rows)).to_string(),
            "{iterator} {prefix}"
        );
    }
}

#[test]
fn an_index_that_is_altered_turns_around() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    for id in 1..=3 {
        rig.insert(&(id, 10 * id));
    }
    let up = "[[1, 10], [2, 20], [3, 30]]";
    let down = "[[3, 30], [2, 20], [1, 10]]";
    for index in [0, 1] {
        for (is_descending, expected) in [(true, down), (false, up), (true, down)] {
            let part = Part {
                is_descending,
                ..part(index, Unsigned)
            };
            assert_eq!(put(&mut rig, tree(index, true, &[part])), None);
            assert_eq!(find(&mut rig, index, 2, &NONE), expected);
        }
    }
    rig.reopen();
    assert_eq!(find(&mut rig, 0, 2, &NONE), down);
    // The rest of the primary key stands in its own order.
    let both = [nullable(2, Unsigned)];
    assert_eq!(put(&mut rig, tree(2, false, &both)), None);
    assert_eq!(find(&mut rig, 2, 2, &NONE), down);
}

#[test]
fn the_next_number_follows_the_largest_one_in_a_descending_index_too() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    let parts = [descending(part(0, Unsigned))];
    assert_eq!(put(&mut rig, tree(0, true, &parts)), None);
    for id in [1, 2, 3] {
        let told = rig.call("box.space.s:auto_increment", &(("x",),));
        assert_eq!(told, format!(r#"[[{id}, "x"]]"#));
    }
}

#[test]
fn a_hash_index_has_no_descending_parts() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    let parts = [part(1, Unsigned), descending(part(0, Unsigned))];
    let hash = Wanted {
        kind: "hash",
        ..tree(1, true, &parts)
    };
    let why = "unordered indexes do not support sort_order";
    let told = format!("108: Wrong index options (field 2): {why}");
    assert_eq!(put(&mut rig, hash), Some(told));
}
