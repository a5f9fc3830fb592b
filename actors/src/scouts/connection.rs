//! One connection of a scout: greeted, logged in, and asked again and again how its upstream is.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::{Either, select};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use vestibule_wire::auth::PasswordKey;
use vestibule_wire::ballot::Ballot;
use vestibule_wire::client::{ReplyFrame, RequestHeader};
use vestibule_wire::features::Features;
use vestibule_wire::keys::REQUEST_VOTE;
use vestibule_wire::msgpack::{write_array_len, write_str};
use vestibule_wire::request::{After, Body, Call, IdOrName, Select};

use super::absent::while_absent;
use super::answers::{identity, is_read_only, password_hash};
use super::board::ScoutBoard;
use super::catalog::{CATALOG_SYNC, CatalogPage, CatalogReader};
use super::events::{Sign, UpstreamWatches};
use super::warned::Warned;
use crate::connection::transport::{Transport, poll_read_into, write_some};
use crate::engine::catalog::GUEST;
use crate::limits::{KEYS_LOOK_PERIOD, READ_SIZE, SCOUT_LOOK_PERIOD, SCOUT_REPLY_SIZE_MAX};
use crate::outbound::{LookUp, chance, connect_scout};
use crate::throttle::Throttle;
use crate::upstream::{HAS_ID_SINCE, Handshake, LinkUser, ScoutQuestion, UserQuestion};

/// The numbers of what is asked; questions for users come behind.
const VOTE_SYNC: u64 = 1;
const INFO_SYNC: u64 = 2;
const QUESTION_SYNC_MIN: u64 = 16;

/// Number of the space `_user`, and of its index by names.
const USER_SPACE: u32 = 304;
const USER_INDEX_NAME: u32 = 2;

/// Stays with an upstream for ever.
pub(super) async fn scout(
    board: &ScoutBoard,
    index: usize,
    mut questions: mpsc::UnboundedReceiver<ScoutQuestion>,
) {
    let (mut refused, mut look_up) = (Throttle::default(), LookUp::default());
    let (mut warned, upstream) = (Warned::default(), board.gateway.upstream(index));
    loop {
        let open = ScoutConnection::open(board, index, &mut look_up);
        let trouble = match while_absent(board, index, open).await {
            Ok(mut connection) => {
                if warned.is_over() {
                    log::info!("upstream {upstream} is reached again");
                }
                connection.live(&mut questions, &mut refused).await
            }
            Err(trouble) => trouble,
        };
        if let Some(times) = warned.note(&trouble, board.now()) {
            log::warn!("upstream {upstream}: {trouble}{times}");
        }
        let wait_max = board.reconnect_wait_max();
        let wait = board.tell(index, |scout| scout.on_lost(trouble, wait_max, chance()));
        // Haste that is made from now on: not that for its own sake.
        let (waited, hurried) = (pin!(sleep(wait)), pin!(board.hurried.notified()));
        let left_alone = select(waited, hurried);
        // Who asks now need not wait for it to come back: they see that nobody answers.
        let none_left = pin!(async { while questions.recv().await.is_some() {} });
        while_absent(board, index, select(left_alone, none_left)).await;
    }
}

struct ScoutConnection<'a> {
    board: &'a ScoutBoard,
    index: usize,
    transport: Box<dyn Transport>,
    received: Vec<u8>,
    /// What waits for the socket.
    out: Vec<u8>,
    /// The syncs of what is asked and not answered.
    asked: Vec<u64>,
    /// The questions for users, by their syncs.
    users_asked: HashMap<u64, UserQuestion>,
    last_sync: u64,
    /// Who wants to know how it is: by a probe that is still to be sent, and by the one that is on
    /// its way.
    doubters: Vec<oneshot::Sender<()>>,
    doubters_of_probe: Vec<oneshot::Sender<()>>,
    /// Whether `box.info` may be called: until it is refused.
    may_ask_info: bool,
    /// The last ballot does not tell whether it is an orphan.
    needs_info: bool,
    watches: UpstreamWatches,
    catalog: CatalogReader,
    /// When it was asked how it is.
    probed: Option<Instant>,
    /// When the last VOTE was written.
    vote_sent: Instant,
    /// How often links had read something when it was last looked.
    link_reads: u64,
}

impl<'a> ScoutConnection<'a> {
    /// Connects, is greeted, and logs in as the gateway's account.
    async fn open(
        board: &'a ScoutBoard,
        index: usize,
        look_up: &mut LookUp,
    ) -> Result<Self, String> {
        let limit = board.gateway.config.connect_timeout;
        let open = async {
            let on_connected = || {
                let now = board.now();
                board.tell(index, |scout| scout.on_connected(now));
            };
            let transport = connect_scout(&board.gateway, index, look_up, on_connected).await;
            let transport = transport.map_err(|own| text(&own))?;
            let mut own = Self {
                board,
                index,
                transport,
                received: Vec::new(),
                out: Vec::new(),
                asked: Vec::new(),
                users_asked: HashMap::new(),
                last_sync: QUESTION_SYNC_MIN,
                doubters: Vec::new(),
                doubters_of_probe: Vec::new(),
                may_ask_info: true,
                needs_info: false,
                watches: UpstreamWatches::default(),
                catalog: CatalogReader::default(),
                probed: None,
                vote_sent: board.now(),
                link_reads: board.gateway.sight.upstreams()[index].reads(),
            };
            own.shake_hands().await?;
            Ok(own)
        };
        let late = |_| format!("no connection within {limit:?}");
        let opened = timeout(limit, open).await.map_err(late)?;
        // Not where its time was over: that is silence.
        opened.inspect_err(|_| board.tell(index, |scout| scout.on_not_greeted()))
    }

    async fn shake_hands(&mut self) -> Result<(), String> {
        let account = self.board.gateway.config.account.as_ref();
        let user = LinkUser {
            name: account.map_or(GUEST, |own| &own.user).into(),
            key: account.map(|own| Arc::new(PasswordKey::of(&own.password))),
            format: Features::NONE,
        };
        let (mut handshake, mut version) = (Handshake::default(), (0, 0, 0));
        while !handshake.is_ready() {
            self.read().await?;
            let taken = handshake.take_greeting(&self.received);
            let (taken, greeting) = taken.map_err(|own| own.to_string())?;
            self.received.drain(..taken);
            if let Some(greeting) = greeting {
                self.board.on_greeted(self.index, &greeting);
                version = greeting.version;
                handshake.log_in(&greeting, &user, &mut self.out);
                self.write().await?;
            }
            if let Some(frame) = read_frame(&self.received)? {
                let taken = handshake.take_reply(&frame);
                taken.map_err(|own| own.to_string())?;
                let size = frame.size;
                self.received.drain(..size);
            }
        }
        self.watches.begin(version >= HAS_ID_SINCE, &mut self.out);
        Ok(())
    }

    /// Reads what there is, or waits for something.
    async fn read(&mut self) -> Result<(), String> {
        self.received.reserve(READ_SIZE);
        let (transport, received) = (&mut *self.transport, &mut self.received);
        let read = poll_fn(|cx| poll_read_into(transport, cx, received, READ_SIZE));
        match read.await {
            Ok(0) => Err("it has closed the connection".to_owned()),
            Ok(_) => Ok(()),
            Err(fault) => Err(self.lost(&fault)),
        }
    }

    /// Why the connection is lost. If nobody has acknowledged what was sent, links end as well.
    fn lost(&self, fault: &io::Error) -> String {
        if fault.kind() == io::ErrorKind::TimedOut {
            self.board.on_vanished(self.index);
        }
        text(fault)
    }

    async fn write(&mut self) -> Result<(), String> {
        while !self.out.is_empty() {
            let written = write_some(&mut *self.transport, &self.out).await;
            let written = written.map_err(|own| self.lost(&own))?;
            self.out.drain(..written);
        }
        Ok(())
    }

    /// Asks and looks until the connection ends; returns why.
    async fn live(
        &mut self,
        questions: &mut mpsc::UnboundedReceiver<ScoutQuestion>,
        refused: &mut Throttle,
    ) -> String {
        loop {
            let now = self.board.now();
            let interval = self.board.probe_interval();
            let is_due = |at| now.saturating_duration_since(at) >= interval;
            let is_due = self.probed.is_none_or(is_due);
            if (is_due || !self.doubters.is_empty()) && !self.is_probing() {
                self.probed = Some(now);
                self.probe(now);
            }
            if self.watches.is_due(self.board, self.index, now) {
                self.watches
                    .follow(self.board, self.index, now, &mut self.out);
            }
            if let Err(trouble) = self.flush_or_wait(questions, interval).await {
                return trouble;
            }
            if let Err(trouble) = self.take_frames(refused) {
                return trouble;
            }
            let now = self.board.now();
            let reads = self.board.gateway.sight.upstreams()[self.index].reads();
            let is_heard = std::mem::replace(&mut self.link_reads, reads) != reads;
            let given_up = self.board.tell(self.index, |scout| {
                if is_heard {
                    scout.on_sign(now);
                }
                scout.look(now, SCOUT_LOOK_PERIOD);
                scout.given_up(now)
            });
            if let Some(trouble) = given_up {
                return trouble;
            }
        }
    }

    /// Waits for something to come, for a question, or until it is time to look. What is to be sent
    /// is sent meanwhile.
    async fn flush_or_wait(
        &mut self,
        questions: &mut mpsc::UnboundedReceiver<ScoutQuestion>,
        interval: Duration,
    ) -> Result<(), String> {
        let wait = interval.min(SCOUT_LOOK_PERIOD);
        let question = {
            let board = self.board;
            let watched = pin!(async {
                board.gateway.watched.changed().await;
                // What is watched next is looked at together with it.
                sleep(KEYS_LOOK_PERIOD).await;
            });
            let hurried = pin!(board.hurried.notified());
            let others = select(watched, hurried);
            let question = pin!(questions.recv());
            let traffic = pin!(timeout(wait, async {
                self.write().await?;
                self.read().await
            }));
            match select(traffic, select(question, others)).await {
                Either::Left((Ok(traffic), _)) => return traffic,
                // An upstream that takes nothing is found by its silence.
                Either::Left((Err(_), _)) | Either::Right((Either::Left((None, _)), _)) => {
                    return Ok(());
                }
                Either::Right((Either::Right(_), _)) => return Ok(()),
                Either::Right((Either::Left((Some(question), _)), _)) => question,
            }
        };
        match question {
            ScoutQuestion::User(question) => self.ask_for_user(question),
            ScoutQuestion::Doubt(doubter) => self.doubters.push(doubter),
        }
        Ok(())
    }

    /// Whether it is asked how it is, and has not answered.
    fn is_probing(&self) -> bool {
        let mut asked = self.asked.iter();
        asked.any(|own| [VOTE_SYNC, INFO_SYNC].contains(own))
    }

    /// Asks how the upstream is.
    fn probe(&mut self, now: Instant) {
        self.doubters_of_probe.append(&mut self.doubters);
        self.board.on_probe(self.index);
        let vote = RequestHeader::with_sync(VOTE_SYNC);
        vote.write_with(&mut self.out, REQUEST_VOTE, |_| ());
        self.vote_sent = now;
        self.note_asked(VOTE_SYNC, now);
        let needs_info = self.needs_info || self.board.lacks_identity(self.index);
        if needs_info && self.may_ask_info {
            let call = Body::Call(Call {
                name: "box.info",
                args: &[0x90],
                wrap_results: false,
            });
            RequestHeader::with_sync(INFO_SYNC).write(&mut self.out, &call);
            self.note_asked(INFO_SYNC, now);
        }
        // Who does not serve yet may say what is over in a moment.
        let may_read = self.board.is_serving(self.index) && self.catalog.may_begin(now);
        if may_read && self.board.lacks_catalog(self.index) {
            self.catalog.begin(&mut self.out);
            self.note_asked(CATALOG_SYNC, now);
        }
    }

    fn note_asked(&mut self, sync: u64, now: Instant) {
        self.asked.push(sync);
        self.board.tell(self.index, |scout| scout.on_asked(now));
    }

    /// Asks for a user.
    fn ask_for_user(&mut self, question: UserQuestion) {
        self.last_sync += 1;
        let sync = self.last_sync;
        let mut key = Vec::new();
        write_array_len(&mut key, 1);
        write_str(&mut key, &question.name);
        let select = Body::Select(Select {
            space: IdOrName::Id(USER_SPACE),
            index: IdOrName::Id(USER_INDEX_NAME),
            limit: 1,
            offset: 0,
            iterator: 0,
            key: &key,
            fetch_position: false,
            after: After::Start,
        });
        RequestHeader::with_sync(sync).write(&mut self.out, &select);
        self.users_asked.insert(sync, question);
        let now = self.board.now();
        self.note_asked(sync, now);
    }

    /// Takes what has come.
    fn take_frames(&mut self, refused: &mut Throttle) -> Result<(), String> {
        let received = std::mem::take(&mut self.received);
        let mut at = 0;
        let mut taken = || -> Result<(), String> {
            while let Some(frame) = read_frame(&received[at..])? {
                at += frame.size;
                self.take_frame(&frame, refused);
            }
            Ok(())
        };
        let result = taken();
        if !received.is_empty() {
            let (now, is_all) = (self.board.now(), self.asked.is_empty());
            self.board.tell(self.index, |scout| {
                scout.on_heard(now);
                if is_all {
                    scout.on_all_answered();
                }
            });
        }
        if !self.is_probing() {
            for doubter in self.doubters_of_probe.drain(..) {
                // It may have lost interest.
                let _ = doubter.send(());
            }
        }
        self.received = received;
        self.received.drain(..at);
        result
    }

    fn take_frame(&mut self, frame: &ReplyFrame<'_>, refused: &mut Throttle) {
        if let Some(event) = frame.event() {
            return self.take_event(event);
        }
        if !frame.is_final() {
            return;
        }
        self.asked.retain(|own| *own != frame.sync);
        let now = self.board.now();
        if let Some(number) = frame.schema_version {
            self.board.on_schema_version(self.index, number);
        }
        match frame.sync {
            VOTE_SYNC => {
                if let Some(ballot) = Ballot::read(frame) {
                    let needed_info =
                        std::mem::replace(&mut self.needs_info, ballot.is_bootstrapped.is_none());
                    if self.needs_info && !needed_info {
                        // It does not tell all, as is known from now on: the rest at once.
                        self.probed = None;
                    }
                    self.board.on_ballot(self.index, self.vote_sent, ballot);
                }
            }
            INFO_SYNC => {
                let is_read_only = is_read_only(frame);
                self.may_ask_info = is_read_only.is_some();
                if let Some(identity) = identity(frame) {
                    self.board.on_identity(self.index, identity);
                }
                (self.board).tell(self.index, |scout| scout.on_info(is_read_only, now));
            }
            CATALOG_SYNC => self.take_catalog_page(frame),
            sync => self.answer_question(sync, frame, refused),
        }
    }

    fn take_catalog_page(&mut self, frame: &ReplyFrame<'_>) {
        let now = self.board.now();
        let name = &self.board.gateway.upstream(self.index).name;
        match self.catalog.take(frame, &mut self.out, now) {
            CatalogPage::More => self.note_asked(CATALOG_SYNC, now),
            CatalogPage::Done(digest) => self.board.on_catalog(self.index, digest),
            // The next probe begins again.
            CatalogPage::Changed => {}
            CatalogPage::Failed(why) => {
                log::debug!("upstream {name} does not tell its catalog: {why}");
            }
            CatalogPage::Refused { why, is_new: true } => log::warn!(
                "upstream {name} does not let the gateway read its catalog, so replicas answer \
                 nothing: {why}"
            ),
            CatalogPage::Refused { .. } => {}
        }
    }

    fn take_event(&mut self, event: (&str, Option<&[u8]>)) {
        let (board, index) = (self.board, self.index);
        let now = board.now();
        let sign = self.watches.take(board, index, event, &mut self.out);
        match sign {
            None => return,
            Some(Sign::ReadOnly(is_read_only)) => {
                board.tell(index, |scout| scout.on_info(is_read_only, now));
            }
            Some(Sign::Elected(term)) => board.tell(index, |scout| scout.on_term(term)),
            Some(Sign::Leaving) => board.tell(index, |scout| scout.on_leaving(now)),
            // It says nothing of whether it takes changes.
            Some(Sign::Solo(reason)) => return board.on_solo(index, reason),
        }
        // Its ballot tells the rest, at once.
        self.probed = None;
    }

    fn answer_question(&mut self, sync: u64, frame: &ReplyFrame<'_>, refused: &mut Throttle) {
        let Some(question) = self.users_asked.remove(&sync) else {
            return;
        };
        let Some(error) = frame.error() else {
            // Before who comes next may ask again.
            return self.board.gateway.learn(question, password_hash(frame));
        };
        if let Some(times) = refused.note(self.board.now()) {
            let name = &self.board.gateway.upstream(self.index).name;
            log::warn!(
                "upstream {name} does not let the gateway read its users{times}, \
                 so nobody can log in: {error}"
            );
        }
    }
}

/// The frame that these bytes begin with, if it has come whole.
fn read_frame(bytes: &[u8]) -> Result<Option<ReplyFrame<'_>>, String> {
    let frame = ReplyFrame::read(bytes, SCOUT_REPLY_SIZE_MAX);
    frame.map_err(|own| own.to_string())
}

/// Why, for people: clients are told it as well, to whom the system's number says nothing.
fn text(fault: &io::Error) -> String {
    let text = fault.to_string();
    match text.split_once(" (os error ") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}
