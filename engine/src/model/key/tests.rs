use std::cmp::Ordering;

use proptest::prelude::*;
use vestibule_wire::msgpack::{
    Integer, Reader, write_bin, write_bool, write_ext, write_f64, write_integer, write_str_bytes,
};

use super::{Key, KeyBuilder, encode_part};
use crate::model::field::FieldType;

#[derive(Debug, Clone)]
enum Value {
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Vec<u8>),
    Bin(Vec<u8>),
}

impl Value {
    fn class(&self) -> u8 {
        match self {
            Self::Bool(_) => 0,
            Self::Int(_) | Self::Float(_) => 1,
            Self::Str(_) => 2,
            Self::Bin(_) => 3,
        }
    }

    /// The order of scalars, by other means than the encoding's.
    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(left), Self::Bool(right)) => left.cmp(right),
            (Self::Int(left), Self::Int(right)) => left.cmp(right),
            (Self::Float(left), Self::Float(right)) => order_floats(*left, *right),
            (Self::Int(left), Self::Float(right)) => order_mixed(*left, *right),
            (Self::Float(left), Self::Int(right)) => order_mixed(*right, *left).reverse(),
            (Self::Str(left), Self::Str(right)) | (Self::Bin(left), Self::Bin(right)) => {
                left.cmp(right)
            }
            _ => self.class().cmp(&other.class()),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bool(value) => write_bool(out, *value),
            Self::Int(value) => write_integer(out, Integer::from_i128(*value).unwrap()),
            Self::Float(value) => write_f64(out, *value),
            Self::Str(value) => write_str_bytes(out, value),
            Self::Bin(value) => write_bin(out, value),
        }
    }
}

fn order_floats(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right)
        .unwrap_or_else(|| right.is_nan().cmp(&left.is_nan()))
}

/// Exact: a float of this magnitude that is not whole has a whole part that an `i128` holds.
fn order_mixed(int: i128, float: f64) -> Ordering {
    if float.is_nan() || float <= -1e30 {
        return Ordering::Greater;
    }
    if float >= 1e30 {
        return Ordering::Less;
    }
    let floor = float.floor();
    int.cmp(&(floor as i128)).then(if float > floor {
        Ordering::Less
    } else {
        Ordering::Equal
    })
}

fn float() -> impl Strategy<Value = f64> {
    let near =
        (any::<i128>().prop_map(|value| value >> 62), -3i32..=3).prop_map(|(whole, steps)| {
            f64::from_bits(
                (whole as f64)
                    .to_bits()
                    .wrapping_add_signed(i64::from(steps)),
            )
        });
    prop_oneof![
        any::<f64>(),
        near,
        (-5i8..5, 0u8..4).prop_map(|(whole, quarter)| f64::from(whole) + f64::from(quarter) / 4.0),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(-0.0),
        Just(f64::NAN),
        Just(2f64.powi(64)),
        Just(2f64.powi(53)),
    ]
}

fn int() -> impl Strategy<Value = i128> {
    let limits = i128::from(i64::MIN)..=i128::from(u64::MAX);
    prop_oneof![
        limits,
        -5i128..5,
        (-3i128..=3).prop_map(|steps| (1i128 << 53) + steps),
        (-3i128..0).prop_map(|steps| (1i128 << 64) + steps),
    ]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0u8), Just(1), Just(0xfe), Just(0xff), any::<u8>()];
    prop::collection::vec(byte, 0..40)
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        int().prop_map(Value::Int),
        float().prop_map(Value::Float),
        bytes().prop_map(Value::Str),
        bytes().prop_map(Value::Bin),
    ]
}

/// Two values of one type.
fn typed_pair() -> impl Strategy<Value = (FieldType, Value, Value)> {
    let unsigned = || any::<u64>().prop_map(|value| Value::Int(value.into()));
    let integer = || int().prop_map(Value::Int);
    let double = || float().prop_map(Value::Float);
    let varbinary = || bytes().prop_map(Value::Bin);
    prop_oneof![
        (Just(FieldType::Unsigned), unsigned(), unsigned()),
        (Just(FieldType::Integer), integer(), integer()),
        (Just(FieldType::Double), double(), double()),
        (Just(FieldType::Float64), double(), double()),
        (Just(FieldType::Uint64), unsigned(), unsigned()),
        (Just(FieldType::Varbinary), varbinary(), varbinary()),
    ]
}

fn key(kinds: &[FieldType], values: &[Value]) -> Key {
    let mut builder = KeyBuilder::default();
    for (kind, value) in kinds.iter().zip(values) {
        let mut bytes = Vec::new();
        value.write(&mut bytes);
        encode_part(*kind, &mut Reader::new(&bytes), &mut builder).unwrap();
    }
    builder.finish()
}

/// The key of a descending part between two others.
fn flipped_key(kind: FieldType, value: &Value) -> Key {
    let (mut builder, mut bytes) = (KeyBuilder::default(), Vec::new());
    builder.push(&[7]);
    value.write(&mut bytes);
    encode_part(kind, &mut Reader::new(&bytes), &mut builder).unwrap();
    builder.flip_from(1);
    builder.push(&[0xff]);
    builder.finish()
}

fn raw(key: &Key) -> Vec<u8> {
    let mut bytes = Vec::new();
    key.write(&mut bytes);
    bytes
}

proptest! {
    #[test]
    fn scalars_are_ordered_as_their_encodings(left in scalar(), right in scalar()) {
        let kind = [FieldType::Scalar];
        let one = |value: &Value| key(&kind, std::slice::from_ref(value));
        let (first, second) = (one(&left), one(&right));
        prop_assert_eq!(first.cmp(&second), left.order(&right));
        prop_assert_eq!(raw(&first).cmp(&raw(&second)), left.order(&right));
        let flipped = |value: &Value| flipped_key(FieldType::Scalar, value);
        prop_assert_eq!(flipped(&left).cmp(&flipped(&right)), left.order(&right).reverse());
    }

    #[test]
    fn numbers_of_all_kinds_are_ordered_exactly(left in int(), right in float()) {
        let kind = [FieldType::Number];
        let order = order_mixed(left, right);
        let (left, right) = (key(&kind, &[Value::Int(left)]), key(&kind, &[Value::Float(right)]));
        prop_assert_eq!(left.cmp(&right), order);
    }

    #[test]
    fn typed_parts_are_ordered_as_their_encodings(
        (kind, left, right) in typed_pair(),
    ) {
        let order = left.order(&right);
        let flipped = |value: &Value| flipped_key(kind, value);
        prop_assert_eq!(flipped(&left).cmp(&flipped(&right)), order.reverse());
        let (left, right) = (key(&[kind], &[left]), key(&[kind], &[right]));
        prop_assert_eq!(left.cmp(&right), order);
    }

    #[test]
    fn parts_are_compared_one_after_the_other(
        left in (bytes(), any::<u64>(), bytes()),
        right in (bytes(), any::<u64>(), bytes()),
        shared in 0usize..3,
    ) {
        let right = match shared {
            0 => right,
            1 => (left.0.clone(), right.1, right.2),
            _ => (left.0.clone(), left.1, right.2),
        };
        let kinds = [FieldType::String, FieldType::Unsigned, FieldType::String];
        let values = |(a, b, c): (Vec<u8>, u64, Vec<u8>)| {
            [Value::Str(a), Value::Int(b.into()), Value::Str(c)]
        };
        let order = left.cmp(&right);
        let (left, right) = (values(left), values(right));
        prop_assert_eq!(key(&kinds, &left).cmp(&key(&kinds, &right)), order);
        for parts in 0..=3 {
            let partial = key(&kinds[..parts], &left[..parts]);
            let matches = (0..parts).all(|at| left[at].order(&right[at]) == Ordering::Equal);
            let whole = key(&kinds, &right);
            prop_assert_eq!(partial.is_prefix_of(whole.view()), matches);
            let is_in_range = whole >= partial
                && partial.after_prefix().is_none_or(|end| whole < end);
            prop_assert_eq!(is_in_range, matches);
        }
    }

    #[test]
    fn keys_of_any_bytes_are_ordered_as_these(left in bytes(), right in bytes()) {
        let (first, second) = (Key::from_bytes(&left), Key::from_bytes(&right));
        prop_assert_eq!(first.cmp(&second), left.cmp(&right));
        prop_assert_eq!(first == second, left == right);
        prop_assert_eq!(raw(&first), left);
    }
}

#[test]
fn a_value_of_another_type_is_refused() {
    let mut text = Vec::new();
    Value::Str(b"1".to_vec()).write(&mut text);
    let mut number = Vec::new();
    Value::Int(1).write(&mut number);
    for (kind, value) in [
        (FieldType::Unsigned, &text),
        (FieldType::Integer, &text),
        (FieldType::Number, &text),
        (FieldType::Double, &text),
        (FieldType::Float32, &number),
        (FieldType::Float64, &number),
        (FieldType::String, &number),
        (FieldType::Boolean, &number),
        (FieldType::Varbinary, &text),
        (FieldType::Scalar, &vec![0xc0]),
        (FieldType::Any, &number),
    ] {
        let mut builder = KeyBuilder::default();
        assert!(
            encode_part(kind, &mut Reader::new(value), &mut builder).is_err(),
            "{kind:?}"
        );
    }
}

/// A decimal as an extension value: digits, and how many of them stand after the point.
fn decimal(digits: i128, scale: i32) -> Vec<u8> {
    let mut payload = Vec::new();
    write_integer(&mut payload, Integer::from_i128(scale.into()).unwrap());
    let mut nibbles: Vec<u8> = digits.unsigned_abs().to_string().into();
    nibbles.iter_mut().for_each(|nibble| *nibble -= b'0');
    nibbles.push(if digits < 0 { 0x0d } else { 0x0c });
    if nibbles.len() % 2 == 1 {
        nibbles.insert(0, 0);
    }
    payload.extend(nibbles.chunks(2).map(|pair| pair[0] << 4 | pair[1]));
    let mut out = Vec::new();
    write_ext(&mut out, 1, &payload);
    out
}

fn datetime(seconds: i64, rest: Option<(i32, i16)>) -> Vec<u8> {
    let mut payload = seconds.to_le_bytes().to_vec();
    if let Some((nanoseconds, zone)) = rest {
        payload.extend(nanoseconds.to_le_bytes());
        payload.extend(zone.to_le_bytes());
        payload.extend([0, 0]);
    }
    let mut out = Vec::new();
    write_ext(&mut out, 4, &payload);
    out
}

fn uuid(first: u8, last: u8) -> Vec<u8> {
    let mut payload = [0; 16];
    (payload[0], payload[15]) = (first, last);
    let mut out = Vec::new();
    write_ext(&mut out, 2, &payload);
    out
}

fn packed(value: Value) -> Vec<u8> {
    let mut out = Vec::new();
    value.write(&mut out);
    out
}

/// Values in order; those of one row are equal.
fn ascending(kind: FieldType, rows: &[&[Vec<u8>]]) {
    let key = |value: &Vec<u8>| {
        let mut builder = KeyBuilder::default();
        encode_part(kind, &mut Reader::new(value), &mut builder).unwrap();
        builder.finish()
    };
    let keys: Vec<(usize, Key)> = rows
        .iter()
        .enumerate()
        .flat_map(|(row, values)| values.iter().map(move |value| (row, key(value))))
        .collect();
    for (left, one) in &keys {
        for (right, other) in &keys {
            assert_eq!(
                one.cmp(other),
                left.cmp(right),
                "{kind}: {left} and {right}"
            );
        }
    }
}

#[test]
fn numbers_and_decimals_have_one_order() {
    let float = |value: f64| packed(Value::Float(value));
    let int = |value: i128| packed(Value::Int(value));
    let nines = 99_999_999_999_999_999_999_999_999_999_999_999_999;
    let rows: &[&[Vec<u8>]] = &[
        &[float(f64::NAN)],
        &[float(f64::NEG_INFINITY)],
        &[float(-1e300)],
        &[float(-1e38), decimal(-1, -38)],
        &[decimal(-nines, 0)],
        &[float(-1e20), decimal(-1, -20), decimal(-1000, -17)],
        &[int(i64::MIN.into()), decimal(i64::MIN.into(), 0)],
        &[int(-2), decimal(-20, 1), float(-2.0)],
        &[float(-1.5), decimal(-15, 1)],
        &[decimal(-125, 2)],
        &[int(-1)],
        &[float(-0.1), decimal(-1, 1)],
        &[float(-1e-300)],
        &[int(0), float(-0.0), decimal(0, 5)],
        &[float(5e-324)],
        &[decimal(1, 38), float(1e-38)],
        &[decimal(1, 1), float(0.1), decimal(100, 3)],
        &[decimal(10_000_000_000_000_001, 17)],
        &[float(0.1 + 0.2), decimal(30_000_000_000_000_004, 17)],
        &[int(1), decimal(10, 1)],
        &[int(100), decimal(1, -2), float(100.0)],
        &[int(1 << 53), float(9_007_199_254_740_992.0)],
        &[decimal((1 << 53) * 10 + 5, 1)],
        &[int((1 << 53) + 1)],
        &[int((1 << 64) - 1), decimal((1 << 64) - 1, 0)],
        &[decimal(((1 << 64) - 1) * 10 + 5, 1)],
        &[decimal(1 << 64, 0)],
        &[decimal((1 << 64) * 10 + 1, 1)],
        &[float(2f64.powi(64)), decimal(18_446_744_073_709_552, -3)],
        &[float(1e20), decimal(1, -20)],
        &[decimal(nines, 0)],
        &[float(1e38), decimal(1, -38)],
        &[float(1e300)],
        &[float(f64::INFINITY)],
    ];
    ascending(FieldType::Number, rows);
    ascending(FieldType::Scalar, rows);
    let decimals = [decimal(-5, 0), decimal(0, 0), decimal(3, 2), decimal(4, 2)];
    ascending(
        FieldType::Decimal,
        &decimals.each_ref().map(std::slice::from_ref),
    );
}

#[test]
fn scalars_of_all_types_have_one_order() {
    let dates: [&[Vec<u8>]; 4] = [
        &[datetime(-1, Some((5, 0)))],
        &[datetime(0, None), datetime(0, Some((0, 180)))],
        &[datetime(0, Some((7, -60)))],
        &[datetime(1, None)],
    ];
    ascending(FieldType::Datetime, &dates);
    let uuids = [uuid(0, 1), uuid(0, 2), uuid(0x7f, 0), uuid(0x80, 0)];
    let uuids = uuids.each_ref().map(std::slice::from_ref);
    ascending(FieldType::Uuid, &uuids);
    let first: [&[Vec<u8>]; 5] = [
        &[packed(Value::Bool(true))],
        &[decimal(-1, 1)],
        &[packed(Value::Int(7)), decimal(70, 1)],
        &[packed(Value::Str(b"".to_vec()))],
        &[packed(Value::Bin(b"".to_vec()))],
    ];
    ascending(FieldType::Scalar, &[&first[..], &uuids, &dates].concat());
}

#[test]
fn an_extension_value_that_is_none_of_its_type_is_refused() {
    let ext = |kind, payload: &[u8]| {
        let mut out = Vec::new();
        write_ext(&mut out, kind, payload);
        out
    };
    for (kind, value) in [
        (FieldType::Uuid, ext(2, &[0; 15])),
        (FieldType::Uuid, decimal(1, 0)),
        (FieldType::Datetime, ext(4, &[0; 7])),
        (FieldType::Datetime, ext(4, &[0; 12])),
        (FieldType::Datetime, uuid(0, 0)),
        (FieldType::Decimal, ext(1, &[0])),
        (FieldType::Decimal, ext(1, &[0, 0x11])),
        (FieldType::Decimal, ext(1, &[0, 0xac])),
        (FieldType::Decimal, decimal(1, 39)),
        (FieldType::Decimal, packed(Value::Int(1))),
        (FieldType::Number, uuid(0, 0)),
        (FieldType::Scalar, ext(6, &[0])),
        (FieldType::Scalar, ext(77, &[0])),
    ] {
        let mut builder = KeyBuilder::default();
        let read = encode_part(kind, &mut Reader::new(&value), &mut builder);
        assert!(read.is_err(), "{kind} {value:x?}");
    }
}
