//! Prepared statements over one link. By what number its upstream knows a text is what it has told
//! itself, over this very link; until it has, the text goes with each EXECUTE.
//!
//! ```text
//!   EXECUTE of a held number ─┬─ its text is prepared here ─▶ by the upstream's number ── 211 ─┐
//!                             └─ it is not ─▶ a PREPARE of ours, and by its text  ◀────────────┘
//!   UNPREPARE of a held number ─▶ PING, which has the same answer, in its place
//!             of what others hold ─▶ PING, and its client is told 211 in its place
//!   nobody holds a text, none of it is under way ─▶ an UNPREPARE of ours
//! ```
//!
//! Tarantool may give memory up that it still works with if a statement is unprepared in the very
//! session that executes it. So none is while others hold it, or something of it is under way.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use bytes::Bytes;
use vestibule_wire::client::ReplyFrame;
use vestibule_wire::keys::{CODE_ERROR, RequestType};
use vestibule_wire::{Error, ErrorCode};

use super::answers::{Answers, GivenBack, Sink};
use super::executing::{ExecutedStatements, Executing};
use crate::cells::claims::RequestId;
use crate::upstream::kept::ForwardBody;
use crate::upstream::owed::OwedRequest;
use crate::upstream::sql_request::{StatementStep, prepared_id, text_of, with_id, with_text};
use crate::upstream::statements::{
    ClientStatements, PreparingText, StatementRefusal, StatementText, unknown_statement,
};
use crate::upstream::waiting::Forward;

/// The body of PING.
const NOTHING: &[u8] = &[0x80];

/// The code of the error for a number that a session does not know.
const UNKNOWN: u32 = CODE_ERROR | ErrorCode::WRONG_QUERY_ID.0 as u32;

/// What a link knows of a text that somebody holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// A PREPARE of ours is to be answered.
    Asked,
    /// The number by which its upstream knows it.
    As(u32),
    /// Not prepared: the text goes with each EXECUTE.
    Not,
}

/// A PREPARE that is sent.
#[derive(Debug)]
struct Preparing {
    /// Nothing, and what its client is told for that, if there is no room for it.
    text: Result<PreparingText, StatementRefusal>,
    /// How often something was unprepared before it. Behind it, that may have been this.
    unprepared: u64,
}

/// The prepared statements of one link.
#[derive(Debug, Default)]
pub(crate) struct LinkStatements {
    clients: Rc<ClientStatements>,
    /// By the number of the text.
    known: HashMap<u64, Known>,
    /// The texts, by the upstream's numbers.
    by_id: HashMap<u32, u64>,
    /// By the syncs that they were sent with.
    preparing: HashMap<u64, Preparing>,
    executing: ExecutedStatements,
    /// How often something was unprepared.
    unprepared: u64,
    /// UNPREPAREs for which PING was sent, by their syncs: of what clients hold.
    unpreparing: HashSet<u64>,
    /// How many texts were gone when this looked last.
    seen: u64,
    /// Texts that nobody holds and that are executed, by the upstream's numbers.
    left: HashMap<u32, u64>,
    /// The upstream's numbers of what is to be unprepared.
    to_release: BTreeSet<u32>,
    /// The same of what is executed: when that is over.
    to_release_later: HashSet<u32>,
    /// A text that is to be prepared by one of ours.
    to_prepare: Option<Bytes>,
}

impl LinkStatements {
    pub(crate) fn of(clients: Rc<ClientStatements>) -> Self {
        let seen = clients.gone_in_all();
        Self {
            clients,
            seen,
            ..Self::default()
        }
    }

    /// How many its upstream knows here.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether its upstream knows one by this number, for those who hold it.
    pub(crate) fn has(&self, id: u32) -> bool {
        self.by_id.contains_key(&id)
    }

    /// What the upstream has by this number is not known any more.
    fn unlearn(&mut self, id: u32) {
        if let Some(number) = self.by_id.remove(&id) {
            self.known.remove(&number);
        }
    }

    /// The upstream has this text by this number.
    fn learn(&mut self, text: &StatementText, id: u32) {
        match self.by_id.get(&id) {
            Some(other) if *other == text.number => {}
            // Nobody can say which of both it executes.
            Some(_) => {
                self.known.insert(text.number, Known::Not);
                return;
            }
            None => drop(self.by_id.insert(id, text.number)),
        }
        if let Some(Known::As(before)) = self.known.insert(text.number, Known::As(id))
            && before != id
        {
            self.by_id.remove(&before);
        }
    }

    /// A PREPARE is answered: with this number, or refused. `to` is who has sent it.
    ///
    /// # Errors
    ///
    /// Its client is told this instead.
    fn prepared(
        &mut self,
        sync: u64,
        id: Option<u32>,
        to: Option<&OwedRequest>,
    ) -> Result<(), StatementRefusal> {
        let Some(own) = self.preparing.remove(&sync) else {
            return Ok(());
        };
        // Another one may have its number from here on.
        self.sweep();
        let is_outdated = own.unprepared != self.unprepared;
        // What is held is charged for by itself.
        let text = own.text.map(|own| own.text.clone());
        let told = match (id, to, &text) {
            (Some(id), Some(to), Ok(text)) => {
                let connection = to.key.connection;
                self.clients.hold(connection, id, text, to.number)
            }
            (Some(_), Some(_), Err(refusal)) => Err(*refusal),
            _ => Ok(()),
        };
        let text = text.ok().and_then(|text| self.clients.find(&text));
        match (text, id) {
            (Some(text), Some(id)) if !is_outdated => self.learn(&text, id),
            (Some(text), _) => {
                let known = self.known.get(&text.number);
                if known == Some(&Known::Asked) {
                    match id {
                        Some(_) => self.known.remove(&text.number),
                        None => self.known.insert(text.number, Known::Not),
                    };
                }
            }
            (None, Some(id)) if !self.has(id) => drop(self.to_release.insert(id)),
            (None, _) => {}
        }
        told
    }

    /// A request is not owed any more.
    pub(super) fn over(&mut self, sync: u64) {
        self.preparing.remove(&sync);
        self.unpreparing.remove(&sync);
        let Some(id) = self.executing.end(sync) else {
            return;
        };
        if let Some(number) = self.left.remove(&id) {
            self.leave(number);
        }
        if self.to_release_later.remove(&id) {
            self.to_release.insert(id);
        }
    }

    /// Takes out the numbers of what is to be unprepared, and may be now. Asked before each
    /// request: it looks at nothing twice.
    pub(crate) fn take_released(&mut self) -> Vec<u32> {
        self.sweep();
        let mut all = Vec::new();
        while let Some(id) = self.to_release.pop_first() {
            if self.has(id) {
                // What somebody holds again goes when nobody does.
            } else if self.executing.has(id) {
                self.to_release_later.insert(id);
            } else {
                all.push(id);
            }
        }
        all
    }

    /// Looks which texts nobody holds any more.
    fn sweep(&mut self) {
        let gone = self.clients.gone_in_all();
        if gone == self.seen {
            return;
        }
        let left = match self.clients.gone_since(self.seen) {
            Some(numbers) => numbers,
            None => self.clients.without_held(self.known.keys().copied()),
        };
        self.seen = gone;
        left.into_iter().for_each(|number| self.leave(number));
    }

    /// Nobody holds a text any more.
    fn leave(&mut self, number: u64) {
        match self.known.get(&number) {
            Some(Known::As(id)) if self.executing.has(*id) => {
                self.left.insert(*id, number);
            }
            Some(Known::As(id)) => {
                self.to_release.insert(*id);
                self.by_id.remove(id);
                self.known.remove(&number);
            }
            Some(_) => drop(self.known.remove(&number)),
            None => {}
        }
    }
}

impl LinkStatements {
    /// Takes out the text that is to be prepared, if one is.
    pub(crate) fn take_to_prepare(&mut self) -> Option<Bytes> {
        self.to_prepare.take()
    }

    /// As what a request is written that has to do with prepared statements, and is sent with this
    /// sync.
    #[cold]
    pub(crate) fn write_as<'a>(
        &mut self,
        forward: &Forward,
        sync: u64,
        body: ForwardBody<'a>,
    ) -> (u16, ForwardBody<'a>) {
        let connection = forward.key.connection;
        let held = |own: &Self, id| own.clients.get(connection, id);
        match forward.statement {
            StatementStep::Nothing => {}
            StatementStep::Prepare => {
                if let Some(text) = text_of(body.bytes()) {
                    self.begin_preparing(forward, sync, text);
                }
            }
            StatementStep::Execute(id) => {
                let own = held(self, id).map(|text| self.execute(&text).ok_or(text));
                match own {
                    None => self.begin_executing(sync, id, false),
                    Some(Ok(here)) => {
                        self.begin_executing(sync, here, true);
                        if here != id {
                            let body = with_id(body.bytes(), here);
                            return (forward.code, ForwardBody::Own(body.into()));
                        }
                    }
                    Some(Err(text)) => {
                        let body = with_text(body.bytes(), &text.text);
                        return (forward.code, ForwardBody::Own(body.into()));
                    }
                }
            }
            StatementStep::Unprepare(id) if held(self, id).is_some() || self.has(id) => {
                self.unpreparing.insert(sync);
                return ping();
            }
            // Of ours, or of what clients do not hold.
            StatementStep::Unprepare(id) | StatementStep::Release(id) => {
                if self.has(id) {
                    return ping();
                }
                if self.executing.has(id) {
                    self.to_release_later.insert(id);
                    return ping();
                }
                self.unprepared += 1;
            }
        }
        (forward.code, body)
    }

    fn begin_preparing(&mut self, forward: &Forward, sync: u64, text: &[u8]) {
        let clients = &self.clients;
        let text = if forward.is_ours() {
            let kept = clients.keep_preparing_ours(text);
            // Nobody is told.
            kept.ok_or(StatementRefusal::NoMemory)
        } else {
            clients.keep_preparing(forward.key.connection, text)
        };
        let unprepared = self.unprepared;
        self.preparing.insert(sync, Preparing { text, unprepared });
    }

    fn begin_executing(&mut self, sync: u64, id: u32, is_told: bool) {
        self.executing.begin(sync, Executing { id, is_told });
    }

    /// By what number a text is executed here; `None` if by itself, and it is prepared for the next
    /// time.
    fn execute(&mut self, text: &StatementText) -> Option<u32> {
        match self.known.get(&text.number) {
            Some(Known::As(id)) => return Some(*id),
            Some(Known::Asked | Known::Not) => return None,
            None => {}
        }
        self.known.insert(text.number, Known::Asked);
        self.to_prepare = Some(text.text.clone());
        None
    }
}

/// As what a client's own is written that has nothing to do upstream.
fn ping<'a>() -> (u16, ForwardBody<'a>) {
    (RequestType::Ping as u16, ForwardBody::Part(NOTHING))
}

impl<S: Sink> Answers<'_, S> {
    /// The reply to a request that has to do with prepared statements is here.
    #[cold]
    pub(super) fn answer_statement(&mut self, to: &OwedRequest, frame: &ReplyFrame<'_>) {
        if self.on_statement(to, frame) && to.id != RequestId::NONE {
            self.sink.reply(to, frame);
        }
    }

    /// The same where only its head may be there yet. It
    /// goes on unless this is false: then its client is told something else, or it is sent again.
    #[cold]
    pub(super) fn on_statement(&mut self, to: &OwedRequest, frame: &ReplyFrame<'_>) -> bool {
        let is_done = frame.code == 0;
        let is_waited_for = to.id != RequestId::NONE && self.sink.is_waited_for(to.id);
        match to.statement {
            StatementStep::Prepare => {
                let id = is_done.then(|| prepared_id(frame.body)).flatten();
                // Requests of who is gone are waited for still, if they were begun.
                let is_there = || self.clients.output(to.key).is_some();
                let client = (is_waited_for && is_there()).then_some(to);
                let told = self.statements.prepared(frame.sync, id, client);
                if let Err(refusal) = told {
                    self.refuse_statement(to, frame, &refusal.error());
                    return false;
                }
            }
            StatementStep::Execute(_) if frame.code == UNKNOWN => {
                return !self.execute_again(to, frame);
            }
            StatementStep::Unprepare(id) if is_done => {
                let own = &self.statements;
                let had = own.clients.let_go(to.key.connection, id, to.number);
                if !had && is_waited_for && own.unpreparing.contains(&frame.sync) {
                    // It was others' to unprepare.
                    self.refuse_statement(to, frame, &unknown_statement(id));
                    return false;
                }
            }
            _ => {}
        }
        true
    }

    fn refuse_statement(&mut self, to: &OwedRequest, frame: &ReplyFrame<'_>, error: &Error) {
        let mut body = Vec::new();
        error.write_body(&mut body);
        let told = ReplyFrame {
            code: CODE_ERROR | u32::from(error.code().0),
            body: &body,
            ..*frame
        };
        self.sink.reply(to, &told);
    }

    /// The upstream does not know what it has told before: code that was called has unprepared it.
    /// It was not executed, and is by its text, unless the upstream has something of its connection
    /// already that was sent behind it: over this link, or over another one, if the connection goes
    /// over that by now. False if the client is told.
    fn execute_again(&mut self, to: &OwedRequest, frame: &ReplyFrame<'_>) -> bool {
        let executing = self.statements.executing.get(frame.sync);
        let Some(Executing { id, .. }) = executing.filter(|own| own.is_told) else {
            return false;
        };
        self.statements.unlearn(id);
        let is_behind = |own: &OwedRequest| {
            let is_its = own.key.connection == to.key.connection && !own.is_ours();
            is_its && own.number > to.number
        };
        let may = self.sink.is_waited_for(to.id)
            && self.owed.has_body(frame.sync)
            && !self.owed.iter().any(is_behind)
            && !self.clients.has_moved_since(to.key, self.link, to.number);
        if may {
            self.ask_again(frame.sync, frame.size);
        }
        may
    }

    fn ask_again(&mut self, sync: u64, bytes: usize) {
        let Some(own) = self.owed.remove(sync, true) else {
            return;
        };
        let (forward, kept) = (own.forward, own.kept);
        if let Some(request) = own.keep()
            && self.claims.requeue(forward.id)
        {
            self.waiting.push_first(request, self.clients);
        }
        self.give_back(sync, GivenBack::of(&forward), kept, bytes);
    }
}
