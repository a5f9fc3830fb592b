//! What goes into a checkpoint, collected in bounded steps while turns go on.
//!
//! ```text
//!   record   … 449 │ 450 … … … … … … … 720 │ …
//!                  └ outline            └ end of the scan
//!                    definitions, system rows, exactly as before record 450
//!                                  rows of spaces, each as it was at some moment in between
//! ```
//!
//! Such a mixture is right together with the records 450 to 720. A record says what became of which
//! keys, whatever was there before: a tuple for a put, nothing for a deletion, nothing for all keys
//! of a space that is truncated or dropped. So after record 720 a key holds what the last of these
//! records that speaks of it says; and if none does, the key was the same all the time, so the scan
//! saw it as it is. Definitions are exact from the start, so every record is applied under those
//! that it was written under.
//!
//! One kind of record is not like that: a new definition of a primary key, which moves every tuple
//! of its space to another key. The image counts them, and a scan that meets one is given up. What
//! a scan finds by another primary key without one belongs to a space that was dropped and made
//! again, all in the journal, and is left out.

use std::ops::Bound;
use std::sync::Arc;

use super::CheckpointError;
use super::write::Payload;
use crate::limits::CHECKPOINT_STEP_BYTES_MAX;
use crate::model::key::Key;
use crate::model::space::SpaceDef;
use crate::model::tuple::Tuple;
use crate::schema::system;
use crate::store::image::{Image, Space};

/// The state before one record, but for the rows of spaces.
pub(super) struct Outline {
    /// The record's number.
    pub(super) from: u64,
    pub(super) schema_version: u64,
    /// Rows of each system space.
    pub(super) system: Vec<(u32, Vec<Tuple>)>,
    /// The other spaces that can hold rows that are durable.
    spaces: Vec<Arc<SpaceDef>>,
    rekey_epoch: u64,
}

impl Outline {
    pub(super) fn of(image: &Image) -> Self {
        let (mut system, mut spaces) = (Vec::new(), Vec::new());
        for space in image.spaces() {
            let id = space.def.id;
            if !system::is_system(id) {
                let has_rows = space.def.primary.is_some() && !space.def.is_temporary;
                spaces.extend(has_rows.then(|| space.def.clone()));
            } else if system::viewed(id).is_none() {
                system.push((id, space.rows.tuples().cloned().collect::<Vec<_>>()));
            }
        }
        system.sort_by_key(|(id, _)| *id);
        spaces.sort_by_key(|def| def.id);
        Self {
            from: image.sequence + 1,
            schema_version: image.schema_version,
            system,
            spaces,
            rekey_epoch: image.rekey_epoch,
        }
    }
}

/// Where the scan stands.
pub(super) struct Scan<'a> {
    outline: &'a Outline,
    /// The space at hand.
    at: usize,
    /// The last key of it that was collected.
    after: Option<Key>,
    /// Rows that one step collects.
    step_rows_max: usize,
}

/// What one step came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ScanStep {
    /// Rows of this space, or none.
    Rows(u32),
    /// All spaces are done; the image holds the records up to this one.
    Done { required_until: u64 },
}

impl<'a> Scan<'a> {
    pub(super) fn new(outline: &'a Outline, step_rows_max: usize) -> Self {
        Self {
            outline,
            at: 0,
            after: None,
            step_rows_max,
        }
    }

    /// Collects rows of at most one space, in place of those of the step before.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Redefined`].
    pub(super) fn step(
        &mut self,
        image: &Image,
        payload: &mut Payload,
    ) -> Result<ScanStep, CheckpointError> {
        payload.clear();
        if image.rekey_epoch != self.outline.rekey_epoch {
            return Err(CheckpointError::Redefined);
        }
        let outline = self.outline;
        let mut passed = 0;
        while let Some(def) = outline.spaces.get(self.at) {
            // A space that is done or gone counts like a row.
            passed += 1;
            let space = image.space(def.id).filter(|space| is_same(&space.def, def));
            if space.is_none_or(|space| self.collect(space, payload, passed)) {
                self.at += 1;
                self.after = None;
            }
            if payload.rows > 0 || passed >= self.step_rows_max {
                return Ok(ScanStep::Rows(def.id));
            }
        }
        Ok(ScanStep::Done {
            required_until: image.sequence,
        })
    }

    /// Collects rows of a space; returns whether these were the last.
    fn collect(&mut self, space: &Space, payload: &mut Payload, passed: usize) -> bool {
        let start = match &self.after {
            None => Bound::Unbounded,
            Some(key) => Bound::Excluded(key),
        };
        let mut last = None;
        let mut rows = space.rows.range((start, Bound::Unbounded), false);
        let is_done = loop {
            let is_full = passed + payload.rows as usize >= self.step_rows_max
                || payload.bytes.len() >= CHECKPOINT_STEP_BYTES_MAX;
            if is_full {
                break false;
            }
            let Some((key, tuple)) = rows.next() else {
                break true;
            };
            payload.push(tuple);
            last = Some(key);
        };
        if let Some(key) = last {
            self.after = Some(key.to_key());
        }
        is_done
    }
}

/// Whether rows of both are durable, and under the same keys.
fn is_same(now: &SpaceDef, then: &SpaceDef) -> bool {
    if now.is_temporary {
        return false;
    }
    let both = now.primary.as_ref().zip(then.primary.as_ref());
    both.is_some_and(|(now, then)| now.has_same_keys(then))
}
