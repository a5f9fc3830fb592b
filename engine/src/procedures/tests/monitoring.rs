//! What monitoring asks, held against what is there.

use crate::tests::{NONE, Rig};

/// The number in a result of one.
fn number(rig: &mut Rig, name: &str) -> u64 {
    let told = rig.call(name, &NONE);
    let digits = told.trim_start_matches('[').trim_end_matches(']');
    digits.parse().unwrap_or_else(|_| panic!("{name}: {told}"))
}

#[test]
fn sizes_of_spaces_and_indexes_follow_what_is_in_them() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    assert_eq!(number(&mut rig, "box.space.s:bsize"), 0);
    // [1, "abc"] and [2, "0123456789…"], in the turn still.
    rig.insert(&(1, "abc"));
    rig.insert(&(2, "x".repeat(100)));
    assert_eq!(number(&mut rig, "box.space.s:bsize"), 6 + 104);
    let nodes = number(&mut rig, "box.space.s.index.pk:bsize");
    assert!(nodes > 0);
    rig.delete(&(2,));
    assert_eq!(number(&mut rig, "box.space.s:bsize"), 6);
    rig.call("box.space.s:truncate", &NONE);
    assert_eq!(number(&mut rig, "box.space.s:bsize"), 0);
    assert!(number(&mut rig, "box.space.s.index.pk:bsize") <= nodes);
}

#[test]
fn memory_is_what_the_spaces_take() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    let before = rig.call("box.info.memory", &NONE);
    rig.insert(&(1, "x".repeat(1 << 19)));
    let after = rig.call("box.info.memory", &NONE);
    let bytes = rig.engine.committed(|image| image.bytes()).unwrap();
    assert!(bytes > 1 << 19);
    assert_ne!(before, after);
    let slabs = rig.call("box.slab.info", &NONE);
    let used = format!(r#""quota_used": {bytes}"#);
    assert!(slabs.contains(&used), "{slabs}");
    assert!(!slabs.contains("ratio"), "there is no bound: {slabs}");
    rig.options.settings.memory_max = 1 << 30;
    rig.commit();
    rig.reopen();
    let slabs = rig.call("box.slab.info", &NONE);
    assert!(slabs.contains(r#""quota_size": 1073741824"#), "{slabs}");
    assert!(slabs.contains(r#""quota_used_ratio": "0."#), "{slabs}");
}

#[test]
fn a_session_tells_who_it_is() {
    let mut rig = Rig::new();
    for (name, expected) in [
        ("id", "[1]"),
        ("type", r#"["binary"]"#),
        ("uid", "[1]"),
        ("euid", "[1]"),
        ("user", r#"["admin"]"#),
        ("effective_user", r#"["admin"]"#),
    ] {
        assert_eq!(rig.call(&format!("box.session.{name}"), &NONE), expected);
    }
}
