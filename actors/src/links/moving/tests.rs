//! A connection that goes between links, which are played by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use vestibule_wire::features::{Feature, Features};
use vestibule_wire::keys::RequestType;

use super::*;
use crate::cells::claims::RequestId;
use crate::endpoints::PeerAddress;
use crate::engine::Caller;
use crate::engine::catalog::User;
use crate::links::by_hand;
use crate::links::callers::SessionCallers;
use crate::messages::tx::CallerUpdate;
use crate::upstream::{Forward, StreamStep};

const CONNECTION: u64 = 8;

/// How often a link's task was to look.
#[derive(Default)]
struct LooksAsked(AtomicUsize);

impl Wake for LooksAsked {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

struct Model {
    callers: SessionCallers,
    claims: Arc<Claims>,
    next: u32,
    aborted: Vec<AbortedTransaction>,
}

impl Model {
    fn new() -> Self {
        let mut own = Self {
            callers: SessionCallers::default(),
            claims: Arc::new(Claims::new(64)),
            next: 0,
            aborted: Vec::new(),
        };
        own.set("guest", Features::NONE);
        own.caller().uses_streams = true;
        own
    }

    /// The connection is this user's from now on, and can do this.
    fn set(&mut self, user: &str, format: Features) {
        let user = User {
            name: user.into(),
            ..User::guest()
        };
        let update = CallerUpdate {
            before: 0,
            session: 0,
            caller: Arc::new(Caller {
                connection: CONNECTION,
                user,
                peer: PeerAddress::Local,
                is_administrator: false,
            }),
            gauge: Arc::default(),
            format,
        };
        (self.callers).set(&update, &self.claims, &mut self.aborted);
    }

    fn caller(&mut self) -> &mut SessionCaller {
        self.callers.get_mut(0).unwrap()
    }

    /// A link of the connection's user to an upstream.
    fn link(&mut self, upstream: usize) -> Rc<LinkCell> {
        by_hand::link(self.caller(), upstream)
    }

    /// From here on, the link sends.
    fn greet(&self, cell: &LinkCell) {
        by_hand::greet(cell, &self.claims);
    }

    fn submit(&mut self, cell: &LinkCell, stream: u64, step: StreamStep) -> RequestId {
        let id = self.claims.queue(self.next);
        self.next += 1;
        let key = self.caller().key(0, stream);
        let forward = Forward {
            id,
            step,
            number: self.next.into(),
            ..Forward::of_ours(key, RequestType::Ping as u16)
        };
        (cell.link.borrow_mut()).submit(forward, ForwardBody::Part(&[0x80]), &self.claims);
        id
    }

    /// Whether what the connection sends over a link goes at once.
    fn is_held(&mut self, cell: &LinkCell) -> bool {
        let before = cell.link.borrow().unsent_bytes();
        self.submit(cell, 0, StreamStep::Nothing);
        cell.link.borrow().unsent_bytes() == before
    }

    fn pump(&self, cell: &LinkCell) {
        cell.link.borrow_mut().pump(&self.claims);
    }

    /// Goes on over another link.
    fn follow(&mut self, before: &Rc<LinkCell>, next: &Rc<LinkCell>) {
        let caller = self.caller();
        caller.behind.retain(|own| own.is_left_of(next));
        caller.take_from(before, StreamsKept::UnderWay);
        caller.follow_on(next);
    }

    /// The streams of what was told to be aborted, and how many transactions are lost.
    fn lost(&mut self) -> (Vec<u64>, usize) {
        let aborted = self.aborted.iter().map(|own| own.stream).collect();
        (aborted, self.caller().lost.aborted())
    }
}

/// A socket takes all that a link has for it.
fn write_all(cell: &LinkCell) {
    let written = {
        let mut link = cell.link.borrow_mut();
        let out = link.out();
        while !out.is_empty() {
            out.wrote(out.front().len());
        }
        link.written()
    };
    cell.tell_followers(written);
}

#[test]
fn who_logs_in_as_another_user_is_told_of_transactions_whose_begin_waits() {
    let mut own = Model::new();
    let cell = own.link(0);
    own.submit(&cell, 7, StreamStep::Begin);
    own.caller().link = Some(cell.clone());
    own.set("other", Features::NONE);
    assert_eq!(own.lost(), (vec![7], 1));
    assert!(own.caller().link.is_none());
}

#[test]
fn who_has_replies_written_otherwise_loses_what_is_open_and_nothing_that_waits() {
    let mut own = Model::new();
    let cell = own.link(0);
    own.greet(&cell);
    own.submit(&cell, 7, StreamStep::Begin);
    cell.link.borrow_mut().hold(CONNECTION);
    own.submit(&cell, 8, StreamStep::Begin);
    own.caller().link = Some(cell.clone());
    own.set("guest", Features::NONE.with(Feature::DmlTuples));
    assert_eq!(own.lost(), (vec![7], 1));
    let caller = own.caller();
    assert!(caller.is_outdated && caller.link.is_some());
    let taken = caller.take_from(&cell, StreamsKept::Open);
    let streams: Vec<_> = taken.iter().map(|own| own.forward.key.stream).collect();
    assert_eq!(streams, [8]);
}

#[test]
fn a_link_waits_for_all_that_was_begun_before_wherever_its_client_has_been_meanwhile() {
    use StreamStep::Nothing;
    let mut own = Model::new();
    let [a, b, c, elsewhere] = [0, 0, 0, 1].map(|upstream| own.link(upstream));
    for cell in [&a, &b, &c, &elsewhere] {
        own.greet(cell);
    }
    own.submit(&elsewhere, 0, Nothing);
    own.caller().take_from(&elsewhere, StreamsKept::Open);
    own.submit(&a, 0, Nothing);
    let first = a.link.borrow().unwritten_of(CONNECTION).unwrap();
    own.follow(&a, &b);
    assert_eq!(
        own.caller().behind.len(),
        1,
        "another upstream is none of it"
    );
    assert!(own.is_held(&b));
    own.follow(&b, &a);
    assert!(!own.is_held(&a), "it need not wait for itself");
    own.follow(&a, &c);
    assert!(own.is_held(&c));
    // What was begun at first is written, and no more.
    let count = (first - a.link.borrow().written()) as usize;
    a.link.borrow_mut().out().wrote(count);
    a.tell_followers(first);
    assert!(!own.is_held(&b));
    own.pump(&c);
    assert!(own.is_held(&c), "what was begun later is not written");
    write_all(&a);
    own.pump(&c);
    assert!(!own.is_held(&c));
}

#[test]
fn a_link_of_which_something_is_taken_looks_at_what_stood_behind_that() {
    use StreamStep::Nothing;
    let mut own = Model::new();
    let cell = own.link(0);
    own.greet(&cell);
    own.submit(&cell, 8, Nothing);
    let looks = Arc::<LooksAsked>::default();
    *cell.waker.borrow_mut() = Some(looks.clone().into());
    let taken = |own: &mut Model| {
        let taken = own.caller().take_from(&cell, StreamsKept::UnderWay);
        (taken.len(), looks.0.load(Ordering::SeqCst))
    };
    assert_eq!(taken(&mut own), (0, 0));
    cell.link.borrow_mut().hold(CONNECTION);
    own.submit(&cell, 0, Nothing);
    own.submit(&cell, 8, Nothing);
    assert_eq!(taken(&mut own), (1, 1));
}

#[test]
fn nobody_keeps_a_link_for_what_it_had_to_write() {
    let mut own = Model::new();
    let [a, b] = [0, 0].map(|upstream| own.link(upstream));
    own.greet(&a);
    own.submit(&a, 0, StreamStep::Nothing);
    own.follow(&a, &b);
    own.follow(&a, &b);
    assert_eq!((Rc::strong_count(&a), Rc::strong_count(&b)), (1, 1));
    own.greet(&b);
    assert!(own.is_held(&b));
    a.close();
    own.pump(&b);
    assert!(!own.is_held(&b), "it is over, and has told that once");
}
