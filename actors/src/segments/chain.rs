//! Bytes in a chain of segments, and of what others have too.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use vestibule_wire::groups::chunk::Head;

use super::pool::{Segment, Segments};
use super::shared_bytes::SharedBytes;
use crate::limits::SEGMENT_SIZE;

/// Bytes that are added at the end and taken from the front, whole segments of them at a time.
///
/// Invariant: no part is empty, and `len` and `held` are the sums of the parts'.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    parts: VecDeque<ChainPart>,
    /// Bytes that are not taken.
    len: usize,
    /// Memory of segments, and of shared bytes, that is counted here.
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
    /// The same of bytes that are in no segment.
    Shared {
        own: Arc<SharedBytes>,
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
            PartStorage::Shared { own, .. } => own.bytes(),
            PartStorage::Buffer(own) => own,
            PartStorage::Head(own) => own.as_bytes(),
        };
        &bytes[self.start..self.end]
    }

    /// The first `size` bytes without a copy, counted by what follows them; `None` if they are in a
    /// buffer.
    fn front(&self, size: usize) -> Option<Self> {
        let is_counted = false;
        let storage = match &self.storage {
            PartStorage::Segment { own, .. } => {
                let own = own.clone();
                PartStorage::Segment { own, is_counted }
            }
            PartStorage::Shared { own, .. } => {
                let own = own.clone();
                PartStorage::Shared { own, is_counted }
            }
            PartStorage::Buffer(_) | PartStorage::Head(_) => return None,
        };
        let (start, end) = (self.start, self.start + size);
        Some(Self {
            storage,
            start,
            end,
        })
    }

    /// Memory of segments and of buffers that it counts.
    fn held(&self) -> (usize, usize) {
        match &self.storage {
            PartStorage::Segment { is_counted, .. } => (usize::from(*is_counted) * SEGMENT_SIZE, 0),
            PartStorage::Shared { own, is_counted } => {
                (usize::from(*is_counted) * own.bytes().len(), 0)
            }
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

    /// The same, as far as it is in segments, or shared.
    #[inline]
    pub(crate) fn segments(&self) -> usize {
        self.segments
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

    /// Adds bytes that others may have too, without a copy: charged there in full until the last
    /// of them is taken.
    pub(crate) fn push_shared(&mut self, pool: &Arc<Segments>, bytes: &Arc<[u8]>) {
        let end = bytes.len();
        if end > 0 {
            let own = Arc::new(SharedBytes::new(pool, bytes));
            let is_counted = true;
            self.push_part(PartStorage::Shared { own, is_counted }, end);
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
            match first.front(size) {
                Some(part) => front.append_part(part),
                None => front.push_buffer(first.bytes()[..size].to_vec()),
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
    pub(crate) fn content(&self) -> Vec<u8> {
        let all = self.parts.iter().flat_map(|own| own.bytes().to_vec());
        let content: Vec<u8> = all.collect();
        assert_eq!(content.len(), self.len);
        content
    }

    /// Fills `slices` with what comes first, up to `max` bytes; returns how many of them, and
    /// whether they are all.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>], max: usize) -> (usize, bool) {
        let (mut count, mut bytes) = (0, 0);
        for (slice, part) in slices.iter_mut().zip(&self.parts) {
            let part = part.bytes();
            let size = part.len().min(max - bytes);
            if size == 0 {
                break;
            }
            *slice = IoSlice::new(&part[..size]);
            bytes += size;
            count += 1;
        }
        (count, bytes == self.len)
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
mod tests;
