//! Replies, pushes and events, handed to those who wait for them.

use bytes::Bytes;
use tokio::sync::oneshot;
use vestibule_wire::error::ErrorCode;
use vestibule_wire::keys::{CODE_CHUNK, CODE_EVENT};

use super::handshake::malformed;
use super::shared::{Link, Phase, State};
use crate::error::{Error, ErrorKind, Outcome};
use crate::incoming::{Arrived, Reply};
use crate::limits::{ANSWERS_SIZE_MAX, PUSHES_MAX};

/// True as MessagePack: the value of `box.shutdown` once a stop is announced.
const TRUE: &[u8] = &[0xc3];

/// Requests whose answers have come.
pub(super) type Answers = Vec<(oneshot::Sender<Result<Reply, Error>>, Result<Reply, Error>)>;

impl Link {
    /// Takes in what one read has brought, and what is to be said of its chunks, under one lock.
    /// Answers are given when it is free again. The error is one that ends the connection.
    pub(super) fn deliver(
        &self,
        arrived: &mut Vec<Arrived>,
        answers: &mut Answers,
        to_say: Vec<u8>,
    ) -> Result<(), Error> {
        let (is_leaving, taken) = {
            let mut state = self.lock();
            let mut taken = Ok(());
            for one in arrived.drain(..) {
                match one {
                    Arrived::Reply(reply) => self.take_in(&mut state, reply, answers),
                    said if taken.is_ok() => taken = self.take_note(&mut state, said, answers),
                    _ => {}
                }
            }
            if state.outgoing.answer(to_say) > ANSWERS_SIZE_MAX && taken.is_ok() {
                let text = "the server sends replies in chunks and does not read what is said";
                taken = Err(Error::not_sent(ErrorKind::Connection, text));
            }
            self.wake(&mut state);
            (!matches!(state.phase, Phase::Up(_)), taken)
        };
        for (answer, reply) in answers.drain(..) {
            // Who does not wait any more has taken its request out of the table, or does so now.
            let _ = answer.send(reply);
        }
        if is_leaving {
            self.to_leave.notify_one();
        }
        taken
    }

    /// Takes in what is said of requests and replies in chunks.
    fn take_note(
        &self,
        state: &mut State,
        said: Arrived,
        answers: &mut Answers,
    ) -> Result<(), Error> {
        let (sync, error) = match said {
            Arrived::Reply(_) => return Ok(()),
            Arrived::Credit { number, limit } => {
                return state.outgoing.credit(number, limit).map_err(malformed);
            }
            Arrived::Stop { number, error } => {
                let stopped = state.outgoing.stop(number).map_err(malformed)?;
                let Some((sync, room)) = stopped else {
                    return Ok(());
                };
                self.free(room);
                let error = error.map_or_else(
                    || {
                        let text = "the server does not take a request of this size";
                        Error::new(ErrorKind::Limit, Outcome::Refused, text)
                    },
                    |error| Error::from_server(error, Outcome::Refused),
                );
                (sync, error)
            }
            Arrived::GivenUp { sync, error } => {
                let error = error.map_or_else(
                    || {
                        let text = "the server has given up the reply";
                        Error::new(ErrorKind::Limit, Outcome::Unknown, text)
                    },
                    |error| Error::from_server(error, Outcome::Unknown),
                );
                (sync, error)
            }
            Arrived::TooLong { sync, size } => {
                let text = format!("the reply has {size} bytes, more than is accepted");
                (sync, Error::new(ErrorKind::Limit, Outcome::Unknown, text))
            }
        };
        if let Some(pending) = state.table.remove(sync) {
            answers.push((pending.answer, Err(error)));
        }
        Ok(())
    }

    fn take_in(&self, state: &mut State, reply: Reply, answers: &mut Answers) {
        if let Some(version) = reply.schema_version {
            state.schema.hear(version);
        }
        match reply.code {
            CODE_EVENT => self.event(state, &reply),
            CODE_CHUNK => self.push(state, &reply, answers),
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
        let is_shutdown = self.watches_itself(key);
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

    /// A part of a result that goes on.
    fn push(&self, state: &mut State, reply: &Reply, answers: &mut Answers) {
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
        if let Some(pending) = self.give_up(state, reply.sync) {
            answers.push((pending.answer, Err(error)));
        }
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
