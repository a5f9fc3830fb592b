//! Replies, pushes and events, handed to those who wait for them.

use bytes::Bytes;
use tokio::sync::oneshot;
use vestibule_wire::error::ErrorCode;
use vestibule_wire::events;
use vestibule_wire::keys::{CODE_CHUNK, CODE_EVENT};

use super::shared::{Link, Phase, State};
use crate::error::{Error, ErrorKind, Outcome};
use crate::incoming::Reply;
use crate::limits::PUSHES_MAX;

/// True as MessagePack: the value of `box.shutdown` once a stop is announced.
const TRUE: &[u8] = &[0xc3];

/// Requests whose answers have come.
pub(super) type Answers = Vec<(oneshot::Sender<Result<Reply, Error>>, Result<Reply, Error>)>;

impl Link {
    /// Takes in what one read has brought, under one lock. Answers are given when it is free again.
    pub(super) fn deliver(&self, replies: &mut Vec<Reply>, answers: &mut Answers) {
        let is_leaving = {
            let mut state = self.lock();
            for reply in replies.drain(..) {
                self.take_in(&mut state, reply, answers);
            }
            !matches!(state.phase, Phase::Up(_))
        };
        for (answer, reply) in answers.drain(..) {
            // Who does not wait any more has taken its request out of the table, or does so now.
            let _ = answer.send(reply);
        }
        if is_leaving {
            self.to_leave.notify_one();
        }
    }

    fn take_in(&self, state: &mut State, reply: Reply, answers: &mut Answers) {
        if let Some(version) = reply.schema_version {
            state.schema.hear(version);
        }
        match reply.code {
            CODE_EVENT => self.event(state, &reply),
            CODE_CHUNK => push(state, &reply, answers),
            _ => {
                // Errors of a state are read once more by those who get them; they are rare.
                let is_refusal = reply.frame().error_code() == Some(ErrorCode::LOADING);
                state.last_refusal = is_refusal.then(|| reply.frame().error()).flatten();
                let waiting = state.table.remove(reply.sync);
                match waiting {
                    Some(pending) => answers.push((pending.answer, Ok(reply))),
                    None => unasked(state, &reply),
                }
            }
        }
    }

    fn event(&self, state: &mut State, reply: &Reply) {
        let frame = reply.frame();
        let Some((key, value)) = frame.event() else {
            return;
        };
        let is_shutdown = key == events::SHUTDOWN;
        let is_watched = state
            .watches
            .tell(key, value.map(|value| reply.part(value)));
        if is_watched || is_shutdown {
            self.watch(state, key);
        }
        if is_shutdown
            && value == Some(TRUE)
            && let Phase::Up(session) = &state.phase
        {
            let leaving = Phase::Leaving(session.clone());
            self.set_phase(state, leaving);
        }
    }
}

/// A part of a result that goes on.
fn push(state: &mut State, reply: &Reply, answers: &mut Answers) {
    let Some(pending) = state.table.get_mut(reply.sync) else {
        return;
    };
    let Some(pushes) = &pending.pushes else {
        return;
    };
    let data: Bytes = reply
        .frame()
        .data()
        .map_or_else(Bytes::new, |data| reply.part(data));
    if pushes.try_send(data).is_ok() || pushes.is_closed() {
        return;
    }
    let text = format!("more than {PUSHES_MAX} pushes of a request wait to be taken");
    let error = Error::new(ErrorKind::Limit, Outcome::Unknown, text);
    if let Some(pending) = state.table.remove(reply.sync) {
        answers.push((pending.answer, Err(error)));
    }
}

/// A reply that nobody waits for: to a ping, to a request that was given up, or an error of a
/// watch.
fn unasked(state: &mut State, reply: &Reply) {
    if let Some(error) = reply.frame().error() {
        let error = Error::from_server(error, Outcome::Refused);
        state.watches.fail(reply.sync, &error);
    }
}
