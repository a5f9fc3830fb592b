//! The actix shell of a session arbiter: takes connections in, sends batches out, delivers replies.

use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task;
use std::time::Instant;

use actix::fut::ActorFuture;
use actix::{Actor, AsyncContext, Context, Handler};
use vestibule_wire::ErrorCode;

use super::super::actor::Session;
use super::super::registry::{Pending, Registry};
use super::super::state::SessionCell;
use super::messages::{
    Accepted, AddToSurvey, ConnectionRow, Nudge, RequestRow, Row, Survey, SurveyDone, Surveyed,
    TxLost, TxReady,
};
use super::state::{LaneCell, LaneState};
use crate::limits::{LANE_SWEEP_PERIOD, SHOW_ROWS_MAX};
use crate::serving::State;
use crate::shared::Shared;
use crate::tx::messages::Replies;

/// The actor of one session arbiter.
pub(crate) struct Lane {
    pub(super) cell: Rc<LaneCell>,
}

impl Lane {
    pub(crate) fn new(index: usize, shared: Arc<Shared>) -> Self {
        let registry = Registry::new(shared.counters[index].claims.clone());
        Self {
            cell: Rc::new(LaneCell::new(index, shared, LaneState::new(registry))),
        }
    }

    fn connection_rows(&self) -> Vec<Row> {
        let row = |session: &Rc<SessionCell>| {
            let state = session.state.borrow();
            Row::Connection(ConnectionRow {
                connection: session.connection,
                peer: session.peer.to_string(),
                user: state.caller.user.to_string(),
                thread: self.cell.index,
                in_flight: state.counts.all,
                transactions: state.transactions.len(),
                held: state.held.as_ref().map_or(0, |held| held.frames.len()),
                output_bytes: state.output.size(),
                age: session.since.elapsed().as_secs_f64(),
            })
        };
        self.cell
            .all_sessions()
            .iter()
            .take(SHOW_ROWS_MAX)
            .map(row)
            .collect()
    }

    fn request_rows(&self) -> Vec<Row> {
        let state = self.cell.state.borrow();
        let row = |(id, pending): (_, &Pending)| {
            let user = self.cell.owner(pending).map_or(String::new(), |session| {
                session.state.borrow().caller.user.to_string()
            });
            let is_started = state.registry.is_started(id);
            Row::Request(RequestRow {
                connection: pending.connection,
                sync: pending.sync,
                user,
                stream: pending.stream,
                request: pending.request.name(),
                procedure: pending.procedure.as_deref().map(str::to_owned),
                state: if is_started { "started" } else { "queued" },
                age: pending.since.elapsed().as_secs_f64(),
            })
        };
        state.registry.iter().take(SHOW_ROWS_MAX).map(row).collect()
    }

    fn accept(&self, stream: TcpStream, peer: SocketAddr) {
        // A stream that cannot be registered is a connection that is closed.
        if let Err(error) = Session::open(&self.cell, stream, peer) {
            log::warn!("a connection from {peer} could not be taken: {error}");
        }
    }
}

impl Actor for Lane {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(FlushLoop);
        ctx.run_interval(LANE_SWEEP_PERIOD, |lane, _| lane.cell.sweep(Instant::now()));
    }
}

/// Sends what this tick's sessions gathered. Woken by the first of them, it runs after those that were
/// already ready: the local queue is first come, first served.
struct FlushLoop;

impl ActorFuture<Lane> for FlushLoop {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        lane: &mut Lane,
        _ctx: &mut Context<Lane>,
        cx: &mut task::Context<'_>,
    ) -> task::Poll<()> {
        let mut state = lane.cell.state.borrow_mut();
        if !state
            .flush
            .as_ref()
            .is_some_and(|old| old.will_wake(cx.waker()))
        {
            state.flush = Some(cx.waker().clone());
        }
        state.send_outgoing(lane.cell.index);
        lane.cell.publish_counts(&state);
        task::Poll::Pending
    }
}

impl Handler<Accepted> for Lane {
    type Result = ();

    fn handle(&mut self, accepted: Accepted, _ctx: &mut Self::Context) {
        for (stream, peer) in accepted.0 {
            self.accept(stream, peer);
        }
    }
}

impl Handler<Replies> for Lane {
    type Result = ();

    fn handle(&mut self, replies: Replies, _ctx: &mut Self::Context) {
        self.cell.deliver(replies);
    }
}

impl Handler<Nudge> for Lane {
    type Result = ();

    fn handle(&mut self, _nudge: Nudge, _ctx: &mut Self::Context) {
        let serving = self.cell.shared.cell.load();
        let has_changed = self.cell.state.borrow_mut().seen.replace(serving) != Some(serving);
        if has_changed {
            match serving.state {
                State::Solo => self.cell.revoke_in_solo(Instant::now()),
                State::Loading => drop(self.cell.revoke_queued(ErrorCode::LOADING)),
                State::Assist | State::Draining | State::Stopped => {}
            }
            if serving.state != State::Solo && self.cell.state.borrow().holding > 0 {
                self.cell.wake_holding();
            }
        }
        self.cell.send_events();
        self.cell.close_idle_if_stopping();
    }
}

impl Handler<TxReady> for Lane {
    type Result = ();

    fn handle(&mut self, ready: TxReady, _ctx: &mut Self::Context) {
        self.cell.state.borrow_mut().tx = Some(ready.0);
    }
}

impl Handler<TxLost> for Lane {
    type Result = ();

    fn handle(&mut self, lost: TxLost, _ctx: &mut Self::Context) {
        {
            let mut state = self.cell.state.borrow_mut();
            state.tx = None;
            state.outgoing.clear();
        }
        self.cell.revoke_queued(ErrorCode::LOADING);
        let mut state = self.cell.state.borrow_mut();
        let started = state.registry.abandon_started(|_| true);
        drop(state);
        let error = self.cell.outcome_unknown(ErrorCode::SYSTEM, &lost.reason);
        self.cell.give_up_all(started, &error);
        // Transactions died with the engine.
        for session in self.cell.all_sessions() {
            session.state.borrow_mut().transactions.clear();
        }
        self.cell.tell_if_quiet();
    }
}

impl Handler<AddToSurvey> for Lane {
    type Result = ();

    fn handle(&mut self, survey: AddToSurvey, _ctx: &mut Self::Context) {
        let rows = match survey.0.survey {
            Survey::Connections => self.connection_rows(),
            Survey::Requests => self.request_rows(),
        };
        if survey.0.add(rows.into_iter())
            && let Some(lanes) = self.cell.shared.lanes.get()
        {
            lanes[survey.0.origin.lane].survey_done(survey.0);
        }
    }
}

impl Handler<SurveyDone> for Lane {
    type Result = ();

    fn handle(&mut self, done: SurveyDone, _ctx: &mut Self::Context) {
        let survey: &Surveyed = &done.0;
        let origin = survey.origin;
        let Some(session) = self.cell.session(origin.session) else {
            return;
        };
        if session.connection != origin.connection {
            return;
        }
        session.state.borrow_mut().is_surveying = false;
        self.cell
            .reply_value(&session, &origin, &survey.take_rows());
        self.cell.mark_dirty(&session);
        self.cell.flush_dirty();
        // What came behind it was not taken.
        session.wake();
    }
}
