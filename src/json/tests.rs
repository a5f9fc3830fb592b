//! There and back.

use proptest::prelude::*;
use vestibule_wire::msgpack::Reader;

use super::{Packed, write_value};

fn json(bytes: &[u8]) -> String {
    let mut reader = Reader::new(bytes);
    let mut out = Vec::new();
    write_value(&mut reader, &mut out).unwrap();
    assert!(reader.is_empty());
    String::from_utf8(out).unwrap()
}

fn packed(json: &str) -> Result<Vec<u8>, String> {
    let packed: Result<Packed, _> = serde_json::from_str(json);
    packed
        .map(|packed| packed.0)
        .map_err(|error| error.to_string())
}

#[test]
fn values_look_as_the_table_says_and_come_back_as_they_were() {
    let cases: [(&[u8], &str); 32] = [
        (&[0xc0], "null"),
        (&[0xc3], "true"),
        (&[1], "1"),
        (&[0xff], "-1"),
        (
            b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
            "18446744073709551615",
        ),
        (b"\xd3\x80\0\0\0\0\0\0\0", "-9223372036854775808"),
        (b"\xcb\x3f\xf0\0\0\0\0\0\0", "1.0"),
        (b"\xcb\x80\0\0\0\0\0\0\0", "-0.0"),
        (b"\xcb\0\0\0\0\0\0\0\x01", "5e-324"),
        (b"\xcb\x7f\xf0\0\0\0\0\0\0", r#"{"$f64":"inf"}"#),
        (b"\xcb\x7f\xf8\0\0\0\0\0\0", r#"{"$f64":"nan"}"#),
        // A NaN that is not the usual one.
        (
            b"\xcb\x7f\xf8\0\0\0\0\0\x01",
            r#"{"$msgpack":"y3/4AAAAAAAB"}"#,
        ),
        (b"\xca\x3f\x80\0\0", r#"{"$f32":1.0}"#),
        (b"\xca\xff\x80\0\0", r#"{"$f32":"-inf"}"#),
        (b"\xca\x7f\xc0\0\0", r#"{"$f32":"nan"}"#),
        (b"\xca\x7f\xc0\0\x01", r#"{"$msgpack":"yn/AAAE="}"#),
        (b"\xa3a\"\n", r#""a\"\n""#),
        (b"\xa2\xc3\xa9", "\"é\""),
        (b"\xa1\xff", r#"{"$str":"/w=="}"#),
        (b"\xc4\x02\0\x01", r#"{"$bin":"AAE="}"#),
        // Longer than it needs to be.
        (b"\xcc\x05", r#"{"$msgpack":"zAU="}"#),
        (b"\xd9\x01a", r#"{"$msgpack":"2QFh"}"#),
        (b"\xdc\0\x01\x05", r#"{"$msgpack":"3AABBQ=="}"#),
        (b"\x92\x01\x90", "[1,[]]"),
        (b"\x82\xa1b\x01\xa1a\x02", r#"{"b":1,"a":2}"#),
        (b"\x81\x01\x02", r#"{"$map":[[1,2]]}"#),
        (b"\x82\xa1a\x01\xa1a\x02", r#"{"$map":[["a",1],["a",2]]}"#),
        (b"\x81\xa4$bin\x01", r#"{"$map":[["$bin",1]]}"#),
        (
            b"\xd8\x02\x64\x64\x64\x64\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c",
            r#"{"$uuid":"64646464-0102-0304-0506-0708090a0b0c"}"#,
        ),
        (b"\xd7\x04\x01\0\0\0\0\0\0\0", r#"{"$datetime":[1,0,0,0]}"#),
        (
            b"\xd8\x04\xff\xff\xff\xff\xff\xff\xff\xff\x05\0\0\0\x3c\0\0\0",
            r#"{"$datetime":[-1,5,60,0]}"#,
        ),
        (b"\xc7\x03\x01\x02\x15\x0c", r#"{"$ext":[1,"AhUM"]}"#),
    ];
    for (bytes, text) in cases {
        assert_eq!(json(bytes), text);
        assert_eq!(packed(text).as_deref(), Ok(bytes), "{text}");
    }
}

#[test]
fn what_is_written_by_hand_is_taken_or_refused_with_the_reason() {
    assert_eq!(packed("1e2").unwrap(), b"\xcb\x40\x59\0\0\0\0\0\0");
    assert_eq!(
        packed(r#"{"a":1,"$b":2}"#).unwrap(),
        b"\x82\xa1a\x01\xa2$b\x02"
    );
    for (text, reason) in [
        (r#"{"$bni":""}"#, "\"$bni\" is not known"),
        (r#"{"$bin":"","x":1}"#, "\"x\" beside \"$bin\""),
        (r#"{"$bin":"A"}"#, "Invalid"),
        (r#"{"$uuid":"64646464"}"#, "not a UUID"),
        (r#"{"$f32":1e300}"#, "too large for 32 bits"),
        (r#"{"$f64":"infinite"}"#, "expected a number"),
        (r#"{"$msgpack":"kg=="}"#, "is not one value"),
        ("[1,]", "trailing comma"),
    ] {
        let told = packed(text).unwrap_err();
        assert!(told.contains(reason), "{text}: {told}");
    }
}

#[test]
fn deep_nesting_keeps_its_bytes() {
    for depth in [1, 31, 32, 33, 127] {
        let mut arrays = vec![0x91; depth];
        arrays.push(1);
        assert_eq!(packed(&json(&arrays)).unwrap(), arrays, "{depth}");
        let mut maps = b"\x81\x01".repeat(depth);
        maps.push(1);
        assert_eq!(packed(&json(&maps)).unwrap(), maps, "{depth}");
    }
}

/// Any MessagePack, in whatever form: heads are longer than needed now and then.
pub(crate) fn any_value() -> impl Strategy<Value = Vec<u8>> {
    let head =
        |marker: u8| move |bytes: Vec<u8>| [&[marker, bytes.len() as u8][..], &bytes].concat();
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    let fixed = |marker: u8, size: usize| {
        prop::collection::vec(any::<u8>(), size)
            .prop_map(move |bytes| [&[marker][..], &bytes].concat())
    };
    let scalar = prop_oneof![
        prop_oneof![
            0x00..=0x7fu8,
            0xe0..=0xffu8,
            Just(0xc0),
            Just(0xc2),
            Just(0xc3)
        ]
        .prop_map(|byte| vec![byte]),
        prop_oneof![
            fixed(0xcc, 1),
            fixed(0xcd, 2),
            fixed(0xce, 4),
            fixed(0xcf, 8)
        ],
        prop_oneof![
            fixed(0xd0, 1),
            fixed(0xd1, 2),
            fixed(0xd2, 4),
            fixed(0xd3, 8)
        ],
        prop_oneof![fixed(0xca, 4), fixed(0xcb, 8)],
        any::<f64>().prop_map(|value| [&[0xcb][..], &value.to_be_bytes()].concat()),
        "[a-z$\"\\\\\u{0}-\u{1f}é]{0,31}".prop_filter_map("fits a short head", |text| {
            let head = 0xa0 | text.len() as u8;
            (text.len() < 32).then(|| [&[head][..], text.as_bytes()].concat())
        }),
        bytes().prop_map(head(0xd9)),
        bytes().prop_map(head(0xc4)),
        (any::<i8>(), bytes()).prop_map(|(kind, bytes)| {
            [&[0xc7, bytes.len() as u8, kind as u8][..], &bytes].concat()
        }),
        (1..=4i8, bytes()).prop_filter_map("fits a fixed head", |(kind, bytes)| {
            let marker = match bytes.len() {
                1 => 0xd4,
                2 => 0xd5,
                4 => 0xd6,
                8 => 0xd7,
                16 => 0xd8,
                _ => return None,
            };
            Some([&[marker, kind as u8][..], &bytes].concat())
        }),
        fixed(0xd8, 16).prop_map(|mut bytes| {
            bytes.insert(1, 2);
            bytes
        }),
    ];
    scalar.prop_recursive(5, 40, 8, |inner| {
        let values = prop::collection::vec(inner, 0..8);
        prop_oneof![
            values.clone().prop_map(|values| {
                [&[0x90 | values.len() as u8][..], &values.concat()].concat()
            }),
            values.prop_map(|mut values| {
                values.truncate(values.len() / 2 * 2);
                [&[0x80 | (values.len() / 2) as u8][..], &values.concat()].concat()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn every_value_comes_back_byte_by_byte(bytes in any_value()) {
        let text = json(&bytes);
        prop_assert!(!text.contains('\n'));
        prop_assert_eq!(packed(&text), Ok(bytes));
    }
}
