//! SELECT from the read view or the catalog, on the session's own thread.
//!
//! ```text
//!   first step ─┬ Done ───────────▶ replied
//!               └ More, Changed ──▶ parked: a few steps per turn, so that others get theirs;
//!                                    │         those of several streams each in its turn
//!                                    ├ no memory ─────────▶ waits for some, before each step
//!                                    ├ much to be sent ───▶ waits until the client has taken some
//!                                    └ changed too often ─▶ Tx reads it, or it is busy
//! ```
//!
//! The catalog is a snapshot, which does not change.
//!
//! A step adds a bounded number of bytes (and one tuple), and it is asked before each whether there
//! is memory for it. For one scan of the worker there always is, so that one after the other comes
//! to its end. Without memory the first step is tried: a reply that turns out to be small is sent,
//! any other one is given up and waits. So who reads a row waits for nobody's large replies.

use std::time::Instant;

use bytes::Bytes;
use vestibule_wire::Error;
use vestibule_wire::header::read_header;
use vestibule_wire::keys::RequestType;
use vestibule_wire::request::{self, Body, Select};

use crate::admission::{Class, Verdict, admit};
use crate::cells::traffic::RequestPath;
use crate::config::SoloPolicy;
use crate::connection::scan::{ParkedScan, ScanSource, ViewScan};
use crate::engine::{LargeFrame, Scan, ViewStep};
use crate::limits::{
    ADMISSION_LOOKS_MAX, MEMORY_SMALL, SESSION_TURN_WORK_PER_LOOK, VIEW_RESTARTS_MAX,
    VIEW_SELECT_WORK, VIEW_STEPS_PER_POLL_MAX,
};
use crate::segments::Held;
use crate::serving::{Admitted, Serving};
use crate::session::dispatch::{DecodedRequest, Dispatcher};
use crate::timeouts::after;

impl Dispatcher<'_> {
    /// A SELECT on data: from the view if this connection has no write under way, else by Tx.
    pub(crate) fn read(&mut self, request: &DecodedRequest<'_>, serving: Serving) {
        let Body::Select(select) = request.body else {
            return;
        };
        let counts = self.session.counts();
        // Pipelined on one connection, a SELECT sees the writes before it. In solo, what Tx has not
        // begun was revoked (unless it is held), and a call that blocks Tx must not hide the data
        // from its own caller.
        let is_alone = serving.state.traits().answers_alone
            && self.cell.solo_policy(self.shared, &self.worker.settings) != SoloPolicy::Hold;
        let sees_own_writes = match request.stream {
            0 => counts.writes == 0 && (counts.calls == 0 || is_alone),
            _ => counts.all == 0,
        };
        let has_view = self.worker.published.refresh_view(self.shared);
        if has_view && sees_own_writes {
            self.read_view(request, &select);
        } else if serving.state.traits().answers_alone {
            self.busy(request);
        } else {
            self.forward(request, Class::Read);
        }
    }

    fn read_view(&mut self, request: &DecodedRequest<'_>, select: &Select<'_>) {
        self.path = Some(RequestPath::View);
        self.begin_scan(
            request,
            select,
            ScanSource::View(ViewScan::default()),
            VIEW_SELECT_WORK,
        );
    }

    /// The first step of a SELECT, which takes about as long as this number of pings; if it is not
    /// the last one, it goes on in later turns.
    pub(crate) fn begin_scan(
        &mut self,
        request: &DecodedRequest<'_>,
        select: &Select<'_>,
        mut source: ScanSource,
        work: u32,
    ) {
        let has_memory = self.finds_reply_memory(Held::default());
        let before = self.session.output_queue().size();
        if !has_memory && before >= MEMORY_SMALL {
            return self.wait_for_reply_memory(false);
        }
        self.worker.turns.spend(work);
        let header = self.header(request.sync);
        let start = self.session.output_and_caller().0.begin(header);
        let mut large = LargeFrame::default();
        let step = self.step(select, &mut source, start, &mut large);
        let has_place = has_memory && self.has_place_for_scan() || !self.session.has_scans();
        let output = self.session.output_and_caller().0;
        let is_small = || large.bytes.is_empty() && output.size() - before < MEMORY_SMALL;
        match step {
            Ok(ViewStep::Done) if has_memory || is_small() => {
                output.finish(start, large, Class::Read.group(request.stream));
            }
            // Others of the connection are under way, and there is no room for one more.
            Ok(_) if !has_place => {
                output.abandon(start);
                self.is_put_back = true;
            }
            Ok(_) if !has_memory => {
                output.abandon(start);
                self.wait_for_reply_memory(false);
            }
            Ok(step) => {
                // Other replies may go out meanwhile.
                let reply = output.take_begun(start, large);
                if let ScanSource::View(own) = &mut source {
                    own.view_version = self.worker.published.view_version();
                    own.restarts = u32::from(step == ViewStep::Changed);
                }
                let content = Bytes::copy_from_slice(request.content);
                self.session.park_scan(Box::new(ParkedScan {
                    content,
                    stream: request.stream,
                    source,
                    reply,
                    since: self.arrived,
                    is_timed: self.worker.turns.is_timed(),
                }));
                self.worker.turns.end();
            }
            Err(error) => {
                output.abandon(start);
                self.refuse(request.sync, &error);
            }
        }
    }

    /// Whether there is memory for a reply of any size, or for another step of one of which `begun`
    /// is there. If not, the frame at hand is not taken, or the scan at hand waits,
    /// until the worker's tick finds some.
    pub(crate) fn has_reply_memory(&mut self, begun: Held) -> bool {
        let has_memory = self.finds_reply_memory(begun);
        if !has_memory {
            self.wait_for_reply_memory(begun.total() > 0);
        }
        has_memory
    }

    fn finds_reply_memory(&mut self, begun: Held) -> bool {
        let slots = &self.shared.slots;
        let has_memory = self.session.may_reply(begun, || slots.count()) || self.is_let_through();
        if has_memory {
            self.session.on_reply_back();
        }
        has_memory
    }

    /// Whether there is memory for a reply of this connection whatever there is: one at a time.
    fn is_let_through(&self) -> bool {
        self.worker.paused.reply.is_for(self.cell.id)
    }

    fn has_place_for_scan(&self) -> bool {
        self.session.has_place_for_scan() && !self.is_let_through()
    }

    fn wait_for_reply_memory(&mut self, is_scan: bool) {
        if self.session.on_reply_short(is_scan) {
            self.worker.paused.push(self.cell.id);
        }
    }

    /// One bounded step of a reply that starts there in the output, or is large already.
    fn step(
        &mut self,
        select: &Select<'_>,
        source: &mut ScanSource,
        start: usize,
        large: &mut LargeFrame,
    ) -> Result<ViewStep, Error> {
        let (output, caller) = self.session.output_and_caller();
        let mut body = output.body(start, large);
        match source {
            ScanSource::Catalog(scan) => match scan.step(select, &caller.user, &mut body)? {
                true => Ok(ViewStep::Done),
                false => Ok(ViewStep::More),
            },
            ScanSource::View(own) => {
                self.worker.published.refresh_view(self.shared);
                let Some(view) = self.worker.published.view() else {
                    return Ok(ViewStep::Changed);
                };
                view.select(select, caller, &mut own.scan, &mut body)
            }
        }
    }

    /// Goes on with one of the stepwise SELECTs, for a few steps; the next is for the next turn.
    /// None does while much waits for its client, also if it is let through without memory.
    pub(crate) fn resume_scan(&mut self) {
        if self.session.has_to_leave_scans() {
            return;
        }
        self.resume_next_scan();
        if self.session.has_scans() && !self.session.waits_for_reply_memory() {
            self.worker.turns.end();
        }
    }

    fn resume_next_scan(&mut self) {
        let Some(mut parked) = self.session.take_scan(self.is_let_through()) else {
            return;
        };
        let content = parked.content.clone();
        let Some((request, select)) = parked_request(&content) else {
            return;
        };
        if after(parked.since, self.request_timeout()).is_some_and(|end| self.now >= end) {
            return self.refuse(request.sync, &Error::timeout());
        }
        self.follow_view(&mut parked);
        for _ in 0..VIEW_STEPS_PER_POLL_MAX {
            if !self.has_reply_memory(parked.held()) {
                return self.session.put_scan_back(parked);
            }
            match self.step(&select, &mut parked.source, 0, &mut parked.reply) {
                Ok(ViewStep::Done) => {
                    self.count_scan(&parked);
                    let output = self.session.output_and_caller().0;
                    let group = Class::Read.group(request.stream);
                    return output.finish_large(parked.reply, group);
                }
                Ok(ViewStep::More) => {
                    self.worker.turns.spend(SESSION_TURN_WORK_PER_LOOK);
                    if !self.worker.turns.has_time() {
                        break;
                    }
                }
                Ok(ViewStep::Changed) => {
                    if !self.begin_again(&mut parked) {
                        return self.read_by_tx(&request, parked.since);
                    }
                }
                Err(error) => return self.refuse(request.sync, &error),
            }
        }
        self.session.put_scan_back(parked);
    }

    /// A stepwise SELECT is done: counts how long it took, if it is timed.
    fn count_scan(&self, parked: &ParkedScan) {
        if parked.is_timed {
            let path = match parked.source {
                ScanSource::View(_) => RequestPath::View,
                ScanSource::Catalog(_) => RequestPath::Local,
            };
            let took = self.now.saturating_duration_since(parked.since);
            self.session.traffic().durations(path).add(took);
        }
    }

    /// A new Tx brings a new view: a scan of the old one starts over on it.
    fn follow_view(&mut self, parked: &mut ParkedScan) {
        if let ScanSource::View(own) = &mut parked.source {
            self.worker.published.refresh_view(self.shared);
            let version = self.worker.published.view_version();
            if std::mem::replace(&mut own.view_version, version) != version {
                own.scan = Scan::default();
                self.clear_reply(&mut parked.reply);
            }
        }
    }

    /// The data that a scan saw are gone: it starts over. False if it has too often.
    fn begin_again(&mut self, parked: &mut ParkedScan) -> bool {
        if let ScanSource::View(own) = &mut parked.source {
            own.restarts += 1;
            own.scan = Scan::default();
            self.clear_reply(&mut parked.reply);
            return own.restarts <= VIEW_RESTARTS_MAX;
        }
        true
    }

    fn clear_reply(&mut self, reply: &mut LargeFrame) {
        self.session.output_and_caller().0.body(0, reply).clear();
    }

    /// The data change too often for the view: Tx reads them between two turns, or nobody does.
    fn read_by_tx(&mut self, request: &DecodedRequest<'_>, since: Instant) {
        let serving = self.shared.serving.load();
        self.admitted = Admitted::under(serving);
        self.judged_epoch = serving.epoch;
        self.looks_left = ADMISSION_LOOKS_MAX;
        self.arrived = since;
        match admit(serving, Class::Read, false) {
            Verdict::ViewOrForward if self.may_forward(request) => {
                self.forward(request, Class::Read);
            }
            Verdict::Reject(code) => {
                self.reject_as_judged(request, code);
            }
            _ => self.busy(request),
        }
        self.arrived = self.now;
    }
}

/// The SELECT of a frame that was parked: it was decoded before that.
fn parked_request(content: &[u8]) -> Option<(DecodedRequest<'_>, Select<'_>)> {
    let (header, raw) = read_header(content).ok()?;
    let body = request::decode_checked(RequestType::Select, raw).ok()?;
    let Body::Select(select) = body else {
        return None;
    };
    let request = DecodedRequest {
        request_type: RequestType::Select,
        sent_as: RequestType::Select,
        code: RequestType::Select as u16,
        sync: header.sync,
        stream: header.stream_id,
        catalog: header.schema_version,
        body,
        raw,
        content,
        has_own_frame: false,
    };
    Some((request, select))
}
