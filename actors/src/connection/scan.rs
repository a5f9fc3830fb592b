//! A SELECT that a session answers in several steps, between two of them.

use std::time::Instant;

use bytes::Bytes;

use crate::engine::catalog::CatalogScan;
use crate::engine::{LargeFrame, Scan};
use crate::segments::Held;

/// A stepwise SELECT: the frame it came in, its place, and the reply so far.
pub(crate) struct ParkedScan {
    /// Header and body.
    pub(crate) content: Bytes,
    pub(crate) source: ScanSource,
    pub(crate) reply: LargeFrame,
    /// When it arrived.
    pub(crate) since: Instant,
    /// Whether it began in a turn that is timed: then how long it takes is counted.
    pub(crate) is_timed: bool,
}

/// What it reads, and where it stands there.
pub(crate) enum ScanSource {
    View(ViewScan),
    Catalog(CatalogScan),
}

/// Where a SELECT on the view stands.
#[derive(Default)]
pub(crate) struct ViewScan {
    pub(crate) scan: Scan,
    /// Which view the scan is on.
    pub(crate) view_version: u64,
    /// How often the scan began again because the data had changed.
    pub(crate) restarts: u32,
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
