//! Links that a test plays by hand: they are greeted, and nothing is answered over them.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use vestibule_wire::client::ReplyFrame;
use vestibule_wire::features::Features;
use vestibule_wire::{Uuid, greeting};

use super::callers::SessionCaller;
use super::cell::LinkCell;
use super::deliveries::LargeAnswer;
use crate::cells::claims::{Claims, RequestId};
use crate::upstream::{
    Credits, Incarnation, LinkUser, OwedRequest, RequestBounds, Sink, UpstreamLink, UserCredits,
};

/// Answers nobody.
struct Silent;

impl Sink for Silent {
    type Large = LargeAnswer;

    fn is_waited_for(&self, _: RequestId) -> bool {
        true
    }

    fn reply(&mut self, _: &OwedRequest, _: &ReplyFrame<'_>) {}

    fn begin(&mut self, _: &OwedRequest, _: &ReplyFrame<'_>, _: usize) -> LargeAnswer {
        unreachable!("nothing is answered")
    }

    fn add(&mut self, _: &mut LargeAnswer, _: &[u8]) {}

    fn end(&mut self, _: &OwedRequest, _: LargeAnswer) {}
}

/// A link to an upstream, of guest as that one knows him, for a caller.
pub(super) fn link(caller: &SessionCaller, upstream: usize) -> Rc<LinkCell> {
    let now = Instant::now();
    let user = LinkUser {
        name: "guest".into(),
        key: None,
        format: Features::NONE,
    };
    let incarnation = Incarnation {
        upstream,
        number: 1,
    };
    let credits = Credits::of_one(RequestBounds::default(), 1, false, Arc::default());
    let credits = UserCredits::of(Rc::new(credits));
    let link = UpstreamLink::new(user.clone(), Rc::new(credits), Rc::default(), now);
    let cell = LinkCell::new(incarnation, user, caller.client(), link, now);
    Rc::new(cell)
}

/// From here on, a link sends.
pub(super) fn greet(cell: &LinkCell, claims: &Claims) {
    let greeting = greeting::encode(&Uuid::NIL, &[7; 32]);
    let mut link = cell.link.borrow_mut();
    let greeted = link.receive(&greeting, &mut Silent, claims, Instant::now());
    assert!(greeted.is_ok());
    link.pump(claims);
}
