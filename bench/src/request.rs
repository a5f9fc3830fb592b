//! Requests, built once and patched in place.
//!
//! Every field that changes from one request to the next has a fixed width and so a fixed
//! offset: making a request is a copy and one to three stores.

use vestibule_wire::keys::{self, RequestType};
use vestibule_wire::msgpack::{write_array_len, write_map_len, write_str, write_uint};

use super::Op;

/// Where the four bytes of the sync are in every request of the bench:
/// `ce length(4) 82 00 type 01 ce sync(4)`. The floor relies on it too.
pub(super) const SYNC_AT: usize = 10;

/// The second field of a row is its key times this: nine bytes that differ from row to row.
const FACTOR: u64 = 2_654_435_761;
const PADDING: &str = "vestibul";

/// Wraps a body into a frame with the given type and sync.
pub(super) fn frame(request: RequestType, sync: u32, body: &[u8]) -> Vec<u8> {
    wrap(request, body, |out| {
        write_uint(out, keys::SYNC);
        write_wide_u32(out, sync);
    })
}

/// Wraps a body into a frame of a stream, with sync 0.
pub(super) fn stream_frame(request: RequestType, stream: u64, body: &[u8]) -> Vec<u8> {
    wrap(request, body, |out| {
        write_uint(out, keys::STREAM_ID);
        write_uint(out, stream);
    })
}

/// Length, type and one more pair of the header, body.
fn wrap(request: RequestType, body: &[u8], write_pair: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = vec![0xce, 0, 0, 0, 0];
    write_map_len(&mut out, 2);
    write_uint(&mut out, keys::REQUEST_TYPE);
    write_uint(&mut out, request as u64);
    write_pair(&mut out);
    out.extend_from_slice(body);
    let length = out.len() as u32 - 5;
    out[1..5].copy_from_slice(&length.to_be_bytes());
    out
}

/// The body of a CALL whose arguments are written by `arguments`, an array.
pub(super) fn call_body(procedure: &str, arguments: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut body = Vec::new();
    write_map_len(&mut body, 2);
    write_uint(&mut body, keys::FUNCTION_NAME);
    write_str(&mut body, procedure);
    write_uint(&mut body, keys::TUPLE);
    arguments(&mut body);
    body
}

/// The body of a SELECT by equality, with all six fields as connectors send it. `key` is the
/// whole key, its array head included.
pub(super) fn select_body(space: u32, index: u32, key: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_map_len(&mut out, 6);
    let fields = [
        (keys::SPACE_ID, space),
        (keys::INDEX_ID, index),
        (keys::LIMIT, 1),
        (keys::OFFSET, 0),
        (keys::ITERATOR, 0),
    ];
    for (field, value) in fields {
        write_uint(&mut out, field);
        write_uint(&mut out, u64::from(value));
    }
    write_uint(&mut out, keys::KEY);
    out.extend_from_slice(key);
    out
}

/// An unsigned integer in five bytes whatever its value, to be patched in place.
fn write_wide_u32(out: &mut Vec<u8>, value: u32) {
    out.push(0xce);
    out.extend_from_slice(&value.to_be_bytes());
}

/// The same in nine bytes.
fn write_wide_u64(out: &mut Vec<u8>, value: u64) {
    out.push(0xcf);
    out.extend_from_slice(&value.to_be_bytes());
}

/// A request with holes for the sync, the key and what depends on the key.
#[derive(Clone, Debug)]
pub(super) struct Template {
    bytes: Vec<u8>,
    key_at: Option<usize>,
    product_at: Option<usize>,
}

impl Template {
    pub(super) fn ping() -> Self {
        Template {
            bytes: frame(RequestType::Ping, 0, &[]),
            key_at: None,
            product_at: None,
        }
    }

    pub(super) fn select(space: u32) -> Self {
        let mut key = Vec::new();
        write_array_len(&mut key, 1);
        write_wide_u32(&mut key, 0);
        let bytes = frame(RequestType::Select, 0, &select_body(space, 0, &key));
        // The key comes last.
        let key_at = Some(bytes.len() - 4);
        Template {
            bytes,
            key_at,
            product_at: None,
        }
    }

    pub(super) fn replace(space: u32) -> Self {
        let mut body = Vec::new();
        write_map_len(&mut body, 2);
        write_uint(&mut body, keys::SPACE_ID);
        write_uint(&mut body, u64::from(space));
        write_uint(&mut body, keys::TUPLE);
        let row_at = body.len();
        write_array_len(&mut body, 3);
        write_wide_u32(&mut body, 0);
        write_wide_u64(&mut body, 0);
        write_str(&mut body, PADDING);
        let row_len = body.len() - row_at;
        let bytes = frame(RequestType::Replace, 0, &body);
        let row_at = bytes.len() - row_len;
        // Head of the array, `ce` key(4), `cf` product(8).
        Template {
            bytes,
            key_at: Some(row_at + 2),
            product_at: Some(row_at + 7),
        }
    }

    /// Appends the request for this sync and key.
    #[inline]
    pub(super) fn append(&self, out: &mut Vec<u8>, sync: u32, key: u32) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let request = &mut out[start..];
        request[SYNC_AT..SYNC_AT + 4].copy_from_slice(&sync.to_be_bytes());
        if let Some(at) = self.key_at {
            request[at..at + 4].copy_from_slice(&key.to_be_bytes());
        }
        if let Some(at) = self.product_at {
            let product = u64::from(key) * FACTOR;
            request[at..at + 8].copy_from_slice(&product.to_be_bytes());
        }
    }
}

/// xorshift64*: a few cycles, and good enough to spread keys.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// Each number gives its own sequence, the same in every run.
    pub(super) fn new(number: u64) -> Self {
        Self(0x9e37_79b9_7f4a_7c15 ^ number)
    }

    #[inline]
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// Makes the stream of requests of a run: which template, which key.
pub(super) struct Requests {
    usual: Template,
    /// Used for one request in ten, when there is a mix.
    rare: Option<Template>,
    keys: u32,
    random: Random,
}

impl Requests {
    /// `space` and `keys` are ignored by pings.
    pub(super) fn new(op: Op, space: u32, keys: u32) -> Self {
        let (usual, rare) = match op {
            Op::Ping => (Template::ping(), None),
            Op::Select => (Template::select(space), None),
            Op::Replace => (Template::replace(space), None),
            Op::Mixed => (Template::select(space), Some(Template::replace(space))),
        };
        // A constant seed: every run asks for the same keys in the same order.
        Requests {
            usual,
            rare,
            keys,
            random: Random::new(0),
        }
    }

    /// Appends the next request.
    #[inline]
    pub(super) fn append(&mut self, out: &mut Vec<u8>, sync: u32) {
        let random = self.random.next();
        let key = ((random >> 32) * u64::from(self.keys)) >> 32;
        let template = match &self.rare {
            Some(rare) if (random & 0xffff) * 10 < 0x1_0000 => rare,
            _ => &self.usual,
        };
        template.append(out, sync, key as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vestibule_wire::msgpack::Reader;

    fn made(template: &Template, sync: u32, key: u32) -> Vec<u8> {
        let mut out = vec![0xff; 3];
        template.append(&mut out, sync, key);
        out.split_off(3)
    }

    #[test]
    fn ping_is_a_bare_header() {
        let bytes = made(&Template::ping(), 0x0102_0304, 9);
        assert_eq!(
            bytes,
            [0xce, 0, 0, 0, 9, 0x82, 0, 0x40, 1, 0xce, 1, 2, 3, 4]
        );
    }

    #[test]
    fn select_carries_sync_and_key() {
        let bytes = made(&Template::select(512), 7, 99_999);
        assert_eq!(bytes[SYNC_AT..SYNC_AT + 4], 7u32.to_be_bytes());
        let body = select_body(512, 0, &[0x91, 0xce, 0, 1, 0x86, 0x9f]);
        assert_eq!(bytes, frame(RequestType::Select, 7, &body));
    }

    #[test]
    fn a_row_has_24_bytes_and_depends_on_its_key() {
        let bytes = made(&Template::replace(512), 1, 3);
        let row = &bytes[bytes.len() - 24..];
        let mut reader = Reader::new(row);
        assert_eq!(reader.read_array_len(), Ok(3));
        assert_eq!(reader.read_uint(), Ok(3));
        assert_eq!(reader.read_uint(), Ok(3 * FACTOR));
        assert_eq!(reader.read_str(), Ok(PADDING));
        assert!(reader.is_empty());
    }

    #[test]
    fn the_length_covers_the_whole_frame() {
        let templates = [
            Template::ping(),
            Template::select(512),
            Template::replace(70_000),
        ];
        for template in templates {
            let bytes = made(&template, u32::MAX, u32::MAX);
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.read_uint(), Ok(bytes.len() as u64 - 5));
            while !reader.is_empty() {
                reader.skip().unwrap();
            }
        }
    }

    #[test]
    fn mixed_is_one_replace_in_ten_and_keys_stay_in_range() {
        let mut requests = Requests::new(Op::Mixed, 512, 10);
        let mut replaces = 0;
        let mut seen = [false; 10];
        for _ in 0..10_000 {
            let mut out = Vec::new();
            requests.append(&mut out, 0);
            if out[7] == RequestType::Replace as u8 {
                replaces += 1;
            } else {
                let key = u32::from_be_bytes(*out.last_chunk().unwrap());
                seen[key as usize] = true;
            }
        }
        assert!((800..1200).contains(&replaces), "{replaces}");
        assert!(seen.iter().all(|seen| *seen));
    }
}
