//! What passes a SELECT of many steps, turn by turn.

use std::io::IoSlice;
use std::sync::Arc;

use vestibule_wire::client::ReplyFrame;
use vestibule_wire::groups::chunk::{self, First};
use vestibule_wire::groups::{Agreement, Group};
use vestibule_wire::keys;

use super::tests::{large_catalog, written};
use super::*;
use crate::connection::output::Flushed;
use crate::limits::SCAN_WAITERS_MAX;
use crate::session::io::{take_bytes, take_inbox};
use crate::testing::RequestBuilder;

/// A SELECT of as many spaces as the limit says: it is answered in one step if that is 1.
fn read_spaces(sync: u64, stream: u64, limit: u64) -> RequestBuilder {
    RequestBuilder::new(RequestType::Select, sync)
        .stream(stream)
        .uint(keys::SPACE_ID, 281)
        .uint(keys::INDEX_ID, 0)
        .uint(keys::LIMIT, limit)
        .pair(keys::KEY, &[0x90])
}

fn many(sync: u64, stream: u64) -> RequestBuilder {
    read_spaces(sync, stream, u64::from(u32::MAX))
}

fn few(sync: u64, stream: u64) -> RequestBuilder {
    read_spaces(sync, stream, 1)
}

/// The syncs of the replies, in their order.
fn answered(dispatcher: &mut Dispatcher<'_>) -> Vec<u64> {
    let mut bytes = Vec::new();
    let take = |slices: &[IoSlice<'_>], _| {
        let before = bytes.len();
        slices.iter().for_each(|own| bytes.extend_from_slice(own));
        Ok(bytes.len() - before)
    };
    let flushed = dispatcher.session.output_queue().flush_with(take, drop);
    assert_eq!(flushed.expect("it is fine"), Flushed::All);
    let (mut at, mut syncs) = (0, Vec::new());
    while let Ok(Some(reply)) = ReplyFrame::read(&bytes[at..], usize::MAX) {
        syncs.push(reply.sync);
        at += reply.size;
    }
    syncs
}

/// Takes requests of which the first is a SELECT of many steps; the syncs of what is answered
/// before it is.
fn passing(dispatcher: &mut Dispatcher<'_>, requests: &[Vec<u8>]) -> Vec<u64> {
    let shared = dispatcher.shared;
    shared.publish_catalog(7, Arc::new(large_catalog()));
    shared.serving.ready(dispatcher.now);
    let greeting = dispatcher.session.output().len();
    dispatcher.session.output().drain(..greeting);
    take_bytes(dispatcher, &requests.concat());
    assert!(dispatcher.session.scan().is_some(), "it takes many steps");
    // A turn has time for some of them.
    for _ in requests {
        dispatcher.worker.turns.begin();
        take_inbox(dispatcher);
    }
    answered(dispatcher)
}

/// The syncs of what is answered before the first SELECT of many steps is, and of all that is
/// answered in the end.
fn order(requests: &[RequestBuilder]) -> (Vec<u64>, Vec<u64>) {
    let mut orders = (Vec::new(), Vec::new());
    let requests: Vec<_> = requests.iter().map(RequestBuilder::bytes).collect();
    written(|dispatcher| {
        orders.0 = passing(dispatcher, &requests);
        orders.1.clone_from(&orders.0);
        while dispatcher.session.scan().is_some() || dispatcher.session.has_inbox() {
            dispatcher.worker.turns.begin();
            dispatcher.resume_scan();
            orders.1.extend(answered(dispatcher));
            dispatcher.worker.turns.begin();
            take_inbox(dispatcher);
            orders.1.extend(answered(dispatcher));
        }
    });
    orders
}

#[test]
fn requests_of_other_streams_pass_a_select_of_many_steps_and_those_of_its_own_do_not() {
    let requests = [
        many(1, 7),
        few(2, 7),
        few(3, 8),
        few(4, 0),
        few(5, 7),
        few(6, 9),
    ];
    assert_eq!(order(&requests), (vec![3, 4, 6], vec![3, 4, 6, 1, 2, 5]));
}

#[test]
fn outside_streams_nothing_passes_a_select_of_many_steps_but_what_is_in_one() {
    let requests = [many(1, 0), few(2, 0), few(3, 8), few(4, 0), few(5, 8)];
    assert_eq!(order(&requests), (vec![3, 5], vec![3, 5, 1, 2, 4]));
}

#[test]
fn a_second_select_of_many_steps_waits_for_the_first_and_holds_its_own_stream() {
    let requests = [many(1, 7), many(2, 8), few(3, 8), few(4, 9), few(5, 7)];
    assert_eq!(order(&requests), (vec![4], vec![4, 1, 5, 2, 3]));
}

#[test]
fn nothing_passes_what_changes_the_rest_or_cannot_be_read() {
    let id = RequestBuilder::new(RequestType::Id, 2);
    let login = RequestBuilder::new(RequestType::Auth, 2);
    for barrier in [id, login] {
        let requests = [many(1, 7), few(3, 8), barrier, few(4, 8), few(5, 0)];
        assert_eq!(order(&requests), (vec![3], vec![3, 1, 2, 4, 5]));
    }
}

#[test]
fn nothing_passes_a_piece_of_a_request_in_chunks() {
    written(|dispatcher| {
        dispatcher.session.agree_to_chunks(Agreement::default());
        let first = First {
            group: Group::Write,
            total: 100_000,
        };
        let piece = [chunk::data(1, Some(first), 1).as_bytes(), b"x"].concat();
        let [scan, before, behind, outside] =
            [many(1, 7), few(3, 8), few(4, 8), few(5, 0)].map(|request| request.bytes());
        let requests = [scan, before, piece, behind, outside];
        assert_eq!(passing(dispatcher, &requests), [3]);
    });
}

#[test]
fn of_more_streams_that_wait_than_are_kept_apart_all_do() {
    let most = SCAN_WAITERS_MAX as u64;
    for (waiting, passes) in [(most, true), (most + 1, false)] {
        let mut requests = vec![many(0, 1)];
        requests.extend((1..=waiting).map(|sync| many(sync, 1 + sync)));
        requests.push(few(waiting + 1, 1000));
        let last = if passes { vec![waiting + 1] } else { vec![] };
        assert_eq!(order(&requests).0, last, "{waiting}");
    }
}
