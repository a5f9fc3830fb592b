//! Requests, built once and patched in place.
//!
//! Every field that changes from one request to the next has a fixed width and so a fixed
//! offset: making a request is a copy and one to three stores.

use vestibule_wire::client::{RequestHeader, Template};
use vestibule_wire::msgpack::{write_array_len, write_str};
use vestibule_wire::request::{
    After, Body, Call, IdOrName, IteratorType, Select, Store, Update, Upsert,
};

use crate::args::Op;

/// The second field of a row is its key times this: nine bytes that differ from row to row.
const FACTOR: u64 = 2_654_435_761;
const PADDING: &str = "vestibul";

/// Bytes of a row.
const ROW_SIZE: usize = 24;
/// The key that templates are made for: neither its bytes nor those of its product are elsewhere in
/// a request.
const MARK: u32 = 0xa1b2_c3d4;
/// The operations `[["+", 1, 1]]`: 1 is added to the second field.
const ADD_ONE: &[u8] = &[0x91, 0x93, 0xa1, b'+', 1, 1];

/// A request as bytes, with sync 1.
pub(crate) fn frame(body: &Body<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    RequestHeader::with_sync(1).write(&mut out, body);
    out
}

/// A request of a stream as bytes, with sync 0.
pub(crate) fn stream_frame(stream_id: u64, body: &Body<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let header = RequestHeader {
        stream_id,
        ..RequestHeader::default()
    };
    header.write(&mut out, body);
    out
}

/// A CALL; `args` is a MessagePack array.
pub(crate) fn call<'a>(name: &'a str, args: &'a [u8]) -> Body<'a> {
    Body::Call(Call {
        name,
        args,
        wrap_results: false,
    })
}

/// A SELECT of one tuple by equality. `key` is the whole key, its array head included.
pub(crate) fn select(space: u32, index: u32, key: &[u8]) -> Body<'_> {
    Body::Select(Select {
        space: IdOrName::Id(space),
        index: IdOrName::Id(index),
        limit: 1,
        offset: 0,
        iterator: IteratorType::Eq as u64,
        key,
        fetch_position: false,
        after: After::Start,
    })
}

/// A row of the measurement's space: `[key, key times a factor, padding]`, each number in a fixed
/// width.
fn row(key: u32) -> Vec<u8> {
    let mut row = Vec::with_capacity(ROW_SIZE);
    write_array_len(&mut row, 3);
    push_key(&mut row, key);
    push_product(&mut row, key);
    write_str(&mut row, PADDING);
    row
}

fn key_array(key: u32) -> Vec<u8> {
    let mut array = vec![0x91];
    push_key(&mut array, key);
    array
}

fn product_array(key: u32) -> Vec<u8> {
    let mut array = vec![0x91];
    push_product(&mut array, key);
    array
}

fn push_key(out: &mut Vec<u8>, key: u32) {
    out.push(0xce);
    out.extend_from_slice(&key.to_be_bytes());
}

fn push_product(out: &mut Vec<u8>, key: u32) {
    out.push(0xcf);
    out.extend_from_slice(&product(key).to_be_bytes());
}

fn product(key: u32) -> u64 {
    u64::from(key) * FACTOR
}

/// A request with holes for the sync, the key and what depends on the key.
#[derive(Clone, Debug)]
pub(crate) struct KeyedTemplate {
    template: Template,
    key_at: Option<usize>,
    product_at: Option<usize>,
}

impl KeyedTemplate {
    /// The template of a body that was made for [`MARK`], which is looked for in it.
    fn new(body: &Body<'_>) -> Self {
        let template = Template::new(body);
        let mut request = Vec::new();
        template.append(&mut request, 0);
        let find = |mark: &[u8]| {
            let mut places = request.windows(mark.len());
            places.position(|bytes| bytes == mark)
        };
        Self {
            key_at: find(&MARK.to_be_bytes()),
            product_at: find(&product(MARK).to_be_bytes()),
            template,
        }
    }

    pub(crate) fn ping() -> Self {
        Self::new(&Body::Ping)
    }

    pub(crate) fn select(space: u32) -> Self {
        Self::new(&select(space, 0, &key_array(MARK)))
    }

    /// Ten rows from a key on.
    pub(crate) fn range(space: u32) -> Self {
        Self::new(&Body::Select(Select {
            space: IdOrName::Id(space),
            index: IdOrName::Id(0),
            limit: 10,
            offset: 0,
            iterator: IteratorType::Ge as u64,
            key: &key_array(MARK),
            fetch_position: false,
            after: After::Start,
        }))
    }

    /// One row by the product, which the second index is over.
    pub(crate) fn select_second(space: u32) -> Self {
        Self::new(&select(space, 1, &product_array(MARK)))
    }

    pub(crate) fn replace(space: u32) -> Self {
        Self::new(&Body::Replace(Store {
            space: IdOrName::Id(space),
            tuple: &row(MARK),
        }))
    }

    /// Adds 1 to the product.
    pub(crate) fn update(space: u32) -> Self {
        Self::new(&Body::Update(Update {
            space: IdOrName::Id(space),
            index: IdOrName::Id(0),
            key: &key_array(MARK),
            ops: ADD_ONE,
            index_base: 0,
        }))
    }

    /// The same of a row that would be stored if it was not there.
    pub(crate) fn upsert(space: u32) -> Self {
        Self::new(&Body::Upsert(Upsert {
            space: IdOrName::Id(space),
            tuple: &row(MARK),
            ops: ADD_ONE,
            index_base: 0,
        }))
    }

    /// Appends the request for this sync and key.
    #[inline]
    pub(crate) fn append(&self, out: &mut Vec<u8>, sync: u32, key: u32) {
        let request = self.template.append(out, sync);
        if let Some(at) = self.key_at {
            request[at..at + 4].copy_from_slice(&key.to_be_bytes());
        }
        if let Some(at) = self.product_at {
            request[at..at + 8].copy_from_slice(&product(key).to_be_bytes());
        }
    }
}

/// The stream of requests of a run: which template, which key.
#[derive(Debug)]
pub struct Requests {
    usual: KeyedTemplate,
    /// Used for one request in ten, when there is a mix.
    rare: Option<KeyedTemplate>,
    keys: u32,
    random: fastrand::Rng,
}

impl Requests {
    /// The same requests for the same operation, space and number of keys. Pings ignore both, and
    /// [`Op::Bulk`] gives pings: its values are not made here.
    #[must_use]
    pub fn new(op: Op, space: u32, keys: u32) -> Self {
        let (usual, rare) = match op {
            // What a bulk transfer sends is made elsewhere.
            Op::Ping | Op::Bulk => (KeyedTemplate::ping(), None),
            Op::Select => (KeyedTemplate::select(space), None),
            Op::Replace => (KeyedTemplate::replace(space), None),
            Op::Update => (KeyedTemplate::update(space), None),
            Op::Upsert => (KeyedTemplate::upsert(space), None),
            Op::Range => (KeyedTemplate::range(space), None),
            Op::ReplaceSecond => (KeyedTemplate::replace(space), None),
            Op::SelectSecond => (KeyedTemplate::select_second(space), None),
            Op::Mixed => (
                KeyedTemplate::select(space),
                Some(KeyedTemplate::replace(space)),
            ),
        };
        // A constant seed: every run asks for the same keys in the same order.
        Requests {
            usual,
            rare,
            keys,
            random: fastrand::Rng::with_seed(0),
        }
    }

    /// Appends the next request, with this sync.
    #[inline]
    pub fn append(&mut self, out: &mut Vec<u8>, sync: u32) {
        let random = self.random.u64(..);
        let key = ((random >> 32) * u64::from(self.keys)) >> 32;
        let template = match &self.rare {
            Some(rare) if (random & 0xffff) * 10 < 0x1_0000 => rare,
            _ => &self.usual,
        };
        template.append(out, sync, key as u32);
    }

    /// Appends a REPLACE of each row that the requests ask for, in the order of their keys.
    pub fn append_rows(out: &mut Vec<u8>, space: u32, keys: u32) {
        let template = KeyedTemplate::replace(space);
        (0..keys).for_each(|key| template.append(out, key, key));
    }
}

#[cfg(test)]
mod tests {
    use vestibule_wire::client::SYNC_AT;
    use vestibule_wire::keys::RequestType;
    use vestibule_wire::msgpack::Reader;

    use super::*;

    fn made(template: &KeyedTemplate, sync: u32, key: u32) -> Vec<u8> {
        let mut out = vec![0xff; 3];
        template.append(&mut out, sync, key);
        out.split_off(3)
    }

    #[test]
    fn ping_is_a_bare_header() {
        let bytes = made(&KeyedTemplate::ping(), 0x0102_0304, 9);
        assert_eq!(
            bytes,
            [0xce, 0, 0, 0, 9, 0x82, 0, 0x40, 1, 0xce, 1, 2, 3, 4]
        );
    }

    #[test]
    fn select_carries_sync_and_key() {
        let bytes = made(&KeyedTemplate::select(512), 7, 99_999);
        assert_eq!(bytes[SYNC_AT..SYNC_AT + 4], 7u32.to_be_bytes());
        let mut expected = Vec::new();
        let body = select(512, 0, &[0x91, 0xce, 0, 1, 0x86, 0x9f]);
        RequestHeader::with_sync(7).write(&mut expected, &body);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_row_has_24_bytes_and_depends_on_its_key() {
        let bytes = made(&KeyedTemplate::replace(512), 1, 3);
        let row = &bytes[bytes.len() - 24..];
        let mut reader = Reader::new(row);
        assert_eq!(reader.read_array_len(), Ok(3));
        assert_eq!(reader.read_uint(), Ok(3));
        assert_eq!(reader.read_uint(), Ok(3 * FACTOR));
        assert_eq!(reader.read_str(), Ok(PADDING));
        assert!(reader.is_empty());
    }

    #[test]
    fn every_template_is_the_request_of_its_key() {
        fn body(of: fn(u32) -> KeyedTemplate, sync: u32, key: u32) -> Vec<u8> {
            made(&of(512), sync, key)
        }
        let ops = [
            KeyedTemplate::select,
            KeyedTemplate::range,
            KeyedTemplate::select_second,
            KeyedTemplate::replace,
            KeyedTemplate::update,
            KeyedTemplate::upsert,
        ];
        for of in ops {
            let (low, high) = (body(of, 1, 7), body(of, 1, 0x0102_0304));
            assert_eq!(low.len(), high.len());
            assert_ne!(low, high, "the key is in it");
            assert!(!low.windows(4).any(|own| own == MARK.to_be_bytes()));
            assert!(!low.windows(8).any(|own| own == product(MARK).to_be_bytes()));
        }
        let by_second = body(KeyedTemplate::select_second, 1, 3);
        assert_eq!(*by_second.last_chunk().unwrap(), product(3).to_be_bytes());
    }

    #[test]
    fn the_length_covers_the_whole_frame() {
        let templates = [
            KeyedTemplate::ping(),
            KeyedTemplate::select(512),
            KeyedTemplate::replace(70_000),
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
