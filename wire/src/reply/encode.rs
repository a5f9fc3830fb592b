//! Replies, in the one layout that every connector reads.
//!
//! ```text
//!  ce <u32 length> 83 00 ce <u32 code> 01 cf <u64 sync> 05 ce <u32 schema version> <body: a map>
//!  └──── 5 ──────┘ └──────────────────────── 23 ──────────────────────────────────┘
//! ```
//!
//! Lengths, codes, syncs and versions keep their full width and order: some connectors slice the
//! bytes by offset instead of decoding them. The schema version takes 32 bits, as in the 2.x
//! versions that the greeting announces. A body is always there, if only an empty map.

use serde::Serialize;

use super::rows::ReplySink;
use crate::error::{Error, ErrorCode};
use crate::features::{AUTH_TYPE, Features, PROTOCOL_VERSION};
use crate::frame::PREFIX_SIZE;
use crate::groups::Agreement;
use crate::keys::{self, CODE_CHUNK, CODE_ERROR};
use crate::msgpack::{
    DecodeError, Kind, Reader, write_array_len, write_map_len, write_str, write_uint,
};
use crate::request::write_features;

/// Bytes before the body: length prefix and header.
pub const HEADER_SIZE: usize = 28;

#[rustfmt::skip]
const HEADER: [u8; HEADER_SIZE] = [
    0xce, 0, 0, 0, 0,
    0x83,
    0x00, 0xce, 0, 0, 0, 0,
    0x01, 0xcf, 0, 0, 0, 0, 0, 0, 0, 0,
    0x05, 0xce, 0, 0, 0, 0,
];
pub(super) const CODE_AT: usize = 8;
const SYNC_AT: usize = 14;
const SCHEMA_AT: usize = 24;

/// What every reply repeats in its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyHeader {
    /// The request's sync.
    pub sync: u64,
    /// Version of the catalog; must change only when the catalog does, or clients fetch it again.
    pub schema_version: u64,
}

impl ReplyHeader {
    /// Appends a whole reply, its body written by `body`. If `body` fails, what it wrote is taken
    /// back and the error is the reply; if it writes nothing, the body is the empty map.
    #[inline]
    pub fn write<T>(
        self,
        out: &mut Vec<u8>,
        body: impl FnOnce(&mut Vec<u8>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let start = self.begin(out);
        match body(out) {
            Ok(value) => {
                finish(out, start);
                Ok(value)
            }
            Err(error) => {
                out.truncate(start);
                self.write_error(out, &error);
                Err(error)
            }
        }
    }

    /// Appends length and header with placeholders; returns where the reply starts, for [`finish`].
    #[inline]
    pub fn begin(self, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        let mut header = HEADER;
        header[SYNC_AT..SYNC_AT + 8].copy_from_slice(&self.sync.to_be_bytes());
        let version = (self.schema_version as u32).to_be_bytes();
        header[SCHEMA_AT..SCHEMA_AT + 4].copy_from_slice(&version);
        out.extend_from_slice(&header);
        start
    }

    /// Appends a reply with an empty body: to PING, AUTH, COMMIT.
    #[inline]
    pub fn write_empty(self, out: &mut Vec<u8>) {
        let start = self.begin(out);
        finish(out, start);
    }

    /// Appends an error reply.
    pub fn write_error(self, out: &mut Vec<u8>, error: &Error) {
        let start = self.begin(out);
        let code = CODE_ERROR | u32::from(error.code().0);
        out[start + CODE_AT..start + CODE_AT + 4].copy_from_slice(&code.to_be_bytes());
        error.write_body(out);
        finish(out, start);
    }

    /// Appends a push: a message before the reply, with a body as a reply has one.
    pub fn write_push(self, out: &mut Vec<u8>, body: &[u8]) {
        self.pass_on(out, CODE_CHUNK, body);
    }

    /// Appends the reply to ID. `chunks`: what is held of messages that come in chunks, for a
    /// client that has asked for them.
    pub fn write_id(self, out: &mut Vec<u8>, features: Features, chunks: Option<Agreement>) {
        let start = self.begin(out);
        write_map_len(out, if chunks.is_some() { 5 } else { 3 });
        write_uint(out, keys::VERSION);
        write_uint(out, PROTOCOL_VERSION);
        write_features(out, features, chunks);
        write_uint(out, keys::AUTH_TYPE);
        write_str(out, AUTH_TYPE);
        finish(out, start);
    }
}

/// Patches the length of the reply that starts at `start`, writing an empty map if it has no body.
///
/// A body beyond 4 GiB cannot be framed; the length then saturates. Writers bound bodies long
/// before.
#[inline]
pub fn finish(out: &mut Vec<u8>, start: usize) {
    if out.len() == start + HEADER_SIZE {
        out.push(0x80);
    }
    let (at, length) = length_of(out.len() - start);
    out[start + at..start + PREFIX_SIZE].copy_from_slice(&length);
}

/// The length that stands in a frame of this size, and where it stands there: for frames that
/// are no single buffer.
#[inline]
#[must_use]
pub fn length_of(frame_size: usize) -> (usize, [u8; 4]) {
    let length = u32::try_from(frame_size - PREFIX_SIZE).unwrap_or(u32::MAX);
    (1, length.to_be_bytes())
}

/// The schema version as it stands in a frame, and where.
#[must_use]
pub fn schema_version_of(schema_version: u64) -> (usize, [u8; 4]) {
    (SCHEMA_AT, (schema_version as u32).to_be_bytes())
}

/// Sets the schema version of a whole reply frame: for replies that were written before the commit
/// that changed it.
pub fn patch_schema_version(frame: &mut [u8], schema_version: u64) {
    frame[SCHEMA_AT..SCHEMA_AT + 4].copy_from_slice(&(schema_version as u32).to_be_bytes());
}

/// The error that a whole reply frame tells, if it tells one.
#[inline]
#[must_use]
pub fn error_code(frame: &[u8]) -> Option<ErrorCode> {
    let code = u16::from_be_bytes([frame[CODE_AT + 2], frame[CODE_AT + 3]]);
    let error_bit = CODE_ERROR as u16;
    (code & error_bit != 0).then_some(ErrorCode(code & !error_bit))
}

/// Rewrites the results of a CALL as `CALL_16` returns them: every value that is not an array is
/// wrapped in one. `start` is where the body begins; a body of another shape is left alone.
pub fn wrap_results(out: &mut Vec<u8>, start: usize) {
    let mut wrapped = Vec::with_capacity(out.len() - start + 16);
    write_data_head(&mut wrapped);
    let mut copy = || {
        let mut reader = Reader::new(&out[start..]);
        let pairs = reader.read_map_len()?;
        if pairs != 1 || reader.read_uint()? != keys::DATA {
            return Err(DecodeError::Type);
        }
        let values = reader.read_array_len()?;
        write_array_len(&mut wrapped, values);
        for _ in 0..values {
            if reader.peek()? != Kind::Array {
                write_array_len(&mut wrapped, 1);
            }
            wrapped.extend_from_slice(reader.skip()?);
        }
        Ok(())
    };
    if copy().is_ok() {
        out.truncate(start);
        out.extend_from_slice(&wrapped);
    }
}

/// Appends an EVENT: the value of a watched key, raw MessagePack, or none if the key has no value.
/// Its header has two keys and no schema version.
pub fn write_event(out: &mut Vec<u8>, sync: u64, key: &str, value: Option<&[u8]>) {
    let start = out.len();
    out.extend_from_slice(&[0xce, 0, 0, 0, 0]);
    write_map_len(out, 2);
    write_uint(out, keys::REQUEST_TYPE);
    write_uint(out, u64::from(keys::CODE_EVENT));
    write_uint(out, keys::SYNC);
    write_uint(out, sync);
    write_map_len(out, if value.is_some() { 2 } else { 1 });
    write_uint(out, keys::EVENT_KEY);
    write_str(out, key);
    if let Some(value) = value {
        write_uint(out, keys::EVENT_DATA);
        out.extend_from_slice(value);
    }
    finish(out, start);
}

/// Appends the body `{DATA: [value]}`.
///
/// # Errors
///
/// [`ErrorCode::PROC`] with the serializer's text, for a value that MessagePack cannot hold.
pub fn write_value<T: Serialize + ?Sized>(
    out: &mut impl ReplySink,
    value: &T,
) -> Result<(), Error> {
    out.append(&[0x81, keys::DATA as u8, 0x91]);
    write_serialized(out, value)
}

/// Appends the body `{DATA: values}` for a sequence or tuple of returned values.
///
/// # Errors
///
/// As [`write_value`].
pub fn write_values<T: Serialize + ?Sized>(
    out: &mut impl ReplySink,
    values: &T,
) -> Result<(), Error> {
    write_data_head(out);
    write_serialized(out, values)
}

/// Appends the head of `{DATA: …}`; one MessagePack array must follow.
pub fn write_data_head(out: &mut impl ReplySink) {
    out.append(&[0x81, keys::DATA as u8]);
}

/// Appends a value as MessagePack, structs as maps with their field names.
///
/// # Errors
///
/// As [`write_value`].
pub fn write_serialized<T: Serialize + ?Sized>(
    out: &mut impl ReplySink,
    value: &T,
) -> Result<(), Error> {
    rmp_serde::encode::write_named(out, value)
        .map_err(|fault| Error::new(ErrorCode::PROC, fault.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: ReplyHeader = ReplyHeader {
        sync: u64::MAX,
        schema_version: 7,
    };

    #[test]
    fn a_ping_is_answered_in_29_bytes_of_fixed_layout() {
        let mut out = Vec::new();
        ReplyHeader {
            sync: 0x0102,
            schema_version: 7,
        }
        .write_empty(&mut out);
        let mut expected = vec![0xce, 0, 0, 0, 24, 0x83, 0x00, 0xce, 0, 0, 0, 0];
        expected.extend([
            0x01, 0xcf, 0, 0, 0, 0, 0, 0, 1, 2, 0x05, 0xce, 0, 0, 0, 7, 0x80,
        ]);
        assert_eq!(out, expected);
    }

    #[test]
    fn a_push_has_the_header_of_a_reply_and_is_no_error() {
        let mut out = Vec::new();
        HEAD.write_push(&mut out, &[0x81, 0x30, 0x91, 7]);
        assert_eq!(out[CODE_AT..CODE_AT + 4], [0, 0, 0, 0x80]);
        assert_eq!(out[HEADER_SIZE..], [0x81, 0x30, 0x91, 7]);
        assert_eq!(out[4] as usize, out.len() - PREFIX_SIZE);
        assert_eq!(error_code(&out), None);
    }

    #[test]
    fn a_failing_body_is_replaced_by_the_error() {
        let mut out = vec![0xaa];
        let result: Result<(), Error> = HEAD.write(&mut out, |out| {
            out.extend_from_slice(&[1, 2, 3]);
            Err(Error::wal_io())
        });
        assert_eq!(result.unwrap_err().code(), ErrorCode::WAL_IO);
        assert_eq!(out[0], 0xaa);
        assert_eq!(out[1 + CODE_AT..1 + CODE_AT + 4], [0, 0, 0x80, 40]);
        assert_eq!(out[1 + SYNC_AT..1 + SYNC_AT + 8], [255; 8]);
        let length = u32::from_be_bytes(out[2..6].try_into().unwrap()) as usize;
        assert_eq!(out.len(), 1 + 5 + length);
    }

    #[test]
    fn an_event_has_two_header_keys_and_maybe_a_value() {
        let mut out = Vec::new();
        write_event(&mut out, 5, "box.id", None);
        assert_eq!(out[5..10], [0x82, 0x00, 76, 0x01, 5]);
        assert_eq!(out[10..12], [0x81, 0x57]);
        out.clear();
        write_event(&mut out, 5, "box.id", Some(&[0xc3]));
        assert_eq!(out[10], 0x82);
        assert_eq!(out.last(), Some(&0xc3));
    }

    #[test]
    fn call_16_wraps_what_is_no_array() {
        let mut out = vec![0xaa, 0x81, 0x30, 0x92, 0x07, 0x91, 0x08];
        wrap_results(&mut out, 1);
        assert_eq!(out, [0xaa, 0x81, 0x30, 0x92, 0x91, 0x07, 0x91, 0x08]);
        let mut other = vec![0x80];
        wrap_results(&mut other, 0);
        assert_eq!(other, [0x80]);
    }

    #[test]
    fn structs_are_written_as_maps_of_their_fields() {
        #[derive(Serialize)]
        struct Point {
            x: u8,
        }
        let mut out = Vec::new();
        write_value(&mut out, &Point { x: 1 }).unwrap();
        assert_eq!(out, [0x81, 0x30, 0x91, 0x81, 0xa1, b'x', 1]);
    }
}
