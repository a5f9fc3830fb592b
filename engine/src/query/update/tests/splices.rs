//! Parts of texts replaced.

use super::*;

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
