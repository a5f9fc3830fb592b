//! What is read, what is refused, and where values end.

use super::*;

#[test]
fn unsigned_integers_are_read_in_every_width() {
    for (bytes, value) in [
        (&[0x05u8][..], 5u64),
        (&[0xcc, 5], 5),
        (&[0xcd, 0, 5], 5),
        (&[0xce, 0, 0, 0, 5], 5),
        (&[0xcf, 0, 0, 0, 0, 0, 0, 0, 5], 5),
        (&[0xcf, 255, 255, 255, 255, 255, 255, 255, 255], u64::MAX),
    ] {
        let mut reader = Reader::new(bytes);
        assert_eq!(reader.read_uint(), Ok(value));
        assert!(reader.is_empty());
        for cut in 0..bytes.len() {
            let mut reader = Reader::new(&bytes[..cut]);
            assert_eq!(reader.read_uint(), Err(DecodeError::Truncated));
            assert_eq!(reader.position(), 0);
        }
    }
}

#[test]
fn a_declared_length_beyond_the_bytes_is_truncation_not_an_allocation() {
    for bytes in [
        &[0xdbu8, 0xff, 0xff, 0xff, 0xff][..],
        &[0xc6, 0xff, 0xff, 0xff, 0xff, 1],
        &[0xc9, 0xff, 0xff, 0xff, 0xff, 1],
        &[0xdd, 0xff, 0xff, 0xff, 0xff],
        &[0xdf, 0xff, 0xff, 0xff, 0xff, 1],
    ] {
        assert_eq!(Reader::new(bytes).skip(), Err(DecodeError::Truncated));
    }
}

#[test]
fn nesting_is_bounded() {
    let mut deep = vec![0x91; NESTING_DEPTH_MAX];
    deep.push(0xc0);
    assert!(Reader::new(&deep).skip().is_ok());
    deep.insert(0, 0x91);
    assert_eq!(Reader::new(&deep).skip(), Err(DecodeError::TooDeep));
}

#[test]
fn containers_side_by_side_are_not_nested() {
    let (many, last) = (vec![0x90; NESTING_DEPTH_MAX + 1], [0xc0]);
    let head = [&[0xdc, 0][..], &[many.len() as u8 + 1]].concat();
    let of_many = [&head[..], &many, &last].concat();
    assert_eq!(Reader::new(&of_many).skip(), Ok(&of_many[..]));
    // In small ones, side by side: a list of pairs, each a container.
    let pair: &[u8] = &[0x92, 0x91, 7, 0xd9, 1, b'x'];
    let of_pairs = [&[0x9f][..], &pair.repeat(15)].concat();
    let of_all = [&[0x9f][..], &of_pairs.repeat(15)].concat();
    assert_eq!(Reader::new(&of_all).skip(), Ok(&of_all[..]));
    for cut in 0..of_pairs.len() {
        let told = Reader::new(&of_pairs[..cut]).skip();
        assert_eq!(told, Err(DecodeError::Truncated), "{cut}");
    }
}

#[test]
fn what_is_inside_extension_values_is_checked_if_asked_for() {
    // A UUID of 2 bytes, at the top, in an array and as a key of a map.
    for bytes in [
        &[0xd5, 2, 1, 2][..],
        &[0x92, 1, 0xd5, 2, 1, 2],
        &[0x81, 0xc7, 2, 2, 1, 2, 0xc0],
    ] {
        assert_eq!(Reader::new(bytes).skip(), Ok(bytes));
        let mut reader = Reader::new(bytes);
        assert_eq!(reader.skip_checked(), Err(DecodeError::Extension));
        assert_eq!(reader.position(), 0);
    }
    let other = [0xd5, 5, 1, 2];
    assert_eq!(Reader::new(&other).skip_checked(), Ok(&other[..]));
    assert_eq!(
        Reader::new(&other[..3]).skip_checked(),
        Err(DecodeError::Truncated)
    );
}

#[test]
fn the_reserved_marker_is_refused_at_any_depth() {
    assert_eq!(Reader::new(&[0xc1]).skip(), Err(DecodeError::Malformed));
    assert_eq!(
        Reader::new(&[0x92, 0x01, 0xc1]).skip(),
        Err(DecodeError::Malformed)
    );
}

/// The size of a value, found by reading it part by part.
fn size_of(bytes: &[u8], levels: usize) -> Result<usize, DecodeError> {
    let mut reader = Reader::new(bytes);
    let inside = match reader.peek()? {
        Kind::Array => u64::from(reader.read_array_len()?),
        Kind::Map => 2 * u64::from(reader.read_map_len()?),
        Kind::Nil => reader.read_nil().map(|()| 0)?,
        Kind::Bool => reader.read_bool().map(|_| 0)?,
        Kind::Uint | Kind::Int => reader.read_integer().map(|_| 0)?,
        Kind::Float | Kind::Double => reader.read_f64().map(|_| 0)?,
        Kind::Str => reader.read_str_bytes().map(|_| 0)?,
        Kind::Bin => reader.read_bin().map(|_| 0)?,
        Kind::Ext => reader.read_ext().map(|_| 0)?,
    };
    if inside > 0 && levels == 0 {
        return Err(DecodeError::TooDeep);
    }
    let mut size = reader.position();
    for _ in 0..inside {
        size += size_of(&bytes[size..], levels - 1)?;
    }
    Ok(size)
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(1000))]
    #[test]
    fn a_value_is_skipped_as_it_would_be_read(
        // First bytes of every kind, small containers above all, and what comes after them.
        bytes in proptest::collection::vec(
            proptest::prop_oneof![0x90..0x94u8, 0x80..0x83u8, 0xa0..0xa4u8, 0u8..=255],
            0..40,
        ),
        levels in 0..4usize,
    ) {
        let (mut reader, left) = (Reader::new(&bytes), NESTING_DEPTH_MAX - levels);
        let skipped = reader.skip_inside::<false>(levels).map(<[u8]>::len);
        proptest::prop_assert_eq!(skipped, size_of(&bytes, left));
        proptest::prop_assert_eq!(reader.position(), skipped.unwrap_or(0));
        let mut reader = Reader::new(&bytes);
        let skipped = reader.skip().map(<[u8]>::len);
        proptest::prop_assert_eq!(skipped, size_of(&bytes, NESTING_DEPTH_MAX));
        proptest::prop_assert_eq!(reader.position(), skipped.unwrap_or(0));
    }
}

#[test]
fn values_inside_of_others_are_nested_in_fewer_levels() {
    let mut deep = vec![0x91; NESTING_DEPTH_MAX - 1];
    deep.push(0xc0);
    assert!(Reader::new(&deep).skip_inside::<true>(1).is_ok());
    let told = Reader::new(&deep).skip_inside::<true>(2);
    assert_eq!(told, Err(DecodeError::TooDeep));
}
