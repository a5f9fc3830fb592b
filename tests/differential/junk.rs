//! Requests that make no sense: unknown types, spaces and procedures, and good requests spoiled.

use vestibule_wire::keys::{self, RequestType};

use crate::generator::Known;
use crate::request::{Body, Request};
use crate::rng::Rng;

/// Numbers that no version of the protocol gives to a request.
const UNKNOWN_TYPES: [u64; 7] = [12, 29, 50, 99, 127, 255, 1000];

const UNKNOWN_PROCEDURES: [&str; 8] = [
    "nothing",
    "",
    "box.nothing",
    "box.space.nothing:insert",
    "box.schema.nothing",
    "a.b.c:d",
    "nothing:at:all",
    "box.schema.space.nothing",
];

/// Body keys of requests on data, and one that is nobody's.
const BODY_KEYS: [u64; 10] = [
    keys::SPACE_ID,
    keys::INDEX_ID,
    keys::LIMIT,
    keys::OFFSET,
    keys::ITERATOR,
    keys::INDEX_BASE,
    keys::KEY,
    keys::TUPLE,
    keys::OPS,
    0x7e,
];

pub(crate) fn odd(rng: &mut Rng, space: &mut Known) -> Request {
    match rng.below(5) {
        0 => Request::new(RequestType::Ping),
        1 => Request::new(RequestType::Ping).uint(keys::SPACE_ID, 1),
        2 => Request::of_code(rng.of(&UNKNOWN_TYPES)),
        3 => Request::call(rng.of(&UNKNOWN_PROCEDURES), vec![0x90]),
        _ => Request::new(rng.of(&[RequestType::Select, RequestType::Delete]))
            .uint(
                keys::SPACE_ID,
                rng.of(&[0, 1, 500, 1_000_000, u64::from(u32::MAX)]),
            )
            .uint(keys::INDEX_ID, rng.below(3) as u64)
            .uint(keys::LIMIT, 1)
            .raw(keys::KEY, vec![0x91, 0x01])
            .about(space.id),
    }
}

/// A request with something wrong in its body.
pub(crate) fn spoiled(rng: &mut Rng, mut request: Request) -> Request {
    let Body::Pairs(pairs) = &mut request.body else {
        return request;
    };
    match rng.below(6) {
        0 | 1 => drop(pairs.remove(rng.below(pairs.len()))),
        2 => {
            let at = rng.below(pairs.len());
            let values: [&[u8]; 7] = [
                &[0xc0],
                &[0xa1, b'x'],
                &[0xff],
                &[0x80],
                &[0x90],
                &[0x01],
                &[0xc3],
            ];
            pairs[at].1 = rng.of(&values).to_vec();
        }
        3 => {
            let extra = rng.of(&BODY_KEYS);
            if pairs.iter().all(|(key, _)| *key != extra) {
                let values: [&[u8]; 3] = [&[0x01], &[0x91, 0x01], &[0xc0]];
                pairs.push((extra, rng.of(&values).to_vec()));
            }
        }
        4 => {
            let mut bytes = request.body.bytes();
            bytes.truncate(rng.below(bytes.len()));
            request.body = Body::Raw(bytes);
        }
        _ => {
            let bodies: [&[u8]; 6] = [
                &[0x80],
                &[0x90],
                &[0x01],
                &[0xc0],
                &[0xc1],
                &[0x81, 0xa1, b'x', 0x01],
            ];
            request.body = Body::Raw(rng.of(&bodies).to_vec());
        }
    }
    request
}

/// With a schema version that was never, or is not any more.
pub(crate) fn of_another_schema(rng: &mut Rng, mut request: Request) -> Request {
    request.schema_version = Some(rng.of(&[0, 1, 99_999_999]));
    // Nothing happens, but for version 0.
    request
}
