//! Bodies that are written tuple by tuple, and where they go.

use std::io;
use std::sync::Arc;

use crate::keys;
use crate::msgpack::{write_str_bytes, write_uint};

/// What the body of a reply is appended to: one buffer, or many.
pub trait ReplySink: io::Write {
    /// Bytes so far.
    fn size(&self) -> usize;

    /// Appends bytes.
    fn append(&mut self, bytes: &[u8]);

    /// Appends bytes that others have too and that nobody changes: a sink may keep them as they
    /// are. This copies them.
    #[inline]
    fn append_shared(&mut self, bytes: &Arc<[u8]>) {
        self.append(bytes);
    }

    /// Overwrites bytes of the first [`SINK_HEAD_SIZE`] that were appended from some size on.
    fn overwrite(&mut self, at: usize, bytes: &[u8]);
}

/// Bytes at the beginning of a body that [`ReplySink::overwrite`] may be asked to change.
pub const SINK_HEAD_SIZE: usize = 64;

impl ReplySink for Vec<u8> {
    #[inline]
    fn size(&self) -> usize {
        self.len()
    }

    #[inline]
    fn append(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    #[inline]
    fn overwrite(&mut self, at: usize, bytes: &[u8]) {
        self[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// The body of a select-like reply, appended tuple by tuple, its count patched when it is finished
/// or dropped: a body is whole either way.
#[derive(Debug)]
pub struct Rows<'a, S: ReplySink = Vec<u8>> {
    out: &'a mut S,
    start: usize,
    count_at: usize,
    count: u32,
}

impl<'a, S: ReplySink> Rows<'a, S> {
    /// Starts the body.
    #[inline]
    pub fn begin(out: &'a mut S) -> Self {
        let start = out.size();
        out.append(&[0x81, keys::DATA as u8, 0xdd, 0, 0, 0, 0]);
        Self {
            out,
            start,
            count_at: start + 3,
            count: 0,
        }
    }

    /// Starts the body of a CALL whose one result is the list of the tuples.
    pub fn begin_result(out: &'a mut S) -> Self {
        let start = out.size();
        out.append(&[0x81, keys::DATA as u8, 0x91, 0xdd, 0, 0, 0, 0]);
        Self {
            out,
            start,
            count_at: start + 4,
            count: 0,
        }
    }

    /// Goes on with a body that was [begun](Self::begin) at `start`, and has `count` tuples.
    pub fn resume(out: &'a mut S, start: usize, count: u32) -> Self {
        Self {
            out,
            start,
            count_at: start + 3,
            count,
        }
    }

    /// Appends one tuple, a MessagePack array.
    #[inline]
    pub fn push(&mut self, tuple: &[u8]) {
        self.out.append(tuple);
        self.count += 1;
    }

    /// Appends one tuple, which the sink may keep in place of a copy.
    #[inline]
    pub fn push_shared(&mut self, tuple: &Arc<[u8]>) {
        self.out.append_shared(tuple);
        self.count += 1;
    }

    /// Tuples so far.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Bytes so far.
    #[must_use]
    pub fn size(&self) -> usize {
        self.out.size() - self.start
    }

    /// Ends the body, with the position of the last tuple if it was asked for.
    #[inline]
    pub fn finish(self, position: Option<&[u8]>) {
        if let Some(position) = position {
            self.out.overwrite(self.start, &[0x82]);
            let mut end = Vec::with_capacity(position.len() + 8);
            write_uint(&mut end, keys::POSITION);
            write_str_bytes(&mut end, position);
            self.out.append(&end);
        }
    }
}

impl<S: ReplySink> Drop for Rows<'_, S> {
    #[inline]
    fn drop(&mut self) {
        self.out.overwrite(self.count_at, &self.count.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msgpack::Reader;

    #[test]
    fn rows_that_nobody_finishes_are_all_there() {
        let (mut out, mut finished) = (Vec::new(), Vec::new());
        Rows::begin(&mut out).push(&[0x91, 1]);
        let mut rows = Rows::begin(&mut finished);
        rows.push(&[0x91, 1]);
        rows.finish(None);
        assert_eq!(out, finished);
    }

    #[test]
    fn rows_that_others_have_are_copied_by_who_knows_nothing_better() {
        let (mut out, mut shared) = (Vec::new(), Vec::new());
        Rows::begin(&mut out).push(&[0x91, 1]);
        Rows::begin(&mut shared).push_shared(&Arc::from([0x91, 1]));
        assert_eq!(out, shared);
    }

    #[test]
    fn rows_are_counted_and_carry_a_position_if_asked() {
        let mut out = Vec::new();
        let mut rows = Rows::begin(&mut out);
        rows.push(&[0x91, 1]);
        rows.push(&[0x91, 2]);
        rows.finish(Some(b"pos"));
        let mut reader = Reader::new(&out);
        assert_eq!(reader.read_map_len(), Ok(2));
        assert_eq!(reader.read_uint(), Ok(keys::DATA));
        assert_eq!(reader.read_array_len(), Ok(2));
        reader.skip().unwrap();
        reader.skip().unwrap();
        assert_eq!(reader.read_uint(), Ok(keys::POSITION));
        assert_eq!(reader.read_str(), Ok("pos"));
    }
}
