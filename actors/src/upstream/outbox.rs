//! Bytes that a link has for its socket. Large bodies are not copied; small ones are, for each part
//! is written by a call of its own.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::limits::{BUFFER_KEEP_MAX, LINK_COPY_MAX, LINK_PART_MAX};

/// What is to be written, in order. Invariant: no part is empty or written whole, but for the last
/// one, which is kept for what comes.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    parts: VecDeque<OutboxPart>,
    len: usize,
    /// What is written, of all that there ever was.
    written: u64,
}

#[derive(Debug)]
struct OutboxPart {
    bytes: PartBytes,
    /// What is written of them.
    at: usize,
}

#[derive(Debug)]
enum PartBytes {
    /// More may be appended.
    Open(Vec<u8>),
    Whole(Bytes),
}

impl OutboxPart {
    fn bytes(&self) -> &[u8] {
        match &self.bytes {
            PartBytes::Open(bytes) => bytes,
            PartBytes::Whole(bytes) => bytes,
        }
    }
}

impl Outbox {
    /// Bytes that are not written.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes are written, of all that there ever were.
    #[inline]
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// How many will be when all that there is by now is written.
    pub(crate) fn end(&self) -> u64 {
        self.written + self.len as u64
    }

    /// Appends what `write` appends.
    #[inline]
    pub(crate) fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        // What is written is given back by the part: one that grew for good would keep it all.
        let is_open = |last: &OutboxPart| match &last.bytes {
            PartBytes::Open(bytes) => bytes.len() < LINK_PART_MAX,
            PartBytes::Whole(_) => false,
        };
        if !self.parts.back().is_some_and(is_open) {
            let bytes = PartBytes::Open(Vec::new());
            self.parts.push_back(OutboxPart { bytes, at: 0 });
        }
        if let Some(OutboxPart {
            bytes: PartBytes::Open(last),
            ..
        }) = self.parts.back_mut()
        {
            let before = last.len();
            write(last);
            self.len += last.len() - before;
        }
    }

    /// Adds a buffer's bytes.
    pub(crate) fn push_buffer(&mut self, bytes: Bytes) {
        if bytes.len() <= LINK_COPY_MAX {
            self.append(|out| out.extend_from_slice(&bytes));
        } else {
            let is_written = |last: &OutboxPart| last.at == last.bytes().len();
            if self.parts.back().is_some_and(is_written) {
                self.parts.pop_back();
            }
            self.len += bytes.len();
            let bytes = PartBytes::Whole(bytes);
            self.parts.push_back(OutboxPart { bytes, at: 0 });
        }
    }

    /// What is to be written next; empty if nothing is.
    pub(crate) fn front(&self) -> &[u8] {
        self.parts
            .front()
            .map_or(&[], |first| &first.bytes()[first.at..])
    }

    /// This number of bytes of [`front`](Self::front) is written.
    pub(crate) fn wrote(&mut self, count: usize) {
        let is_last = self.parts.len() == 1;
        let Some(first) = self.parts.front_mut() else {
            return;
        };
        first.at += count;
        self.len -= count;
        self.written += count as u64;
        if first.at < first.bytes().len() {
            return;
        }
        match &mut first.bytes {
            PartBytes::Open(bytes) if is_last && bytes.capacity() <= BUFFER_KEEP_MAX => {
                bytes.clear();
                first.at = 0;
            }
            _ => drop(self.parts.pop_front()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Append(Vec<u8>),
        Push(Vec<u8>),
        Write(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..9);
        let large =
            (any::<u8>(), 1..9usize).prop_map(|(byte, more)| vec![byte; LINK_COPY_MAX + more]);
        let step = prop_oneof![
            bytes().prop_map(Step::Append),
            bytes().prop_map(Step::Push),
            large.prop_map(Step::Push),
            (0..9usize).prop_map(Step::Write),
            (0..2 * LINK_COPY_MAX).prop_map(Step::Write),
        ];
        prop::collection::vec(step, 0..40)
    }

    /// Bytes that parts hold, written or not.
    fn held(own: &Outbox) -> usize {
        own.parts.iter().map(|part| part.bytes().len()).sum()
    }

    #[test]
    fn what_is_written_is_not_kept_while_more_comes_than_is_written() {
        let body = Bytes::from(vec![7; LINK_COPY_MAX / 2]);
        let mut own = Outbox::default();
        (0..4).for_each(|_| own.push_buffer(body.clone()));
        for _ in 0..1000 {
            own.push_buffer(body.clone());
            let mut left = body.len();
            while left > 0 {
                let count = own.front().len().min(left);
                own.wrote(count);
                left -= count;
            }
            assert_eq!(own.len(), 4 * body.len());
            assert!(held(&own) <= own.len() + LINK_PART_MAX + LINK_COPY_MAX);
        }
    }

    proptest! {
        #[test]
        fn bytes_leave_in_the_order_in_which_they_came(steps in steps()) {
            let (mut own, mut came, mut left) = (Outbox::default(), Vec::new(), Vec::new());
            for step in steps {
                match step {
                    Step::Append(bytes) => {
                        came.extend_from_slice(&bytes);
                        own.append(|out| out.extend_from_slice(&bytes));
                    }
                    Step::Push(bytes) => {
                        came.extend_from_slice(&bytes);
                        own.push_buffer(bytes.into());
                    }
                    Step::Write(most) => {
                        let count = most.min(own.front().len());
                        left.extend_from_slice(&own.front()[..count]);
                        own.wrote(count);
                    }
                }
                prop_assert_eq!(own.written(), left.len() as u64);
                prop_assert_eq!(own.end(), came.len() as u64);
                prop_assert_eq!(own.len(), came.len() - left.len());
                prop_assert_eq!(own.is_empty(), own.front().is_empty());
            }
            while !own.is_empty() {
                left.extend_from_slice(own.front());
                own.wrote(own.front().len());
            }
            prop_assert_eq!(came, left);
        }
    }

    /// As many writes as it takes, if the socket takes everything.
    fn written(own: &mut Outbox) -> Vec<usize> {
        let mut sizes = Vec::new();
        while !own.is_empty() {
            sizes.push(own.front().len());
            own.wrote(own.front().len());
        }
        sizes
    }

    #[test]
    fn small_buffers_leave_with_what_is_before_and_behind_them_and_large_ones_are_not_copied() {
        let mut own = Outbox::default();
        for _ in 0..100 {
            own.append(|out| out.extend_from_slice(b"head"));
            own.push_buffer(Bytes::from_static(b"body"));
        }
        assert_eq!(written(&mut own), [800]);
        let large = Bytes::from(vec![0; LINK_COPY_MAX + 1]);
        own.append(|out| out.extend_from_slice(b"head"));
        own.push_buffer(large.clone());
        own.push_buffer(Bytes::from_static(b"body"));
        own.wrote(4);
        assert_eq!(own.front().as_ptr(), large.as_ptr());
        assert_eq!(written(&mut own), [large.len(), 4]);
    }
}
