//! A worker's part of what every worker is asked: `vestibule.show`, and `vestibule.kill`, which
//! acts.

use std::rc::Rc;
use std::time::{Duration, Instant};

use actix::Handler;
use vestibule_wire::header::read_header;
use vestibule_wire::keys::RequestType;

use super::actor::Worker;
use crate::cells::claims::RequestPhase;
use crate::connection::cell::ConnectionCell;
use crate::messages::{Contribute, Contribution, FanOut, Gathered, KillTarget, Row};
use crate::monitoring::{ConnectionInfo, RequestInfo, RequestState};
use crate::resources::in_flight::InFlightRequest;
use crate::session::messages::Kill;

fn age(now: Instant, since: Instant) -> Duration {
    now.saturating_duration_since(since)
}

/// As operators are told.
fn state_of(phase: RequestPhase) -> RequestState {
    match phase {
        RequestPhase::Queued => RequestState::Queued,
        RequestPhase::Started => RequestState::Started,
        RequestPhase::Deferred => RequestState::Deferred,
    }
}

impl Worker {
    fn connection_rows(&self, now: Instant, limit: usize) -> Vec<Row> {
        let idle = self.cell.shared.settings.load().time_limits.idle;
        let idle = (!idle.is_zero()).then_some(idle);
        let row = |session: Rc<ConnectionCell>| {
            let state = session.state.borrow();
            Row::Connection(ConnectionInfo {
                connection: session.id.connection,
                peer: session.peer,
                user: state.caller().user.to_string(),
                thread: self.cell.index,
                in_flight: state.counts().all,
                transactions: state.transaction_count(),
                held: state.held_count(),
                output_bytes: state.unsent_bytes(),
                memory_bytes: state.buffer_bytes(),
                place: session.slot.kind().into(),
                age: age(now, session.since),
                requests_max: session.bounds.requests,
                output_max_bytes: session.bounds.output_bytes,
                idle_timeout: session.bounds.idle.or(idle),
            })
        };
        self.sessions.iter().take(limit).map(row).collect()
    }

    /// Everything that somebody waits for: on its way to Tx, held, read from the view, transitions,
    /// and replies that a client does not take.
    fn request_rows(&self, now: Instant, limit: usize) -> Vec<Row> {
        let mut rows = self.in_flight_rows(now, limit);
        for session in self.sessions.iter() {
            if rows.len() >= limit {
                // There may be a thousand times as many.
                break;
            }
            let own = session.state.borrow();
            let row = |frame: Option<&[u8]>, state, since: Option<Instant>| {
                let header = frame.and_then(|content| read_header(content).ok());
                let header = header.map(|(header, _)| header);
                let request = header.and_then(|own| RequestType::from_code(own.request_type));
                Row::Request(RequestInfo {
                    connection: session.id.connection,
                    sync: header.map(|own| own.sync),
                    user: own.caller().user.to_string(),
                    stream: header.map_or(0, |own| own.stream_id),
                    request_type: request,
                    procedure: None,
                    state,
                    age: since.map(|since| age(now, since)),
                })
            };
            let held = own.held().filter(|(own, _)| !own.is_marked);
            rows.extend(
                held.map(|(own, _)| row(Some(&own.content), RequestState::Held, Some(own.since))),
            );
            let scans = own.scans();
            rows.extend(
                scans.map(|own| row(Some(&own.content), RequestState::Reading, Some(own.since))),
            );
            rows.extend(own.awaited().map(|call| {
                Row::Request(RequestInfo {
                    connection: session.id.connection,
                    sync: Some(call.sync),
                    user: own.caller().user.to_string(),
                    stream: call.stream,
                    request_type: Some(call.request_type),
                    procedure: Some(call.procedure.to_owned()),
                    state: RequestState::Waiting,
                    age: Some(age(now, call.since)),
                })
            }));
            if !own.is_flushed() {
                rows.push(row(None, RequestState::Flushing, own.unread_since()));
            }
        }
        rows.truncate(limit);
        rows
    }

    fn link_rows(&self, now: Instant, limit: usize) -> Vec<Row> {
        let links = self.links.iter().flat_map(|own| own.rows(now, limit));
        links.map(Row::Link).collect()
    }

    fn pin_rows(&self, now: Instant, limit: usize) -> Vec<Row> {
        let pins = self.links.iter().flat_map(|own| own.pins(now, limit));
        pins.map(Row::Pin).collect()
    }

    /// Has the session of that connection do it, if it is one of this worker's.
    fn kill(&self, target: KillTarget, contribution: Contribution) {
        let mut sessions = self.sessions.iter();
        if let Some(session) = sessions.find(|own| own.id.connection == target.connection) {
            let sync = target.sync;
            self.sessions.tell(&session, Kill { sync, contribution });
        }
    }

    fn in_flight_rows(&self, now: Instant, limit: usize) -> Vec<Row> {
        let state = self.cell.state.borrow();
        let row = |(id, request): (_, &InFlightRequest)| {
            let user = self.owner(request).map_or(String::new(), |session| {
                session.state.borrow().caller().user.to_string()
            });
            Row::Request(RequestInfo {
                connection: request.session.connection,
                sync: Some(request.sync),
                user,
                stream: request.stream,
                request_type: Some(request.request_type),
                procedure: state.in_flight.procedure(id).map(str::to_owned),
                state: state_of(state.in_flight.phase(id)),
                age: Some(age(now, request.since)),
            })
        };
        state.in_flight.iter().take(limit).map(row).collect()
    }
}

impl Handler<Contribute> for Worker {
    type Result = ();

    fn handle(&mut self, contribute: Contribute, _ctx: &mut Self::Context) {
        let contribution = contribute.0;
        let now = self.cell.shared.clock.now();
        match contribution.question() {
            FanOut::Connections(limit) => contribution.give(self.connection_rows(now, limit)),
            FanOut::Requests(limit) => contribution.give(self.request_rows(now, limit)),
            FanOut::Links(limit) => contribution.give(self.link_rows(now, limit)),
            FanOut::Pins(limit) => contribution.give(self.pin_rows(now, limit)),
            FanOut::Kill(target) => self.kill(target, contribution),
        }
    }
}

impl Handler<Gathered> for Worker {
    type Result = ();

    fn handle(&mut self, gathered: Gathered, _ctx: &mut Self::Context) {
        self.sessions.forward(gathered.reply_to, gathered);
        // Its session is busy until it has answered; or it is gone.
        self.wait_again_for_administrators();
    }
}
