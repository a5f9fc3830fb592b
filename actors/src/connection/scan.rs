//! A SELECT that a session answers in several steps, between two of them, and who waits for it.

use std::time::Instant;

use bytes::Bytes;

use crate::engine::catalog::CatalogScan;
use crate::engine::{LargeFrame, Scan};
use crate::limits::SCAN_WAITERS_MAX;
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
    /// Who waits for it; `None` before anybody was asked.
    pub(crate) waiting: Option<ScanWaiters>,
}

/// Whose requests wait for a SELECT of several steps, but for its own stream's: what has come of
/// those to whom another one belongs that could not pass is in order as well.
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
    /// Whether a request of this stream may be taken although it came later; 0 is the stream of
    /// those that have none, and `None` that of what everybody has to stand behind.
    pub(crate) fn is_passed_by(&self, stream: Option<u64>) -> bool {
        let has_to_wait = |stream| self.waiting.as_ref().is_some_and(|own| own.has(stream));
        stream.is_some_and(|stream| stream != self.stream && !has_to_wait(stream))
    }

    /// A request of this stream waits: what comes of it later does so too.
    pub(crate) fn on_waiter(&mut self, stream: Option<u64>) {
        if stream != Some(self.stream) {
            self.waiting.get_or_insert_default().add(stream);
        }
    }

    /// What it holds.
    pub(crate) fn held(&self) -> Held {
        Held {
            buffers: self.content.len(),
            segments: self.reply.bytes.allocated(),
        }
    }
}
