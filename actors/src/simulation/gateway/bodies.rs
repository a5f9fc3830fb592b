//! Bodies of replies of a simulated upstream, and what stands in those of requests.

use vestibule_wire::msgpack::{
    Reader, write_array_len, write_bool, write_map_len, write_str, write_uint,
};

use super::reads::Vclock;
use crate::simulation::engine::pattern;

/// The space that clients read and write.
const SPACE: u64 = 512;

/// The reply to VOTE, as 2.6 answers it.
pub(super) fn ballot(is_loading: bool, is_read_only: bool, vclock: &Vclock) -> Vec<u8> {
    let mut body = vec![0x81, 0x29, 0x84, 4];
    write_bool(&mut body, is_loading);
    body.push(2);
    write_map_len(&mut body, vclock.len() as u32);
    for (counter, number) in vclock.iter().zip(1..) {
        write_uint(&mut body, number);
        write_uint(&mut body, *counter);
    }
    body.extend_from_slice(&[3, 0x80, 1]);
    write_bool(&mut body, is_read_only);
    body
}

/// A page of `_space`, or of `_index`.
pub(super) fn catalog(is_of_spaces: bool) -> Vec<u8> {
    let mut body = vec![0x81, 0x30, 0x91];
    write_array_len(&mut body, if is_of_spaces { 6 } else { 2 });
    write_uint(&mut body, SPACE);
    write_uint(&mut body, 0);
    if is_of_spaces {
        write_str(&mut body, "keys");
        write_str(&mut body, "memtx");
        write_uint(&mut body, 0);
        write_map_len(&mut body, 0);
    }
    body
}

/// The reply to a CALL of `box.info`, from the upstream of this index.
pub(super) fn info(index: usize, is_writable: bool) -> Vec<u8> {
    let mut body = vec![0x81, 0x30, 0x91];
    write_map_len(&mut body, 3);
    write_str(&mut body, "id");
    write_uint(&mut body, index as u64 + 1);
    write_str(&mut body, "cluster");
    write_map_len(&mut body, 1);
    write_str(&mut body, "uuid");
    write_str(&mut body, "simulated");
    write_str(&mut body, "ro");
    write_bool(&mut body, !is_writable);
    body
}

/// The value of `box.status`.
pub(super) fn status(is_writable: bool) -> Vec<u8> {
    let mut value = Vec::new();
    write_map_len(&mut value, 1);
    write_str(&mut value, "is_ro");
    write_bool(&mut value, !is_writable);
    value
}

/// The value of `box.election`.
pub(super) fn election(last: u64) -> Vec<u8> {
    let mut value = Vec::new();
    write_map_len(&mut value, 1);
    write_str(&mut value, "term");
    write_uint(&mut value, last);
    value
}

/// The reply to a SELECT: what the simulated engine makes of this key.
pub(super) fn row(key: u64, size: usize) -> Vec<u8> {
    let mut body = vec![0x81, 0x30];
    write_array_len(&mut body, 1);
    body.extend_from_slice(&[0x91, 0xc6]);
    body.extend_from_slice(&(size as u32).to_be_bytes());
    body.extend_from_slice(pattern(key, size));
    body
}

/// The number that the only operation of an UPDATE sets.
pub(super) fn value_of(ops: &[u8]) -> u64 {
    let mut reader = Reader::new(ops);
    assert_eq!(reader.read_array_len(), Ok(1));
    assert_eq!(reader.read_array_len(), Ok(3));
    assert_eq!(reader.read_str_bytes(), Ok(&b"="[..]));
    reader.skip().expect("a field");
    reader.read_uint().expect("a number")
}

/// The number that an array begins with.
pub(super) fn first_uint(array: &[u8]) -> u64 {
    let mut reader = Reader::new(array);
    let length = reader.read_array_len().expect("an array");
    assert!(length > 0, "with a number");
    reader.read_uint().expect("a number")
}
