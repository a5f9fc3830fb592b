//! A buffer that requests use one after the other, so that none of them allocates one.

use crate::limits::SCRATCH_KEPT_BYTES_MAX;

/// The buffer, while nobody uses it.
#[derive(Debug, Default)]
pub(super) struct Scratch(Vec<u8>);

impl Scratch {
    /// The buffer, empty. Until it is put back, others get one that is new.
    #[inline]
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }

    /// Keeps the buffer for the next request, unless it has become too large to be kept.
    #[inline]
    pub(super) fn put_back(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= SCRATCH_KEPT_BYTES_MAX {
            buffer.clear();
            self.0 = buffer;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_and_a_large_one_is_given_back() {
        let mut scratch = Scratch::default();
        let mut first = scratch.take();
        first.extend_from_slice(&[1; 100]);
        let place = first.as_ptr();
        scratch.put_back(first);
        let mut again = scratch.take();
        assert!(again.is_empty() && again.as_ptr() == place);
        again.reserve(SCRATCH_KEPT_BYTES_MAX + 1);
        scratch.put_back(again);
        assert_eq!(scratch.take().capacity(), 0);
    }
}
