//! What an upstream says of itself.

use vestibule_actors::wire::msgpack::{write_bool, write_map_len, write_str, write_uint};

/// The reply to VOTE, as 2.6 answers it, of one with this number of changes.
pub(crate) fn ballot_of(changes: u64, is_loading: bool, is_writable: bool) -> Vec<u8> {
    let mut body = vec![0x81, 0x29, 0x84, 4];
    write_bool(&mut body, is_loading);
    body.extend_from_slice(&[2, 0x81, 1]);
    write_uint(&mut body, changes);
    body.extend_from_slice(&[3, 0x80, 1]);
    // One that is read-only, and not so by its configuration, has not all its data.
    write_bool(&mut body, !is_writable && !is_loading);
    body
}

/// The reply to a CALL of `box.info`.
pub(crate) fn info(is_read_only: bool) -> Vec<u8> {
    let mut body = vec![0x81, 0x30, 0x91];
    write_map_len(&mut body, 3);
    write_str(&mut body, "ro");
    write_bool(&mut body, is_read_only);
    write_str(&mut body, "id");
    write_uint(&mut body, 1);
    write_str(&mut body, "cluster");
    write_map_len(&mut body, 1);
    write_str(&mut body, "uuid");
    write_str(&mut body, "of all of them");
    body
}
