//! SELECTs that a session answers in several steps, between two of them, and who waits for them.
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
use crate::limits::{SCAN_WAITERS_MAX, SCANS_MAX};
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
    /// Who waits, while it is at hand: see [`ParkedScans::take`].
    pub(crate) waiting: Option<ScanWaiters>,
}

/// The stepwise SELECTs of a connection: of each stream one at most, and one of none.
#[derive(Default)]
pub(crate) struct ParkedScans {
    /// From the oldest on.
    scans: Vec<Box<ParkedScan>>,
    /// The place of the one whose turn it is.
    turn: usize,
    /// Who waits for them; `None` before anybody was asked since one of them ended.
    waiting: Option<ScanWaiters>,
}

/// Whose requests wait for SELECTs of several steps, but for those of their own streams: what has
/// come of those to whom another one belongs that could not pass is in order as well.
#[derive(Debug, Default)]
pub(crate) struct ScanWaiters {
    streams: Vec<u64>,
    /// Everybody's.
    are_all: bool,
}

impl ScanWaiters {
    fn has(&self, stream: u64) -> bool {
        self.are_all || self.streams.contains(&stream)
    }

    /// A request of this stream waits, or one that everybody has to stand behind.
    fn add(&mut self, stream: Option<u64>) {
        match stream {
            Some(stream) if self.streams.len() < SCAN_WAITERS_MAX => {
                if !self.has(stream) {
                    self.streams.push(stream);
                }
            }
            _ => self.are_all = true,
        }
    }
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

    /// Takes out the one whose turn it is, or the oldest, to go on with it. Who waits leaves with
    /// it: if it comes to its end, all are asked again.
    pub(crate) fn take(&mut self, is_oldest: bool) -> Option<Box<ParkedScan>> {
        if is_oldest || self.turn >= self.scans.len() {
            self.turn = 0;
        }
        if self.scans.is_empty() {
            return None;
        }
        let mut scan = self.scans.remove(self.turn);
        scan.waiting = self.waiting.take();
        Some(scan)
    }

    /// Puts back the one that was taken out: it is the next one's turn.
    pub(crate) fn put_back(&mut self, mut scan: Box<ParkedScan>) {
        self.waiting = scan.waiting.take();
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
        self.waiting = None;
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

    /// Whether a request of this stream may be taken although it came later; 0 is the stream of
    /// those that have none, and `None` that of what everybody has to stand behind.
    pub(crate) fn are_passed_by(&self, stream: Option<u64>) -> bool {
        let has_to_wait = |stream| self.waiting.as_ref().is_some_and(|own| own.has(stream));
        stream.is_some_and(|stream| !self.has_stream(stream) && !has_to_wait(stream))
    }

    /// A request of this stream waits: what comes of it later does so too.
    pub(crate) fn on_waiter(&mut self, stream: Option<u64>) {
        if !stream.is_some_and(|stream| self.has_stream(stream)) {
            self.waiting.get_or_insert_default().add(stream);
        }
    }

    /// Whether nobody was asked whether he may pass, since one of them ended; asked once.
    pub(crate) fn begin_to_ask(&mut self) -> bool {
        let is_first = self.waiting.is_none();
        self.waiting.get_or_insert_default();
        is_first
    }

    fn has_stream(&self, stream: u64) -> bool {
        self.scans.iter().any(|own| own.stream == stream)
    }

    /// What they hold.
    pub(crate) fn held(&self) -> Held {
        self.iter()
            .fold(Held::default(), |all, own| all + own.held())
    }
}
