//! Writers: each appends one value, or the head of one, in its shortest form.
//!
//! The forms are `rmp`'s. Its writers may fail, because they write to anything; these append to a
//! vector, which takes all.

use rmp::encode;

use super::Integer;

/// Why no writer fails.
const TAKES_ALL: &str = "a vector takes all bytes";

/// Appends nil.
pub fn write_nil(out: &mut Vec<u8>) {
    encode::write_nil(out).expect(TAKES_ALL);
}

/// Appends a boolean.
pub fn write_bool(out: &mut Vec<u8>, value: bool) {
    encode::write_bool(out, value).expect(TAKES_ALL);
}

/// Appends an unsigned integer.
pub fn write_uint(out: &mut Vec<u8>, value: u64) {
    encode::write_uint(out, value).expect(TAKES_ALL);
}

/// Appends a signed integer, in an unsigned form if it is not negative.
pub fn write_int(out: &mut Vec<u8>, value: i64) {
    encode::write_sint(out, value).expect(TAKES_ALL);
}

/// Appends an integer of either sign.
pub fn write_integer(out: &mut Vec<u8>, value: Integer) {
    match value {
        Integer::Unsigned(value) => write_uint(out, value),
        Integer::Negative(value) => write_int(out, value),
    }
}

/// Appends a float of 64 bits.
pub fn write_f64(out: &mut Vec<u8>, value: f64) {
    encode::write_f64(out, value).expect(TAKES_ALL);
}

/// Appends a string head for `size` bytes that the caller appends next.
pub fn write_str_len(out: &mut Vec<u8>, size: u32) {
    encode::write_str_len(out, size).expect(TAKES_ALL);
}

/// Appends a string of raw bytes. More than 2^32−1 bytes are cut to that many.
pub fn write_str_bytes(out: &mut Vec<u8>, text: &[u8]) {
    let (text, size) = cut(text);
    write_str_len(out, size);
    out.extend_from_slice(text);
}

/// Appends a string.
pub fn write_str(out: &mut Vec<u8>, text: &str) {
    write_str_bytes(out, text.as_bytes());
}

/// Appends the head of binary data for `size` bytes that the caller appends next.
pub fn write_bin_len(out: &mut Vec<u8>, size: u32) {
    encode::write_bin_len(out, size).expect(TAKES_ALL);
}

/// Appends binary data. More than 2^32−1 bytes are cut to that many.
pub fn write_bin(out: &mut Vec<u8>, data: &[u8]) {
    let (data, size) = cut(data);
    write_bin_len(out, size);
    out.extend_from_slice(data);
}

/// Appends the head of an array of `size` values.
pub fn write_array_len(out: &mut Vec<u8>, size: u32) {
    encode::write_array_len(out, size).expect(TAKES_ALL);
}

/// Appends the head of a map of `pairs` pairs.
pub fn write_map_len(out: &mut Vec<u8>, pairs: u32) {
    encode::write_map_len(out, pairs).expect(TAKES_ALL);
}

/// Appends an extension value. More than 2^32−1 bytes of payload are cut to that many.
pub fn write_ext(out: &mut Vec<u8>, kind: i8, payload: &[u8]) {
    let (payload, size) = cut(payload);
    encode::write_ext_meta(out, size, kind).expect(TAKES_ALL);
    out.extend_from_slice(payload);
}

/// As many bytes as one value can hold, and how many they are.
fn cut(bytes: &[u8]) -> (&[u8], u32) {
    let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    (&bytes[..size as usize], size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msgpack::{Kind, Reader};

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    #[test]
    fn integers_take_their_shortest_form() {
        for (value, size) in [
            (0, 1),
            (127, 1),
            (128, 2),
            (255, 2),
            (256, 3),
            (65_535, 3),
            (65_536, 5),
            (u64::from(u32::MAX), 5),
            (1 << 32, 9),
            (u64::MAX, 9),
        ] {
            let bytes = written(|out| write_uint(out, value));
            assert_eq!(bytes.len(), size, "{value}");
            assert_eq!(Reader::new(&bytes).read_uint(), Ok(value));
        }
        for (value, size) in [
            (-1, 1),
            (-32, 1),
            (-33, 2),
            (-128, 2),
            (-129, 3),
            (-32_768, 3),
            (-32_769, 5),
            (i64::from(i32::MIN), 5),
            (i64::from(i32::MIN) - 1, 9),
            (i64::MIN, 9),
        ] {
            let bytes = written(|out| write_int(out, value));
            assert_eq!(bytes.len(), size, "{value}");
            let read = Reader::new(&bytes).read_integer();
            assert_eq!(read, Ok(Integer::Negative(value)));
        }
        assert_eq!(written(|out| write_int(out, 200)), [0xcc, 200]);
    }

    #[test]
    fn heads_take_their_shortest_form() {
        let sizes = |write: fn(&mut Vec<u8>, u32)| {
            [15, 16, 31, 32, 255, 256, 65_535, 65_536]
                .map(|size| written(|out| write(out, size)).len())
        };
        assert_eq!(sizes(write_str_len), [1, 1, 1, 2, 2, 3, 3, 5]);
        assert_eq!(sizes(write_bin_len), [2, 2, 2, 2, 2, 3, 3, 5]);
        assert_eq!(sizes(write_array_len), [1, 3, 3, 3, 3, 3, 3, 5]);
        assert_eq!(sizes(write_map_len), [1, 3, 3, 3, 3, 3, 3, 5]);
        for (size, expected) in [(0, 3), (1, 2), (3, 3), (4, 2), (16, 2), (255, 3), (256, 4)] {
            let payload = vec![7; size];
            let bytes = written(|out| write_ext(out, -5, &payload));
            assert_eq!(bytes.len() - size, expected, "{size}");
            assert_eq!(Reader::new(&bytes).read_ext(), Ok((-5, &payload[..])));
        }
    }

    #[test]
    fn every_value_is_read_back() {
        let bytes = written(|out| {
            write_array_len(out, 6);
            write_nil(out);
            write_bool(out, true);
            write_f64(out, -0.5);
            write_str(out, "text");
            write_bin(out, &[1, 2]);
            write_map_len(out, 0);
        });
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.read_array_len(), Ok(6));
        assert_eq!(reader.read_nil(), Ok(()));
        assert_eq!(reader.read_bool(), Ok(true));
        assert_eq!(reader.peek(), Ok(Kind::Double));
        assert_eq!(reader.read_f64(), Ok(-0.5));
        assert_eq!(reader.read_str(), Ok("text"));
        assert_eq!(reader.read_bin(), Ok(&[1, 2][..]));
        assert_eq!(reader.read_map_len(), Ok(0));
        assert!(reader.is_empty());
    }
}
