//! A tuple as raw MessagePack: small ones by value, larger ones shared.
//!
//! A look-up mostly waits for memory, and a small tuple that stands in the tree's node saves one of
//! these waits, besides its allocation.

use std::ops::Deref;
use std::sync::Arc;

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

    /// The same, if anybody else holds it too.
    pub(crate) fn shared_bytes(&self) -> usize {
        match &self.0 {
            Repr::Shared(bytes) if Arc::strong_count(bytes) > 1 => self.heap_bytes(),
            _ => 0,
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
