//! The header of a request, as clients write it, and the length before it.

use crate::frame::PREFIX_SIZE;
use crate::keys;
use crate::msgpack::{write_map_len, write_uint};
use crate::request::Body;

/// Where a request has the four bytes of a sync that fits 32 bits:
/// `ce length(4) 82 00 type 01 ce sync(4)`.
pub const SYNC_AT: usize = 10;

/// What stands around the body of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestHeader {
    /// Told again by every reply to the request, and by every event of a WATCH.
    pub sync: u64,
    /// The stream, whose requests run in order and share a transaction; 0 for none.
    pub stream_id: u64,
    /// The version of the catalog that the request was made for; 0 for any.
    pub schema_version: u64,
}

impl RequestHeader {
    /// A header for a request without stream, whatever the version of the catalog.
    #[must_use]
    pub const fn with_sync(sync: u64) -> Self {
        Self {
            sync,
            stream_id: 0,
            schema_version: 0,
        }
    }

    /// Appends a whole request.
    pub fn write(self, out: &mut Vec<u8>, body: &Body<'_>) {
        let request_type = body.request_type() as u64;
        self.write_with(out, request_type, |out| body.write(out));
    }

    /// Appends a whole request of any type, its body written by `body`: for what a [`Body`] cannot
    /// hold.
    ///
    /// A body beyond 4 GiB cannot be framed; the length then saturates. No server accepts half of
    /// that.
    pub fn write_with(self, out: &mut Vec<u8>, request_type: u64, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.begin(out, request_type);
        body(out);
        frame(out, start, 0);
    }

    /// Appends what stands before a body of this size, which comes next or is sent from elsewhere.
    #[inline]
    pub fn write_before(self, out: &mut Vec<u8>, request_type: u64, body: usize) {
        match self.usual_code(request_type) {
            Some(code) => self.write_usual(out, code, body),
            None => {
                let start = self.begin_any(out, request_type);
                frame(out, start, body);
            }
        }
    }

    /// Appends room for the length, and the header; returns where that is.
    #[inline]
    fn begin(self, out: &mut Vec<u8>, request_type: u64) -> usize {
        let start = out.len();
        match self.usual_code(request_type) {
            Some(code) => self.write_usual(out, code, 0),
            None => return self.begin_any(out, request_type),
        }
        start
    }

    /// The type, if the header tells that and its sync and nothing else, as most do.
    #[inline]
    fn usual_code(self, request_type: u64) -> Option<u8> {
        let is_usual = self.stream_id == 0 && self.schema_version == 0;
        let code = u8::try_from(request_type).ok();
        code.filter(|code| is_usual && *code <= 0x7f)
    }

    /// The length of such a request, whose body has this size, and its header: in one piece.
    #[inline]
    fn write_usual(self, out: &mut Vec<u8>, code: u8, body: usize) {
        let length = |head: usize| {
            let length = u32::try_from(head - PREFIX_SIZE + body).unwrap_or(u32::MAX);
            length.to_be_bytes()
        };
        // Whole arrays: pieces of one whose size is known only then are copied by a call.
        match u32::try_from(self.sync) {
            Ok(sync) => {
                let ([a, b, c, d], [e, f, g, h]) = (length(SYNC_AT + 4), sync.to_be_bytes());
                out.extend_from_slice(&[
                    0xce, a, b, c, d, 0x82, 0x00, code, 0x01, 0xce, e, f, g, h,
                ]);
            }
            Err(_) => {
                let [a, b, c, d] = length(SYNC_AT + 8);
                let [e, f, g, h, i, j, k, l] = self.sync.to_be_bytes();
                out.extend_from_slice(&[
                    0xce, a, b, c, d, 0x82, 0x00, code, 0x01, 0xcf, e, f, g, h, i, j, k, l,
                ]);
            }
        }
    }

    fn begin_any(self, out: &mut Vec<u8>, request_type: u64) -> usize {
        let start = out.len();
        out.extend_from_slice(&[0xce, 0, 0, 0, 0]);
        let more = [
            (keys::SCHEMA_VERSION, self.schema_version),
            (keys::STREAM_ID, self.stream_id),
        ];
        let more = more.into_iter().filter(|(_, value)| *value != 0);
        write_map_len(out, 2 + more.clone().count() as u32);
        write_uint(out, keys::REQUEST_TYPE);
        write_uint(out, request_type);
        write_uint(out, keys::SYNC);
        write_wide(out, self.sync);
        for (key, value) in more {
            write_uint(out, key);
            write_uint(out, value);
        }
        start
    }
}

/// Sets the length of the request that starts at `start`, of which `more` bytes are elsewhere.
fn frame(out: &mut [u8], start: usize, more: usize) {
    let length = u32::try_from(out.len() - start - PREFIX_SIZE + more).unwrap_or(u32::MAX);
    out[start + 1..start + PREFIX_SIZE].copy_from_slice(&length.to_be_bytes());
}

/// A number in five bytes, or in nine if it needs them: so that it can be patched in place.
fn write_wide(out: &mut Vec<u8>, value: u64) {
    match u32::try_from(value) {
        Ok(value) => {
            out.push(0xce);
            out.extend_from_slice(&value.to_be_bytes());
        }
        Err(_) => {
            out.push(0xcf);
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_in_one_piece_is_the_one_that_is_written_key_by_key() {
        for sync in [0, 1, 0xffff_ffff, 0x1_0000_0000, u64::MAX] {
            for code in [0, 1, 64, 0x7f, 0x80, 255, 70_000] {
                let header = RequestHeader::with_sync(sync);
                let (mut own, mut by_key) = (vec![7], vec![7]);
                let starts = [
                    header.begin(&mut own, code),
                    header.begin_any(&mut by_key, code),
                ];
                frame(&mut own, 1, 0);
                frame(&mut by_key, 1, 0);
                assert_eq!((starts, &own), ([1, 1], &by_key), "{code}, {sync}");
                let mut before = vec![7];
                header.write_before(&mut before, code, 300);
                frame(&mut by_key, 1, 300);
                assert_eq!(before, by_key, "{code}, {sync}");
            }
        }
    }

    #[test]
    fn a_ping_has_fourteen_bytes() {
        let mut bytes = Vec::new();
        RequestHeader::with_sync(0x0102_0304).write(&mut bytes, &Body::Ping);
        assert_eq!(
            bytes,
            [0xce, 0, 0, 0, 9, 0x82, 0, 0x40, 1, 0xce, 1, 2, 3, 4]
        );
        assert_eq!(bytes[SYNC_AT..], [1, 2, 3, 4]);
    }
}
