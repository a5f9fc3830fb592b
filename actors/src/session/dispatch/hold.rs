//! The solo policy `hold`: requests that need Tx wait until it hears again, within bounds.
//!
//! ```text
//!   busy ─▶ kept ─┬─ solo ends ──▶ dispatched again, in order
//!                 ├─ time is over ─▶ answered busy (78 if it is the request's own time)
//!                 └─ no room ──────▶ answered busy at once
//! ```

use vestibule_wire::header::read_header;
use vestibule_wire::{Error, ErrorCode};

use crate::connection::state::Held;
use crate::serving::State;
use crate::session::dispatch::Dispatcher;

impl Dispatcher<'_> {
    /// Keeps a request until solo ends; false if the bounds are reached.
    pub(crate) fn hold(&mut self, content: &[u8]) -> bool {
        if self.is_releasing {
            // Solo began again: it goes back to where it was, and the end of that solo wakes it.
            self.is_put_back = true;
            return true;
        }
        let limits = self.shared.config.hold;
        let held = self.session.held.get_or_insert_with(|| {
            self.worker.holding += 1;
            Box::<Held>::default()
        });
        let fits = held.frames.len() < limits.requests_max
            && held.bytes + content.len() <= limits.bytes_max;
        if fits {
            held.bytes += content.len();
            held.frames.push_back((self.now, content.to_vec()));
        }
        fits
    }

    /// Dispatches held requests when solo has ended, in their order and as long as frames may be taken.
    pub(crate) fn release_held(&mut self) {
        let Some(mut held) = self.session.held.take() else {
            return;
        };
        self.is_releasing = true;
        while self.shared.cell.load().state != State::Solo
            && self.session.is_open()
            && let Some((since, content)) = held.frames.pop_front()
        {
            self.arrived = since;
            self.dispatch(&content);
            self.arrived = self.now;
            if self.session.is_stalled || std::mem::take(&mut self.is_put_back) {
                held.frames.push_front((since, content));
                break;
            }
            held.bytes -= content.len();
        }
        self.is_releasing = false;
        self.keep_held(held);
    }

    /// Keeps what is still held, if anything is.
    fn keep_held(&mut self, held: Box<Held>) {
        if held.frames.is_empty() {
            self.worker.holding -= 1;
        } else {
            self.session.held = Some(held);
        }
    }

    /// Answers held requests whose time is over.
    pub(crate) fn expire_held(&mut self) {
        let Some(mut held) = self.session.held.take() else {
            return;
        };
        let time_max = self.shared.config.hold.time_max;
        let timeout = self.request_timeout();
        let (limit, is_request) = match timeout.is_zero() || time_max < timeout {
            true => (time_max, false),
            false => (timeout, true),
        };
        while let Some((since, _)) = held.frames.front()
            && self.now.duration_since(*since) >= limit
        {
            let Some((_, content)) = held.frames.pop_front() else {
                break;
            };
            held.bytes -= content.len();
            let sync = read_header(&content).map_or(0, |(header, _)| header.sync);
            if is_request {
                self.refuse(sync, &Error::timeout());
            } else {
                self.reject(sync, ErrorCode::LOADING);
            }
        }
        self.keep_held(held);
    }
}
