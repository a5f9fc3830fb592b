//! Prepared statements over links.

use super::*;
use crate::limits::{MEMORY_SMALL, STATEMENTS_BYTES_MAX};
use crate::memory::Memory;
use crate::upstream::sql_request::{StatementStep, prepare, unprepare};
use crate::upstream::statements::ClientStatements;

const PREPARE: u64 = RequestType::Prepare as u64;
const EXECUTE: u64 = RequestType::Execute as u64;
const PING: u64 = RequestType::Ping as u64;

const TEXT: &[u8] = b"SELECT 1";

/// A link with the statements of clients that others may share.
fn link(clients: &Rc<ClientStatements>) -> Model {
    let mut own = Model::new();
    let link = std::mem::replace(&mut own.link, Model::new().link);
    own.link = link.with_statements(clients.clone());
    own.greet();
    own
}

/// The reply to a PREPARE.
fn prepared(id: u8) -> Vec<u8> {
    vec![0x82, 0x43, id, 0x34, 0]
}

fn by_id(id: u8) -> Vec<u8> {
    vec![0x82, 0x43, id, 0x41, 0x90]
}

fn by_text(text: &[u8]) -> Vec<u8> {
    let mut body = vec![0x82];
    body.extend_from_slice(&prepare(text)[1..]);
    body.extend_from_slice(&[0x41, 0x90]);
    body
}

impl Model {
    fn ask(&mut self, session: u32, code: RequestType, body: &[u8]) {
        let connection = key(session, 0).connection;
        (self.clients).set(session, connection, Arc::default());
        let id = self.claims.queue(self.next);
        let kind = match code {
            RequestType::Ping => Kind::Other,
            _ => Kind::Call,
        };
        let forward = Forward {
            id,
            number: u64::from(self.next),
            key: key(session, 0),
            code: code as u16,
            repeat: Repeat::Call,
            statement: StatementStep::of(code as u16, body),
            ..forward(session, u64::from(self.next), kind)
        };
        self.next += 1;
        (self.link).submit(forward, ForwardBody::Part(body), &self.claims);
    }

    /// What is written next: syncs, types and bodies.
    fn sent(&mut self) -> Vec<(u64, u64, Vec<u8>)> {
        self.link.pump(&self.claims);
        let all = self.written().into_iter();
        all.map(|(head, body)| (head.sync, head.request_type, body))
            .collect()
    }

    /// The only one that is written next.
    fn sent_one(&mut self) -> (u64, u64, Vec<u8>) {
        let mut all = self.sent();
        let types: Vec<_> = all.iter().map(|own| own.1).collect();
        assert_eq!(types.len(), 1, "{types:?}");
        all.remove(0)
    }

    /// A client prepares a text, whose number this upstream tells.
    fn prepare(&mut self, session: u32, text: &[u8], id: u8) {
        self.ask(session, RequestType::Prepare, &prepare(text));
        let (sync, request, body) = self.sent_one();
        assert_eq!((request, &*body), (PREPARE, &*prepare(text)));
        self.reply(sync, 0, &prepared(id));
        assert_eq!(self.told.all.pop().unwrap().2, prepared(id));
    }

    /// Nothing more goes until all is written.
    fn fill_socket(&mut self) {
        self.submit(9, Kind::Other, &vec![0xc0; LINK_AHEAD_MAX]);
    }

    fn ask_to_unprepare(&mut self, session: u32, id: u8) -> u64 {
        self.ask(session, RequestType::Prepare, &unprepare(id.into()));
        let (sync, request, body) = self.sent_one();
        assert_eq!((request, &*body), (PING, &[0x80][..]));
        sync
    }

    fn execute(&mut self, session: u32, id: u8) -> Vec<(u64, u64, Vec<u8>)> {
        self.ask(session, RequestType::Execute, &by_id(id));
        self.sent()
    }

    fn unprepare(&mut self, session: u32, id: u8) {
        let sync = self.ask_to_unprepare(session, id);
        self.reply(sync, 0, &[0x80]);
        assert_eq!(self.told.all.pop().unwrap().1, 0);
    }

    /// A PREPARE of this text, which this upstream answers; what its client is told.
    fn prepare_is_told(&mut self, session: u32, text: &[u8], id: u8) -> u32 {
        self.ask(session, RequestType::Prepare, &prepare(text));
        let sync = self.sent_one().0;
        self.reply(sync, 0, &prepared(id));
        self.told.all.pop().unwrap().1
    }
}

#[test]
fn a_statement_is_executed_by_its_number_where_it_is_prepared() {
    let clients = Rc::default();
    let mut own = link(&clients);
    own.prepare(1, TEXT, 5);
    let sent = own.execute(1, 5);
    assert_eq!((sent[0].1, &*sent[0].2), (EXECUTE, &*by_id(5)));
    assert_eq!((sent.len(), own.link.statements().len()), (1, 1));
}

#[test]
fn elsewhere_it_goes_by_its_text_until_the_upstream_there_has_told_its_own_number() {
    let clients = Rc::default();
    let (mut first, mut second) = (link(&clients), link(&clients));
    first.prepare(1, TEXT, 5);
    let sent = second.execute(1, 5);
    let [ours, executed] = &sent[..] else {
        panic!("{sent:?}")
    };
    assert_eq!((ours.1, &*ours.2), (PREPARE, &*prepare(TEXT)));
    assert_eq!((executed.1, &*executed.2), (EXECUTE, &*by_text(TEXT)));
    let again = second.execute(1, 5);
    assert_eq!((again.len(), &*again[0].2), (1, &*by_text(TEXT)));
    second.reply(ours.0, 0, &prepared(9));
    assert!(second.told.all.is_empty(), "that was of ours");
    assert_eq!(second.execute(1, 5)[0].2, by_id(9));
    assert_eq!(first.execute(1, 5)[0].2, by_id(5));
}

#[test]
fn where_it_cannot_be_prepared_it_goes_by_its_text() {
    let clients = Rc::default();
    let (mut first, mut second) = (link(&clients), link(&clients));
    first.prepare(1, TEXT, 5);
    let ours = second.execute(1, 5)[0].0;
    second.reply(ours, CODE_ERROR | 210, &[0x80]);
    let sent = second.execute(1, 5);
    assert_eq!((sent.len(), &*sent[0].2), (1, &*by_text(TEXT)));
    assert_eq!(second.link.statements().len(), 0);
}

#[test]
fn one_number_upstream_never_stands_for_two_texts() {
    let clients = Rc::default();
    let (mut first, mut second) = (link(&clients), link(&clients));
    first.prepare(1, TEXT, 5);
    first.prepare(2, b"SELECT 2", 6);
    second.prepare(2, b"SELECT 2", 5);
    // That of the other client is another one here.
    let ours = second.execute(1, 5)[0].0;
    second.reply(ours, 0, &prepared(5));
    assert_eq!(second.execute(1, 5)[0].2, by_text(TEXT));
    assert_eq!(second.execute(2, 6)[0].2, by_id(5));
    // A client that has both numbers of one value is told, and keeps the first.
    first.ask(1, RequestType::Prepare, &prepare(b"SELECT 3"));
    let sync = first.sent_one().0;
    first.reply(sync, 0, &prepared(5));
    assert_eq!(first.told.all.pop().unwrap().1, CODE_ERROR | 210);
    assert_eq!(first.execute(1, 5)[0].2, by_id(5));
}

#[test]
fn it_is_unprepared_when_nobody_holds_it_and_nothing_of_it_is_under_way() {
    let clients = Rc::default();
    let mut own = link(&clients);
    own.prepare(1, TEXT, 5);
    own.prepare(2, TEXT, 5);
    own.unprepare(1, 5);
    assert_eq!(own.sent(), [], "the other one holds it");
    let executed = own.execute(2, 5)[0].0;
    own.unprepare(2, 5);
    assert_eq!(own.sent(), [], "it is executed");
    own.reply(executed, 0, &[0x80]);
    let (sync, request, body) = own.sent_one();
    assert_eq!((request, &*body), (PREPARE, &*unprepare(5)));
    own.told.all.clear();
    own.reply(sync, 0, &[0x80]);
    assert!(own.told.all.is_empty() && own.link.is_idle());
    let sent = own.execute(2, 5);
    assert_eq!(
        sent[0].2,
        by_id(5),
        "that the upstream knows it not is told"
    );
}

#[test]
fn who_prepares_it_while_it_is_let_go_has_it() {
    let clients = Rc::default();
    let mut own = link(&clients);
    own.prepare(1, TEXT, 5);
    own.ask(2, RequestType::Prepare, &prepare(TEXT));
    let preparing = own.sent_one().0;
    own.unprepare(1, 5);
    // This has gone before the reply: it may have undone both.
    let (_, request, body) = own.sent_one();
    assert_eq!((request, &*body), (PREPARE, &*unprepare(5)));
    own.reply(preparing, 0, &prepared(5));
    let sent = own.execute(2, 5);
    assert_eq!(sent.last().unwrap().2, by_text(TEXT));
    own.reply(sent[0].0, 0, &prepared(5));
    assert_eq!(own.execute(2, 5)[0].2, by_id(5));
}

#[test]
fn what_a_client_does_not_hold_the_upstream_judges() {
    let clients = Rc::default();
    let mut own = link(&clients);
    let sent = own.execute(1, 5);
    assert_eq!(sent[0].2, by_id(5));
    own.reply(sent[0].0, CODE_ERROR | 211, &[0x80]);
    assert_eq!(own.told.all.pop().unwrap().1, CODE_ERROR | 211);
    own.ask(1, RequestType::Prepare, &unprepare(5));
    let (_, request, body) = own.sent_one();
    assert_eq!((request, &*body), (PREPARE, &*unprepare(5)));
}

#[test]
fn what_others_hold_is_not_unprepared() {
    let clients = Rc::default();
    let mut own = link(&clients);
    own.prepare(1, TEXT, 5);
    let sync = own.ask_to_unprepare(2, 5);
    own.reply(sync, 0, &[0x80]);
    assert_eq!(own.told.all.pop().unwrap().1, CODE_ERROR | 211);
    assert_eq!(own.link.statements().len(), 1);
    assert_eq!(own.execute(1, 5)[0].2, by_id(5));
}

#[test]
fn who_unprepares_what_it_holds_when_that_is_answered_is_not_refused() {
    let clients = Rc::default();
    let mut own = link(&clients);
    own.prepare(1, TEXT, 5);
    own.ask(2, RequestType::Prepare, &prepare(TEXT));
    let preparing = own.sent_one().0;
    // It knows the number: numbers of one text are the same.
    let [first, second] = [(); 2].map(|()| own.ask_to_unprepare(2, 5));
    for (sync, body) in [(preparing, prepared(5)), (first, vec![0x80])] {
        own.reply(sync, 0, &body);
        assert_eq!(own.told.all.pop().unwrap().1, 0);
    }
    assert!(clients.get(key(2, 0).connection, 5).is_none());
    own.reply(second, 0, &[0x80]);
    assert_eq!(own.told.all.pop().unwrap().1, CODE_ERROR | 211);
}

#[test]
fn what_somebody_executes_who_has_not_prepared_it_is_unprepared_when_that_is_over() {
    let clients = Rc::default();
    let mut own = link(&clients);
    let executed = own.execute(2, 5)[0].0;
    own.ask(1, RequestType::Prepare, &prepare(TEXT));
    let preparing = own.sent_one().0;
    own.clients.forget(1, key(1, 0).connection);
    own.reply(preparing, 0, &prepared(5));
    assert_eq!(own.sent(), [], "it is executed");
    // What code has prepared may be unprepared by anybody, but not now.
    let sync = own.ask_to_unprepare(3, 5);
    own.reply(sync, 0, &[0x80]);
    assert_eq!(own.sent(), [], "it is executed still");
    own.reply(executed, 0, &[0x80]);
    assert_eq!(own.sent_one().2, unprepare(5));
    assert_eq!(own.sent(), [], "once is enough");
}

#[test]
fn what_is_prepared_again_before_it_is_let_go_stays() {
    let clients = Rc::default();
    let mut own = link(&clients);
    let executed = own.execute(2, 5)[0].0;
    let sync = own.ask_to_unprepare(3, 5);
    own.reply(sync, 0, &[0x80]);
    own.prepare(1, TEXT, 5);
    own.reply(executed, 0, &[0x80]);
    assert_eq!(own.sent(), []);
    assert_eq!(own.execute(1, 5)[0].2, by_id(5));
}

#[test]
fn the_texts_that_clients_prepare_are_charged_while_they_are_on_their_way() {
    let memory = Arc::new(Memory::new(16 * STATEMENTS_BYTES_MAX));
    let clients = Rc::new(ClientStatements::new(memory.clone()));
    let mut own = link(&clients);
    let text = vec![b' '; STATEMENTS_BYTES_MAX / 2];
    let [first, second] = [1, 2].map(|session| {
        own.ask(session, RequestType::Prepare, &prepare(&text));
        own.sent_one().0
    });
    assert!(memory.used() > STATEMENTS_BYTES_MAX);
    own.reply(first, CODE_ERROR | 1, &[0x80]);
    assert!((STATEMENTS_BYTES_MAX / 2..STATEMENTS_BYTES_MAX).contains(&memory.used()));
    // Whether or not its client is there.
    clients.forget(key(2, 0).connection);
    assert!(memory.used() > 0);
    own.reply(second, 0, &prepared(5));
    assert!(memory.used() < STATEMENTS_BYTES_MAX, "it is held");
    own.told.all.clear();
    assert_eq!(
        own.prepare_is_told(2, &text, 5),
        0,
        "it takes no room twice"
    );
    own.ask(2, RequestType::Prepare, &prepare(&text));
    let (again, ..) = own.sent_one();
    let other = vec![b'y'; STATEMENTS_BYTES_MAX / 4];
    assert_eq!(own.prepare_is_told(2, &other, 6), 0, "nor on its way");
    own.reply(again, 0, &prepared(5));
    clients.forget(key(2, 0).connection);
    own.ask(1, RequestType::Prepare, &prepare(&text));
    own.sent_one();
    assert!(memory.used() > 0);
    own.link.end();
    assert_eq!(memory.used(), 0);
}

#[test]
fn small_texts_on_their_way_are_charged_by_what_they_take_together() {
    let memory = Arc::new(Memory::new(16 * STATEMENTS_BYTES_MAX));
    let clients = Rc::new(ClientStatements::new(memory.clone()));
    let [mut own, mut other] = [(); 2].map(|()| link(&clients));
    let text = |byte: u8| vec![byte; MEMORY_SMALL / 4];
    for (session, byte) in (1..).zip(b'a'..=b'h') {
        let link = match byte % 2 {
            0 => &mut own,
            _ => &mut other,
        };
        link.ask(session, RequestType::Prepare, &prepare(&text(byte)));
        link.sent_one();
    }
    assert!(memory.used() > 2 * MEMORY_SMALL);
    own.link.end();
    other.link.end();
    assert_eq!(memory.used(), 0);
}

#[test]
fn a_text_without_room_is_not_kept_and_its_client_is_told() {
    let memory = Arc::new(Memory::new(16 * STATEMENTS_BYTES_MAX));
    let clients = Rc::new(ClientStatements::new(memory.clone()));
    let mut own = link(&clients);
    let large = vec![b' '; STATEMENTS_BYTES_MAX];
    let small = &large[..STATEMENTS_BYTES_MAX / 2 + 1];
    own.ask(1, RequestType::Prepare, &prepare(&large));
    let sync = own.sent_one().0;
    assert_eq!(memory.used(), 0);
    own.reply(sync, 0, &prepared(5));
    assert_eq!(own.told.all.pop().unwrap().1, CODE_ERROR | 210);
    assert_eq!(own.sent_one().2, unprepare(5));
    // What is under way counts, of each connection.
    own.ask(1, RequestType::Prepare, &prepare(small));
    let first = own.sent_one().0;
    let other: Vec<u8> = small.iter().map(|_| b';').collect();
    assert_eq!(own.prepare_is_told(1, &other, 6), CODE_ERROR | 210);
    assert_eq!(own.sent_one().2, unprepare(6));
    assert_eq!(own.prepare_is_told(2, &other, 6), 0);
    own.reply(first, 0, &prepared(5));
    assert_eq!(own.told.all.pop().unwrap().1, 0);
    memory.set_max(0);
    assert_eq!(own.prepare_is_told(3, TEXT, 7), CODE_ERROR | 210);
    assert_eq!(own.sent_one().2, unprepare(7));
    assert_eq!(own.prepare_is_told(2, &other, 6), 0, "it has it already");
}

#[test]
fn what_has_to_be_executed_again_is_not_overtaken() {
    let clients = Rc::default();
    let mut own = link(&clients);
    let unknown = CODE_ERROR | 211;
    own.prepare(1, TEXT, 5);
    let first = own.execute(1, 5)[0].0;
    own.ask(1, RequestType::Eval, &[0x80]);
    let behind = own.sent_one().0;
    own.reply(first, unknown, &[0x80]);
    assert_eq!(own.told.all.pop().unwrap().1, unknown, "that may be done");
    assert_eq!(own.sent(), []);
    own.reply(behind, 0, &[0x80]);
    own.told.all.clear();
    // From here on it goes by its text, until it is prepared again.
    let sent = own.execute(1, 5);
    sent.iter()
        .for_each(|sent| own.reply(sent.0, 0, &prepared(5)));
    own.told.all.clear();
    // What waits goes behind it, and what others have sent is nothing to it.
    let first = own.execute(1, 5)[0].0;
    let other = own.execute(2, 5)[0].0;
    own.fill_socket();
    own.ask(1, RequestType::Ping, &[0x80]);
    own.reply(first, unknown, &[0x80]);
    own.reply(other, unknown, &[0x80]);
    assert_eq!(own.told.all.len(), 1, "the other one does not hold it");
    own.written();
    let types: Vec<_> = own.sent().iter().map(|own| own.1).collect();
    assert_eq!(types, [PREPARE, EXECUTE, PING]);
}

#[test]
fn all_that_were_sent_by_a_number_that_is_unknown_are_executed_again() {
    let clients = Rc::default();
    let mut own = link(&clients);
    own.prepare(1, TEXT, 5);
    own.prepare(2, TEXT, 5);
    let sent = [1, 2].map(|session| own.execute(session, 5)[0].0);
    for sync in sent {
        own.reply(sync, CODE_ERROR | 211, &[0x80]);
    }
    assert!(own.told.all.is_empty());
    let by_text = by_text(TEXT);
    let again = own.sent().into_iter();
    assert_eq!(again.filter(|own| own.2 == by_text).count(), 2);
}

#[test]
fn a_statement_whose_client_is_gone_before_the_reply_is_unprepared() {
    let clients = Rc::<ClientStatements>::default();
    let mut own = link(&clients);
    for is_answered in [false, true] {
        own.ask(1, RequestType::Prepare, &prepare(TEXT));
        let sync = own.sent_one().0;
        match is_answered {
            // Its time was over.
            true => own.told.is_abandoned = true,
            false => own.clients.forget(1, key(1, 0).connection),
        }
        own.reply(sync, 0, &prepared(5));
        assert_eq!(own.sent_one().2, unprepare(5));
        assert_eq!(own.link.statements().len(), 0);
        assert!(clients.get(key(1, 0).connection, 5).is_none());
    }
}

#[test]
fn a_large_reply_to_a_prepare_is_noted_as_well() {
    let clients = Rc::default();
    let mut own = link(&clients);
    own.ask(1, RequestType::Prepare, &prepare(TEXT));
    let sync = own.sent_one().0;
    let mut reply = prepared(5);
    reply.extend(vec![0; UPSTREAM_REPLY_LARGE]);
    let (header, mut bytes) = (
        ReplyHeader {
            sync,
            schema_version: 80,
        },
        Vec::new(),
    );
    header.pass_on(&mut bytes, 0, &reply);
    // It is large before it is whole.
    let parts = bytes.chunks(UPSTREAM_REPLY_LARGE);
    parts.for_each(|part| own.receive(part).unwrap());
    assert_eq!(own.told.all.len(), 1);
    assert_eq!(own.execute(1, 5)[0].2, by_id(5));
    assert_eq!(own.link.statements().len(), 1);
}

mod forgotten;
