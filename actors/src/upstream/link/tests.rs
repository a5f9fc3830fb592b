//! A link between a worker's claims and an upstream that is played by hand.

use std::sync::Arc;

use vestibule_wire::client::ReplyFrame;
use vestibule_wire::features::Features;
use vestibule_wire::frame::read_prefix;
use vestibule_wire::greeting;
use vestibule_wire::header::{Header, read_header};
use vestibule_wire::keys::{CODE_CHUNK, CODE_ERROR, RequestType};
use vestibule_wire::reply::ReplyHeader;
use vestibule_wire::{Error, ErrorCode, Uuid};

mod moving;
mod settings;
mod slow;
mod statements;

use super::*;
use crate::limits::{
    UPSTREAM_CALLS_DEFAULT, UPSTREAM_CALLS_USERS_RESERVE, UPSTREAM_REPLY_LARGE,
    UPSTREAM_REQUESTS_DEFAULT,
};
use crate::upstream::waiting::tests::forward;
use crate::upstream::{Kind, LostStream, Repeat, RequestBounds, StreamsLeft};

/// What a sink was told: sync of the client, code, body.
#[derive(Default)]
struct Told {
    all: Vec<(u64, u32, Vec<u8>)>,
    /// Nobody waits for large replies.
    is_abandoned: bool,
}

impl Sink for Told {
    type Large = (u32, Vec<u8>);

    fn is_waited_for(&self, _: RequestId) -> bool {
        !self.is_abandoned
    }

    fn reply(&mut self, to: &OwedRequest, frame: &ReplyFrame<'_>) {
        self.all.push((to.sync, frame.code, frame.body.to_vec()));
    }

    fn begin(&mut self, _: &OwedRequest, head: &ReplyFrame<'_>, _: usize) -> Self::Large {
        (head.code, Vec::new())
    }

    fn add(&mut self, large: &mut Self::Large, bytes: &[u8]) {
        large.1.extend_from_slice(bytes);
    }

    fn end(&mut self, to: &OwedRequest, large: Self::Large) {
        self.all.push((to.sync, large.0, large.1));
    }
}

fn key(session: u32, stream: u64) -> ClientStream {
    ClientStream {
        session,
        connection: u64::from(session) + 100,
        stream,
    }
}

struct Model {
    link: UpstreamLink<(u32, Vec<u8>)>,
    credits: Rc<UserCredits>,
    clients: Rc<Clients>,
    claims: Arc<Claims>,
    told: Told,
    next: u32,
}

impl Model {
    fn new() -> Self {
        let user = LinkUser {
            name: "guest".into(),
            key: None,
            format: Features::NONE,
        };
        let credits = Rc::new(UserCredits::of(Rc::new(Credits::of_one(
            RequestBounds::default(),
            1,
            true,
            Arc::default(),
        ))));
        let clients = Rc::<Clients>::default();
        Self {
            link: UpstreamLink::new(user, credits.clone(), clients.clone(), Instant::now()),
            credits,
            clients,
            claims: Arc::new(Claims::new(2 * UPSTREAM_REQUESTS_DEFAULT)),
            told: Told::default(),
            next: 0,
        }
    }

    fn greeted() -> Self {
        let mut own = Self::new();
        own.greet();
        own
    }

    fn greet(&mut self) {
        self.receive(&greeting::encode(&Uuid::NIL, &[7; 32]))
            .unwrap();
        self.link.pump(&self.claims);
    }

    /// A request of a session, whose sync is the number of its claim word.
    fn submit(&mut self, session: u32, kind: Kind, body: &[u8]) -> RequestId {
        self.submit_as(session, kind, Repeat::Write, body)
    }

    fn submit_as(&mut self, session: u32, kind: Kind, repeat: Repeat, body: &[u8]) -> RequestId {
        let id = self.claims.queue(self.next);
        let forward = Forward {
            id,
            repeat,
            code: RequestType::Call as u16,
            ..forward(session, u64::from(self.next), kind)
        };
        self.next += 1;
        (self.link).submit(forward, ForwardBody::Part(body), &self.claims);
        id
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<(), LinkFault> {
        let now = Instant::now();
        (self.link).receive(bytes, &mut self.told, &self.claims, now)
    }

    /// What the socket gets: headers and bodies.
    fn written(&mut self) -> Vec<(Header, Vec<u8>)> {
        let mut bytes = Vec::new();
        let out = self.link.out();
        while !out.is_empty() {
            bytes.extend_from_slice(out.front());
            out.wrote(out.front().len());
        }
        let (mut at, mut all) = (0, Vec::new());
        while let Some(prefix) = read_prefix(&bytes[at..], u64::MAX).unwrap() {
            if prefix.length == 0 || at == bytes.len() {
                break;
            }
            let content = &bytes[at + prefix.size..at + prefix.frame_size()];
            let (header, body) = read_header(content).unwrap();
            all.push((header, body.to_vec()));
            at += prefix.frame_size();
        }
        all
    }

    fn reply(&mut self, sync: u64, code: u32, body: &[u8]) {
        let header = ReplyHeader {
            sync,
            schema_version: 80,
        };
        let mut bytes = Vec::new();
        header.pass_on(&mut bytes, code, body);
        self.receive(&bytes).unwrap();
        self.link.pump(&self.claims);
    }
}

/// What was not sent, or may be sent twice.
fn unsent(end: &EndedLink) -> Vec<RequestId> {
    end.again.iter().map(|own| own.forward.id).collect()
}

#[test]
fn a_request_is_sent_as_it_is_and_its_reply_comes_back_to_it() {
    let mut own = Model::greeted();
    own.submit(1, Kind::Other, &[0x81, 0x20, 0x90]);
    let sent = own.written();
    assert_eq!(sent[0].1, [0x81, 0x20, 0x90]);
    assert_eq!(sent[0].0.request_type, RequestType::Call as u64);
    let sync = sent[0].0.sync;
    own.reply(sync, CODE_CHUNK, &[0x81, 0x30, 0x91, 1]);
    assert!(!own.link.is_idle());
    own.reply(sync, 0, &[0x80]);
    own.reply(sync, 0, &[0x80]);
    assert!(own.link.is_idle());
    let told = [
        (0, CODE_CHUNK, vec![0x81, 0x30, 0x91, 1]),
        (0, 0, vec![0x80]),
    ];
    assert_eq!(own.told.all, told, "and a second one is nobody's");
}

#[test]
fn nothing_goes_before_the_greeting_and_what_was_taken_back_never_goes() {
    let mut own = Model::new();
    let ids: Vec<_> = (0..3).map(|_| own.submit(1, Kind::Other, &[])).collect();
    assert!(own.written().is_empty());
    assert!(own.claims.revoke(ids[1]));
    own.greet();
    assert_eq!(own.written().len(), 2);
    assert!(!own.claims.revoke(ids[0]), "the kernel may have it");
}

#[test]
fn a_login_that_is_refused_ends_the_link_with_the_refusal() {
    let mut own = Model::new();
    let key = vestibule_wire::auth::PasswordKey::of("secret");
    own.link.user.key = Some(Arc::new(key));
    let id = own.submit(1, Kind::Other, &[]);
    own.greet();
    assert_eq!(own.written()[0].0.request_type, RequestType::Auth as u64);
    let (mut bytes, refusal) = (Vec::new(), Error::credentials_mismatch());
    let header = ReplyHeader {
        sync: u64::MAX,
        schema_version: 1,
    };
    header.write_error(&mut bytes, &refusal);
    let fault = own.receive(&bytes).unwrap_err();
    assert_eq!(fault, LinkFault::Refused(Refusal::Login(refusal)));
    let ended = own.link.end();
    assert_eq!((unsent(&ended), ended.sent), (vec![id], Vec::new()));
    assert!(own.claims.revoke(id), "it was not begun");
}

#[test]
fn an_upstream_has_no_more_to_do_than_it_may_and_calls_leave_room() {
    let mut own = Model::greeted();
    for _ in 0..UPSTREAM_CALLS_DEFAULT + 5 {
        own.submit(1, Kind::Call, &[]);
    }
    let calls = own.written();
    let of_user_max = UPSTREAM_CALLS_DEFAULT - UPSTREAM_CALLS_USERS_RESERVE;
    assert_eq!(calls.len(), of_user_max);
    let select = own.submit(2, Kind::Other, &[]);
    let behind = own.submit(1, Kind::Other, &[]);
    assert_eq!(own.written().len(), 1, "another session's select passes");
    assert!(!own.claims.revoke(select) && own.claims.revoke(behind));
    own.reply(calls[0].0.sync, 0, &[0x80]);
    assert_eq!(
        own.written().len(),
        1,
        "the reply makes room for the next call"
    );
}

#[test]
fn what_was_abandoned_keeps_its_credit_until_its_reply() {
    let mut own = Model::greeted();
    let ids: Vec<_> = (0..UPSTREAM_REQUESTS_DEFAULT)
        .map(|_| own.submit(1, Kind::Other, &[]))
        .collect();
    let sent = own.written();
    own.claims.free(ids[0]);
    own.submit(1, Kind::Other, &[]);
    assert!(own.written().is_empty());
    own.reply(sent[0].0.sync, 0, &[0x80]);
    assert_eq!(own.written().len(), 1);
}

#[test]
fn a_large_reply_comes_whole_and_one_that_nobody_waits_for_takes_no_memory() {
    let body = vec![0xc0; 3 * UPSTREAM_REPLY_LARGE];
    for is_abandoned in [false, true] {
        let mut own = Model::greeted();
        own.told.is_abandoned = is_abandoned;
        own.submit(1, Kind::Other, &[]);
        own.submit(1, Kind::Other, &[]);
        let sent = own.written();
        let mut bytes = Vec::new();
        for (sync, body) in [(sent[0].0.sync, &body[..]), (sent[1].0.sync, &[0x80])] {
            let header = ReplyHeader {
                sync,
                schema_version: 1,
            };
            header.pass_on(&mut bytes, 0, body);
        }
        bytes
            .chunks(1000)
            .for_each(|part| own.receive(part).unwrap());
        assert!(own.link.is_idle());
        let large = (0, 0, body.clone());
        let small = (1, 0, vec![0x80]);
        let expected = if is_abandoned {
            vec![small]
        } else {
            vec![large, small]
        };
        assert!(own.told.all == expected);
    }
}

#[test]
fn at_its_end_everything_is_told_once_and_its_credits_are_others() {
    let mut own = Model::greeted();
    let sent: Vec<_> = (0..UPSTREAM_REQUESTS_DEFAULT)
        .map(|_| own.submit(1, Kind::Other, &[]))
        .collect();
    let waiting = own.submit(1, Kind::Other, &[]);
    assert!(!own.credits.has_any());
    let mut ended = own.link.end();
    ended.sent.sort_by_key(|id| id.index);
    assert_eq!((unsent(&ended), ended.sent), (vec![waiting], sent));
    assert!(own.credits.has_any() && own.link.is_idle());
    let ended = own.link.end();
    assert!(ended.again.is_empty() && ended.sent.is_empty());
}

#[test]
fn what_may_be_sent_twice_is_left_with_its_body_when_the_link_ends() {
    let mut own = Model::greeted();
    let kinds = [
        (Repeat::Read, true),
        (Repeat::Write, false),
        (Repeat::Call, false),
        (Repeat::HarmlessCall, true),
        (Repeat::InStream, false),
    ];
    let ids = kinds.map(|(repeat, _)| own.submit_as(1, Kind::Other, repeat, b"body"));
    assert_eq!(own.written().len(), kinds.len());
    let end = own.link.end();
    let of = |is_again| {
        let all = kinds.iter().zip(ids);
        all.filter(move |((_, own), _)| *own == is_again)
            .map(|(_, id)| id)
    };
    assert!(end.sent.iter().copied().eq(of(false)));
    assert!(end.again.iter().map(|own| own.forward.id).eq(of(true)));
    let is_whole = |own: &KeptRequest| own.was_sent && &*own.body == b"body";
    assert!(end.again.iter().all(is_whole));
}

#[test]
fn what_is_refused_for_the_time_being_is_kept_and_other_errors_are_answers() {
    let mut own = Model::greeted();
    let error = |code: ErrorCode| CODE_ERROR | u32::from(code.0);
    let read_only = error(ErrorCode::READONLY);
    own.submit_as(1, Kind::Other, Repeat::Write, b"write");
    own.submit_as(1, Kind::Call, Repeat::Call, b"call");
    own.submit_as(1, Kind::Other, Repeat::Write, b"other");
    let syncs: Vec<u64> = own.written().iter().map(|own| own.0.sync).collect();
    own.reply(syncs[0], read_only, b"read-only");
    own.reply(syncs[1], read_only, b"it says so");
    own.reply(syncs[2], error(ErrorCode::TUPLE_FOUND), b"found");
    let told: Vec<_> = own.told.all.iter().map(|own| own.0).collect();
    assert_eq!(told, [1, 2]);
    assert!(own.link.is_idle(), "nothing is owed for what was refused");
    let refused = own.link.take_refused();
    assert_eq!(refused.len(), 1);
    let told = (refused[0].code, &*refused[0].body);
    assert_eq!(told, (read_only, &b"read-only"[..]));
    assert_eq!(&*refused[0].request.body, b"write");
    assert!(own.link.take_refused().is_empty());
    // Nothing is asked again for those who do not wait any more.
    own.told.is_abandoned = true;
    own.submit_as(1, Kind::Other, Repeat::Write, b"write");
    let sync = own.written()[0].0.sync;
    own.reply(sync, read_only, b"read-only");
    assert!(own.link.take_refused().is_empty());
}

#[test]
fn what_an_upstream_does_not_owe_is_nobodys() {
    let mut own = Model::greeted();
    own.submit(1, Kind::Other, &[]);
    own.reply(12_345, 0, &[0x80]);
    own.reply(u64::MAX, 0x8000 | 32, &[0x80]);
    assert!(own.told.all.is_empty() && !own.link.is_idle());
    assert!(matches!(
        own.receive(b"HTTP/1.1"),
        Err(LinkFault::Malformed(_))
    ));
}

/// What the socket gets: types, and the numbers of streams.
fn asked(own: &mut Model) -> Vec<(u64, u64)> {
    let sent = own.written().into_iter();
    sent.map(|(header, _)| (header.request_type, header.stream_id))
        .collect()
}

impl Model {
    fn submit_in(&mut self, stream: u64, request: RequestType, step: StreamStep) -> RequestId {
        let id = self.claims.queue(self.next);
        let forward = Forward {
            id,
            key: key(1, stream),
            code: request as u16,
            step,
            repeat: Repeat::InStream,
            ..forward(1, u64::from(self.next), Kind::Other)
        };
        self.next += 1;
        (self.link).submit(forward, ForwardBody::Part(&[]), &self.claims);
        id
    }
}

const BEGIN: u64 = RequestType::Begin as u64;
const REPLACE: u64 = RequestType::Replace as u64;
const ROLLBACK: u64 = RequestType::Rollback as u64;

#[test]
fn what_a_session_that_has_left_may_have_begun_is_rolled_back_behind_it() {
    let mut own = Model::new();
    let begin = own.submit_in(7, RequestType::Begin, StreamStep::Begin);
    own.submit_in(8, RequestType::Replace, StreamStep::Nothing);
    own.submit_in(7, RequestType::Replace, StreamStep::Nothing);
    assert_eq!(own.link.open_of(101), 1, "when it is sent");
    assert!(own.link.may_be_open(key(1, 7)) && !own.link.may_be_open(key(1, 8)));
    assert_eq!(own.leave(StreamsLeft::All), [(7, Some(begin))]);
    own.greet();
    let sent = [(BEGIN, 1), (REPLACE, 2), (REPLACE, 1), (ROLLBACK, 1)];
    assert_eq!(asked(&mut own), sent);
    assert_eq!(own.leave(StreamsLeft::All), [], "no more");
    assert!(asked(&mut own).is_empty());
    let owed = std::mem::take(&mut own.link.owed).into_all();
    let ours = owed.filter(|own| own.forward.id == RequestId::NONE);
    assert_eq!(ours.count(), 1);
}

#[test]
fn what_waits_behind_an_abort_is_not_sent() {
    for is_sent in [false, true] {
        let mut own = Model::new();
        if is_sent {
            own.greet();
        }
        let begin = own.submit_in(7, RequestType::Begin, StreamStep::Begin);
        let mut sent = asked(&mut own);
        if is_sent {
            // The upstream has enough to do.
            while own.credits.has_any() {
                own.credits.take(Kind::Other);
            }
        }
        let write = own.submit_in(7, RequestType::Replace, StreamStep::Nothing);
        let commit = own.submit_in(7, RequestType::Commit, StreamStep::Commit);
        own.submit_in(8, RequestType::Replace, StreamStep::Nothing);
        let behind = own.link.abort(key(1, 7), begin, &own.claims);
        let behind: Vec<_> = behind.unwrap().iter().map(|(own, _)| own.id).collect();
        assert_eq!(behind, [write, commit]);
        if is_sent {
            own.credits.give_back(Kind::Other);
            own.credits.give_back(Kind::Other);
            own.link.pump(&own.claims);
        } else {
            own.greet();
        }
        sent.extend(asked(&mut own));
        sent.sort_unstable();
        assert_eq!(sent, [(REPLACE, 2), (BEGIN, 1), (ROLLBACK, 1)]);
    }
}

#[test]
fn requests_are_taken_back_and_rollbacks_of_ours_are_not() {
    let mut own = Model::greeted();
    let begin = own.submit_in(7, RequestType::Begin, StreamStep::Begin);
    asked(&mut own);
    while own.credits.has_any() {
        own.credits.take(Kind::Other);
    }
    let write = own.submit_in(7, RequestType::Replace, StreamStep::Nothing);
    let taken = own.link.take_back();
    assert!(taken.iter().map(|own| own.forward.id).eq([write]));
    let lost = own.link.leave_all(&own.claims);
    let begins: Vec<_> = lost.iter().map(|own| own.begin).collect();
    assert_eq!(begins, [Some(begin)]);
    assert!(own.link.take_back().is_empty());
    assert!(own.link.leave_all(&own.claims).is_empty());
    own.credits.give_back(Kind::Other);
    own.link.pump(&own.claims);
    assert_eq!(asked(&mut own), [(ROLLBACK, 1)]);
}

#[test]
fn a_link_ends_with_what_was_open_and_what_was_to_be_committed() {
    let mut own = Model::greeted();
    let begin = own.submit_in(7, RequestType::Begin, StreamStep::Begin);
    own.submit_in(8, RequestType::Eval, StreamStep::MayBegin);
    own.submit_in(9, RequestType::Begin, StreamStep::Begin);
    own.submit_in(9, RequestType::Commit, StreamStep::Commit);
    own.submit_in(10, RequestType::Begin, StreamStep::Begin);
    let sent = own.written();
    own.reply(sent[4].0.sync, CODE_ERROR | 32, &[0x80]);
    assert!(!own.link.is_idle());
    let mut ended = own.link.end();
    ended.lost.sort_by_key(|own| own.key);
    let lost = [(7, Some(begin)), (8, None)].map(|(stream, begin)| LostStream {
        key: key(1, stream),
        begin,
    });
    assert_eq!(
        (ended.lost, ended.committing),
        (lost.to_vec(), vec![key(1, 9)])
    );
    assert!(own.link.is_idle());
}
