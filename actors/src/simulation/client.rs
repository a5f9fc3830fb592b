//! A client of a simulated world: what it has asked, and what each reply means for its writes.

use std::collections::BTreeMap;
use std::time::Instant;

use vestibule_wire::client::login_tuple;
use vestibule_wire::greeting;
use vestibule_wire::groups::chunk::Chunk;
use vestibule_wire::keys::{self, RequestType};
use vestibule_wire::msgpack::{write_array_len, write_bin, write_uint};

use super::asked::{Asked, What};
use super::chunks::{Came, Chunked, Chunks};
use super::clock;
use super::engine::pattern;
use super::ledger::{Ledger, Verdict};
use crate::engine::catalog::GUEST;
use crate::testing::pipe::ClientEnd;
use crate::testing::{Frame, RequestBuilder};

mod judge;
mod set;

pub(super) use set::SETTINGS;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Beginning,
    Open,
    Ending,
}

/// A stream with a transaction.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) phase: Phase,
    /// When its BEGIN was sent.
    begun: Instant,
    /// What its BEGIN was told, if more was sent behind it before that.
    failed: Option<Told>,
    /// All its statements were executed.
    is_whole: bool,
    /// Keys of statements that are not refused.
    keys: Vec<u64>,
}

/// What clients were told, for the stats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Told {
    Done,
    Refused(u16),
    Unknown(u16),
}

#[derive(Debug)]
pub(super) struct Client {
    /// The connection's number in the runtime.
    pub(super) connection: u64,
    end: ClientEnd,
    inbox: Vec<u8>,
    /// Of the greeting, if that has come.
    salt: Option<Vec<u8>>,
    /// Who it has logged in as.
    pub(super) user: &'static str,
    waiting: BTreeMap<u64, Asked>,
    pub(super) streams: BTreeMap<u64, Stream>,
    /// When transactions were begun that a demotion did not let finish.
    pub(super) cut_off: Vec<Instant>,
    /// What COMMIT was told of statements that were not answered by then, by their keys.
    committed: BTreeMap<u64, Verdict>,
    next_sync: u64,
    next_stream: u64,
    /// When anything came last.
    heard: Instant,
    pub(super) is_reading: bool,
    /// Replies to the client come in small pieces, or late: what it is told is old.
    is_narrow: bool,
    /// A few large replies are all that connections may hold.
    is_memory_short: bool,
    /// The client has sent half a frame, or closed its half, and will never send anything again.
    pub(super) is_mute: bool,
    /// Something that it has set is accepted.
    pub(super) has_set: bool,
    /// The client has closed its half.
    pub(super) has_ended: bool,
    /// Messages in chunks, if it takes them.
    chunks: Option<Chunks>,
    /// What came about of chunks.
    pub(super) chunked: Chunked,
}

impl Client {
    pub(super) fn new(
        connection: u64,
        end: ClientEnd,
        is_narrow: bool,
        is_memory_short: bool,
    ) -> Self {
        Self {
            connection,
            end,
            inbox: Vec::new(),
            salt: None,
            user: GUEST,
            waiting: BTreeMap::new(),
            streams: BTreeMap::new(),
            cut_off: Vec::new(),
            committed: BTreeMap::new(),
            next_sync: 0,
            next_stream: 0,
            heard: clock::now(),
            is_reading: true,
            is_narrow,
            is_memory_short,
            is_mute: false,
            has_set: false,
            has_ended: false,
            chunks: None,
            chunked: Chunked::default(),
        }
    }

    /// Asks for chunks.
    pub(super) fn ask_for_chunks(&mut self, seed: u64) {
        let chunks = Chunks::new(seed);
        self.next_sync += 1;
        let asked = Asked::new(What::Agreement, None, false);
        self.waiting.insert(self.next_sync, asked);
        self.end.send(&chunks.id_request(self.next_sync));
        self.chunks = Some(chunks);
    }

    /// Whether it may close its half: who takes chunks has credit to send until the end.
    pub(super) fn may_end_input(&self) -> bool {
        self.chunks.is_none()
    }

    /// Sends a request, built for the sync it is given.
    pub(super) fn ask(
        &mut self,
        ledger: &Ledger,
        what: What,
        due: Option<Instant>,
        request: impl FnOnce(u64) -> RequestBuilder,
    ) {
        self.next_sync += 1;
        let (connection, sync) = (self.connection, self.next_sync);
        ledger.note(|| format!("{connection}/{sync} {what:?}"));
        let frame = request(sync).bytes();
        let is_sent = match &mut self.chunks {
            Some(chunks) => {
                chunks.send(&self.end, frame, sync);
                chunks.is_sent()
            }
            None => {
                self.end.send(&frame);
                true
            }
        };
        let due = due.filter(|_| !self.is_narrow);
        let asked = Asked::new(what, due, !is_sent);
        self.waiting.insert(sync, asked);
    }

    /// Reads a key, in a stream or outside of them.
    pub(super) fn read(&mut self, ledger: &Ledger, key: u64, stream: u64, due: Option<Instant>) {
        // Its reply waits for memory that those of others have until they take them.
        self.is_narrow |= self.is_memory_short;
        self.ask(ledger, What::Read(key), due, |sync| {
            RequestBuilder::select(sync, key).stream(stream)
        });
    }

    /// Writes a key with bytes beside it, and perhaps gives it up at once.
    pub(super) fn write_large(
        &mut self,
        ledger: &mut Ledger,
        (size, stream): (usize, u64),
        is_given_up: bool,
        due: Option<Instant>,
    ) {
        // It is not read while others have the memory that it takes.
        self.is_narrow |= self.is_memory_short;
        let key = ledger.key(false);
        let mut tuple = Vec::new();
        write_array_len(&mut tuple, 2);
        write_uint(&mut tuple, key);
        write_bin(&mut tuple, pattern(key, size));
        self.ask(ledger, What::Write(key), due, |sync| {
            RequestBuilder::new(RequestType::Replace, sync)
                .stream(stream)
                .uint(keys::SPACE_ID, 512)
                .pair(keys::TUPLE, &tuple)
        });
        let Some(chunks) = self.chunks.as_mut().filter(|_| is_given_up) else {
            return;
        };
        if chunks.give_up(self.next_sync, stream) {
            chunks.go_on(&self.end);
            self.waiting.remove(&self.next_sync);
            self.chunked.given_up += 1;
            ledger.tell(key, Verdict::Refused);
        }
    }

    /// Logs in, if it is greeted.
    pub(super) fn log_in(&mut self, user: &'static str, password: &str, ledger: &Ledger) {
        let Some(salt) = self.salt.clone() else {
            return;
        };
        let tuple = login_tuple(password, &salt);
        self.ask(ledger, What::Login(user), None, |sync| {
            RequestBuilder::new(RequestType::Auth, sync)
                .text(keys::USER_NAME, user)
                .pair(keys::TUPLE, &tuple)
        });
    }

    /// Whether nobody knows yet as whom it asks.
    pub(super) fn is_logging_in(&self) -> bool {
        let mut waiting = self.waiting.values();
        waiting.any(|own| matches!(own.what, What::Login(_)))
    }

    /// A request that has no answer, if there is one.
    pub(super) fn any_waiting(&self, number: u64) -> Option<u64> {
        let count = self.waiting.len() as u64;
        let index = number.checked_rem(count)? as usize;
        self.waiting.keys().nth(index).copied()
    }

    /// A BEGIN that has no answer, if there is one.
    pub(super) fn waiting_begin(&self) -> Option<u64> {
        let is_begin = |own: &&Asked| matches!(own.what, What::Begin(_));
        let waiting = self.waiting.iter();
        let mut begins = waiting.filter(|(_, own)| is_begin(own));
        begins.next().map(|(sync, _)| *sync)
    }

    /// Reads no more for now: what it waits for, and all that it asks later, it hears late.
    pub(super) fn read_late(&mut self) {
        (self.is_reading, self.is_narrow) = (false, true);
        self.waiting.values_mut().for_each(Asked::wait_for_ever);
    }

    /// Sends the beginning of a frame, and never the rest.
    pub(super) fn send_half(&mut self) {
        self.is_mute = true;
        self.end.send(&[0xce, 0, 0, 0, 60, 0x82, 0]);
    }

    /// Sends no more, and waits for its answers.
    pub(super) fn end_input(&mut self) {
        self.is_mute = true;
        self.has_ended = true;
        self.end.end();
    }

    pub(super) fn begin(&mut self, ledger: &Ledger, due: Option<Instant>) {
        self.next_stream += 1;
        let stream = self.next_stream;
        let opened = Stream {
            phase: Phase::Beginning,
            begun: clock::now(),
            failed: None,
            is_whole: true,
            keys: Vec::new(),
        };
        self.streams.insert(stream, opened);
        self.ask(ledger, What::Begin(stream), due, |sync| {
            RequestBuilder::new(RequestType::Begin, sync).stream(stream)
        });
    }

    /// Sends a transaction of this number of statements without waiting for anything, with COMMIT
    /// or without.
    pub(super) fn pipeline(
        &mut self,
        (statements, is_committed): (u64, bool),
        ledger: &mut Ledger,
        due: Option<Instant>,
    ) {
        self.begin(ledger, due);
        let stream = self.next_stream;
        for _ in 0..statements {
            // Where the server has refused BEGIN, a statement may be done without a COMMIT.
            let key = ledger.key(false);
            self.statement_of(stream, key, ledger, due);
        }
        if is_committed {
            self.end(stream, true, ledger, due);
        }
    }

    pub(super) fn statement(&mut self, stream: u64, ledger: &mut Ledger, due: Option<Instant>) {
        let key = ledger.key(true);
        self.statement_of(stream, key, ledger, due);
    }

    fn statement_of(&mut self, stream: u64, key: u64, ledger: &Ledger, due: Option<Instant>) {
        if let Some(own) = self.streams.get_mut(&stream) {
            own.keys.push(key);
        }
        self.ask(ledger, What::Statement(stream, key), due, |sync| {
            RequestBuilder::replace(sync, key).stream(stream)
        });
    }

    pub(super) fn end(
        &mut self,
        stream: u64,
        is_commit: bool,
        ledger: &mut Ledger,
        due: Option<Instant>,
    ) {
        if let Some(own) = self.streams.get_mut(&stream) {
            own.phase = Phase::Ending;
            if is_commit {
                own.keys.iter().for_each(|key| ledger.close(*key));
            }
        }
        let (request, what) = match is_commit {
            true => (RequestType::Commit, What::Commit(stream)),
            false => (RequestType::Rollback, What::Rollback(stream)),
        };
        self.ask(ledger, what, due, |sync| {
            RequestBuilder::new(request, sync).stream(stream)
        });
    }

    /// Takes what has come; false if the connection is over.
    pub(super) fn receive(
        &mut self,
        ledger: &mut Ledger,
        mut stats: impl FnMut(What, Told),
    ) -> bool {
        // In this order: what is written before the close is received.
        let is_over = self.end.is_over();
        let received = self.end.receive();
        if !received.is_empty() {
            self.heard = clock::now();
        }
        self.inbox.extend_from_slice(&received);
        if self.salt.is_none()
            && let Some((greeting, rest)) = self.inbox.split_first_chunk()
        {
            self.salt = Some(greeting::decode(greeting).expect("it is one").salt);
            self.inbox = rest.to_vec();
        }
        while self.salt.is_some() && self.inbox.len() >= 5 {
            let size: [u8; 4] = self.inbox[1..5].try_into().expect("four bytes");
            let end = 5 + u32::from_be_bytes(size) as usize;
            if self.inbox.len() < end {
                break;
            }
            let bytes: Vec<u8> = self.inbox.drain(..end).collect();
            self.take_bytes(&bytes, ledger, &mut stats);
        }
        if let Some(chunks) = self.chunks.as_mut().filter(|_| !self.is_mute) {
            chunks.admit(&self.end);
            let has_sent = chunks.go_on(&self.end);
            let is_sent = chunks.is_sent();
            // What waits for its credit is told late, and all else is behind that.
            let is_late = chunks.is_lazy() && (chunks.has_taken() || !received.is_empty());
            let waiting = self.waiting.values_mut();
            waiting.for_each(|own| own.on_look(has_sent, is_sent, is_late));
        }
        !is_over
    }

    /// A frame, or a piece of one.
    fn take_bytes(
        &mut self,
        bytes: &[u8],
        ledger: &mut Ledger,
        stats: &mut impl FnMut(What, Told),
    ) {
        let content = &bytes[5..];
        if !Chunk::is_one(content) {
            return self.take(&Frame::read(bytes), ledger, stats);
        }
        let connection = self.connection;
        let Some(chunks) = &mut self.chunks else {
            return ledger.fault(format!("connection {connection} did not ask for chunks"));
        };
        let came = chunks.take(&self.end, content);
        ledger.note(|| {
            format!(
                "{connection}/chunk of {} bytes: {:x?}",
                content.len(),
                &content[..content.len().min(20)]
            )
        });
        match came {
            Came::Nothing => {}
            Came::Frame(frame) => {
                self.chunked.replies += 1;
                self.take(&Frame::read(&frame), ledger, stats);
            }
            Came::Stopped(sync) => {
                self.chunked.stopped += 1;
                // Only what reads is as large.
                match self.waiting.remove(&sync).map(|asked| asked.what) {
                    Some(What::Read(_)) => {}
                    what => ledger.fault(format!("{connection}/{sync} {what:?} is large")),
                }
            }
            Came::Fault(fault) => ledger.fault(format!("connection {connection}: {fault}")),
        }
    }

    fn take(&mut self, frame: &Frame, ledger: &mut Ledger, stats: &mut impl FnMut(What, Told)) {
        // Sync 0 tells why it is closed.
        if frame.sync == 0 {
            return;
        }
        let Some(asked) = self.waiting.remove(&frame.sync) else {
            let connection = self.connection;
            return ledger.fault(format!("connection {connection} did not ask for {frame:?}"));
        };
        let told = match frame.error_code() {
            None => Told::Done,
            Some(code) if frame.error_mentions("outcome") => Told::Unknown(code),
            Some(code) => Told::Refused(code),
        };
        stats(asked.what, told);
        let (connection, sync) = (self.connection, frame.sync);
        ledger.note(|| {
            format!(
                "{connection}/{sync} {:?}: {told:?} {:?}",
                asked.what,
                frame.error_text()
            )
        });
        self.judge(asked.what, told, frame, ledger);
    }

    /// Streams whose transaction may go on.
    pub(super) fn open_streams(&self) -> Vec<u64> {
        let open = self
            .streams
            .iter()
            .filter(|(_, own)| own.phase == Phase::Open);
        open.map(|(stream, _)| *stream).collect()
    }

    /// Whether no statement of a stream's transaction was refused.
    pub(super) fn is_whole(&self, stream: u64) -> bool {
        self.streams.get(&stream).is_some_and(|own| own.is_whole)
    }

    /// Whether it knows all it was told.
    pub(super) fn hears_at_once(&self) -> bool {
        let is_lazy = self.chunks.as_ref().is_some_and(Chunks::is_lazy);
        self.is_reading && !self.is_narrow && !is_lazy
    }

    /// Requests that have no answer.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// A request that should have been answered by now. While something comes, the answer may be
    /// behind it.
    pub(super) fn overdue(&self, now: Instant) -> Option<String> {
        // Who sends no more admits no more.
        if self.heard > now || self.is_mute && self.chunks.is_some() {
            return None;
        }
        let asked = self.waiting.values().find(|own| own.is_overdue(now))?;
        let (connection, what) = (self.connection, asked.what);
        Some(format!(
            "connection {connection} waits for {what:?} too long"
        ))
    }

    /// Keys of the requests that wait for the end of a write.
    pub(super) fn writing(&self) -> Vec<u64> {
        let waiting = self.waiting.values().map(|asked| asked.what);
        let keys = waiting.flat_map(|what| match what {
            What::Write(key) | What::Steps(key) => vec![key],
            What::Commit(stream) => self
                .streams
                .get(&stream)
                .map_or(Vec::new(), |own| own.keys.clone()),
            _ => Vec::new(),
        });
        keys.collect()
    }
}
