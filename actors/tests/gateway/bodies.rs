//! What an upstream says of itself, and how a gateway is told of it.

use std::net::SocketAddr;

use vestibule_actors::wire::msgpack::{
    Reader, write_array_len, write_bool, write_map_len, write_str, write_uint,
};
use vestibule_actors::wire::request::IdOrName;
use vestibule_actors::{GatewayAccount, Upstream, Upstreams};

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

/// The value of `box.election`, as it is told of this election.
pub(crate) fn election(term: u64) -> Vec<u8> {
    let mut value = Vec::new();
    write_map_len(&mut value, 4);
    write_str(&mut value, "term");
    write_uint(&mut value, term);
    write_str(&mut value, "role");
    write_str(&mut value, "leader");
    write_str(&mut value, "is_ro");
    write_bool(&mut value, false);
    write_str(&mut value, "leader");
    write_uint(&mut value, 1);
    value
}

/// Rows of `_space`, or of `_index`, behind a key: as many as there are, for they are few.
pub(crate) fn catalog_page(spaces: &[u32], space: IdOrName<'_>, key: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(key);
    let _ = reader.read_array_len();
    let behind = reader.read_uint().unwrap();
    let rows: Vec<_> = (spaces.iter())
        .filter(|own| u64::from(**own) > behind)
        .collect();
    let mut body = vec![0x81, 0x30];
    write_array_len(&mut body, rows.len() as u32);
    for own in rows {
        let is_space = space == IdOrName::Id(280);
        write_array_len(&mut body, if is_space { 6 } else { 2 });
        write_uint(&mut body, u64::from(*own));
        write_uint(&mut body, 0);
        if is_space {
            write_str(&mut body, "rows");
            write_str(&mut body, "memtx");
            write_uint(&mut body, 0);
            write_map_len(&mut body, 0);
        }
    }
    body
}

/// Upstreams of a gateway by these names, with an account of its own.
pub(crate) fn upstreams(all: &[(&str, SocketAddr)]) -> Upstreams {
    let named = |(name, address): &(&str, SocketAddr)| {
        Upstream::new(name, &address.ip().to_string(), address.port())
    };
    Upstreams::default()
        .upstreams(all.iter().map(named).collect())
        .account(Some(GatewayAccount::new("gateway", "secret")))
}
