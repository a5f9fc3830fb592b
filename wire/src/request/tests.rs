use super::*;
use crate::error::{Error, ErrorCode};
use crate::keys::RequestType;
use crate::limits::NESTING_DEPTH_MAX;

fn body(pairs: &[(u64, &[u8])]) -> Vec<u8> {
    let mut out = vec![0x80 | pairs.len() as u8];
    for (key, value) in pairs {
        out.push(*key as u8);
        out.extend_from_slice(value);
    }
    out
}

fn failure(request: RequestType, body: &[u8]) -> (u16, String) {
    let error = decode(request, body).expect_err("the body is bad");
    (error.code().0, error.message().to_owned())
}

#[test]
fn a_select_with_only_its_mandatory_keys_has_the_defaults() {
    // asynctnt leaves out index, offset and iterator, and asks for 2^64 - 1 tuples.
    let bytes = body(&[
        (0x10, &[0xcd, 0x01, 0x19]),
        (0x12, &[0xcf, 255, 255, 255, 255, 255, 255, 255, 255]),
        (0x20, &[0x90]),
    ]);
    let Ok(Body::Select(select)) = decode(RequestType::Select, &bytes) else {
        panic!()
    };
    assert_eq!(select.space, IdOrName::Id(281));
    assert_eq!(select.index, IdOrName::Id(0));
    assert_eq!(select.limit, u64::MAX);
    assert_eq!((select.offset, select.iterator), (0, 0));
    assert_eq!(select.key, [0x90]);
    assert_eq!(select.after, After::Start);
}

#[test]
fn the_lowest_missing_key_is_named() {
    for (request, given, name) in [
        (RequestType::Select, body(&[]), "SPACE_ID"),
        (RequestType::Select, body(&[(0x10, &[1])]), "LIMIT"),
        (
            RequestType::Select,
            body(&[(0x10, &[1]), (0x12, &[1])]),
            "KEY",
        ),
        (RequestType::Replace, Vec::new(), "SPACE_ID"),
        (RequestType::Replace, body(&[(0x10, &[1])]), "TUPLE"),
        (RequestType::Update, body(&[(0x10, &[1])]), "KEY"),
        (
            RequestType::Update,
            body(&[(0x10, &[1]), (0x20, &[0x90])]),
            "TUPLE",
        ),
        (RequestType::Delete, body(&[(0x10, &[1])]), "KEY"),
        (
            RequestType::Upsert,
            body(&[(0x10, &[1]), (0x21, &[0x90])]),
            "OPS",
        ),
        (RequestType::Call, body(&[]), "FUNCTION_NAME"),
        (RequestType::Auth, body(&[]), "TUPLE"),
        (RequestType::Auth, body(&[(0x21, &[0x90])]), "USER_NAME"),
        (RequestType::Auth, body(&[(0x23, &[0xa1, b'u'])]), "TUPLE"),
        (RequestType::Eval, body(&[]), "EXPR"),
        (RequestType::Watch, body(&[]), "EVENT_KEY"),
    ] {
        let (code, text) = failure(request, &given);
        assert_eq!(code, 69, "{request:?}");
        assert_eq!(text, format!("Missing mandatory field '{name}' in request"));
    }
}

#[test]
fn a_missing_body_is_reported_as_each_type_does() {
    for (request, text) in [
        (RequestType::Call, "Invalid MsgPack - missing request body"),
        (RequestType::Auth, "Invalid MsgPack - missing request body"),
        (RequestType::Watch, "Invalid MsgPack - missing request body"),
        (RequestType::Id, "Invalid MsgPack - request body"),
    ] {
        assert_eq!(failure(request, &[]), (20, text.to_owned()));
    }
    for request in [
        RequestType::Begin,
        RequestType::Commit,
        RequestType::Rollback,
    ] {
        assert!(decode(request, &[]).is_ok());
    }
}

#[test]
fn a_body_is_one_whole_map() {
    for bad in [
        &[0x91u8, 1][..],
        &[0x80, 0x80],
        &[0x81, 0x10],
        &[0xc1],
        &[0x82, 0x10, 1, 0xdf],
    ] {
        for request in [RequestType::Select, RequestType::Call, RequestType::Auth] {
            let (code, text) = failure(request, bad);
            assert_eq!(
                (code, text.as_str()),
                (20, "Invalid MsgPack - packet body"),
                "{bad:?}"
            );
        }
    }
    assert_eq!(
        failure(RequestType::Id, &[0x91, 1]).1,
        "Invalid MsgPack - request body"
    );
    assert_eq!(decode(RequestType::Ping, &[0x91, 1]), Ok(Body::Ping));
}

#[test]
fn known_keys_have_their_types() {
    for (key, value) in [
        (0x10u64, &[0xa1u8, b'x'][..]),
        (0x12, &[0xff]),
        (0x20, &[1]),
        (0x21, &[0x80]),
        (0x28, &[0x80]),
        (0x1f, &[1]),
        (0x2e, &[0xc0]),
        (0x5e, &[1]),
    ] {
        let (code, _) = failure(RequestType::Select, &body(&[(key, value)]));
        assert_eq!(code, ErrorCode::INVALID_MSGPACK.0, "key {key:#x}");
    }
}

#[test]
fn a_name_wins_over_a_number() {
    let bytes = body(&[
        (0x10, &[99]),
        (0x5e, &[0xa1, b's']),
        (0x11, &[7]),
        (0x5f, &[0xa1, b'i']),
        (0x20, &[0x90]),
    ]);
    let Ok(Body::Delete(delete)) = decode(RequestType::Delete, &bytes) else {
        panic!()
    };
    assert_eq!(delete.space, IdOrName::Name("s"));
    assert_eq!(delete.index, IdOrName::Name("i"));
}

#[test]
fn unknown_keys_and_foreign_key_types_are_ignored_in_data_requests() {
    let bytes = [0x83, 0xa1, b'x', 1, 0x10, 5, 0x21, 0x91, 1];
    assert!(matches!(
        decode(RequestType::Insert, &bytes),
        Ok(Body::Insert(_))
    ));
    let call = [0x82, 0xa1, b'x', 1, 0x22, 0xa1, b'f'];
    assert_eq!(failure(RequestType::Call, &call).0, 20);
}

#[test]
fn options_of_begin_are_checked() {
    let mut minus_one = vec![0xcb];
    minus_one.extend_from_slice(&(-1.0f64).to_be_bytes());
    assert_eq!(
        failure(RequestType::Begin, &body(&[(0x56, &minus_one)])),
        (1, "timeout must be a number greater than 0".to_owned())
    );
    assert_eq!(
        failure(RequestType::Begin, &body(&[(0x59, &[5])])),
        (1, "unknown isolation level".to_owned())
    );
    assert_eq!(
        failure(RequestType::Begin, &body(&[(0x61, &[0xc2])])),
        (1, "is_sync can only be true".to_owned())
    );
    assert_eq!(
        failure(RequestType::Begin, &body(&[(0x56, &[1])])),
        (20, "Invalid MsgPack - request body".to_owned())
    );
    assert_eq!(
        decode(RequestType::Begin, &[0x80]),
        Ok(Body::Begin(Begin {
            timeout: None,
            isolation: 0
        }))
    );
}

#[test]
fn calls_without_arguments_have_an_empty_array() {
    let bytes = body(&[(0x22, &[0xa1, b'f'])]);
    let expected = Call {
        name: "f",
        args: &[0x90],
        wrap_results: false,
    };
    assert_eq!(decode(RequestType::Call, &bytes), Ok(Body::Call(expected)));
}

#[test]
fn an_extension_value_with_another_content_than_its_type_says_is_refused_anywhere() {
    // Decimals without a sign, UUIDs of 2 bytes and so on: of every type that has a content.
    for kind in [1, 2, 3, 4, 6] {
        let tuple = [0x92, 1, 0xd5, kind, 0x93, 0x11];
        let inside = [&[0x91, 0x81, 1][..], &tuple].concat();
        for (key, request) in [
            (0x20, RequestType::Select),
            (0x21, RequestType::Insert),
            (0x21, RequestType::Replace),
            (0x21, RequestType::Update),
            (0x20, RequestType::Delete),
            (0x28, RequestType::Upsert),
            (0x21, RequestType::Call),
            (0x21, RequestType::Eval),
        ] {
            for value in [&tuple[..], &inside] {
                let told = failure(request, &body(&[(key, value)]));
                assert_eq!(told, (20, "Invalid MsgPack - packet body".to_owned()));
            }
        }
    }
    let unknown = [0x92, 1, 0xd5, 5, 0x93, 0x11];
    let body = body(&[(0x10, &[1]), (0x21, &unknown)]);
    assert!(decode(RequestType::Insert, &body).is_ok());
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(
        code in 0u64..80,
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
    ) {
        let _ = crate::frame::read_prefix(&bytes, crate::limits::PACKET_SIZE_MAX_DEFAULT);
        let _ = crate::header::read_header(&bytes);
        if let Some(request) = RequestType::from_code(code) {
            let _ = decode(request, &bytes);
            let _ = decode_checked(request, &bytes);
        }
    }
}

/// A value of a body: of the type that some key asks for, or of none.
fn value() -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
    use proptest::prelude::*;
    let deep = |levels: usize| [vec![0x91; levels], vec![0xc0]].concat();
    let values: [Vec<u8>; 14] = [
        vec![7],
        vec![0xcd, 2, 0],
        vec![0xce, 0, 0, 2, 0],
        vec![0xcf, 0, 0, 0, 1, 0, 0, 0, 0],
        vec![0xd0, 7],
        vec![0xc3],
        vec![0xa2, b'a', b'b'],
        vec![0xd9, 1, 0xff],
        vec![0x90],
        vec![0x92, 0xce, 0, 0, 0, 1, 0xa1, b'x'],
        vec![0x91, 0x93, 0xa1, b'+', 1, 0x81, 1, 0xd5, 2, 0, 0],
        vec![0xdc, 0, 1, 0xc4, 1, 0],
        deep(NESTING_DEPTH_MAX - 1),
        deep(NESTING_DEPTH_MAX),
    ];
    prop::sample::select(values.to_vec())
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(1000))]
    /// Data requests are decoded and checked in one walk: beside a check of the whole body, and the
    /// decoder that does not check.
    #[test]
    fn one_walk_over_a_data_request_finds_what_two_find(
        pairs in proptest::collection::vec(
            (proptest::sample::select(&[
                0x10u8, 0x11, 0x12, 0x13, 0x14, 0x15, 0x1f, 0x20, 0x21, 0x28, 0x2e, 0x2f, 0x5e,
                0x5f, 0x66, 0xa0,
            ][..]), value()),
            0..8,
        ),
        fault in 0..4u8,
        at in proptest::prelude::any::<proptest::sample::Index>(),
        byte in proptest::num::u8::ANY,
    ) {
        let mut bytes = vec![0x80 | pairs.len() as u8];
        for (key, value) in &pairs {
            bytes.push(*key);
            bytes.extend_from_slice(value);
        }
        let at = at.index(bytes.len());
        match fault {
            0 => bytes[at] = byte,
            1 => bytes.truncate(at),
            2 => bytes.push(byte),
            _ => {}
        }
        for request in [
            RequestType::Select,
            RequestType::Insert,
            RequestType::Replace,
            RequestType::Update,
            RequestType::Delete,
            RequestType::Upsert,
        ] {
            let two = if is_well_formed(&bytes) {
                decode_checked(request, &bytes)
            } else {
                Err(Error::invalid_msgpack("packet body"))
            };
            proptest::prop_assert_eq!(decode(request, &bytes), two);
        }
    }
}

#[test]
fn values_of_a_body_are_nested_one_level_less_deep_than_values_may_be() {
    for (levels, is_taken) in [(NESTING_DEPTH_MAX - 1, true), (NESTING_DEPTH_MAX, false)] {
        let deep = [vec![0x91; levels], vec![0xc0]].concat();
        let of_key = body(&[(0x10, &[1]), (0x20, &deep)]);
        let of_unknown = body(&[(0x10, &[1]), (0x20, &[0x90]), (0x66, &deep)]);
        for bytes in [of_key, of_unknown] {
            assert_eq!(decode(RequestType::Delete, &bytes).is_ok(), is_taken);
        }
    }
}
