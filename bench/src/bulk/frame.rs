//! Requests as they wait to be sent: a few bytes of their own, and a value that all share.

use bytes::Bytes;
use vestibule_wire::client::RequestHeader;
use vestibule_wire::frame::PREFIX_SIZE;
use vestibule_wire::groups::Payload;
use vestibule_wire::keys::{self, RequestType};
use vestibule_wire::msgpack::{write_array_len, write_map_len, write_str, write_uint};
use vestibule_wire::request::Body;

/// The field of a row that has the value, counted from 1.
const VALUE_FIELD: u64 = 2;

/// A frame, or a piece of one. Copies share the bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Frame {
    pub(super) head: Bytes,
    pub(super) value: Bytes,
}

impl Frame {
    /// A request that is small.
    pub(super) fn small(header: RequestHeader, body: &Body<'_>) -> Self {
        let mut head = Vec::new();
        header.write(&mut head, body);
        Self::from(head)
    }

    /// An UPDATE that carries a value to a row that is not there: it is received and checked as
    /// any, and stores nothing.
    pub(super) fn update(header: RequestHeader, space: u32, key: u32, value: &Bytes) -> Self {
        let mut head = Vec::new();
        header.write_with(&mut head, RequestType::Update as u64, |out| {
            write_map_len(out, 5);
            write_uint(out, keys::SPACE_ID);
            write_uint(out, space.into());
            write_uint(out, keys::INDEX_ID);
            write_uint(out, 0);
            write_uint(out, keys::INDEX_BASE);
            write_uint(out, 1);
            write_uint(out, keys::KEY);
            write_array_len(out, 1);
            write_uint(out, key.into());
            write_uint(out, keys::TUPLE);
            write_array_len(out, 1);
            write_array_len(out, 3);
            write_str(out, "=");
            write_uint(out, VALUE_FIELD);
            // A string of 32 bits of length, whose bytes follow.
            out.push(0xdb);
            out.extend_from_slice(&(value.len() as u32).to_be_bytes());
        });
        let length = (head.len() - PREFIX_SIZE + value.len()) as u32;
        head[1..PREFIX_SIZE].copy_from_slice(&length.to_be_bytes());
        Self {
            head: head.into(),
            value: value.clone(),
        }
    }
}

impl From<Vec<u8>> for Frame {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            head: bytes.into(),
            value: Bytes::new(),
        }
    }
}

impl Payload for Frame {
    fn size(&self) -> usize {
        self.head.len() + self.value.len()
    }

    fn split(&mut self, size: usize) -> Self {
        let head = self.head.split_to(size.min(self.head.len()));
        let of_value = (size - head.len()).min(self.value.len());
        let value = self.value.split_to(of_value);
        Self { head, value }
    }
}

#[cfg(test)]
mod tests {
    use vestibule_wire::frame::read_prefix;
    use vestibule_wire::header::read_header;
    use vestibule_wire::request::{IdOrName, decode};

    use super::*;

    #[test]
    fn an_update_reads_as_one_however_it_is_cut() {
        let value = Bytes::from(vec![b'v'; 70_000]);
        let mut frame = Frame::update(RequestHeader::with_sync(3), 512, 9, &value);
        let size = frame.size();
        let mut bytes = Vec::new();
        while frame.size() > 0 {
            let piece = frame.split(1000);
            bytes.extend_from_slice(&piece.head);
            bytes.extend_from_slice(&piece.value);
        }
        let prefix = read_prefix(&bytes, 1 << 20).unwrap().unwrap();
        assert_eq!((prefix.frame_size(), bytes.len()), (size, size));
        let (header, body) = read_header(&bytes[prefix.size..]).unwrap();
        assert_eq!(header.sync, 3);
        let Ok(Body::Update(update)) = decode(RequestType::Update, body) else {
            panic!("it is an UPDATE")
        };
        assert_eq!(
            (update.space, update.key),
            (IdOrName::Id(512), &[0x91, 9][..])
        );
        assert!(update.ops.ends_with(&value) && update.ops.len() == value.len() + 10);
    }
}
