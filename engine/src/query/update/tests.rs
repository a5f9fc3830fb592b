//! Operations and their errors, table by table. Results of `+` and `-`, clipping and texts were
//! compared with Tarantool's own.

use vestibule_wire::msgpack::{
    Integer, write_array_len, write_bin, write_bool, write_ext, write_f64, write_integer,
    write_nil, write_str, write_str_bytes,
};

use super::*;

/// A value to build tuples and operations from.
#[derive(Debug, Clone)]
enum V {
    Nil,
    Bool(bool),
    I(i128),
    F32(f32),
    F64(f64),
    S(&'static str),
    Bytes(&'static [u8]),
    Bin(&'static [u8]),
    /// A decimal: digits with an optional sign, and the scale.
    Dec(&'static str, i8),
    A(Vec<V>),
}

use V::{A, Bin, Bool, Bytes, Dec, F32, F64, I, Nil, S};

impl V {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Nil => write_nil(out),
            Bool(value) => write_bool(out, *value),
            I(value) => write_integer(out, Integer::from_i128(*value).unwrap()),
            F32(value) => {
                out.push(0xca);
                out.extend_from_slice(&value.to_be_bytes());
            }
            F64(value) => write_f64(out, *value),
            S(value) => write_str(out, value),
            Bytes(value) => write_str_bytes(out, value),
            Bin(value) => write_bin(out, value),
            Dec(digits, scale) => write_ext(out, 1, &packed(digits, *scale)),
            A(values) => {
                write_array_len(out, values.len() as u32);
                values.iter().for_each(|value| value.write(out));
            }
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }
}

fn packed(digits: &str, scale: i8) -> Vec<u8> {
    let unsigned = digits.trim_start_matches('-');
    let sign = if unsigned == digits { "c" } else { "d" };
    let nibbles = format!(
        "{}{unsigned}{sign}",
        if unsigned.len().is_multiple_of(2) {
            "0"
        } else {
            ""
        }
    );
    let mut payload = Vec::new();
    I(scale.into()).write(&mut payload);
    let pairs = nibbles
        .as_bytes()
        .chunks(2)
        .map(|pair| str::from_utf8(pair).unwrap());
    payload.extend(pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()));
    payload
}

const NAMES: &[&str] = &["id", "name", "score"];

fn names(name: &str) -> Option<u32> {
    NAMES
        .iter()
        .position(|known| *known == name)
        .map(|at| at as u32)
}

fn run(mode: Mode, base: u64, tuple: &[V], ops: Vec<V>) -> Result<Vec<u8>, Error> {
    apply(
        &A(tuple.to_vec()).bytes(),
        &A(ops).bytes(),
        base,
        &names,
        mode,
    )
}

fn op<const N: usize>(parts: [V; N]) -> V {
    A(parts.to_vec())
}

#[track_caller]
fn gives(tuple: &[V], ops: Vec<V>, expected: &[V]) {
    let result = run(Mode::Update, 0, tuple, ops.clone());
    assert_eq!(
        result.as_deref(),
        Ok(A(expected.to_vec()).bytes().as_slice()),
        "{ops:?}"
    );
}

#[track_caller]
fn fails(tuple: &[V], ops: Vec<V>, code: u16, text: &str) {
    let error = run(Mode::Update, 1, tuple, ops).unwrap_err();
    assert_eq!((error.code().0, error.message()), (code, text));
}

#[test]
fn assignment_replaces_appends_and_fills_gaps_with_nil() {
    let tuple = [I(1), S("a"), I(3)];
    gives(
        &tuple,
        vec![op([S("="), I(1), A(vec![I(7)])])],
        &[I(1), A(vec![I(7)]), I(3)],
    );
    gives(&tuple, vec![op([S("="), I(-1), Nil])], &[I(1), S("a"), Nil]);
    gives(
        &tuple,
        vec![op([S("="), I(3), I(4)])],
        &[I(1), S("a"), I(3), I(4)],
    );
    gives(
        &tuple,
        vec![op([S("="), I(5), I(6)])],
        &[I(1), S("a"), I(3), Nil, Nil, I(6)],
    );
    gives(
        &tuple,
        vec![op([S("="), S("score"), I(0)])],
        &[I(1), S("a"), I(0)],
    );
    gives(&[], vec![op([S("="), I(1), I(0)])], &[Nil, I(0)]);
}

#[test]
fn insertion_goes_before_the_field_and_counts_minus_one_from_behind_the_last() {
    let tuple = [I(1), I(2)];
    gives(&tuple, vec![op([S("!"), I(0), I(0)])], &[I(0), I(1), I(2)]);
    gives(&tuple, vec![op([S("!"), I(-1), I(3)])], &[I(1), I(2), I(3)]);
    gives(&tuple, vec![op([S("!"), I(-3), I(0)])], &[I(0), I(1), I(2)]);
    gives(&tuple, vec![op([S("!"), I(2), I(3)])], &[I(1), I(2), I(3)]);
    gives(
        &tuple,
        vec![op([S("!"), I(4), I(5)])],
        &[I(1), I(2), Nil, Nil, I(5)],
    );
    fails(
        &tuple,
        vec![op([S("!"), I(-4), I(0)])],
        37,
        "Field -4 was not found in the tuple",
    );
}

#[test]
fn deletion_is_clipped_to_the_tuple() {
    let tuple = [I(1), I(2), I(3), I(4)];
    gives(&tuple, vec![op([S("#"), I(1), I(2)])], &[I(1), I(4)]);
    gives(&tuple, vec![op([S("#"), I(-1), I(1)])], &[I(1), I(2), I(3)]);
    gives(
        &tuple,
        vec![op([S("#"), I(2), I(u64::MAX.into())])],
        &[I(1), I(2)],
    );
    gives(&tuple, vec![op([S("#"), I(0), I(4)])], &[]);
    gives(&tuple, vec![op([S("#"), I(4), I(1)])], &tuple);
    let text = "Field 2 UPDATE error: cannot delete 0 fields";
    fails(&tuple, vec![op([S("#"), I(2), I(0)])], 29, text);
    let text = "Argument type in operation '#' on field 2 does not match field type: expected a \
                positive integer";
    fails(&tuple, vec![op([S("#"), I(2), I(-1)])], 26, text);
    fails(
        &tuple,
        vec![op([S("#"), I(-5), I(1)])],
        37,
        "Field -5 was not found in the tuple",
    );
}

#[test]
fn sums_have_the_wider_type() {
    for (old, sign, argument, new) in [
        (I(1), "+", I(2), I(3)),
        (I(1), "-", I(2), I(-1)),
        (I(-1), "+", I(256), I(255)),
        (I(u64::MAX.into()), "-", I(u64::MAX.into()), I(0)),
        (I(i64::MAX.into()), "+", I(1), I(1 << 63)),
        (I(0), "-", I(1 << 63), I(i64::MIN.into())),
        (I(1), "+", F32(0.5), F32(1.5)),
        (F32(0.5), "-", I(1), F32(-0.5)),
        // What a float cannot hold becomes a double.
        (
            F32(0.1),
            "+",
            I(1 << 40),
            F64(f64::from(0.1f32) + (1u64 << 40) as f64),
        ),
        (F32(0.5), "+", F64(0.5), F64(1.0)),
        (F64(2.5), "+", I(1), F64(3.5)),
        (Dec("150", 2), "+", I(1), Dec("250", 2)),
        (Dec("150", 2), "-", F64(0.1), Dec("140", 2)),
        (I(1), "-", Dec("150", 2), Dec("-50", 2)),
        (F32(0.5), "+", Dec("5", 1), Dec("10", 1)),
    ] {
        gives(&[old], vec![op([S(sign), I(0), argument])], &[new]);
    }
}

#[test]
fn decimals_are_exact_to_38_digits_and_rounded_half_away_from_zero() {
    const NINES: &str = "99999999999999999999999999999999999999";
    const ONE: &str = "10000000000000000000000000000000000000";
    for (old, sign, argument, new) in [
        (Dec(NINES, 38), "-", Dec(NINES, 38), Dec("0", 38)),
        // 0.99…9 and 0.00…1 of 38 digits make one, for which 37 digits after the point are left.
        (Dec(NINES, 38), "+", Dec("1", 38), Dec(ONE, 37)),
        (Dec(NINES, 0), "+", Dec("4", 1), Dec(NINES, 0)),
        (Dec(NINES, 0), "-", Dec("4", 1), Dec(NINES, 0)),
        (Dec(NINES, 1), "+", Dec("5", 2), Dec(ONE, 0)),
        (Dec("-5", 1), "+", Dec("5", 1), Dec("0", 1)),
        (Dec("-0", 1), "+", Dec("-0", 1), Dec("-0", 1)),
        (Dec("1", -37), "+", I(0), Dec(ONE, 0)),
        (Dec("1", 0), "+", F64(1e-50), Dec(ONE, 37)),
        (Dec("1", 0), "-", F64(1e15), Dec("-999999999999999", 0)),
    ] {
        gives(&[old], vec![op([S(sign), I(0), argument])], &[new]);
    }
    let text = "Decimal overflow when performing operation '+' on field 1";
    fails(&[Dec(NINES, 0)], vec![op([S("+"), I(1), I(1)])], 160, text);
    fails(
        &[Dec(NINES, 0)],
        vec![op([S("+"), I(1), Dec("5", 1)])],
        160,
        text,
    );
    let text = "Argument type in operation '-' on field 1 does not match field type: expected a \
                number convertible to decimal";
    for float in [F64(f64::NAN), F64(f64::INFINITY), F64(1e38), F64(-1e300)] {
        fails(&[Dec("1", 0)], vec![op([S("-"), I(1), float])], 26, text);
    }
}

#[test]
fn sums_refuse_what_is_no_number_and_what_does_not_fit() {
    let text = "Integer overflow when performing '+' operation on field 1";
    fails(
        &[I(u64::MAX.into())],
        vec![op([S("+"), I(1), I(1)])],
        95,
        text,
    );
    let text = "Integer overflow when performing '-' operation on field 'id'";
    fails(
        &[I(i64::MIN.into())],
        vec![op([S("-"), S("id"), I(1)])],
        95,
        text,
    );
    let text = "Argument type in operation '+' on field 2 does not match field type: expected a \
                number";
    fails(&[I(1), S("a")], vec![op([S("+"), I(2), I(1)])], 26, text);
    fails(&[I(1), S("a")], vec![op([S("+"), I(-1), I(1)])], 26, text);
    fails(&[I(1), I(1)], vec![op([S("+"), I(2), S("1")])], 26, text);
    // The argument is looked at before the tuple, when −1 is not resolved yet.
    let text = "Argument type in operation '+' on field -1 does not match field type: expected a \
                number";
    fails(&[I(1), I(1)], vec![op([S("+"), I(-1), Nil])], 26, text);
    fails(
        &[I(1)],
        vec![op([S("+"), I(2), I(1)])],
        37,
        "Field 2 was not found in the tuple",
    );
    fails(
        &[I(1)],
        vec![op([S("+"), I(-2), I(1)])],
        37,
        "Field -2 was not found in the tuple",
    );
}

#[test]
fn bits_are_combined_in_unsigned_integers_only() {
    for (symbol, result) in [("&", 0b1000), ("|", 0b1110), ("^", 0b0110)] {
        gives(
            &[I(0b1100)],
            vec![op([S(symbol), I(0), I(0b1010)])],
            &[I(result)],
        );
    }
    for (old, argument) in [
        (I(-1), I(1)),
        (I(1), I(-1)),
        (F64(1.0), I(1)),
        (Bool(true), I(1)),
    ] {
        let text = "Argument type in operation '^' on field 1 does not match field type: expected \
                    a positive integer";
        fails(&[old], vec![op([S("^"), I(1), argument])], 26, text);
    }
}

#[test]
fn splices_are_clipped_at_both_ends() {
    for (offset, cut, result) in [
        (0, 0, "XYabcd"),
        (1, 2, "aXYd"),
        (1, 100, "aXY"),
        (100, 1, "abcdXY"),
        (4, 0, "abcdXY"),
        (-1, 0, "abcdXY"),
        (-2, 1, "abcXY"),
        (-5, 1, "XYbcd"),
        // A negative length leaves that number of bytes at the end.
        (1, -1, "aXYd"),
        (1, -3, "aXYbcd"),
        (1, -100, "aXYbcd"),
    ] {
        let splice = op([S(":"), I(0), I(offset), I(cut), S("XY")]);
        gives(&[S("abcd")], vec![splice], &[S(result)]);
    }
    let text = "SPLICE error on field 1: offset is out of bound";
    for offset in [0, -6, i32::MIN.into()] {
        fails(
            &[S("abcd")],
            vec![op([S(":"), I(1), I(offset), I(0), S("")])],
            25,
            text,
        );
    }
}

#[test]
fn splices_keep_the_type_of_the_field_and_take_strings_and_binaries() {
    let splice = |paste| vec![op([S(":"), I(0), I(1), I(1), paste])];
    gives(&[Bin(b"abc")], splice(S("X")), &[Bin(b"aXc")]);
    gives(&[S("abc")], splice(Bin(b"X")), &[S("aXc")]);
    gives(
        &[S("abc")],
        splice(Bytes(&[0xff])),
        &[Bytes(&[b'a', 0xff, b'c'])],
    );
    let text = |expected: &str| {
        format!(
            "Argument type in operation ':' on field 1 does not match field type: expected \
             {expected}"
        )
    };
    let splice = |offset, cut, paste| vec![op([S(":"), I(1), offset, cut, paste])];
    fails(
        &[I(1)],
        splice(I(1), I(0), S("")),
        26,
        &text("a string or varbinary"),
    );
    fails(
        &[S("")],
        splice(I(1), I(0), I(1)),
        26,
        &text("a string or varbinary"),
    );
    fails(
        &[S("")],
        splice(S("1"), I(0), S("")),
        26,
        &text("an integer"),
    );
    fails(
        &[S("")],
        splice(I(1), F64(1.0), S("")),
        26,
        &text("an integer"),
    );
    fails(
        &[S("")],
        splice(I(1 << 31), I(0), S("")),
        26,
        &text("an integer"),
    );
}

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
