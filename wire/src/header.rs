//! The header of a request: a map of unsigned keys in any order.

use crate::error::Error;
use crate::keys;
use crate::msgpack::{DecodeError, Kind, Reader, split_wide_uint};

/// Keys from here on are extensions and are skipped with any value.
const KEY_EXTENSION_MIN: u64 = 0x65;

/// What a request's header says. Absent keys are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header {
    /// The number of the request's type; 0 is not a request.
    pub request_type: u64,
    /// Echoed in the reply. Opaque and not unique: one connector sends 0 always.
    pub sync: u64,
    /// The catalog version the client knows; 0 means "do not check".
    pub schema_version: u64,
    /// The stream; 0 means none.
    pub stream_id: u64,
}

/// A header that could not be read, with the sync as far as it was.
#[derive(Debug, Clone, PartialEq)]
pub struct HeaderError {
    /// The sync if its key came before the fault, else 0.
    pub sync: u64,
    /// What to answer.
    pub error: Error,
}

/// Reads a header from the start of a frame's content and returns it with the body that follows
/// (empty if there is none).
///
/// # Errors
///
/// [`ErrorCode::INVALID_MSGPACK`](crate::ErrorCode::INVALID_MSGPACK) for a header that is no map,
/// a key that is no unsigned integer, a known key with a value of another type, or a value that is
/// cut short. The connection may go on.
#[inline]
pub fn read_header(content: &[u8]) -> Result<(Header, &[u8]), HeaderError> {
    read_usual(content).map_or_else(|| read_any(content), Ok)
}

/// The header as most clients write it, its type and then its sync and nothing else:
/// `82 00 type 01 sync`.
#[inline]
fn read_usual(content: &[u8]) -> Option<(Header, &[u8])> {
    let (&[0x82, 0x00, code @ 0..=0x7f, 0x01, marker], rest) = content.split_first_chunk()? else {
        return None;
    };
    let (sync, body) = match marker {
        0..=0x7f => (u64::from(marker), rest),
        _ => split_wide_uint(marker, rest)?,
    };
    let header = Header {
        request_type: u64::from(code),
        sync,
        ..Header::default()
    };
    Some((header, body))
}

/// A header of any form.
fn read_any(content: &[u8]) -> Result<(Header, &[u8]), HeaderError> {
    let mut header = Header::default();
    let mut reader = Reader::new(content);
    match read_pairs(&mut reader, &mut header) {
        Ok(()) => Ok((header, reader.rest())),
        Err(_) => Err(HeaderError {
            sync: header.sync,
            error: Error::invalid_msgpack("packet header"),
        }),
    }
}

fn read_pairs(reader: &mut Reader<'_>, header: &mut Header) -> Result<(), DecodeError> {
    for _ in 0..reader.read_map_len()? {
        match reader.read_uint()? {
            keys::REQUEST_TYPE => header.request_type = reader.read_uint()?,
            keys::SYNC => header.sync = reader.read_uint()?,
            keys::SCHEMA_VERSION => header.schema_version = reader.read_uint()?,
            keys::STREAM_ID => header.stream_id = reader.read_uint()?,
            key => skip_unused(reader, key)?,
        }
    }
    Ok(())
}

/// A known key that this server does not use must still have its declared type.
fn skip_unused(reader: &mut Reader<'_>, key: u64) -> Result<(), DecodeError> {
    let found = reader.peek()?;
    let fits = match declared_type(key) {
        Some(declared) => found == declared,
        None => key >= KEY_EXTENSION_MIN || found == Kind::Nil,
    };
    if !fits {
        return Err(DecodeError::Type);
    }
    reader.skip().map(|_| ())
}

/// The type that the protocol's table gives a key; `None` for unassigned ones and for "any".
fn declared_type(key: u64) -> Option<Kind> {
    match key {
        0x02 | 0x03 | 0x06..=0x09 | 0x0b | 0x10..=0x15 => Some(Kind::Uint),
        0x43 | 0x53 | 0x54 | 0x59 => Some(Kind::Uint),
        0x04 | 0x56 => Some(Kind::Double),
        0x1f | 0x50 | 0x61 => Some(Kind::Bool),
        0x20 | 0x21 | 0x28 | 0x2c | 0x2d | 0x2f | 0x41 | 0x51 | 0x55 => Some(Kind::Array),
        0x22..=0x25 | 0x27 | 0x2e | 0x31 | 0x35 | 0x40 | 0x57 | 0x5b..=0x5f => Some(Kind::Str),
        0x26 | 0x29..=0x2b | 0x42 | 0x52 | 0x5a | 0x60 => Some(Kind::Map),
        0x36 => Some(Kind::Ext),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_header_is_read_as_any_other_one_however_it_is_cut() {
        let syncs: [&[u8]; 8] = [
            &[0],
            &[0x7f],
            &[0xcc, 200],
            &[0xcd, 1, 2],
            &[0xce, 1, 2, 3, 4],
            &[0xcf, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0xe0],
            &[0xc0],
        ];
        for sync in syncs {
            for head in [[0x82, 0, 64, 1], [0x82, 0, 0x80, 1], [0x82, 1, 64, 0]] {
                let whole = [&head[..], sync, &[0x81, 0x20]].concat();
                for cut in 0..=whole.len() {
                    let content = &whole[..cut];
                    assert_eq!(read_header(content), read_any(content), "{content:x?}");
                }
            }
        }
        let usual = [0x82, 0, 64, 1, 0xce, 0, 0, 0, 7, 0x80];
        assert!(read_usual(&usual).is_some(), "and not always the long way");
    }

    #[test]
    fn keys_come_in_any_order_and_width() {
        // {1: sync as u64, 0: type as u16}
        let bytes = [
            0x82, 0x01, 0xcf, 255, 255, 255, 255, 255, 255, 255, 255, 0x00, 0xcd, 0, 64, 0x80,
        ];
        let (header, body) = read_header(&bytes).unwrap();
        assert_eq!(header.request_type, 64);
        assert_eq!(header.sync, u64::MAX);
        assert_eq!(body, [0x80]);
    }

    #[test]
    fn an_extension_key_is_skipped_with_any_value() {
        let bytes = [0x82, 0x65, 0x81, 0xa1, b'x', 0x92, 1, 2, 0x00, 64];
        assert_eq!(read_header(&bytes).unwrap().0.request_type, 64);
    }

    #[test]
    fn a_fault_keeps_the_sync_that_was_already_read() {
        let fault = read_header(&[0x82, 0x01, 42, 0x00, 0xa1, b'x']).unwrap_err();
        assert_eq!(fault.sync, 42);
        assert_eq!(fault.error.message(), "Invalid MsgPack - packet header");
        let fault = read_header(&[0x82, 0x00, 0xa1, b'x', 0x01, 42]).unwrap_err();
        assert_eq!(fault.sync, 0);
        assert!(read_header(&[]).is_err());
        assert!(read_header(&[0x01]).is_err());
    }

    #[test]
    fn an_unassigned_low_key_passes_only_with_nil() {
        assert!(read_header(&[0x81, 0x16, 0xc0]).is_ok());
        assert!(read_header(&[0x81, 0x16, 0x01]).is_err());
    }

    #[test]
    fn the_last_of_equal_keys_wins() {
        assert_eq!(read_header(&[0x82, 0x01, 1, 0x01, 2]).unwrap().0.sync, 2);
    }
}
