//! A SELECT on the view that takes several steps, between two of them.

use std::time::Instant;

use bytes::Bytes;

use crate::engine::{LargeFrame, Scan};
use crate::segments::Held;

/// A stepwise SELECT: the frame it came in, its place, and the reply so far.
pub(crate) struct ParkedScan {
    /// Header and body.
    pub(crate) content: Bytes,
    pub(crate) scan: Scan,
    /// Which view the scan is on.
    pub(crate) view_version: u64,
    pub(crate) reply: LargeFrame,
    /// How often the scan began again because the data had changed.
    pub(crate) restarts: u32,
    /// When it arrived.
    pub(crate) since: Instant,
}

impl ParkedScan {
    /// What it holds.
    pub(crate) fn held(&self) -> Held {
        Held {
            buffers: self.content.len(),
            segments: self.reply.bytes.allocated(),
        }
    }
}
