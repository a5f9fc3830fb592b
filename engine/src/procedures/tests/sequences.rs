//! `box.schema.sequence.*`, `box.sequence.*` and the option `sequence` of indexes, answered as
//! Tarantool 2.6 does.

use vestibule_actors::engine::{Engine, TransactionId};
use vestibule_wire::request::{Begin, Body, Delete, IdOrName, Select, Store};

use super::V;
use crate::schema::system;
use crate::tests::{NONE, Rig, by, pack};

fn rows_of(rig: &mut Rig, space: u32) -> String {
    let space = IdOrName::Id(space);
    rig.run(Body::Select(Select {
        space,
        ..by(&[0x90])
    }))
}

fn insert_into(rig: &mut Rig, space: u32, row: V) -> String {
    let told = rig.run(Body::Insert(Store {
        space: IdOrName::Id(space),
        tuple: &pack(&row),
    }));
    rig.commit();
    told
}

fn delete_from(rig: &mut Rig, space: u32, id: i64) -> String {
    let told = rig.run(Body::Delete(Delete {
        space: IdOrName::Id(space),
        index: IdOrName::Id(0),
        key: &pack(&(id,)),
    }));
    rig.commit();
    told
}

/// A space whose primary index takes its first field from a sequence of its own.
fn counting() -> Rig {
    let mut rig = Rig::new();
    rig.call("box.schema.space.create", &("s",));
    let made = rig.call(
        "box.space.s:create_index",
        &("pk", table! { sequence = true }),
    );
    assert!(
        made.ends_with(r#""sequence_id": 1, "sequence_fieldno": 1}]"#),
        "{made}"
    );
    rig
}

/// Sequences that cannot be created, and why.
fn refused_sequences() -> Vec<(&'static str, V, String)> {
    vec![
        (
            "create",
            list!["q", table! { step = 0 }],
            "142: Failed to create sequence 'q': step option must be non-zero".into(),
        ),
        (
            "create",
            list!["q", table! { min = 5, max = 3 }],
            "142: Failed to create sequence 'q': max must be greater than or equal to min".into(),
        ),
        (
            "create",
            list!["q", table! { start = 100, max = 10 }],
            "142: Failed to create sequence 'q': start must be between min and max".into(),
        ),
        (
            "create",
            list!["q", table! { foo = 1 }],
            "1: Illegal parameters, unexpected option 'foo'".into(),
        ),
        (
            "create",
            list!["q", table! { start = "x" }],
            "1: Illegal parameters, options parameter 'start' should be of type number".into(),
        ),
        (
            "create",
            list![],
            "1: Illegal parameters, name should be a string".into(),
        ),
        (
            "create",
            list![""],
            "70: Invalid identifier '' (expected printable symbols only or it is too long)".into(),
        ),
    ]
}

#[test]
fn a_sequence_is_made_changed_and_dropped() {
    let mut rig = Rig::new();
    let whole = concat!(
        r#"{"id": 1, "uid": 1, "name": "s", "step": 1, "min": 1, "max": "#,
        r#"9223372036854775807, "start": 1, "cache": 0, "cycle": false}"#,
    );
    let mut schema =
        |method: &str, args: V| rig.call(&format!("box.schema.sequence.{method}"), &args);
    assert_eq!(schema("create", list!["s"]), format!("[{whole}]"));
    let again = vec![
        (
            "create",
            list!["s"],
            "146: Sequence 's' already exists".to_owned(),
        ),
        (
            "create",
            list!["s", table! { if_not_exists = true }],
            format!(r#"[{whole}, "not created"]"#),
        ),
    ];
    let changes = vec![
        (
            "drop",
            list!["nope"],
            "145: Sequence 'nope' does not exist".into(),
        ),
        (
            "drop",
            list!["nope", table! { if_exists = true }],
            "[]".into(),
        ),
        (
            "drop",
            list![99],
            "145: Sequence '99' does not exist".into(),
        ),
        ("drop", list![], "145: Sequence 'nil' does not exist".into()),
        ("alter", list!["s"], "[]".into()),
        (
            "alter",
            list!["s", table! { max = -3 }],
            "143: Can't modify sequence 's': max must be greater than or equal to min".into(),
        ),
        (
            "alter",
            list!["s", table! { name = "t", step = 2 }],
            "[]".into(),
        ),
        (
            "alter",
            list![1, table! { start = 1000, min = 5 }],
            "[]".into(),
        ),
    ];
    for (method, args, expected) in [again, refused_sequences(), changes].concat() {
        assert_eq!(schema(method, args), expected, "{method}");
    }
    assert_eq!(
        rows_of(&mut rig, 286),
        r#"[[1, 1, "t", 2, 5, 9223372036854775807, 1000, 0, false]]"#
    );
    assert_eq!(rig.call("box.sequence.t:next", &NONE), "[1000]");
    assert_eq!(rig.call("box.schema.sequence.drop", &("t",)), "[]");
    assert_eq!(rows_of(&mut rig, system::SEQUENCE), "[]");
    assert_eq!(rows_of(&mut rig, system::SEQUENCE_DATA), "[]");
}

#[test]
fn a_descending_sequence_starts_at_the_top() {
    let mut rig = Rig::new();
    let made = rig.call("box.schema.sequence.create", &("d", table! { step = -1 }));
    let bounds = r#""min": -9223372036854775808, "max": -1, "start": -1"#;
    assert!(made.contains(bounds), "{made}");
}

#[test]
fn values_are_taken_set_and_forgotten() {
    let mut rig = Rig::new();
    let options = table! { min = 1, max = 3 };
    rig.call("box.schema.sequence.create", &("s", options));
    let mut own = |method: &str, args: V| rig.call(&format!("box.sequence.s:{method}"), &args);
    let overflow = "147: Sequence 's' has overflowed";
    for (method, args, expected) in [
        ("current", list![], "212: Sequence 's' is not started"),
        ("next", list![], "[1]"),
        ("next", list![], "[2]"),
        ("current", list![], "[2]"),
        ("next", list![], "[3]"),
        ("next", list![], overflow),
        ("next", list![], overflow),
        ("set", list!["x"], "32: expected int64_t as 2 argument"),
        ("set", list![], "32: expected int64_t as 2 argument"),
        ("set", list![-7], "[]"),
        ("next", list![], "[1]"),
        ("reset", list![], "[]"),
        ("current", list![], "212: Sequence 's' is not started"),
        ("set", list![3], "[]"),
        ("alter", list![table! { cycle = true }], "[]"),
        ("next", list![], "[1]"),
        (
            "foo",
            list![],
            "33: Procedure 'box.sequence.s:foo' is not defined",
        ),
        ("drop", list![], "[]"),
        (
            "next",
            list![],
            "33: Procedure 'box.sequence.s:next' is not defined",
        ),
    ] {
        assert_eq!(own(method, args), expected, "{method}");
    }
}

#[test]
fn a_nil_in_the_key_takes_the_next_value() {
    let mut rig = counting();
    let nil = || V::Nil(());
    for (row, expected) in [
        (list![nil(), "a"], r#"[[1, "a"]]"#),
        (list![10, "a"], r#"[[10, "a"]]"#),
        (list![nil(), "b"], r#"[[11, "b"]]"#),
        (list![5, "b"], r#"[[5, "b"]]"#),
        (list![nil(), nil()], "[[12, null]]"),
        (
            list!["x"],
            "23: Tuple field 1 type does not match one required by operation: expected \
             unsigned, got string",
        ),
        (
            list![],
            "39: Tuple field 1 required by space format is missing",
        ),
    ] {
        assert_eq!(rig.insert(&row), expected);
    }
    assert_eq!(rig.replace(&list![nil()]), "[[13]]");
    // An UPSERT needs its key.
    assert!(rig.upsert(&list![nil()], &NONE).starts_with("23: "));
    assert_eq!(rig.insert(&(i64::MAX,)), "[[9223372036854775807]]");
    assert_eq!(
        rig.insert(&list![nil()]),
        "147: Sequence 's_seq' has overflowed"
    );
    assert_eq!(rig.insert(&(u64::MAX,)), "[[18446744073709551615]]");
}

#[test]
fn a_value_below_the_first_is_not_the_next_ones_neighbor() {
    let mut rig = Rig::new();
    rig.call("box.schema.space.create", &("s",));
    let parts = list![1, "integer"];
    rig.call(
        "box.space.s:create_index",
        &("pk", table! { parts = parts, sequence = true }),
    );
    assert_eq!(rig.insert(&(-5,)), "[[-5]]");
    assert_eq!(rig.insert(&list![V::Nil(())]), "[[1]]");
}

#[test]
fn values_are_recovered() {
    let mut rig = counting();
    rig.insert(&list![V::Nil(())]);
    rig.insert(&(7,));
    rig.commit();
    rig.reopen();
    assert_eq!(rig.insert(&list![V::Nil(())]), "[[8]]");
    assert_eq!(rig.call("box.sequence.s_seq:current", &NONE), "[8]");
    assert_eq!(rig.call("box.space.s:truncate", &NONE), "[]");
    rig.reopen();
    assert_eq!(rig.insert(&list![V::Nil(())]), "[[9]]");
}

#[test]
fn a_rollback_gives_no_number_back() {
    let mut rig = counting();
    let id = TransactionId(1);
    let options = Begin {
        timeout: None,
        isolation: 0,
    };
    rig.engine.begin(id, &options, &rig.caller).unwrap();
    rig.inside = Some(id);
    assert_eq!(rig.insert(&list![V::Nil(())]), "[[1]]");
    // Somebody else goes on with the next one meanwhile, and neither waits nor fails for it.
    rig.inside = None;
    assert_eq!(rig.insert(&list![V::Nil(())]), "[[2]]");
    rig.commit();
    rig.engine.rollback_transaction(id);
    assert_eq!(rig.all(), "[[2]]");
    assert_eq!(rig.insert(&list![V::Nil(())]), "[[3]]");
}

#[test]
fn a_sequence_in_use_stays_and_a_generated_one_goes_with_its_space() {
    let mut rig = counting();
    rig.insert(&list![V::Nil(())]);
    let in_use = "144: Can't drop sequence 's_seq': the sequence is in use";
    assert_eq!(rig.call("box.sequence.s_seq:drop", &NONE), in_use);
    assert_eq!(delete_from(&mut rig, system::SEQUENCE, 1), in_use);
    // Nothing of it was done, not even half.
    assert_eq!(rows_of(&mut rig, system::SEQUENCE_DATA), "[[1, 1]]");
    let index = |rig: &mut Rig, method: &str, args: V| {
        rig.call(&format!("box.space.s.index.pk:{method}"), &args)
    };
    let wrong = "14: Can't create or modify index 'pk' in space 's': sequence ";
    let parts = list![2, "unsigned"];
    assert_eq!(
        index(&mut rig, "alter", list![table! { parts = parts }]),
        format!("{wrong}field must be a part of the index")
    );
    let parts = list![1, "string"];
    assert_eq!(
        index(&mut rig, "alter", list![table! { parts = parts }]),
        format!("{wrong}cannot be used with a non-integer key")
    );
    assert_eq!(
        index(&mut rig, "alter", list![table! { sequence = false }]),
        "[]"
    );
    assert_eq!(rows_of(&mut rig, system::SEQUENCE), "[]");
    assert!(rig.insert(&list![V::Nil(())]).starts_with("23: "));
    assert_eq!(
        index(&mut rig, "alter", list![table! { sequence = true }]),
        "[]"
    );
    assert_eq!(
        rig.insert(&list![V::Nil(()), 0]),
        concat!(
            r#"3: Duplicate key exists in unique index "pk" in space "s" with old tuple - "#,
            r#"[1] and new tuple - [1, 0]"#,
        )
    );
    rig.commit();
    assert_eq!(index(&mut rig, "drop", list![]), "[]");
    assert_eq!(rows_of(&mut rig, system::SEQUENCE), "[]");
    let again = rig.call(
        "box.space.s:create_index",
        &("pk", table! { sequence = true }),
    );
    assert!(again.contains("sequence_id"), "{again}");
    assert_eq!(rig.call("box.space.s:drop", &NONE), "[]");
    for space in [
        system::SEQUENCE,
        system::SEQUENCE_DATA,
        system::SPACE_SEQUENCE,
    ] {
        assert_eq!(rows_of(&mut rig, space), "[]", "{space}");
    }
}

#[test]
fn a_sequence_of_ones_own_is_attached_to_a_field() {
    let mut rig = Rig::new();
    let format = list![list!["a", "string"], list!["b", "integer"]];
    rig.call(
        "box.schema.space.create",
        &("s", table! { format = format }),
    );
    rig.call(
        "box.schema.sequence.create",
        &("own", table! { min = -100, start = 100 }),
    );
    let mut create = |sequence: V| {
        let parts = list![1, "string", 2, "integer"];
        let options = table! { parts = parts, sequence = sequence };
        rig.call("box.space.s:create_index", &("pk", options))
    };
    let no_integer = "14: Can't create or modify index 'pk' in space 's': sequence cannot be used \
     with a non-integer key";
    for (sequence, expected) in [
        (V::Bool(true), no_integer),
        (V::Str("own"), no_integer),
        (V::Str("nope"), "145: Sequence 'nope' does not exist"),
        (V::Number(99), "145: Sequence '99' does not exist"),
        (
            table! { id = "own", field = 3 },
            "14: Can't create or modify index 'pk' in space 's': sequence field must be a \
             part of the index",
        ),
        (
            table! { id = "own", field = "zz" },
            "1: Illegal parameters, sequence field: field was not found by name 'zz'",
        ),
        (
            table! { id = "own", field = 0 },
            "1: Illegal parameters, sequence field: field (number) must be one-based",
        ),
    ] {
        assert_eq!(create(sequence), expected);
    }
    let made = create(table! { id = "own", field = "b" });
    assert!(
        made.ends_with(r#""sequence_id": 1, "sequence_fieldno": 2}]"#),
        "{made}"
    );
    assert_eq!(rig.insert(&list!["x", V::Nil(())]), r#"[["x", 100]]"#);
    rig.commit();
    assert_eq!(
        rig.call(
            "box.space.s:create_index",
            &("sk", table! { sequence = true })
        ),
        "14: Can't create or modify index 'sk' in space 's': sequence cannot be used \
         with a secondary key"
    );
    // It is not the space's own, so it stays.
    assert_eq!(rig.call("box.space.s:drop", &NONE), "[]");
    assert_eq!(rig.call("box.sequence.own:next", &NONE), "[101]");
}

#[test]
fn rows_of_the_system_spaces_are_checked_as_calls_are() {
    let mut rig = counting();
    let row = |id: i64, name: &'static str, step: i64| list![id, 1, name, step, 1, 10, 1, 0, false];
    let sequence = system::SEQUENCE;
    assert!(insert_into(&mut rig, sequence, row(9, "t", 1)).starts_with("[[9"));
    assert!(
        insert_into(&mut rig, sequence, row(10, "t", 1))
            .starts_with(r#"3: Duplicate key exists in unique index "name" in space "_sequence""#)
    );
    assert_eq!(
        insert_into(&mut rig, sequence, row(10, "u", 0)),
        "142: Failed to create sequence 'u': step option must be non-zero"
    );
    let data = system::SEQUENCE_DATA;
    assert_eq!(
        insert_into(&mut rig, data, list![99, 1]),
        "145: Sequence '99' does not exist"
    );
    assert_eq!(insert_into(&mut rig, data, list![9, 4]), "[[9, 4]]");
    assert_eq!(rig.call("box.sequence.t:next", &NONE), "[5]");
    rig.call("box.schema.space.create", &("u",));
    let attach = |space: i64, id: i64, field: i64| list![space, id, false, field, ""];
    let spaces = system::SPACE_SEQUENCE;
    for (row, expected) in [
        (attach(99, 9, 0), "36: Space '99' does not exist"),
        (attach(513, 99, 0), "145: Sequence '99' does not exist"),
        (attach(513, 9, 0), "35: No index #0 is defined in space 'u'"),
    ] {
        assert_eq!(insert_into(&mut rig, spaces, row), expected);
    }
    rig.call("box.space.u:create_index", &("pk",));
    assert_eq!(
        insert_into(&mut rig, spaces, attach(513, 9, 1)),
        "14: Can't create or modify index 'pk' in space 'u': sequence field must be a \
         part of the index"
    );
    assert_eq!(
        insert_into(&mut rig, spaces, attach(513, 1, 0)),
        "12: Can't modify space 'u': can not attach generated sequence"
    );
    assert!(insert_into(&mut rig, spaces, attach(513, 9, 0)).starts_with("[[513"));
    assert_eq!(
        rig.call("box.space.u:insert", &(list![V::Nil(())],)),
        "[[6]]"
    );
}
