//! Random values as MessagePack: mostly of the type that is asked for, from few enough that keys
//! meet, with the borders of each type among them.

use vestibule_wire::msgpack::{
    write_array_len, write_bin, write_bool, write_ext, write_f64, write_int, write_map_len,
    write_nil, write_str, write_str_bytes, write_uint,
};

use crate::rng::Rng;

/// Types that fields can have, by their names.
pub(crate) const KINDS: [&str; 13] = [
    "unsigned",
    "integer",
    "string",
    "number",
    "double",
    "boolean",
    "varbinary",
    "scalar",
    "decimal",
    "uuid",
    "any",
    "array",
    "map",
];

/// How many of [`KINDS`] are scalar in 2.6: the first ones. `uuid` is not.
const SCALAR: usize = 9;

const UNSIGNED: [u64; 13] = [
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    (1 << 32) - 1,
    1 << 32,
    1 << 53,
    (1 << 53) + 1,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

const NEGATIVE: [i64; 10] = [
    -1,
    -2,
    -32,
    -33,
    -128,
    -129,
    -32_769,
    i32::MIN as i64,
    i32::MIN as i64 - 1,
    i64::MIN,
];

/// None beyond what decimals can hold: beside decimals Tarantool 2.6 has no order for those, and
/// crashes on some.
const DOUBLES: [f64; 11] = [
    0.0,
    -0.0,
    1.0,
    2.0,
    1.5,
    -1.5,
    0.1,
    -2.0,
    9_007_199_254_740_992.0,
    18_446_744_073_709_551_616.0,
    -9_223_372_036_854_775_808.0,
];

const STRINGS: [&str; 12] = [
    "",
    "a",
    "b",
    "A",
    "ab",
    "aba",
    "abc",
    "a\0b",
    "é",
    "日本",
    "zzzz",
    "a string of more than thirty-two bytes",
];

/// Packed decimals: 0, 1, -1, 1.5, 0.1, and 38 nines.
const DECIMALS: [&[u8]; 6] = [
    &[0x00, 0x0c],
    &[0x00, 0x1c],
    &[0x00, 0x1d],
    &[0x01, 0x01, 0x5c],
    &[0x01, 0x1c],
    &[
        0x00, 0x09, 0x99, 0x99, 0x99, 0x99, 0x99, 0x99, 0x99, 0x99, 0x99, 0x99, 0x99, 0x99, 0x99,
        0x99, 0x99, 0x99, 0x99, 0x99, 0x9c,
    ],
];

/// What may stand in a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Range {
    /// Everything.
    All,
    /// What Lua gives back as it got it: small integers, strings, booleans, nil.
    Lua,
}

/// Appends a value of this type; one of another type every now and then.
pub(crate) fn write(rng: &mut Rng, kind: &str, range: Range, out: &mut Vec<u8>) {
    if rng.percent(3) {
        return write_nil(out);
    }
    if rng.percent(4) {
        let kind = rng.of(&KINDS);
        return write_exactly(rng, kind, range, out);
    }
    write_exactly(rng, kind, range, out);
}

/// Appends an argument of an operation.
pub(crate) fn write_argument(rng: &mut Rng, kind: &str, range: Range, out: &mut Vec<u8>) {
    let kind = if rng.percent(5) {
        rng.of(&["string", "boolean", "array"])
    } else {
        kind
    };
    write_exactly(rng, kind, range, out);
}

/// Appends a value of this type.
fn write_exactly(rng: &mut Rng, kind: &str, range: Range, out: &mut Vec<u8>) {
    if range == Range::Lua {
        return write_for_lua(rng, kind, out);
    }
    match kind {
        "unsigned" => write_unsigned(rng, out),
        "integer" if rng.percent(50) => write_unsigned(rng, out),
        "integer" => write_int(out, rng.of(&NEGATIVE)),
        "string" if rng.percent(2) => write_str_bytes(out, b"\xff\xfe"),
        "string" => write_str(out, rng.of(&STRINGS)),
        "number" => {
            let kind = rng.of(&["unsigned", "integer", "double", "decimal"]);
            write_exactly(rng, kind, range, out);
        }
        "double" if rng.percent(15) => {
            out.push(0xca);
            out.extend_from_slice(&rng.of(&[0.5_f32, 1.0, -1.5, 1e30]).to_be_bytes());
        }
        "double" => write_f64(out, rng.of(&DOUBLES)),
        "boolean" => write_bool(out, rng.percent(50)),
        "varbinary" => write_bin(out, rng.of(&STRINGS[..8]).as_bytes()),
        "decimal" => write_ext(out, 1, rng.of(&DECIMALS)),
        "uuid" => write_ext(out, 2, &[rng.below(4) as u8 * 0x40; 16]),
        "array" => {
            let size = rng.below(3);
            write_array_len(out, size as u32);
            (0..size).for_each(|_| write_unsigned(rng, out));
        }
        "map" => {
            write_map_len(out, 1);
            write_str(out, rng.of(&STRINGS));
            write_unsigned(rng, out);
        }
        _ => {
            let kind = rng.of(&KINDS[..SCALAR]);
            write_exactly(rng, kind, range, out);
        }
    }
}

fn write_unsigned(rng: &mut Rng, out: &mut Vec<u8>) {
    if rng.percent(10) {
        return write_uint(out, rng.of(&UNSIGNED));
    }
    write_uint(out, rng.below(12) as u64);
}

fn write_for_lua(rng: &mut Rng, kind: &str, out: &mut Vec<u8>) {
    match kind {
        "string" => write_str(out, rng.of(&STRINGS)),
        "boolean" => write_bool(out, rng.percent(50)),
        "integer" | "number" | "any" if rng.percent(30) => write_int(out, rng.of(&NEGATIVE[..5])),
        _ => write_uint(out, rng.below(12) as u64),
    }
}
