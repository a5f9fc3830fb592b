//! Where a caller's transactions are looked for, and who calls from which session.

use std::sync::Arc;

use super::*;
use crate::cells::claims::RequestId;
use crate::endpoints::PeerAddress;
use crate::engine::Caller;
use crate::links::by_hand;
use crate::links::cell::DRAINED;
use crate::upstream::{Destination, Forward, ForwardBody, StreamStep};

const KEY: ClientStream = ClientStream {
    session: 0,
    connection: 8,
    stream: 7,
};

/// A caller who leaves a link, and that link.
fn leaving() -> (SessionCaller, Rc<LinkCell>) {
    let address = std::net::Ipv4Addr::LOCALHOST.into();
    let mut own = SessionCaller::new(KEY.connection, User::guest(), Features::NONE, address);
    own.uses_streams = true;
    let cell = by_hand::link(&own, 0);
    own.leaving = Some(cell.clone());
    (own, cell)
}

/// A transaction begins over a link.
fn begin(cell: &LinkCell, claims: &Claims) -> RequestId {
    by_hand::greet(cell, claims);
    let mut link = cell.link.borrow_mut();
    let id = claims.queue(0);
    let begin = Forward {
        id,
        step: StreamStep::Begin,
        ..Forward::of_ours(KEY, RequestType::Begin as u16)
    };
    link.submit(begin, ForwardBody::Part(&[0x80]), claims);
    link.pump(claims);
    assert_eq!(link.open_of(KEY.connection), 1);
    id
}

#[test]
fn the_link_before_is_forgotten_when_nothing_is_open_there() {
    let (mut own, cell) = leaving();
    let mut aborted = Vec::new();
    own.leave_finished(
        Destination::Nowhere,
        |_| true,
        &Claims::new(1),
        &mut aborted,
    );
    assert!(own.leaving.is_none() && aborted.is_empty());
    assert_eq!(Rc::strong_count(&cell), 1);
}

/// The end of that link is decided, and its task has not seen it yet.
#[test]
fn what_is_open_on_the_link_before_is_lost_as_soon_as_it_may_not_come_to_its_end_there() {
    let (mut own, cell) = leaving();
    let (claims, mut aborted) = (Claims::new(1), Vec::new());
    let begun = begin(&cell, &claims);
    own.leave_finished(Destination::Nowhere, |_| true, &claims, &mut aborted);
    assert!(own.may_be_open(KEY) && aborted.is_empty());
    own.leave_finished(Destination::Nowhere, |_| false, &claims, &mut aborted);
    assert!(!own.may_be_open(KEY));
    let told: Vec<_> = aborted.iter().map(|own| own.begin).collect();
    assert_eq!(told, [begun]);
    let mut answer = |request| {
        let told = own.answer_lost(KEY.stream, request);
        told.map(|told| told.map_err(|error| error.code()))
    };
    let code = ErrorCode::TRANSACTION_CONFLICT;
    assert_eq!(
        answer(RequestType::Replace),
        Some(Err(code)),
        "or it were done alone"
    );
    assert_eq!(answer(RequestType::Commit), Some(Err(code)));
    assert_eq!(answer(RequestType::Replace), None);
}

#[test]
fn a_session_that_has_ended_takes_nothing_from_the_next_one_of_its_number() {
    let (mut own, claims) = (SessionCallers::default(), Claims::new(1));
    let ended = |connection| SessionId {
        index: 0,
        connection,
    };
    let update = CallerUpdate {
        before: 0,
        session: 0,
        caller: Arc::new(Caller {
            connection: 8,
            user: User::guest(),
            peer: PeerAddress::Local,
            is_administrator: false,
        }),
        gauge: Arc::default(),
        format: Features::NONE,
    };
    own.set(&update, &claims, &mut Vec::new());
    own.forget(ended(7), &claims);
    assert!(own.get(0).is_some());
    own.forget(ended(8), &claims);
    assert!(own.get(0).is_none());
}

/// The deadline of a drain is there, and its task has not seen it before something else ends it.
#[test]
fn a_link_that_ends_already_ends_for_what_came_first() {
    let (_own, cell) = leaving();
    cell.end_now(DRAINED);
    cell.end_now("its machine has vanished");
    begin(&cell, &Claims::new(1));
    cell.cut_off_unsent("the server becomes a replica");
    assert_eq!(cell.cut_off.get(), Some(DRAINED));
}
