//! What a session does when it is told something. What that writes is sent in the turn of the
//! session that follows at once: its mailbox and its task are polled together.

use actix::Handler;
use serde::Serialize;
use vestibule_wire::reply::write_value;
use vestibule_wire::{Error, ErrorCode};

use super::actor::Session;
use super::messages::{
    AbortWriters, Close, CommitLost, EventsChanged, ExpireStalled, ExpireWaiting, Kill,
    ServingChanged, SlotRevoked, TransactionsLost,
};
use crate::connection::intake::Closing;
use crate::connection::output::Flushed;
use crate::hooks::CloseReason;
use crate::messages::worker::{Reloaded, TransitionOver, TransitionStarted};
use crate::messages::{Gathered, ReplyTo, Row};
use crate::monitoring::{Killed, ServerStatus};
use crate::slots::{ListenerKind, NoSlot};
use crate::transitions::{TransitionRecord, TransitionResult};

use super::dispatch::Dispatcher;
use super::io::take_inbox;

impl Handler<ServingChanged> for Session {
    type Result = ();

    /// All of it is done in the turn that follows: held requests are dispatched, and in a stop an
    /// idle connection closes.
    fn handle(&mut self, _: ServingChanged, _ctx: &mut Self::Context) {}
}

impl Handler<EventsChanged> for Session {
    type Result = ();

    fn handle(&mut self, _: EventsChanged, _ctx: &mut Self::Context) {
        self.act(|own| own.send_events());
    }
}

impl Handler<ExpireWaiting> for Session {
    type Result = ();

    fn handle(&mut self, _: ExpireWaiting, _ctx: &mut Self::Context) {
        self.act(|own| own.expire_waiting());
    }
}

impl Handler<ExpireStalled> for Session {
    type Result = ();

    /// What is here is refused; what comes later has its own time.
    fn handle(&mut self, _: ExpireStalled, _ctx: &mut Self::Context) {
        self.act(|own| {
            if own.session.end_stall() {
                own.is_ending_stall = true;
                take_inbox(own);
            }
        });
    }
}

impl Handler<CommitLost> for Session {
    type Result = ();

    fn handle(&mut self, lost: CommitLost, _ctx: &mut Self::Context) {
        self.act(|own| own.session.orphan_commit(lost.stream, lost.error));
    }
}

impl Handler<TransactionsLost> for Session {
    type Result = ();

    fn handle(&mut self, _: TransactionsLost, _ctx: &mut Self::Context) {
        self.act(|own| {
            own.session.orphan_transactions();
            // A demotion may have waited for them.
            own.worker.outgoing.wake_flush();
        });
    }
}

impl Handler<AbortWriters> for Session {
    type Result = ();

    fn handle(&mut self, _: AbortWriters, _ctx: &mut Self::Context) {
        self.act(|own| {
            own.refuse_held_writers();
            own.abort_writers();
            // The demotion waits for them.
            own.worker.outgoing.wake_flush();
        });
    }
}

impl Handler<Kill> for Session {
    type Result = ();

    fn handle(&mut self, kill: Kill, _ctx: &mut Self::Context) {
        let Kill { sync, contribution } = kill;
        // Its client is told what the kill has come to before it is closed.
        let asks_itself = contribution.is_asked_by(self.connection());
        let mut killed = Killed::default();
        self.act(|own| {
            killed.requests = own.kill_requests(sync);
            if sync.is_none() {
                killed.connections = 1;
                log::info!("the connection from {} is killed", own.cell.peer);
                if !asks_itself {
                    own.close_killed();
                }
            }
        });
        contribution.give([Row::Killed(killed)]);
    }
}

impl Handler<SlotRevoked> for Session {
    type Result = ();

    fn handle(&mut self, _: SlotRevoked, _ctx: &mut Self::Context) {
        self.act(|own| {
            let listener = match own.cell.slot.is_anonymous_admin() {
                true => ListenerKind::Administrators,
                false => ListenerKind::Clients,
            };
            let error = own
                .shared
                .over_capacity(NoSlot::Listener(listener), own.now);
            own.refuse(0, &error);
            own.answer_waiting(&error);
            own.shared.slots.count_rejected();
            own.session.close(Closing::AfterFlush, CloseReason::NoSlot);
        });
    }
}

impl Handler<Close> for Session {
    type Result = ();

    fn handle(&mut self, close: Close, _ctx: &mut Self::Context) {
        let Close(closing, reason) = close;
        self.act(|own| {
            if closing == Closing::AfterFlush {
                let status = own.shared.serving.status(own.now);
                own.answer_waiting(&status.error(ErrorCode::LOADING));
            }
            own.session.close(closing, reason);
        });
    }
}

impl Handler<Gathered> for Session {
    type Result = ();

    /// What came behind the question was not taken; that is done in the turn that follows.
    fn handle(&mut self, gathered: Gathered, _ctx: &mut Self::Context) {
        self.act(|own| {
            own.session.on_gathered();
            own.reply_late(&gathered.reply_to, |body| gathered.write(body));
            if gathered.kills_own_connection() {
                own.session.close(Closing::AfterFlush, CloseReason::Killed);
            }
        });
    }
}

impl Handler<TransitionStarted> for Session {
    type Result = ();

    /// What came behind the request was not taken: it is admitted under the new state.
    fn handle(&mut self, started: TransitionStarted, _ctx: &mut Self::Context) {
        self.act(|own| {
            if !own.session.end_wait(started.reply_to.wait) {
                return;
            }
            own.session.on_known_stop();
            let state = ServerStatus::of(own.shared, own.now);
            own.reply_late(&started.reply_to, |body| write_value(body, &state));
        });
    }
}

impl Handler<TransitionOver> for Session {
    type Result = ();

    fn handle(&mut self, over: TransitionOver, _ctx: &mut Self::Context) {
        let TransitionOver { reply_to, outcome } = over;
        self.act(|own| {
            if !own.session.end_wait(reply_to.wait) {
                return;
            }
            let serving = own.shared.serving.load();
            let reply = RoleChangeReply {
                result: outcome.result,
                state: serving.state.name(),
                role: serving.role.name(),
                epoch: serving.epoch,
                transition: outcome.transition,
            };
            own.reply_late(&reply_to, |body| write_value(body, &reply));
        });
    }
}

impl Handler<Reloaded> for Session {
    type Result = ();

    fn handle(&mut self, reloaded: Reloaded, _ctx: &mut Self::Context) {
        let Reloaded { reply_to, answer } = reloaded;
        self.act(|own| {
            if !own.session.end_wait(reply_to.wait) {
                return;
            }
            match answer {
                Ok(told) => own.reply_late(&reply_to, |body| {
                    body.extend_from_slice(&told);
                    Ok(())
                }),
                Err(error) => own.refuse(reply_to.sync, &error),
            }
        });
    }
}

/// What `vestibule.demote` and `vestibule.promote` return.
#[derive(Debug, Serialize)]
struct RoleChangeReply {
    result: TransitionResult,
    state: &'static str,
    role: &'static str,
    epoch: u64,
    transition: Option<TransitionRecord>,
}

impl Dispatcher<'_> {
    /// A killed connection is closed when its client has taken the answers. A client that does not
    /// read is not waited for.
    fn close_killed(&mut self) {
        self.session.close(Closing::AfterFlush, CloseReason::Killed);
        let worker = &mut self.worker;
        let mut flush = || {
            self.session
                .flush(|buffer| worker.buffers.give_back(buffer))
        };
        // It gets no other turn.
        let mut flushed = flush();
        while matches!(flushed, Ok(Flushed::Enough)) {
            flushed = flush();
        }
        if flushed.is_err() || !self.session.is_flushed() {
            self.session.close(Closing::Now, CloseReason::Killed);
        }
    }

    /// Writes the reply of a request that took a while, and that Tx did not answer.
    fn reply_late(
        &mut self,
        reply_to: &ReplyTo,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>,
    ) {
        let (sync, wraps_results) = (reply_to.sync, reply_to.wrap_results);
        self.session
            .reply_with(self.shared, sync, wraps_results, write);
    }
}
