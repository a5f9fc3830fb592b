//! The data as they were before a change, for transactions that had seen what it changes.
//!
//! ```text
//!   a change comes ─▶ who has seen the key has written nothing? ─▶ goes on with
//!                      image, a version ◀── what of the turn came before the change
//! ```
//!
//! All that such a transaction has seen is true just before the change, so that is its place among
//! the others. Those that a change finds together share what they go on with.

use std::sync::Arc;

use super::holders::Holder;
use crate::store::image::Image;
use crate::store::layer::Layer;
use crate::store::versions::Version;

/// The data before a change.
#[derive(Debug)]
pub(super) struct Past {
    version: Version,
    /// What of the turn came before the change, if anything had.
    turn: Option<Layer>,
    /// The turn, by its number.
    pub(super) turn_number: u64,
    /// What definitions the data are under.
    pub(super) schema_version: u64,
    /// Who was overtaken first, and pays for it.
    holder: Arc<Holder>,
}

impl Past {
    pub(super) fn new(
        version: Version,
        schema_version: u64,
        turn: Option<Layer>,
        turn_number: u64,
        holder: Arc<Holder>,
    ) -> Self {
        let bytes = turn.as_ref().map_or(0, Layer::bytes);
        holder.add(bytes);
        Self {
            version,
            turn,
            turn_number,
            schema_version,
            holder,
        }
    }

    /// The image, until the version was taken back.
    pub(super) fn image(&self) -> Option<Image> {
        self.version.image()
    }

    /// What of the turn came before the change.
    pub(super) fn turn(&self) -> Option<&Layer> {
        self.turn.as_ref()
    }
}

impl Drop for Past {
    fn drop(&mut self) {
        let bytes = self.turn.as_ref().map_or(0, Layer::bytes);
        self.holder.subtract(bytes);
    }
}
