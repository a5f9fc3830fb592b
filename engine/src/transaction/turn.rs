//! The turn under construction: changes that are committed together, in one record.

use crate::limits::TURN_COPIED_BYTES_MAX;
use crate::model::key::Key;
use crate::store::garbage::Garbage;
use crate::store::index_build::Built;
use crate::store::layer::{Change, Layer};

/// Changes of requests that wait for their commit.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    layer: Layer,
    /// Indexes for the definitions that the turn changes.
    built: Vec<Built>,
    /// The turn changes definitions.
    is_ddl: bool,
    /// Turns before it.
    number: u64,
    /// Changes so far: tells whether it is as it was.
    position: u64,
    /// Bytes of changes that were copied for readers.
    copied: usize,
}

impl Turn {
    pub(crate) fn is_empty(&self) -> bool {
        self.layer.is_empty()
    }

    /// Whether it has to be committed before another request begins: it changes definitions, or
    /// enough of it was copied.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.is_ddl || !self.may_be_copied()
    }

    /// Whether it changes definitions.
    #[inline]
    pub(crate) fn is_ddl(&self) -> bool {
        self.is_ddl
    }

    /// Whether its changes may be copied once more for readers that they overtake.
    pub(super) fn may_be_copied(&self) -> bool {
        self.copied < TURN_COPIED_BYTES_MAX
    }

    /// The changes so far are copied.
    pub(super) fn note_copy(&mut self) {
        self.copied += self.layer.bytes();
    }

    /// Bytes that were copied.
    #[cfg(test)]
    pub(crate) fn copied(&self) -> usize {
        self.copied
    }

    pub(crate) fn layer(&self) -> &Layer {
        &self.layer
    }

    /// The turn's number, and how much of it there is so far.
    pub(super) fn position(&self) -> (u64, u64) {
        (self.number, self.position)
    }

    #[inline]
    pub(crate) fn set(&mut self, space: u32, key: Key, change: Change) {
        self.position += 1;
        self.layer.set(space, key, change);
    }

    pub(crate) fn set_secondary(&mut self, space: u32, index: u32, key: Key, change: Change) {
        self.position += 1;
        self.layer.set_secondary(space, index, key, change);
    }

    /// Keeps indexes that take their places once the definitions are durable.
    pub(crate) fn keep_built(&mut self, built: Vec<Built>) {
        self.built.extend(built);
    }

    /// A change of definitions is complete: if there is any change, nothing else joins the turn.
    pub(crate) fn end_ddl(&mut self) {
        self.is_ddl = !self.is_empty();
    }

    /// The changes and the indexes built for them, to be applied to the image.
    pub(crate) fn take(&mut self) -> (&mut Layer, Vec<Built>) {
        self.begin_next();
        (&mut self.layer, std::mem::take(&mut self.built))
    }

    fn begin_next(&mut self) {
        self.is_ddl = false;
        self.number += 1;
        self.position = 0;
        self.copied = 0;
    }

    /// Forgets everything. Returns the indexes that were built in vain.
    pub(crate) fn clear(&mut self) -> Garbage {
        self.begin_next();
        self.layer.clear();
        Garbage(self.built.drain(..).map(|built| built.tree).collect())
    }
}
