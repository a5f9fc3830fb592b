//! A worker's part of what every worker is asked: `vestibule.show`, and `vestibule.kill`, which acts.

use std::rc::Rc;
use std::time::Instant;

use actix::Handler;
use vestibule_wire::header::read_header;
use vestibule_wire::keys::RequestType;

use super::state::Worker;
use crate::connection::cell::ConnectionCell;
use crate::limits::SHOW_ROWS_MAX;
use crate::messages::worker::{Contribute, Gathered};
use crate::messages::{ConnectionRow, FanOut, Gather, RequestRow, Row};
use crate::resources::in_flight::InFlightRequest;

fn age(now: Instant, since: Instant) -> f64 {
    now.saturating_duration_since(since).as_secs_f64()
}

impl Worker {
    fn connection_rows(&self, now: Instant) -> Vec<Row> {
        let row = |session: Rc<ConnectionCell>| {
            let state = session.state.borrow();
            Row::Connection(ConnectionRow {
                connection: session.connection,
                peer: session.peer.to_string(),
                user: state.caller().user.to_string(),
                thread: self.cell.index,
                in_flight: state.counts().all,
                transactions: state.transaction_count(),
                held: state.held_count(),
                output_bytes: state.unsent_bytes(),
                memory_bytes: state.buffer_bytes(),
                place: session.slot.name(),
                age: now.duration_since(session.since).as_secs_f64(),
            })
        };
        self.sessions.iter().take(SHOW_ROWS_MAX).map(row).collect()
    }

    /// Everything that somebody waits for: on its way to Tx, held, read from the view, and replies that
    /// a client does not take.
    fn request_rows(&self, now: Instant) -> Vec<Row> {
        let mut rows = self.pending_rows(now);
        for session in self.sessions.iter() {
            if rows.len() >= SHOW_ROWS_MAX {
                // There may be a thousand times as many.
                break;
            }
            let own = session.state.borrow();
            let row = |frame: Option<&[u8]>, state, since: Option<Instant>| {
                let header = frame.and_then(|content| read_header(content).ok());
                let header = header.map(|(header, _)| header);
                let request = header.and_then(|own| RequestType::from_code(own.request_type));
                Row::Request(RequestRow {
                    connection: session.connection,
                    sync: header.map(|own| own.sync),
                    user: own.caller().user.to_string(),
                    stream: header.map_or(0, |own| own.stream_id),
                    request: request.map(RequestType::name),
                    procedure: None,
                    state,
                    age: since.map(|since| age(now, since)),
                })
            };
            let held = own.held();
            rows.extend(held.map(|own| row(Some(&own.content), "held", Some(own.since))));
            let scan = own.scan();
            rows.extend(scan.map(|own| row(Some(&own.content), "reading", Some(own.since))));
            if !own.is_flushed() {
                rows.push(row(None, "flushing", own.unread_since()));
            }
        }
        rows.truncate(SHOW_ROWS_MAX);
        rows
    }

    fn pending_rows(&self, now: Instant) -> Vec<Row> {
        let state = self.cell.state.borrow();
        let row = |(id, request): (_, &InFlightRequest)| {
            let user = self.owner(request).map_or(String::new(), |session| {
                session.state.borrow().caller().user.to_string()
            });
            Row::Request(RequestRow {
                connection: request.connection,
                sync: Some(request.sync),
                user,
                stream: request.stream,
                request: Some(request.request_type.name()),
                procedure: request.procedure.as_deref().map(str::to_owned),
                state: state.in_flight.phase(id).name(),
                age: Some(age(now, request.since)),
            })
        };
        state
            .in_flight
            .iter()
            .take(SHOW_ROWS_MAX)
            .map(row)
            .collect()
    }
}

impl Handler<Contribute> for Worker {
    type Result = ();

    fn handle(&mut self, contribute: Contribute, _ctx: &mut Self::Context) {
        let now = crate::clock::now();
        let rows = match contribute.0.question {
            FanOut::Connections => self.connection_rows(now),
            FanOut::Requests => self.request_rows(now),
            FanOut::Kill(target) => vec![Row::Killed(self.kill(target))],
        };
        if contribute.0.add(rows.into_iter()) {
            self.cell.peers.workers[contribute.0.reply_to.worker].gathered(contribute.0);
        }
    }
}

impl Handler<Gathered> for Worker {
    type Result = ();

    fn handle(&mut self, gathered: Gathered, _ctx: &mut Self::Context) {
        let gather: &Gather = &gathered.0;
        let reply_to = gather.reply_to;
        let Some(session) = self.sessions.get(reply_to.session) else {
            return;
        };
        if session.connection != reply_to.connection {
            return;
        }
        session.state.borrow_mut().on_gathered();
        let write = |body: &mut Vec<u8>| gather.write(body);
        self.reply_later(&session, &reply_to, write);
        self.mark_dirty(&session);
        self.flush_dirty();
        // What came behind it was not taken.
        session.wake();
    }
}
