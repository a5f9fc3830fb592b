//! Bytes that a link has for its socket. Large bodies are not copied.

use std::collections::VecDeque;

use crate::limits::BUFFER_KEEP_MAX;

/// What is to be written, in order. Invariant: no part is empty or written whole, but for the last
/// one, which is kept for what comes.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    parts: VecDeque<OutboxPart>,
    len: usize,
}

#[derive(Debug)]
struct OutboxPart {
    bytes: Vec<u8>,
    /// What is written of them, or none of ours.
    at: usize,
    is_open: bool,
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

    /// Appends what `write` appends.
    #[inline]
    pub(crate) fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.parts.back().is_some_and(|last| last.is_open) {
            self.parts.push_back(OutboxPart {
                bytes: Vec::new(),
                at: 0,
                is_open: true,
            });
        }
        if let Some(last) = self.parts.back_mut() {
            let before = last.bytes.len();
            write(&mut last.bytes);
            self.len += last.bytes.len() - before;
        }
    }

    /// Adds a buffer's bytes from `at` on.
    pub(crate) fn push_buffer(&mut self, bytes: Vec<u8>, at: usize) {
        if at < bytes.len() {
            if self
                .parts
                .back()
                .is_some_and(|last| last.at == last.bytes.len())
            {
                self.parts.pop_back();
            }
            self.len += bytes.len() - at;
            let is_open = false;
            self.parts.push_back(OutboxPart { bytes, at, is_open });
        }
    }

    /// What is to be written next; empty if nothing is.
    pub(crate) fn front(&self) -> &[u8] {
        self.parts
            .front()
            .map_or(&[], |first| &first.bytes[first.at..])
    }

    /// This number of bytes of [`front`](Self::front) is written. Returns a buffer that is not
    /// needed any more.
    pub(crate) fn wrote(&mut self, count: usize) -> Option<Vec<u8>> {
        let is_last = self.parts.len() == 1;
        let first = self.parts.front_mut()?;
        first.at += count;
        self.len -= count;
        if first.at < first.bytes.len() {
            return None;
        }
        if is_last && first.is_open && first.bytes.capacity() <= BUFFER_KEEP_MAX {
            first.bytes.clear();
            first.at = 0;
            return None;
        }
        self.parts.pop_front().map(|part| part.bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Append(Vec<u8>),
        Push(Vec<u8>, usize),
        Write(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..9);
        let step = prop_oneof![
            bytes().prop_map(Step::Append),
            (bytes(), 0..9usize).prop_map(|(own, at)| Step::Push(own, at)),
            (0..9usize).prop_map(Step::Write),
        ];
        prop::collection::vec(step, 0..40)
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
                    Step::Push(bytes, at) => {
                        came.extend_from_slice(bytes.get(at..).unwrap_or_default());
                        own.push_buffer(bytes, at);
                    }
                    Step::Write(most) => {
                        let count = most.min(own.front().len());
                        left.extend_from_slice(&own.front()[..count]);
                        own.wrote(count);
                    }
                }
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
}
