//! The solo policy `hold`: requests that need Tx wait until it hears again, within bounds.
//!
//! ```text
//!   busy ─▶ kept ─┬─ solo ends ──▶ taken again, in order
//!                 ├─ time is over ─▶ answered busy
//!                 └─ no room ──────▶ answered busy at once
//! ```

use vestibule_wire::ErrorCode;
use vestibule_wire::header::read_header;

use super::desk::Desk;
use super::state::Held;
use crate::serving::State;

impl Desk<'_> {
    /// Keeps a request until solo ends; false if the bounds are reached.
    pub(super) fn hold(&mut self, content: &[u8]) -> bool {
        let limits = self.shared.config.hold;
        let is_first = self.session.held.is_none();
        let held = self.session.held.get_or_insert_with(Box::<Held>::default);
        let fits = held.frames.len() < limits.requests_max
            && held.bytes + content.len() <= limits.bytes_max;
        if fits {
            held.bytes += content.len();
            held.frames.push_back((self.now, content.to_vec()));
        }
        if is_first {
            self.lane.holding += 1;
        }
        fits
    }

    /// Takes the held requests again, when solo has ended.
    pub(crate) fn release_held(&mut self) {
        if self.session.held.is_none() || self.shared.cell.load().state == State::Solo {
            return;
        }
        let Some(held) = self.session.held.take() else {
            return;
        };
        self.lane.holding -= 1;
        for (_, content) in held.frames {
            self.take(&content);
        }
    }

    /// Answers held requests whose time is over.
    pub(crate) fn expire_held(&mut self) {
        let Some(mut held) = self.session.held.take() else {
            return;
        };
        let time_max = self.shared.config.hold.time_max;
        while let Some((since, _)) = held.frames.front()
            && self.now.duration_since(*since) >= time_max
        {
            let Some((_, content)) = held.frames.pop_front() else {
                break;
            };
            held.bytes -= content.len();
            let sync = read_header(&content).map_or(0, |(header, _)| header.sync);
            self.reject(sync, ErrorCode::LOADING);
        }
        if held.frames.is_empty() {
            self.lane.holding -= 1;
        } else {
            self.session.held = Some(held);
        }
    }
}
