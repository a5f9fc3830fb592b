//! What the metrics are read from: looked at once for each scrape.

use vestibule_actors::monitoring::{DescriptorInfo, Metrics};

use crate::answered::Answered;
use crate::process::ProcessNumbers;
use crate::reloads::Reloads;

/// Everything that metrics are read from.
pub(crate) struct Seen {
    pub(crate) metrics: Metrics,
    pub(crate) descriptors: Vec<DescriptorInfo>,
    pub(crate) process: ProcessNumbers,
    /// What the door itself has answered: path, status, count.
    pub(crate) answered: Vec<Answered>,
    /// Streams of events that are open.
    pub(crate) event_streams: usize,
    /// The version of the program.
    pub(crate) version: String,
    /// What became of its reloads, if it tells.
    pub(crate) reloads: Option<Reloads>,
    /// The name of this instance: the label `alias`.
    pub(crate) alias: String,
}
