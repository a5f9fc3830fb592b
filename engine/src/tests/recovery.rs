//! What was committed is there again.

use vestibule_actors::engine::Engine;

use super::{NONE, Rig};

#[test]
fn everything_committed_survives_and_nothing_else() {
    let mut rig = Rig::with_space(&[(1, "unsigned"), (2, "string")]);
    for id in 0..100u32 {
        rig.insert(&(id, "x".repeat(id as usize), f64::from(id) / 2.0));
    }
    rig.commit();
    rig.delete(&(5, "xxxxx"));
    rig.update(&(6, "xxxxxx"), &[("=", 2, "new")]);
    rig.commit();
    let (rows, version) = (rig.all(), rig.engine.schema_version());
    rig.insert(&(1000, "never committed"));
    rig.reopen();
    assert_eq!(rig.all(), rows);
    assert_eq!(rig.engine.schema_version(), version);
    assert_eq!(version, 3, "two changes of definitions");
    rig.insert(&(200, "after"));
    rig.commit();
    let rows = rig.all();
    rig.reopen();
    assert_eq!(rig.all(), rows);
}

#[test]
fn definitions_and_users_survive() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    rig.insert(&(1,));
    rig.commit();
    rig.call("box.schema.space.create", &("gone",));
    rig.call("box.space.gone:drop", &NONE);
    rig.call("box.space.s:rename", &("t",));
    rig.call("box.space.t:format", &([("id", "unsigned")],));
    rig.call(
        "box.schema.user.create",
        &(
            "bob",
            [("password", "secret")]
                .into_iter()
                .collect::<std::collections::BTreeMap<_, _>>(),
        ),
    );
    let rows = rig.all();
    let version = rig.engine.schema_version();
    rig.reopen();
    assert_eq!(rig.all(), rows);
    assert_eq!(rig.engine.schema_version(), version);
    assert_eq!(
        rig.insert(&("x",)),
        "23: Tuple field 1 (id) type does not match one required by operation: \
         expected unsigned, got string"
    );
    let created = rig.call("box.schema.space.create", &("next",));
    assert_eq!(
        created, r#"[{"id": 514, "name": "next"}]"#,
        "no number is given twice"
    );
    let (_, hash) = rig.engine.catalog().user("bob").unwrap();
    assert_eq!(hash, Some(vestibule_wire::auth::PasswordHash::of("secret")));
    assert!(rig.engine.catalog().user("admin").unwrap().1.is_none());
}

#[test]
fn a_truncated_space_stays_empty() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    for id in 0..20 {
        rig.insert(&(id,));
    }
    rig.commit();
    assert_eq!(rig.call("box.space.s:len", &NONE), "[20]");
    assert_eq!(rig.call("box.space.s:truncate", &NONE), "[]");
    rig.insert(&(7,));
    rig.commit();
    rig.reopen();
    assert_eq!(rig.all(), "[[7]]");
}

#[test]
fn recovery_tells_how_far_it_is_and_how_many_rows_there_are() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    for id in 0..10_000 {
        rig.insert(&(id, "some text that takes room"));
        if id % 100 == 0 {
            rig.commit();
        }
        if id == 5000 {
            let (done, is_done) = std::sync::mpsc::channel();
            let answer = move |result: Result<(), _>| done.send(result.is_ok()).unwrap();
            rig.engine.snapshot(Box::new(answer)).unwrap();
            assert!(is_done.recv().unwrap());
        }
    }
    rig.commit();
    rig.close();
    let mut engine = super::EmbeddedEngine::new(rig.options.clone());
    let mut told = Vec::new();
    engine.recover(&mut |progress| told.push(progress)).unwrap();
    let shares: Vec<_> = told
        .iter()
        .filter_map(|progress| progress.share())
        .collect();
    assert!(
        shares.is_sorted() && shares.last() == Some(&1.0),
        "{shares:?}"
    );
    let rows: Vec<_> = told.iter().map(|progress| progress.rows).collect();
    // Rows of the system spaces come with the checkpoint.
    assert!(rows.is_sorted() && rows.last() >= Some(&10_000), "{rows:?}");
    assert!(told.len() > 3);
}

/// A definition of before a recovery's count: what the space took by then was not counted yet.
#[test]
fn a_space_that_is_filled_and_then_redefined_or_dropped_is_recovered_and_counted() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    for id in 0..5000 {
        rig.insert(&(id, "a text that does not stand in the tree itself"));
    }
    rig.commit();
    rig.call("box.space.s:format", &([("id", "unsigned")],));
    let filled = rig.engine.data_bytes();
    rig.reopen();
    let recovered = rig.engine.data_bytes();
    assert!(
        recovered > 5000 * 45 && recovered < 2 * filled,
        "{recovered} of {filled}"
    );
    rig.call("box.space.s:drop", &NONE);
    let empty = rig.engine.data_bytes();
    rig.reopen();
    let recovered = rig.engine.data_bytes();
    assert!(recovered < 2 * empty, "{recovered} of {empty}");
}
