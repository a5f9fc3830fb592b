//! What waits, by hand.

use std::rc::Rc;
use std::sync::Arc;

use super::*;
use crate::limits::{UPSTREAM_CALLS_DEFAULT, UPSTREAM_CALLS_USERS_RESERVE};
use crate::upstream::{Credits, RequestBounds};

pub(in crate::upstream) fn forward(session: u32, sync: u64, kind: Kind) -> Forward {
    let key = ClientStream {
        session,
        connection: u64::from(session),
        stream: 0,
    };
    Forward {
        id: RequestId {
            index: sync as u32,
            generation: 1,
        },
        number: sync,
        kind,
        sync,
        repeat: Repeat::Write,
        ..Forward::of_ours(key, RequestType::Ping as u16)
    }
}

fn push(own: &mut UnsentRequests, session: u32, sync: u64, kind: Kind) {
    own.push(
        forward(session, sync, kind),
        ForwardBody::Part(b"body"),
        &Clients::default(),
        |_| true,
    );
}

/// Credits of an upstream that has as many calls on its way as it may have, but for this
/// number.
fn credits(calls: usize) -> UserCredits {
    let all = Credits::of_one(RequestBounds::default(), 1, true, Arc::default());
    let own = UserCredits::of(Rc::new(all));
    let max = UPSTREAM_CALLS_DEFAULT - UPSTREAM_CALLS_USERS_RESERVE;
    (calls..max).for_each(|_| own.take(Kind::Call));
    own
}

/// Takes out what goes, with credits for this number of calls.
fn pop_all(own: &mut UnsentRequests, calls: usize) -> Vec<u64> {
    let (credits, clients) = (credits(calls), Clients::default());
    let pop = || {
        let (forward, _) = own.pop(&credits, &clients)?;
        credits.take(forward.kind);
        Some(forward.sync)
    };
    std::iter::from_fn(pop).collect()
}

#[test]
fn calls_let_others_pass_and_their_own_sessions_wait_behind_them() {
    let mut own = UnsentRequests::default();
    for (session, sync, kind) in [
        (1, 1, Kind::Other),
        (1, 2, Kind::Call),
        (2, 3, Kind::Other),
        (1, 4, Kind::Other),
        (3, 5, Kind::Call),
    ] {
        push(&mut own, session, sync, kind);
    }
    assert_eq!(pop_all(&mut own, 0), [1, 3]);
    assert!(own.may_pass(2) && !own.may_pass(1) && !own.may_pass(3));
    assert_eq!(pop_all(&mut own, 10), [2, 4, 5]);
    assert!(own.is_empty() && own.may_pass(1));
    assert_eq!(own.bytes, 0);
}

#[test]
fn with_credit_for_all_they_go_as_they_came() {
    let mut own = UnsentRequests::default();
    let kind = |sync| [Kind::Call, Kind::Other][sync as usize % 2];
    for sync in 0..10 {
        push(&mut own, sync as u32, sync, kind(sync));
    }
    assert_eq!(pop_all(&mut own, 10), (0..10).collect::<Vec<_>>());
}

#[test]
fn what_nobody_waits_for_takes_no_room_for_long() {
    let (mut own, clients) = (UnsentRequests::default(), Clients::default());
    for sync in 0..10_000 {
        let kind = [Kind::Call, Kind::Other][sync as usize % 2];
        let body = ForwardBody::Own(vec![0; 100].into());
        own.push(forward(7, sync, kind), body, &clients, |_| false);
        assert!(own.len() <= SWEEP_LEN_MIN);
    }
    let body = ForwardBody::Own(vec![0; SWEEP_BYTES_MIN].into());
    own.push(forward(7, 0, Kind::Other), body, &clients, |_| false);
    assert!(own.is_empty() && own.may_pass(7));
}

#[test]
fn one_in_a_stream_that_nobody_waits_for_stays_until_it_is_undone() {
    let (mut own, clients) = (UnsentRequests::default(), Clients::default());
    let body = || ForwardBody::Part(b"body");
    let mut first = forward(7, 1, Kind::Call);
    first.key.stream = 1;
    own.push(first, body(), &clients, |_| true);
    for sync in 2..2 * SWEEP_LEN_MIN as u64 {
        own.push(forward(7, sync, Kind::Call), body(), &clients, |_| false);
    }
    assert!(own.len() <= SWEEP_LEN_MIN, "the others do not");
    assert_eq!(own.take_stream(first.key, &clients).len(), 1);
}

#[test]
fn what_comes_behind_a_call_that_nobody_waits_for_goes_without_it() {
    let (mut own, clients) = (UnsentRequests::default(), Clients::default());
    push(&mut own, 7, 1, Kind::Call);
    push(&mut own, 7, 2, Kind::Call);
    push(&mut own, 7, 3, Kind::Other);
    let mut push_last = |sync, first: u32| {
        let body = ForwardBody::Part(b"body");
        let is_wanted = |id: RequestId| id.index >= first;
        own.push(forward(7, sync, Kind::Other), body, &clients, is_wanted);
        pop_all(&mut own, 0)
    };
    assert_eq!(push_last(4, 2), [0; 0], "behind the second one");
    assert_eq!(push_last(5, 3), [3, 4, 5]);
    assert!(own.is_empty() && own.may_pass(7));
    assert_eq!(own.bytes, 0);
}

#[test]
fn what_is_taken_back_is_what_clients_have_sent_and_in_its_order() {
    let (mut own, clients) = (UnsentRequests::default(), Clients::default());
    let in_stream = |sync, kind, stream| {
        let mut forward = forward(7, sync, kind);
        forward.key.stream = stream;
        forward
    };
    let all = [
        in_stream(1, Kind::Call, 1),
        in_stream(2, Kind::Other, 2),
        in_stream(3, Kind::Other, 1),
        Forward::rollback(in_stream(0, Kind::Other, 1).key),
    ];
    for forward in all {
        own.push(forward, ForwardBody::Part(b"body"), &clients, |_| true);
    }
    let taken = own.take_stream(all[0].key, &clients);
    let syncs: Vec<_> = taken.iter().map(|(forward, _)| forward.sync).collect();
    assert_eq!((syncs, own.len()), (vec![1, 3], 2));
    let taken = own.take_back(&clients);
    assert!(taken.iter().map(|own| own.forward.id).eq([all[1].id]));
    own.sweep(&clients, |_| false);
    assert_eq!(
        own.pop(&credits(1), &clients).map(|(forward, _)| forward),
        Some(all[3])
    );
    assert!(own.may_pass(7));
}
