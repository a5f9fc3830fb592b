//! Sums and bits.

use super::*;

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
