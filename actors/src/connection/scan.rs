//! SELECTs that a session answers in several steps, between two of them.
//!
//! ```text
//!   of stream 7 ─┐
//!   of stream 9 ─┼─▶ a few steps of each in turn ─▶ its reply
//!   of none ─────┘      └ of the oldest alone, while much is held: so that comes to an end
//! ```

use std::time::Instant;

use bytes::Bytes;
use vestibule_wire::header::read_header;

use crate::engine::catalog::CatalogScan;
use crate::engine::{LargeFrame, Scan};
use crate::limits::SCANS_MAX;
use crate::segments::Held;

/// A stepwise SELECT: the frame it came in, its place, and the reply so far.
pub(crate) struct ParkedScan {
    /// Header and body.
    pub(crate) content: Bytes,
    /// The stream of the request; 0 is none.
    pub(crate) stream: u64,
    pub(crate) source: ScanSource,
    pub(crate) reply: LargeFrame,
    /// When it arrived.
    pub(crate) since: Instant,
    /// Whether it began in a turn that is timed: then how long it takes is counted.
    pub(crate) is_timed: bool,
}

/// The stepwise SELECTs of a connection: of each stream one at most, and one of none.
#[derive(Default)]
pub(crate) struct ParkedScans {
    /// From the oldest on.
    scans: Vec<Box<ParkedScan>>,
    /// The place of the one whose turn it is.
    turn: usize,
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
    /// The sync of the request.
    pub(crate) fn sync(&self) -> u64 {
        read_header(&self.content).map_or(0, |(header, _)| header.sync)
    }

    /// What it holds.
    pub(crate) fn held(&self) -> Held {
        Held {
            buffers: self.content.len(),
            segments: self.reply.bytes.allocated(),
        }
    }
}

impl ParkedScans {
    /// Adds one that has begun.
    pub(crate) fn add(&mut self, scan: Box<ParkedScan>) {
        self.scans.push(scan);
    }

    /// Takes out the one whose turn it is, or the oldest, to go on with it.
    pub(crate) fn take(&mut self, is_oldest: bool) -> Option<Box<ParkedScan>> {
        if is_oldest || self.turn >= self.scans.len() {
            self.turn = 0;
        }
        (!self.scans.is_empty()).then(|| self.scans.remove(self.turn))
    }

    /// Puts back the one that was taken out: it is the next one's turn.
    pub(crate) fn put_back(&mut self, scan: Box<ParkedScan>) {
        self.scans.insert(self.turn.min(self.scans.len()), scan);
        self.turn += 1;
    }

    /// Drops the first that is meant, and returns it.
    pub(crate) fn drop_first(
        &mut self,
        mut is_meant: impl FnMut(&ParkedScan) -> bool,
    ) -> Option<Box<ParkedScan>> {
        let at = self.scans.iter().position(|own| is_meant(own))?;
        self.turn -= usize::from(at < self.turn);
        Some(self.scans.remove(at))
    }

    /// All of them, from the oldest on.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &ParkedScan> {
        self.scans.iter().map(|own| &**own)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.scans.is_empty()
    }

    /// Whether there are as many as may be.
    pub(crate) fn is_full(&self) -> bool {
        self.scans.len() >= SCANS_MAX
    }

    /// Whether one of them is of this stream.
    pub(crate) fn has_stream(&self, stream: u64) -> bool {
        self.scans.iter().any(|own| own.stream == stream)
    }

    /// What they hold.
    pub(crate) fn held(&self) -> Held {
        self.iter()
            .fold(Held::default(), |all, own| all + own.held())
    }
}
