//! The body of a reply, as it is written.
//!
//! ```text
//!   up to 64 KiB:  out [ …other replies… | frame's head | body ]
//!   beyond it:     large [ frame's head | body ][ body ][ body ]     in segments
//!                        [ frame's head ][ a large row ][ body ]     the row is not copied
//! ```
//!
//! Small replies stand one behind the other in one buffer. What becomes larger than a segment is
//! moved into segments, once, and goes on there: no buffer grows to the size of a large reply.

use std::io;
use std::sync::Arc;

use vestibule_wire::reply::ReplySink;

use crate::limits::SEGMENT_SIZE;
use crate::segments::{Chain, Segments};

/// A frame that has outgrown its buffer, or none.
#[derive(Debug, Default)]
pub(crate) struct LargeFrame {
    pub(crate) bytes: Chain,
    /// Nobody reads it: it is counted, and not kept.
    pub(crate) is_discarded: bool,
    /// Bytes that were not kept.
    discarded: usize,
}

impl LargeFrame {
    fn has_begun(&self) -> bool {
        self.discarded > 0 || !self.bytes.is_empty()
    }

    /// Forgets what there is; the next one is kept.
    pub(crate) fn clear(&mut self) {
        if self.has_begun() || self.is_discarded {
            *self = Self::default();
        }
    }
}

/// The body of a reply: bytes are appended to it, with [`io::Write`] too.
#[derive(Debug)]
pub struct ReplyBody<'a> {
    out: &'a mut Vec<u8>,
    /// Where the frame starts in `out`.
    start: usize,
    /// Bytes of the frame before the body.
    head: usize,
    /// `out` may become so long; nothing is written there any more if this is 0.
    out_max: usize,
    /// Where what is larger goes; `None` if that is the same.
    large: Option<(&'a mut LargeFrame, &'a Arc<Segments>)>,
}

impl<'a> ReplyBody<'a> {
    /// The body of a frame whose first `head` bytes stand in `out` from `start` on, or in `large`
    /// if it has outgrown `out`.
    #[inline]
    pub(crate) fn framed(
        out: &'a mut Vec<u8>,
        start: usize,
        head: usize,
        large: &'a mut LargeFrame,
        pool: &'a Arc<Segments>,
    ) -> Self {
        let has_begun = large.has_begun();
        Self {
            out,
            start,
            head,
            out_max: if has_begun { 0 } else { start + SEGMENT_SIZE },
            large: Some((large, pool)),
        }
    }

    /// A body that begins with the end of `out` and stays there, whatever its size.
    #[inline]
    pub(crate) fn contiguous(out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        Self::contiguous_from(out, start)
    }

    /// A body that is all of `out`, whatever its size: for the tests of an engine.
    #[must_use]
    pub fn in_buffer(out: &'a mut Vec<u8>) -> Self {
        Self::contiguous_from(out, 0)
    }

    #[inline]
    fn contiguous_from(out: &'a mut Vec<u8>, start: usize) -> Self {
        Self {
            out,
            start,
            head: 0,
            out_max: usize::MAX,
            large: None,
        }
    }

    /// The same body, for somebody who wants one of his own; [`note_lent`](Self::note_lent) goes
    /// after it.
    pub(super) fn lend(&mut self) -> ReplyBody<'_> {
        let large = self.large.as_mut();
        ReplyBody {
            out: self.out,
            large: large.map(|(large, pool)| (&mut **large, *pool)),
            ..*self
        }
    }

    /// What was written meanwhile may have outgrown the buffer.
    pub(super) fn note_lent(&mut self) {
        if let Some((large, _)) = &self.large
            && large.has_begun()
        {
            self.out_max = 0;
        }
    }

    /// Bytes so far.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        let size = match &self.large {
            Some((large, _)) if self.out_max == 0 => large.bytes.len() + large.discarded,
            _ => self.out.len() - self.start,
        };
        size - self.head
    }

    /// Whether nothing was written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends bytes.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        if self.out.len() + bytes.len() <= self.out_max {
            self.out.extend_from_slice(bytes);
        } else {
            self.extend_large(bytes);
        }
    }

    /// Appends a byte.
    #[inline]
    pub fn push(&mut self, byte: u8) {
        self.extend_from_slice(&[byte]);
    }

    /// Drops everything that was written.
    pub fn clear(&mut self) {
        match &mut self.large {
            Some((large, pool)) if self.out_max == 0 => {
                large.discarded = large.discarded.min(self.head);
                large.bytes.cut_to_head(self.head, pool);
            }
            _ => self.out.truncate(self.start + self.head),
        }
    }

    /// Appends bytes that others have too and that nobody changes. They are kept in place of a copy
    /// if they fill a segment: the connection pays for all of them until the last is sent.
    #[inline]
    pub fn extend_shared(&mut self, bytes: &Arc<[u8]>) {
        if bytes.len() < SEGMENT_SIZE || self.large.is_none() {
            self.extend_from_slice(bytes);
        } else {
            self.add_large(bytes.len(), |large, pool| large.push_shared(pool, bytes));
        }
    }

    #[cold]
    #[inline(never)]
    fn extend_large(&mut self, bytes: &[u8]) {
        self.add_large(bytes.len(), |large, pool| large.push(pool, bytes));
    }

    /// Has this many bytes added to what has outgrown the buffer, or outgrows it by them.
    fn add_large(&mut self, size: usize, add: impl FnOnce(&mut Chain, &Arc<Segments>)) {
        let Some((large, pool)) = &mut self.large else {
            return;
        };
        if self.out_max > 0 {
            self.out_max = 0;
            if large.is_discarded {
                large.discarded = self.out.len() - self.start;
                self.out.truncate(self.start + self.head);
            } else {
                large.bytes.push(pool, &self.out[self.start..]);
                self.out.truncate(self.start);
            }
        }
        if large.is_discarded {
            large.discarded += size;
        } else {
            add(&mut large.bytes, pool);
        }
    }
}

impl io::Write for ReplyBody<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ReplySink for ReplyBody<'_> {
    #[inline]
    fn size(&self) -> usize {
        self.len()
    }

    #[inline]
    fn append(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    #[inline]
    fn append_shared(&mut self, bytes: &Arc<[u8]>) {
        self.extend_shared(bytes);
    }

    #[inline]
    fn overwrite(&mut self, at: usize, bytes: &[u8]) {
        let at = self.head + at;
        match &mut self.large {
            Some((large, _)) if self.out_max == 0 => large.bytes.patch(at, bytes),
            _ => self.out.overwrite(self.start + at, bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use vestibule_wire::reply::Rows;

    use super::*;

    const HEAD: &[u8] = b"head";

    /// Rows of these sizes, into a frame behind another one; what came of it.
    fn frame(sizes: &[usize], is_discarded: bool) -> (Vec<u8>, LargeFrame, usize) {
        let pool = Arc::new(Segments::default());
        let mut out = b"other".to_vec();
        out.extend_from_slice(HEAD);
        let mut large = LargeFrame {
            is_discarded,
            ..LargeFrame::default()
        };
        let mut body = ReplyBody::framed(&mut out, 5, HEAD.len(), &mut large, &pool);
        let mut rows = Rows::begin(&mut body);
        sizes.iter().for_each(|size| rows.push(&vec![7; *size]));
        let size = rows.size();
        rows.finish(Some(b"pos"));
        assert!(body.len() > size);
        (out, large, size)
    }

    fn expected(sizes: &[usize]) -> Vec<u8> {
        let mut body = Vec::new();
        let mut rows = Rows::begin(&mut body);
        sizes.iter().for_each(|size| rows.push(&vec![7; *size]));
        rows.finish(Some(b"pos"));
        [HEAD, &body].concat()
    }

    #[test]
    fn a_small_body_stands_behind_those_before_it() {
        let (out, large, size) = frame(&[10, 20], false);
        assert_eq!(out, [b"other", &expected(&[10, 20])[..]].concat());
        assert!(large.bytes.is_empty());
        assert_eq!(size, 7 + 30);
    }

    #[test]
    fn a_large_body_moves_into_segments_with_its_head_and_is_finished_there() {
        for sizes in [
            &[SEGMENT_SIZE][..],
            &[50_000, 50_000],
            &[3, 5 * SEGMENT_SIZE, 1],
        ] {
            let (out, large, size) = frame(sizes, false);
            assert_eq!(out, b"other");
            assert_eq!(size, 7 + sizes.iter().sum::<usize>());
            assert!(large.bytes.allocated() < size + 2 * SEGMENT_SIZE);
            assert_eq!(large.bytes.content(), expected(sizes));
        }
    }

    #[test]
    fn rows_that_fill_a_segment_are_not_copied_and_read_as_if_they_were() {
        for sizes in [
            &[SEGMENT_SIZE][..],
            &[SEGMENT_SIZE - 1],
            &[3, 5 * SEGMENT_SIZE, 1],
            &[50_000, 20_000, SEGMENT_SIZE, 70_000, 5, 6, 80_000],
        ] {
            let rows: Vec<Arc<[u8]>> = sizes.iter().map(|size| vec![7; *size].into()).collect();
            for is_discarded in [false, true] {
                let pool = Arc::new(Segments::default());
                let mut out = HEAD.to_vec();
                let mut large = LargeFrame {
                    is_discarded,
                    ..LargeFrame::default()
                };
                let mut body = ReplyBody::framed(&mut out, 0, HEAD.len(), &mut large, &pool);
                let mut told = Rows::begin(&mut body);
                rows.iter().for_each(|row| told.push_shared(row));
                told.finish(Some(b"pos"));
                assert_eq!(HEAD.len() + body.len(), expected(sizes).len());
                let shared: usize = sizes.iter().filter(|size| **size >= SEGMENT_SIZE).sum();
                let kept = rows.iter().map(|row| Arc::strong_count(row) - 1);
                let kept: usize = kept.zip(sizes).map(|(count, size)| count * size).sum();
                if is_discarded {
                    assert_eq!((kept, pool.used(), &*out), (0, 0, HEAD));
                    continue;
                }
                assert_eq!(kept, shared, "{sizes:?}");
                let segments = sizes.iter().sum::<usize>() - shared + 64 + 4 * SEGMENT_SIZE;
                assert!(pool.used() <= shared + segments);
                assert!([&out[..], &large.bytes.content()].concat() == expected(sizes));
            }
        }
    }

    #[test]
    fn rows_that_nobody_finishes_are_all_sent() {
        let pool = Arc::new(Segments::default());
        for size in [10, 3 * SEGMENT_SIZE] {
            let write = |body: &mut ReplyBody<'_>, is_finished: bool| {
                let mut rows = Rows::begin(body);
                rows.push(&[0x91, 1]);
                rows.push(&vec![7; size]);
                if is_finished {
                    rows.finish(None);
                }
            };
            let bytes = [true, false].map(|is_finished| {
                let (mut out, mut large) = (HEAD.to_vec(), LargeFrame::default());
                let mut body = ReplyBody::framed(&mut out, 0, HEAD.len(), &mut large, &pool);
                write(&mut body, is_finished);
                [out, large.bytes.content()].concat()
            });
            assert_eq!(bytes[0], bytes[1]);
            let count = bytes[1][HEAD.len() + 3..HEAD.len() + 7].to_vec();
            assert_eq!(count, [0, 0, 0, 2]);
        }
    }

    #[test]
    fn what_nobody_reads_is_counted_and_not_kept() {
        let (out, large, size) = frame(&[50_000, 5_000_000], true);
        assert_eq!(out, [b"other", HEAD].concat());
        assert_eq!(large.bytes.allocated(), 0);
        assert_eq!(size, 7 + 5_050_000);
    }

    #[test]
    fn a_body_is_written_again_from_its_beginning() {
        let pool = Arc::new(Segments::default());
        for size in [10, 3 * SEGMENT_SIZE] {
            let mut out = HEAD.to_vec();
            let mut large = LargeFrame::default();
            let mut body = ReplyBody::framed(&mut out, 0, HEAD.len(), &mut large, &pool);
            body.extend_from_slice(&vec![1; size]);
            assert_eq!(body.len(), size);
            body.clear();
            assert!(body.is_empty());
            body.write_all(b"again").expect("memory takes everything");
            assert_eq!(body.len(), 5);
            let bytes = [out, large.bytes.content()].concat();
            assert_eq!(bytes, b"headagain");
        }
    }
}
