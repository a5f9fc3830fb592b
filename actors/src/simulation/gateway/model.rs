//! An upstream of a simulated world: it executes in the order in which requests come, answers in
//! any order and late, loses connections, hangs, crashes, and says by its ballot how it is.

use std::time::{Duration, Instant};

use vestibule_wire::header::Header;
use vestibule_wire::keys::{CODE_ERROR, REQUEST_VOTE, RequestType};
use vestibule_wire::reply::ReplyHeader;
use vestibule_wire::request::{Auth, Body, IdOrName, decode};
use vestibule_wire::{ErrorCode, Uuid, greeting};

use super::bodies::{first_uint, row, value_of};
use super::connected::{Answer, Connected, Late};
use super::fates::Fates;
use super::network;
use super::reads::Vclock;
use crate::simulation::client::SETTINGS;
use crate::simulation::engine::LARGE_REPLY;
use crate::simulation::random::Random;

mod mishaps;
mod said;

pub(super) const SALT: [u8; 32] = [42; 32];

/// How the process of an upstream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    /// Nobody listens.
    Gone,
    /// Something listens, and reads and says nothing.
    Hung,
    Runs,
}

/// One upstream.
#[derive(Debug)]
pub(super) struct UpstreamModel {
    index: usize,
    version: (u32, u32, u32),
    process: Process,
    is_writable: bool,
    /// The last election that it has heard of, where there are any.
    election: Option<u64>,
    /// Since when it hangs and nothing comes of it, if it does.
    silent_since: Option<Instant>,
    /// When anything befell it last.
    befallen: Instant,
    /// Until when it has not all its data.
    loads_until: Option<Instant>,
    /// A stop is announced.
    is_leaving: bool,
    schema_version: u64,
    /// What it has of what was done, by who did it.
    applied: Vclock,
    /// When it has more of that, if it takes no changes: always, without.
    pub(super) lags: Option<Random>,
    connections: Vec<Connected>,
    /// The connection of the next COMMIT or ROLLBACK is lost: before it is done, or behind that.
    loses_at_end: Option<bool>,
    /// Connections are read in the order in which they came, and those that are over first: as
    /// kernels hand them over.
    pub(super) is_orderly: bool,
    random: Random,
}

/// How far a request has come.
#[derive(Debug)]
enum Executed {
    Whole(Answer),
    /// The end comes later; whether it has written.
    Step(bool),
}

/// More than the scout of one that requests go to needs to hear of anything.
pub(super) const KNOWN_AFTER: Duration = Duration::from_millis(150);

/// So long a request that has come waits for its answer at most: a procedure does, for its steps.
pub(super) const LATEST_ANSWER: Duration = Duration::from_millis(STEPS_MILLIS_MAX);

const STEPS_MILLIS_MAX: u64 = 300;

const EMPTY: &[u8] = &[0x80];

impl UpstreamModel {
    pub(super) fn new(
        index: usize,
        version: (u32, u32, u32),
        random: Random,
        now: Instant,
    ) -> Self {
        Self {
            index,
            version,
            process: Process::Gone,
            is_writable: false,
            election: None,
            silent_since: None,
            befallen: now,
            loads_until: None,
            is_leaving: false,
            schema_version: 80 + index as u64,
            applied: Vclock::default(),
            lags: None,
            connections: Vec::new(),
            loses_at_end: None,
            is_orderly: false,
            random,
        }
    }

    pub(super) fn is_writable(&self) -> bool {
        self.is_writable
    }

    pub(super) fn set_writable(&mut self, is_writable: bool, now: Instant) {
        if self.is_writable != is_writable {
            self.is_writable = is_writable;
            self.befallen = now;
        }
    }

    /// Whether it takes changes, and has for so long that who asks it knows.
    pub(super) fn is_known_to_be_writable(&self, now: Instant) -> bool {
        let is_well = self.is_running() && self.is_writable && !self.is_leaving;
        is_well && self.loads_until.is_none() && now >= self.befallen + KNOWN_AFTER
    }

    /// An election has taken place. It is not forgotten when the process ends.
    pub(super) fn hear_of_election(&mut self, election: u64, is_leader: bool, now: Instant) {
        (self.election, self.is_writable) = (Some(election), is_leader);
        self.befallen = now;
    }

    pub(super) fn election(&self) -> Option<u64> {
        self.election
    }

    pub(super) fn is_running(&self) -> bool {
        self.process == Process::Runs
    }

    pub(super) fn process(&self) -> Process {
        self.process
    }

    /// Requests that it has executed, or is at, and not answered; and how many of them are calls.
    pub(super) fn unanswered(&self) -> (usize, usize) {
        let replies = || self.connections.iter().flat_map(|own| &own.replies);
        let calls = replies().filter(|own| own.1.is_call());
        (replies().count(), calls.count())
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    pub(super) fn open_transactions(&self) -> usize {
        self.connections.iter().map(|own| own.open.len()).sum()
    }

    /// Starts, or comes to itself again. One that starts has to load its data first.
    pub(super) fn run_on(&mut self, now: Instant, loads: Duration) {
        if self.process == Process::Gone {
            self.loads_until = Some(now + loads);
            self.is_leaving = false;
            self.is_writable = false;
            // Counted from a snapshot again.
            self.schema_version = 80 + self.random.below(9);
        }
        self.process = Process::Runs;
        self.silent_since = None;
        self.befallen = now;
        network::set_open(self.index, true);
    }

    pub(super) fn hang(&mut self, now: Instant) {
        if self.process == Process::Runs {
            self.process = Process::Hung;
            self.silent_since = Some(now);
        }
    }

    pub(super) fn silent_since(&self) -> Option<Instant> {
        self.silent_since
    }

    /// Killed: nothing that it has not sent is ever sent, and nothing that it has not read read.
    pub(super) fn crash(&mut self) {
        self.process = Process::Gone;
        self.silent_since = None;
        network::set_open(self.index, false);
        self.connections.clear();
    }

    /// Announces a stop: a crash follows.
    pub(super) fn leave(&mut self) {
        self.is_leaving = true;
    }

    /// Something is decided that leads requests elsewhere, or lets them come back.
    pub(super) fn reconsidered(&mut self, now: Instant) {
        self.befallen = now;
    }

    /// Connections to it that are not closed.
    pub(super) fn live_connections(&self) -> usize {
        let live = self.connections.iter().filter(|own| !own.end.is_over());
        live.count() + network::waiting(self.index)
    }

    /// The definitions of its data change.
    pub(super) fn change_schema(&mut self) {
        self.schema_version += 1;
    }

    /// Does what is to be done by now.
    pub(super) fn act(&mut self, now: Instant, fates: &mut Fates) {
        if self.process != Process::Runs {
            return;
        }
        if self.loads_until.is_some_and(|own| own <= now) {
            self.loads_until = None;
        }
        for end in network::accept(self.index) {
            end.send(&greeting::encode_version(self.version, &Uuid::NIL, &SALT));
            self.connections.push(Connected::new(end));
        }
        self.replicate(fates);
        let mut connections = std::mem::take(&mut self.connections);
        if self.is_orderly {
            connections.sort_by_key(|own| !own.end.is_over());
        }
        for own in &mut connections {
            own.is_over = own.end.is_over();
            own.inbox.extend_from_slice(&own.end.receive());
            let mut is_lost = false;
            while !is_lost && let Some((header, body)) = own.next_request() {
                is_lost = self.loses(own, &header, &body, now, fates);
                if !is_lost {
                    self.take(own, header, &body, now, fates);
                }
            }
            own.is_over |= is_lost;
            if !is_lost {
                self.send_late(own, now, fates);
                self.tell_events(own);
            }
        }
        // Whose transactions were open there has them no more.
        connections.retain(|own| !own.is_over);
        self.connections = connections;
        if self.is_writable {
            // What it has done itself, it has when it is demoted.
            self.applied = fates.reads.done;
        }
    }

    fn take(
        &mut self,
        own: &mut Connected,
        header: Header,
        body: &[u8],
        now: Instant,
        fates: &mut Fates,
    ) {
        if header.request_type == REQUEST_VOTE {
            return self.write(own, &header, &self.ballot());
        }
        let request = RequestType::from_code(header.request_type).expect("it is a known one");
        let body = decode(request, body).expect("a gateway sends what can be read");
        match body {
            Body::Auth(auth) => return self.log_in(own, &header, &auth, fates),
            Body::Watch(key) => return own.watch(key, header.sync),
            Body::Unwatch(key) => return drop(own.watched.remove(key)),
            _ => {}
        }
        if let Some(said) = self.said(own, &body, fates) {
            return self.write(own, &header, &said);
        }
        let index = self.index;
        (fates.ledger).note(|| format!("upstream {index} takes {header:x?}"));
        let answer = match self.refusal(&body, &header) {
            Some(code) => {
                fates.on_refused(&body);
                Answer::Error(code)
            }
            None => match self.execute(own, &header, &body, fates) {
                Executed::Whole(answer) => answer,
                Executed::Step(has_written) => {
                    let due = own.in_order(&header, now + self.random.millis(0..STEPS_MILLIS_MAX));
                    return own.replies.push((due, Late::Step(header, has_written)));
                }
            },
        };
        let longest = if self.random.once_in(20) { 120 } else { 6 };
        let due = own.in_order(&header, now + self.random.millis(0..longest));
        own.replies.push((due, Late::Reply(header, answer)));
    }

    fn log_in(&self, own: &mut Connected, header: &Header, auth: &Auth<'_>, fates: &Fates) {
        if !fates.accounts.accepts(auth.user, auth.tuple) {
            return self.write(own, header, &Answer::Error(ErrorCode::CREDS_MISMATCH));
        }
        auth.user.clone_into(&mut own.user);
        self.write(own, header, &Answer::Body(EMPTY.to_vec()));
    }

    /// Why a request is refused, if it is: before anything of it is done.
    fn refusal(&self, body: &Body<'_>, header: &Header) -> Option<ErrorCode> {
        let is_write = matches!(body, Body::Replace(_));
        if self.loads_until.is_some() {
            Some(ErrorCode::LOADING)
        } else if self.is_leaving && header.stream_id == 0 && !matches!(body, Body::Select(_)) {
            Some(ErrorCode::SHUTDOWN)
        } else if is_write && !self.is_writable {
            Some(ErrorCode::READONLY)
        } else {
            None
        }
    }

    /// Does what is asked.
    fn execute(
        &mut self,
        own: &mut Connected,
        header: &Header,
        body: &Body<'_>,
        fates: &mut Fates,
    ) -> Executed {
        let stream = header.stream_id;
        let done = Executed::Whole(Answer::Body(EMPTY.to_vec()));
        let failed = |code| Executed::Whole(Answer::Error(code));
        match body {
            Body::Replace(store) => {
                let key = first_uint(store.tuple);
                fates.on_write_arrived(self.index, own, stream, key);
                match own.open.get_mut(&stream).filter(|_| stream != 0) {
                    Some(keys) => keys.push(key),
                    None => fates.execute(self.index, &[key], false),
                }
                done
            }
            Body::Select(select) => {
                let (size, key) = (
                    LARGE_REPLY / 4 * self.random.index(5),
                    first_uint(select.key),
                );
                if self.is_writable {
                    self.applied = fates.reads.done;
                }
                fates.on_read((self.index, self.is_writable), &self.applied, key);
                Executed::Whole(Answer::Body(row(key, size)))
            }
            Body::Begin(_) if own.open.contains_key(&stream) => {
                failed(ErrorCode::ACTIVE_TRANSACTION)
            }
            Body::Begin(_) => {
                own.open.insert(stream, Vec::new());
                done
            }
            Body::Commit => {
                let keys = own.open.remove(&stream).unwrap_or_default();
                // What was begun before it was demoted is not committed after it.
                if !self.is_writable && !keys.is_empty() {
                    return failed(ErrorCode::READONLY);
                }
                fates.execute(self.index, &keys, true);
                done
            }
            Body::Rollback => {
                own.open.remove(&stream);
                done
            }
            Body::Update(update) if update.space == IdOrName::Id(SETTINGS) => {
                own.set_by = Some(value_of(update.ops));
                done
            }
            Body::Call(call) if call.name == "write" => {
                let key = first_uint(call.args);
                fates.on_write_arrived(self.index, own, stream, key);
                if self.is_writable {
                    fates.execute(self.index, &[key], false);
                }
                Executed::Step(self.is_writable)
            }
            _ => done,
        }
    }

    /// Sends what is due, in any order.
    fn send_late(&mut self, own: &mut Connected, now: Instant, fates: &mut Fates) {
        loop {
            let due = own.replies.iter().enumerate();
            let due = due.filter(|(_, reply)| reply.0 <= now);
            let Some((index, _)) = due.min_by_key(|(_, reply)| reply.0) else {
                return;
            };
            let (header, answer) = match own.replies.remove(index).1 {
                Late::Reply(header, answer) => (header, answer),
                Late::Step(header, true) if self.is_writable => {
                    (header, Answer::Body(EMPTY.to_vec()))
                }
                // From the middle of it: it may have written.
                Late::Step(header, _) => (header, Answer::Error(ErrorCode::READONLY)),
            };
            fates.count_reply(&answer);
            let index = self.index;
            (fates.ledger).note(|| format!("upstream {index} answers {header:x?}"));
            own.answered = Some(header.sync);
            self.write(own, &header, &answer);
        }
    }

    fn write(&self, own: &Connected, header: &Header, answer: &Answer) {
        let reply = ReplyHeader {
            sync: header.sync,
            schema_version: self.schema_version,
        };
        let mut bytes = Vec::new();
        match answer {
            Answer::Body(body) => reply.pass_on(&mut bytes, 0, body),
            Answer::Error(code) => {
                let body = &[0x81, 0x31, 0xa2, b'n', b'o'];
                reply.pass_on(&mut bytes, CODE_ERROR | u32::from(code.0), body);
            }
        }
        own.end.send(&bytes);
    }
}
