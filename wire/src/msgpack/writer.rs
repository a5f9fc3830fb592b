//! Writers: each appends one value, or the head of one, in its shortest form.

use super::Integer;

/// Appends nil.
pub fn write_nil(out: &mut Vec<u8>) {
    out.push(0xc0);
}

/// Appends a boolean.
pub fn write_bool(out: &mut Vec<u8>, value: bool) {
    out.push(if value { 0xc3 } else { 0xc2 });
}

/// Appends an unsigned integer in its shortest form.
pub fn write_uint(out: &mut Vec<u8>, value: u64) {
    match value {
        0..=0x7f => out.push(value as u8),
        0x80..=0xff => out.extend_from_slice(&[0xcc, value as u8]),
        0x100..=0xffff => {
            out.push(0xcd);
            out.extend_from_slice(&(value as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(0xce);
            out.extend_from_slice(&(value as u32).to_be_bytes());
        }
        _ => {
            out.push(0xcf);
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

/// Appends a signed integer in its shortest form (an unsigned form if it is not negative).
pub fn write_int(out: &mut Vec<u8>, value: i64) {
    match value {
        0.. => write_uint(out, value as u64),
        -32..=-1 => out.push(value as u8),
        -128..=-33 => out.extend_from_slice(&[0xd0, value as u8]),
        -32_768..=-129 => {
            out.push(0xd1);
            out.extend_from_slice(&(value as i16).to_be_bytes());
        }
        -2_147_483_648..=-32_769 => {
            out.push(0xd2);
            out.extend_from_slice(&(value as i32).to_be_bytes());
        }
        _ => {
            out.push(0xd3);
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

/// Appends an integer of either sign in its shortest form.
pub fn write_integer(out: &mut Vec<u8>, value: Integer) {
    match value {
        Integer::Unsigned(value) => write_uint(out, value),
        Integer::Negative(value) => write_int(out, value),
    }
}

/// Appends a float of 64 bits.
pub fn write_f64(out: &mut Vec<u8>, value: f64) {
    out.push(0xcb);
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends a string head for `size` bytes that the caller appends next.
pub fn write_str_len(out: &mut Vec<u8>, size: u32) {
    match size {
        0..=31 => out.push(0xa0 | size as u8),
        32..=0xff => out.extend_from_slice(&[0xd9, size as u8]),
        0x100..=0xffff => {
            out.push(0xda);
            out.extend_from_slice(&(size as u16).to_be_bytes());
        }
        _ => {
            out.push(0xdb);
            out.extend_from_slice(&size.to_be_bytes());
        }
    }
}

/// Appends a string of raw bytes. More than 2^32−1 bytes are cut to that many.
pub fn write_str_bytes(out: &mut Vec<u8>, text: &[u8]) {
    let size = u32::try_from(text.len()).unwrap_or(u32::MAX);
    write_str_len(out, size);
    out.extend_from_slice(&text[..size as usize]);
}

/// Appends a string.
pub fn write_str(out: &mut Vec<u8>, text: &str) {
    write_str_bytes(out, text.as_bytes());
}

/// Appends the head of binary data for `size` bytes that the caller appends next.
pub fn write_bin_len(out: &mut Vec<u8>, size: u32) {
    match size {
        0..=0xff => out.extend_from_slice(&[0xc4, size as u8]),
        0x100..=0xffff => {
            out.push(0xc5);
            out.extend_from_slice(&(size as u16).to_be_bytes());
        }
        _ => {
            out.push(0xc6);
            out.extend_from_slice(&size.to_be_bytes());
        }
    }
}

/// Appends binary data. More than 2^32−1 bytes are cut to that many.
pub fn write_bin(out: &mut Vec<u8>, data: &[u8]) {
    let size = u32::try_from(data.len()).unwrap_or(u32::MAX);
    write_bin_len(out, size);
    out.extend_from_slice(&data[..size as usize]);
}

/// Appends the head of an array of `size` values.
pub fn write_array_len(out: &mut Vec<u8>, size: u32) {
    match size {
        0..=15 => out.push(0x90 | size as u8),
        16..=0xffff => {
            out.push(0xdc);
            out.extend_from_slice(&(size as u16).to_be_bytes());
        }
        _ => {
            out.push(0xdd);
            out.extend_from_slice(&size.to_be_bytes());
        }
    }
}

/// Appends the head of a map of `pairs` pairs.
pub fn write_map_len(out: &mut Vec<u8>, pairs: u32) {
    match pairs {
        0..=15 => out.push(0x80 | pairs as u8),
        16..=0xffff => {
            out.push(0xde);
            out.extend_from_slice(&(pairs as u16).to_be_bytes());
        }
        _ => {
            out.push(0xdf);
            out.extend_from_slice(&pairs.to_be_bytes());
        }
    }
}

/// Appends an extension value of up to 2^32−1 bytes, in its shortest form.
pub fn write_ext(out: &mut Vec<u8>, kind: i8, payload: &[u8]) {
    let size = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    match size {
        1 | 2 | 4 | 8 | 16 => out.push(0xd4 + size.trailing_zeros() as u8),
        0..=0xff => out.extend_from_slice(&[0xc7, size as u8]),
        0x100..=0xffff => {
            out.push(0xc8);
            out.extend_from_slice(&(size as u16).to_be_bytes());
        }
        _ => {
            out.push(0xc9);
            out.extend_from_slice(&size.to_be_bytes());
        }
    }
    out.push(kind as u8);
    out.extend_from_slice(&payload[..size as usize]);
}
