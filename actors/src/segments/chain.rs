//! Bytes in a chain of segments.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use vestibule_wire::groups::chunk::Head;

use super::pool::{Segment, Segments};
use crate::limits::SEGMENT_SIZE;

/// Bytes that are added at the end and taken from the front, whole segments of them at a time.
///
/// Invariant: no part is empty, and `len` and `held` are the sums of the parts'.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    parts: VecDeque<ChainPart>,
    /// Bytes that are not taken.
    len: usize,
    /// Memory of segments that is counted here.
    segments: usize,
    /// Memory of buffers.
    buffers: usize,
}

#[derive(Debug)]
struct ChainPart {
    storage: PartStorage,
    /// Where what is not taken begins and ends.
    start: usize,
    end: usize,
}

#[derive(Debug)]
enum PartStorage {
    /// Shared by the chains that one was split into; counted by that of its end.
    Segment {
        own: Arc<Segment>,
        is_counted: bool,
    },
    Buffer(Vec<u8>),
    Head(Head),
}

impl ChainPart {
    fn len(&self) -> usize {
        self.end - self.start
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        let bytes = match &self.storage {
            PartStorage::Segment { own, .. } => own.bytes(),
            PartStorage::Buffer(own) => own,
            PartStorage::Head(own) => own.as_bytes(),
        };
        &bytes[self.start..self.end]
    }

    /// Memory of segments and of buffers that it counts.
    fn held(&self) -> (usize, usize) {
        match &self.storage {
            PartStorage::Segment { is_counted, .. } => (usize::from(*is_counted) * SEGMENT_SIZE, 0),
            PartStorage::Buffer(own) => (0, own.capacity()),
            PartStorage::Head(_) => (0, 0),
        }
    }

    /// Adds as much as there is room for in a segment that nobody else has; returns how much.
    fn fill(&mut self, bytes: &[u8]) -> usize {
        let PartStorage::Segment { own, .. } = &mut self.storage else {
            return 0;
        };
        let filled = Arc::get_mut(own).map_or(0, |own| own.fill(bytes));
        self.end += filled;
        filled
    }
}

impl Chain {
    /// What a chain of one buffer takes beside that and itself.
    pub(crate) const OF_BUFFER: usize = size_of::<ChainPart>();

    /// A chain of one buffer.
    pub(crate) fn of_buffer(buffer: Vec<u8>) -> Self {
        let mut chain = Self {
            parts: VecDeque::with_capacity(1),
            ..Self::default()
        };
        chain.push_buffer(buffer);
        chain
    }

    /// Bytes that are not taken.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Memory that it takes, in bytes.
    #[inline]
    pub(crate) fn allocated(&self) -> usize {
        self.segments + self.buffers
    }

    /// The same, as far as it is in buffers.
    #[inline]
    pub(crate) fn buffers(&self) -> usize {
        self.buffers
    }

    /// All of it, if that stands in one place.
    pub(crate) fn single(&self) -> Option<&[u8]> {
        match self.parts.front() {
            Some(first) if self.parts.len() == 1 => Some(first.bytes()),
            _ => None,
        }
    }

    /// Adds bytes, in segments of this pool.
    pub(crate) fn push(&mut self, pool: &Arc<Segments>, mut bytes: &[u8]) {
        if let Some(last) = self.parts.back_mut() {
            let filled = last.fill(bytes);
            self.len += filled;
            bytes = &bytes[filled..];
        }
        while !bytes.is_empty() {
            let mut segment = pool.take();
            let end = segment.fill(bytes);
            bytes = &bytes[end..];
            let (own, is_counted) = (Arc::new(segment), true);
            self.push_part(PartStorage::Segment { own, is_counted }, end);
        }
    }

    /// Adds the head of a chunk.
    pub(crate) fn push_head(&mut self, head: Head) {
        let size = head.as_bytes().len();
        if size > 0 {
            self.push_part(PartStorage::Head(head), size);
        }
    }

    /// Adds a buffer's bytes.
    pub(crate) fn push_buffer(&mut self, buffer: Vec<u8>) {
        let size = buffer.len();
        if size > 0 {
            self.push_part(PartStorage::Buffer(buffer), size);
        }
    }

    /// Adds bytes to a chain of one buffer, if it stays below `max` bytes.
    pub(crate) fn extend_buffer(&mut self, bytes: &[u8], max: usize) -> bool {
        if self.len + bytes.len() > max || self.parts.len() != 1 {
            return false;
        }
        let Some(ChainPart {
            storage: PartStorage::Buffer(own),
            end,
            ..
        }) = self.parts.back_mut()
        else {
            return false;
        };
        own.extend_from_slice(bytes);
        *end += bytes.len();
        self.len += bytes.len();
        self.buffers = own.capacity();
        true
    }

    fn push_part(&mut self, storage: PartStorage, end: usize) {
        let part = ChainPart {
            storage,
            start: 0,
            end,
        };
        self.append_part(part);
    }

    fn append_part(&mut self, part: ChainPart) {
        self.len += part.len();
        let (segments, buffers) = part.held();
        self.segments += segments;
        self.buffers += buffers;
        self.parts.push_back(part);
    }

    /// Takes the first part.
    fn pop(&mut self) -> Option<ChainPart> {
        let part = self.parts.pop_front()?;
        self.len -= part.len();
        let (segments, buffers) = part.held();
        self.segments -= segments;
        self.buffers -= buffers;
        Some(part)
    }

    /// Adds another chain, whose segments become those of this one.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.len += other.len;
        self.segments += other.segments;
        self.buffers += other.buffers;
        self.parts.append(&mut other.parts);
    }

    /// Takes the first `size` bytes, at most all, without copying any that are in segments.
    pub(crate) fn split_to(&mut self, size: usize) -> Self {
        let mut front = Self::default();
        self.move_to(&mut front, size);
        front
    }

    /// The same to the end of another chain.
    pub(crate) fn move_to(&mut self, front: &mut Self, mut size: usize) {
        if size >= self.len {
            return front.append(std::mem::take(self));
        }
        while size > 0 {
            let Some(first) = self.parts.front_mut() else {
                break;
            };
            if size >= first.len() {
                size -= first.len();
                if let Some(part) = self.pop() {
                    front.append_part(part);
                }
                continue;
            }
            match &first.storage {
                PartStorage::Segment { own, .. } => {
                    let (own, is_counted) = (own.clone(), false);
                    let storage = PartStorage::Segment { own, is_counted };
                    let (start, end) = (first.start, first.start + size);
                    front.append_part(ChainPart {
                        storage,
                        start,
                        end,
                    });
                }
                PartStorage::Buffer(_) | PartStorage::Head(_) => {
                    front.push_buffer(first.bytes()[..size].to_vec());
                }
            }
            first.start += size;
            self.len -= size;
            break;
        }
    }

    /// Overwrites bytes near the front, of which nothing was taken: they lie in the first segment.
    pub(crate) fn patch(&mut self, at: usize, bytes: &[u8]) {
        if let Some(ChainPart {
            storage: PartStorage::Segment { own, .. },
            ..
        }) = self.parts.front_mut()
            && let Some(first) = Arc::get_mut(own)
        {
            first.bytes_mut()[at..at + bytes.len()].copy_from_slice(bytes);
        }
    }

    /// Drops all but the first `len` bytes, which lie in the first segment, and of which nothing
    /// was taken.
    pub(crate) fn cut_to_head(&mut self, len: usize, pool: &Arc<Segments>) {
        let head = self.parts.front().map_or(Vec::new(), |first| {
            let bytes = first.bytes();
            bytes[..len.min(bytes.len())].to_vec()
        });
        *self = Self::default();
        self.push(pool, &head);
    }

    /// All of it in one buffer.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        let mut buffer = Vec::with_capacity(self.len);
        for part in &self.parts {
            buffer.extend_from_slice(part.bytes());
        }
        buffer
    }

    /// A copy of all.
    #[cfg(test)]
    pub(crate) fn content(&self) -> Vec<u8> {
        let all = self.parts.iter().flat_map(|own| own.bytes().to_vec());
        let content: Vec<u8> = all.collect();
        assert_eq!(content.len(), self.len);
        content
    }

    /// Fills `slices` with what comes first, up to about `max` bytes; returns how many of them, and
    /// whether they are all.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>], max: usize) -> (usize, bool) {
        let (mut count, mut bytes) = (0, 0);
        for (slice, part) in slices.iter_mut().zip(&self.parts) {
            if bytes >= max {
                break;
            }
            *slice = IoSlice::new(part.bytes());
            bytes += part.len();
            count += 1;
        }
        (count, count == self.parts.len())
    }

    /// Takes this number of bytes from the front; returns how many of them were not here.
    pub(crate) fn advance(&mut self, mut bytes: usize) -> usize {
        while bytes > 0 {
            let Some(first) = self.parts.front_mut() else {
                break;
            };
            if bytes < first.len() {
                first.start += bytes;
                self.len -= bytes;
                return 0;
            }
            bytes -= first.len();
            self.pop();
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(chain: &Chain) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 64];
        let (count, _) = chain.slices(&mut slices, usize::MAX);
        let bytes: Vec<u8> = slices[..count]
            .iter()
            .flat_map(|own| own.to_vec())
            .collect();
        assert!(bytes == chain.content());
        bytes
    }

    #[test]
    fn bytes_come_out_as_they_went_in_however_they_are_cut() {
        let pool = Arc::new(Segments::default());
        let bytes: Vec<u8> = (0..=250).cycle().take(5 * SEGMENT_SIZE + 17).collect();
        for (add, take) in [
            (1000, 77_777),
            (SEGMENT_SIZE, SEGMENT_SIZE),
            (100_001, 13_000),
        ] {
            let mut chain = Chain::default();
            bytes.chunks(add).for_each(|piece| chain.push(&pool, piece));
            assert_eq!(chain.allocated(), 6 * SEGMENT_SIZE);
            assert_eq!(pool.used(), chain.allocated());
            let mut at = 0;
            while !chain.is_empty() {
                assert_eq!(content(&chain), bytes[at..]);
                let taken = take.min(chain.len());
                assert_eq!(chain.advance(taken), 0);
                at += taken;
            }
            assert_eq!((at, chain.allocated(), pool.used()), (bytes.len(), 0, 0));
            assert_eq!(chain.advance(3), 3, "they are somebody else's");
        }
    }

    #[test]
    fn a_chain_is_appended_without_a_copy_and_what_follows_fills_its_last_segment() {
        let pool = Arc::new(Segments::default());
        let (mut chain, mut other) = (Chain::default(), Chain::default());
        chain.push(&pool, b"before");
        other.push(&pool, b"large");
        other.patch(1, b"AR");
        chain.append(other);
        chain.push(&pool, b"after");
        assert_eq!(content(&chain), b"beforelARgeafter");
        assert_eq!(chain.allocated(), 2 * SEGMENT_SIZE);
    }

    #[test]
    fn pieces_are_split_off_without_a_copy_and_keep_their_segments() {
        let pool = Arc::new(Segments::default());
        let bytes: Vec<u8> = (0..=250).cycle().take(3 * SEGMENT_SIZE + 17).collect();
        let mut chain = Chain::default();
        chain.push_buffer(b"0123456789".to_vec());
        chain.push(&pool, &bytes);
        let all = [b"0123456789", &bytes[..]].concat();
        let mut pieces = Vec::new();
        while !chain.is_empty() {
            pieces.push(chain.split_to(10_000));
            let counted: usize = pieces.iter().map(|own| own.segments).sum();
            assert_eq!(counted + chain.segments, pool.used());
        }
        assert_eq!(pool.used(), 4 * SEGMENT_SIZE);
        let content: Vec<u8> = pieces.iter().flat_map(Chain::content).collect();
        assert!(content == all);
        assert!(pieces.iter().all(|own| own.len() <= 10_000));
        // What is added to a piece does not overwrite what follows it.
        let mut first = pieces.remove(0);
        first.push(&pool, b"more");
        assert!(content[10_000..20_000] == pieces[0].content());
        drop((first, pieces));
        assert_eq!(pool.used(), 0);
    }

    #[test]
    fn a_buffer_takes_more_up_to_a_bound_and_a_head_takes_no_memory() {
        let mut chain = Chain::default();
        chain.push_buffer(b"one".to_vec());
        assert!(chain.extend_buffer(b"two", 6));
        assert!(!chain.extend_buffer(b"!", 6));
        assert_eq!((chain.content(), chain.len()), (b"onetwo".to_vec(), 6));
        assert!(chain.buffers() >= 6 && chain.allocated() == chain.buffers());
        let rest = chain.split_to(2);
        assert_eq!(
            (rest.content(), chain.content()),
            (b"on".to_vec(), b"etwo".to_vec())
        );
        let mut chain = Chain::default();
        chain.push_head(vestibule_wire::groups::chunk::credit(1, 2));
        assert_eq!((chain.len(), chain.allocated()), (25, 0));
        assert!(!chain.extend_buffer(b"!", 100));
    }

    #[test]
    fn a_chain_that_begins_again_keeps_its_head_alone() {
        let pool = Arc::new(Segments::default());
        let mut chain = Chain::default();
        chain.push(&pool, b"head");
        chain.push(&pool, &vec![1; 3 * SEGMENT_SIZE]);
        chain.cut_to_head(4, &pool);
        chain.push(&pool, b"!");
        assert_eq!(content(&chain), b"head!");
        assert_eq!(pool.used(), SEGMENT_SIZE);
    }
}
