//! The solo policy `hold`: requests that need Tx wait until it hears again, within bounds.
//!
//! ```text
//!   busy ─▶ kept ─┬─ solo ends ──▶ dispatched again, in order
//!                 ├─ time is over ─▶ answered busy (78 if it is the request's own time)
//!                 └─ no room ──────▶ answered busy at once
//! ```

use vestibule_wire::header::read_header;
use vestibule_wire::{Error, ErrorCode};

use crate::connection::held::HeldRequests;
use crate::session::dispatch::Dispatcher;

impl Dispatcher<'_> {
    /// Keeps a request until solo ends; false if the bounds are reached.
    pub(crate) fn hold(&mut self, content: &[u8]) -> bool {
        if self.is_releasing {
            // Solo began again: it goes back to where it was, and the end of that solo wakes it.
            self.is_put_back = true;
            return true;
        }
        self.worker.count_holding(self.session.has_held(), true);
        self.session
            .hold(self.now, content, self.shared.config.hold)
    }

    /// Dispatches held requests when solo has ended, in their order and as long as frames may be
    /// taken.
    pub(crate) fn release_held(&mut self) {
        let Some(mut held) = self.session.take_held() else {
            return;
        };
        self.is_releasing = true;
        while !self.shared.serving.load().state.traits().answers_alone
            && self.session.may_take_frame()
            && self.worker.turns.has_time()
            && let Some(request) = held.pop()
        {
            self.arrived = request.since;
            self.worker.turns.spend(1);
            self.dispatch(&request.content);
            self.arrived = self.now;
            if self.session.has_left_frame() || std::mem::take(&mut self.is_put_back) {
                held.put_back(request);
                break;
            }
        }
        self.is_releasing = false;
        self.keep_held(held);
    }

    /// Keeps what is still held, if anything is.
    fn keep_held(&mut self, held: Box<HeldRequests>) {
        if held.is_empty() {
            self.worker.count_holding(true, false);
        } else {
            self.session.put_held(held);
        }
    }

    /// Answers held requests whose time is over.
    pub(crate) fn expire_held(&mut self) {
        let Some(mut held) = self.session.take_held() else {
            return;
        };
        let time_max = self.shared.config.hold.time_max;
        let timeout = self.request_timeout();
        let (limit, is_request) = match timeout.is_zero() || time_max < timeout {
            true => (time_max, false),
            false => (timeout, true),
        };
        while let Some(request) = held.pop_older_than(limit, self.now) {
            let sync = read_header(&request.content).map_or(0, |(header, _)| header.sync);
            if is_request {
                self.refuse(sync, &Error::timeout());
            } else {
                self.reject(sync, ErrorCode::LOADING);
            }
        }
        self.keep_held(held);
    }
}
