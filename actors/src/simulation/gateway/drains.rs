//! What a world knows of the drain of one upstream, by what it has asked for and was told.

use std::time::Instant;

use crate::serving::UpstreamUse;

/// The use of one upstream.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct SeenDrain {
    /// When its drain was asked for last, and when that it be used again.
    drain_asked: Option<Instant>,
    use_asked: Option<Instant>,
    /// Somebody was told that it is drained, and nobody has wanted it to be used since.
    is_drained: bool,
    /// The drain was asked for, and nobody was told since that it is used.
    is_concerned: bool,
}

impl SeenDrain {
    pub(super) fn ask(&mut self, wanted: UpstreamUse, now: Instant) {
        match wanted {
            UpstreamUse::Drained => {
                self.drain_asked = Some(now);
                self.is_concerned = true;
            }
            UpstreamUse::Used => {
                self.use_asked = Some(now);
                self.is_drained = false;
            }
        }
    }

    /// Somebody who has asked then is told that it is so.
    pub(super) fn hear(&mut self, wanted: UpstreamUse, asked: Instant) {
        match wanted {
            UpstreamUse::Drained if self.use_asked < Some(asked) => self.is_drained = true,
            UpstreamUse::Used if self.drain_asked < Some(asked) => self.is_concerned = false,
            _ => {}
        }
    }

    /// Whether it is drained, for sure.
    pub(super) fn is_drained(&self) -> bool {
        self.is_drained
    }

    /// Whether requests may go there, for sure.
    pub(super) fn is_used(&self) -> bool {
        !self.is_concerned
    }
}
