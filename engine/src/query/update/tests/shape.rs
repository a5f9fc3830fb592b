//! Operations together, their bounds, and what is no operation.

use super::*;

#[test]
fn operations_see_what_those_before_them_did() {
    let ops = vec![
        op([S("+"), I(1), I(1)]),
        op([S("+"), I(1), I(1)]),
        op([S("!"), I(0), S("new")]),
        op([S("-"), I(2), I(5)]),
        op([S("#"), I(1), I(1)]),
        op([S(":"), I(0), I(3), I(0), S("er")]),
        op([S(":"), I(0), I(0), I(1), S("N")]),
        op([S("="), I(4), I(9)]),
        op([S("="), I(2), S("gap")]),
        op([S("|"), I(-1), I(6)]),
    ];
    gives(
        &[I(1), I(2)],
        ops,
        &[S("Newer"), I(-1), S("gap"), Nil, I(15)],
    );
}

#[test]
fn malformed_operations_are_named() {
    let unknown = |what: &str| format!("Unknown UPDATE operation #1: {what}");
    for (bad, code, text) in [
        (I(1), 1, "update operation must be an array {op,..}"),
        (
            A(vec![]),
            1,
            "update operation must be an array {op,..}, got empty array",
        ),
        (
            op([I(1), I(1)]),
            1,
            "update operation name must be a string",
        ),
        (
            op([S("="), Nil, I(1)]),
            1,
            "field id must be a number or a string",
        ),
        (
            op([S("="), F64(1.0), I(1)]),
            1,
            "field id must be a number or a string",
        ),
        (op([S("?"), I(1), I(1)]), 28, &unknown("\"?\"")),
        (op([S("=="), I(1), I(1)]), 28, &unknown("\"==\"")),
        (op([S("")]), 28, &unknown("\"\"")),
        (
            op([S("=")]),
            28,
            &unknown("wrong number of arguments, expected 3, got 1"),
        ),
        (
            op([S("="), I(1), I(1), I(1)]),
            28,
            &unknown("wrong number of arguments, expected 3, got 4"),
        ),
        (
            op([S(":"), I(1), I(1)]),
            28,
            &unknown("wrong number of arguments, expected 5, got 3"),
        ),
        (
            op([S("="), I(0), I(1)]),
            37,
            "Field 0 was not found in the tuple",
        ),
    ] {
        fails(&[I(1)], vec![bad.clone()], code, text);
        // These need no tuple, so that UPSERT refuses them too.
        assert!(run(Mode::Upsert, 1, &[I(1)], vec![bad.clone()]).is_err());
        let error = check(&A(vec![bad]).bytes(), 1, &names).unwrap_err();
        assert_eq!((error.code().0, error.message()), (code, text));
    }
    let second = vec![op([S("="), I(1), I(1)]), op([S("?"), I(1), I(1)])];
    fails(&[I(1)], second, 28, "Unknown UPDATE operation #2: \"?\"");
    let text = "Argument type in operation '=' on field 1 does not match field type: expected an \
                integer";
    fails(&[I(1)], vec![op([S("="), I(1 << 40), I(1)])], 26, text);
}

#[test]
fn names_that_are_unknown_or_lead_beyond_the_tuple_are_not_found() {
    for (name, text) in [
        (S("nope"), "Field 'nope' was not found in the tuple"),
        (S("nope.x"), "Field 'nope.x' was not found in the tuple"),
        (S("[7].x"), "Field ''[7].x'' was not found in the tuple"),
        (
            Bytes(&[0xff]),
            "Field '\u{fffd}' was not found in the tuple",
        ),
        // Known, but the tuple ends before: quoted twice, as Tarantool does.
        (S("score"), "Field ''score'' was not found in the tuple"),
    ] {
        fails(&[I(1)], vec![op([S("+"), name, I(1)])], 201, text);
    }
    let text = "Argument type in operation '+' on field 'name' does not match field type: expected \
                a number";
    fails(
        &[I(1), S("a")],
        vec![op([S("+"), S("name"), I(1)])],
        26,
        text,
    );
}

#[test]
fn four_thousand_operations_are_the_most() {
    let many = |count| vec![op([S("+"), I(1), I(1)]); count];
    let result = run(Mode::Update, 1, &[I(0)], many(4000));
    assert_eq!(result.unwrap(), A(vec![I(4000)]).bytes());
    fails(&[I(0)], many(4001), 1, "too many operations for update");
}

#[test]
fn upsert_skips_what_cannot_be_applied_and_applies_the_rest() {
    let ops = vec![
        op([S("+"), I(1), I(1)]),
        op([S("+"), I(2), I(1)]),
        op([S("#"), I(-9), I(1)]),
        op([S(":"), I(2), I(-9), I(0), S("")]),
        op([S("+"), I(1), I(u64::MAX.into())]),
        op([S("="), I(3), I(3)]),
    ];
    let result = run(Mode::Upsert, 1, &[I(1), S("a")], ops);
    assert_eq!(result.unwrap(), A(vec![I(2), S("a"), I(3)]).bytes());
}

#[test]
fn a_gap_is_bounded_in_either_mode() {
    for mode in [Mode::Update, Mode::Upsert] {
        let far = vec![op([S("="), I(i32::MAX.into()), I(1)])];
        let error = run(mode, 0, &[I(1)], far).unwrap_err();
        assert_eq!(error.code(), ErrorCode::TUPLE_TOO_LARGE);
    }
    let ops = vec![op([S("="), I(GAP_FIELDS_MAX as i128 - 1), I(1)])];
    assert!(run(Mode::Update, 0, &[I(1)], ops).unwrap().len() > GAP_FIELDS_MAX);
}

#[test]
fn bytes_that_are_not_messagepack_are_errors_not_panics() {
    let tuple = A(vec![I(1), S("abc"), Dec("150", 2), F64(1.5)]).bytes();
    let ops = A(vec![
        op([S("+"), I(1), Dec("1", 0)]),
        op([S(":"), I(2), I(1), I(1), S("XYZ")]),
        op([S("="), S("score"), A(vec![I(1)])]),
    ])
    .bytes();
    for cut in 0..ops.len() {
        let error = apply(&tuple, &ops[..cut], 1, &names, Mode::Upsert).unwrap_err();
        assert_eq!(error.code(), ErrorCode::INVALID_MSGPACK);
    }
    for cut in 0..tuple.len() {
        let error = apply(&tuple[..cut], &ops, 1, &names, Mode::Upsert).unwrap_err();
        assert_eq!(error.code(), ErrorCode::INVALID_MSGPACK);
    }
    // Whatever a flipped byte makes of them, nothing panics.
    for at in 0..ops.len() {
        for flip in 1..=255 {
            let mut ops = ops.clone();
            ops[at] ^= flip;
            let _ = apply(&tuple, &ops, 1, &names, Mode::Update);
        }
    }
    for at in 0..tuple.len() {
        for flip in 1..=255 {
            let mut tuple = tuple.clone();
            tuple[at] ^= flip;
            let _ = apply(&tuple, &ops, u64::from(flip), &names, Mode::Upsert);
        }
    }
}

#[test]
fn thousands_of_operations_on_a_wide_tuple_are_not_quadratic() {
    let tuple = vec![S("field"); 100_000];
    let mut ops = vec![op([S("!"), I(50_000), S("new")]); 2000];
    ops.extend(vec![op([S(":"), I(70_000), I(2), I(1), S("paste")]); 2000]);
    let started = std::time::Instant::now();
    run(Mode::Update, 0, &tuple, ops).unwrap();
    // Milliseconds, even unoptimised; moving the fields each time would take minutes.
    assert!(started.elapsed().as_secs() < 10);
}
