//! A tuple as raw MessagePack: small ones by value, larger ones shared.
//!
//! A look-up mostly waits for memory, and a small tuple that stands in the tree's node saves one of
//! these waits, besides its allocation.

use std::ops::Deref;
use std::sync::Arc;

use vestibule_wire::reply::{ReplySink, Rows};

use crate::model::memory::{ARC_HEAD, allocated};

/// Bytes of a tuple that is kept by value. A tuple takes 32 bytes with them.
const INLINE: usize = 30;

/// Bytes that do not change. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tuple(Repr);

#[derive(Clone)]
enum Repr {
    Inline { size: u8, bytes: [u8; INLINE] },
    Shared(Arc<[u8]>),
}

const _: () = assert!(size_of::<Option<Tuple>>() == 32);

impl From<&[u8]> for Tuple {
    #[inline]
    fn from(tuple: &[u8]) -> Self {
        let mut bytes = [0; INLINE];
        match bytes.get_mut(..tuple.len()) {
            Some(room) => {
                room.copy_from_slice(tuple);
                Self(Repr::Inline {
                    size: tuple.len() as u8,
                    bytes,
                })
            }
            None => Self(Repr::Shared(tuple.into())),
        }
    }
}

impl Tuple {
    /// What it takes beside its 32 bytes, in bytes; clones share it.
    #[inline]
    pub(crate) fn heap_bytes(&self) -> usize {
        match &self.0 {
            Repr::Inline { .. } => 0,
            Repr::Shared(bytes) => allocated(ARC_HEAD + bytes.len()),
        }
    }

    /// The same, if anybody else holds it too: a version, or a reply.
    pub(crate) fn shared_bytes(&self) -> usize {
        match &self.0 {
            Repr::Shared(bytes) if Arc::strong_count(bytes) > 1 => self.heap_bytes(),
            _ => 0,
        }
    }

    /// Appends it to the rows of a reply, which shares a large one.
    #[inline]
    pub(crate) fn push_to<S: ReplySink>(&self, rows: &mut Rows<'_, S>) {
        match &self.0 {
            Repr::Inline { .. } => rows.push(self),
            Repr::Shared(bytes) => rows.push_shared(bytes),
        }
    }
}

#[cfg(test)]
impl Tuple {
    /// How many hold it, of one that is too large to stand in their places.
    pub(crate) fn sharers(&self) -> usize {
        match &self.0 {
            Repr::Inline { .. } => 1,
            Repr::Shared(bytes) => Arc::strong_count(bytes),
        }
    }
}

impl From<Vec<u8>> for Tuple {
    fn from(tuple: Vec<u8>) -> Self {
        Self::from(tuple.as_slice())
    }
}

impl Deref for Tuple {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { size, bytes } => &bytes[..usize::from(*size)],
            Repr::Shared(bytes) => bytes,
        }
    }
}

impl PartialEq for Tuple {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl std::fmt::Debug for Tuple {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", crate::print::Printed(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body that shares whatever it may.
    #[derive(Default)]
    struct Sharing(Vec<u8>, Vec<Arc<[u8]>>);

    impl std::io::Write for Sharing {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl ReplySink for Sharing {
        fn size(&self) -> usize {
            self.0.len()
        }

        fn append(&mut self, bytes: &[u8]) {
            ReplySink::append(&mut self.0, bytes);
        }

        fn append_shared(&mut self, bytes: &Arc<[u8]>) {
            self.1.push(bytes.clone());
        }

        fn overwrite(&mut self, at: usize, bytes: &[u8]) {
            self.0.overwrite(at, bytes);
        }
    }

    #[test]
    fn a_reply_has_what_is_not_kept_by_value_without_a_copy() {
        let (small, large) = (Tuple::from(vec![1; INLINE]), Tuple::from(vec![2; 100]));
        let mut reply = Sharing::default();
        let mut rows = Rows::begin(&mut reply);
        small.push_to(&mut rows);
        large.push_to(&mut rows);
        assert_eq!(rows.count(), 2);
        drop(rows);
        assert!(reply.0.ends_with(&small) && reply.1.len() == 1);
        assert_eq!(reply.1[0].as_ptr(), large.as_ptr());
        assert_eq!(large.sharers(), 2);
    }

    #[test]
    fn a_tuple_of_any_size_is_the_bytes_it_was_made_of() {
        for size in 0..100u8 {
            let bytes: Vec<u8> = (0..size).collect();
            let tuple = Tuple::from(bytes.as_slice());
            assert_eq!(*tuple, *bytes);
            assert_eq!(tuple.clone(), Tuple::from(bytes));
        }
    }
}
