//! What passes SELECTs of many steps, and how these take turns.

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use vestibule_wire::client::ReplyFrame;
use vestibule_wire::groups::chunk::{self, First};
use vestibule_wire::groups::{Agreement, Group};
use vestibule_wire::keys;

use super::tests::{SilentTx, large_catalog, written};
use super::*;
use crate::config::TimeLimits;
use crate::connection::inbox::looks;
use crate::connection::output::Flushed;
use crate::connection::scan::ParkedScan;
use crate::connection::timeouts::TimeoutKind;
use crate::limits::{
    CONNECTION_REQUESTS_MAX, OUTPUT_PAUSE, SCAN_WAITERS_MAX, SCANS_MAX, SESSION_TURN_TIME_MAX,
    SESSION_TURN_WORK_PER_LOOK,
};
use crate::memory::ConnectionCharge;
use crate::resources::outgoing::Back;
use crate::segments::Held;
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
    assert!(dispatcher.session.has_scans(), "it takes many steps");
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
        while dispatcher.session.has_scans() || dispatcher.session.has_inbox() {
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
fn selects_of_many_steps_take_turns_and_each_holds_its_own_stream() {
    // The second is half as long, and ends first.
    let shorter = read_spaces(2, 8, 1500);
    let requests = [many(1, 7), shorter, few(3, 8), few(4, 9), few(5, 7)];
    assert_eq!(order(&requests), (vec![4], vec![4, 2, 3, 1, 5]));
    // One that is in no stream takes its turns as well.
    let shorter = read_spaces(2, 0, 1500);
    let requests = [many(1, 7), shorter, few(3, 0), few(4, 9), few(5, 7)];
    assert_eq!(order(&requests), (vec![4], vec![4, 2, 3, 1, 5]));
}

#[test]
fn of_one_stream_a_select_of_many_steps_waits_for_the_one_before() {
    let shorter = read_spaces(2, 7, 1500);
    let requests = [many(1, 7), shorter, few(3, 7), few(4, 9)];
    assert_eq!(order(&requests), (vec![4], vec![4, 1, 2, 3]));
}

/// Has two SELECTs of many steps under way at once, of which the second is half as long, and this
/// be done before they go on; the order in which they end.
fn ends_after(act: impl FnOnce(&mut Dispatcher<'_>)) -> Vec<u64> {
    let mut ended = Vec::new();
    written(|dispatcher| {
        let requests = [many(1, 7), read_spaces(2, 8, 1500)].map(|request| request.bytes());
        assert_eq!(passing(dispatcher, &requests), []);
        assert_eq!(dispatcher.session.scans().count(), 2);
        act(dispatcher);
        let mut left = vec![1, 2];
        while !left.is_empty() {
            dispatcher.worker.turns.begin();
            dispatcher.resume_scan();
            let now: Vec<u64> = dispatcher.session.scans().map(ParkedScan::sync).collect();
            if now.len() < left.len() {
                send_all(dispatcher);
            }
            ended.extend(left.into_iter().filter(|sync| !now.contains(sync)));
            left = now;
        }
    });
    ended
}

/// The client takes all that there is for it.
fn send_all(dispatcher: &mut Dispatcher<'_>) {
    let take = |slices: &[IoSlice<'_>], _| Ok(slices.iter().map(|own| own.len()).sum());
    let output = dispatcher.session.output_queue();
    while output.flush_with(take, drop).expect("it is fine") != Flushed::All {}
}

#[test]
fn the_oldest_select_of_many_steps_goes_on_alone_while_much_waits_for_the_client() {
    assert_eq!(ends_after(|_| {}), [2, 1]);
    let full = |dispatcher: &mut Dispatcher<'_>| {
        // With what is there of their replies it is as much as is kept.
        let output = dispatcher.session.output();
        output.resize(OUTPUT_PAUSE - 1, 0);
    };
    assert_eq!(ends_after(full), [1, 2]);
}

/// Turns do nothing for the SELECTs of many steps, and leave time for others.
fn assert_left(dispatcher: &mut Dispatcher<'_>) {
    let made = |dispatcher: &Dispatcher<'_>| -> usize {
        let scans = dispatcher.session.scans();
        scans.map(|own| own.reply.bytes.len()).sum()
    };
    let before = made(dispatcher);
    for _ in 0..100 {
        dispatcher.worker.turns.begin();
        dispatcher.resume_scan();
        assert!(
            dispatcher.worker.turns.has_time(),
            "others have their turns"
        );
    }
    assert_eq!(made(dispatcher), before);
}

/// Else the replies of all of them were made for a client that has not taken those before, and its
/// connection was closed for it, however fast it takes them.
#[test]
fn selects_of_many_steps_wait_until_their_client_has_taken_what_there_is_for_it() {
    assert_eq!(
        ends_after(|dispatcher| {
            dispatcher.session.output().resize(OUTPUT_PAUSE, 0);
            assert_left(dispatcher);
            send_all(dispatcher);
            assert!(dispatcher.session.on_output_empty(), "its session is woken");
        }),
        [2, 1]
    );
}

/// Memory may have become scarce while they were left: then other requests wait longer than they.
#[test]
fn selects_that_were_left_are_woken_also_if_other_requests_wait_for_memory() {
    written(|dispatcher| {
        begin_scan(dispatcher);
        dispatcher.session.output().resize(OUTPUT_PAUSE, 0);
        assert_left(dispatcher);
        let memory = dispatcher.shared.memory.clone();
        let mut others = ConnectionCharge::new(memory.clone());
        others.set(Held::buffers(memory.max()), 0);
        assert!(!dispatcher.session.may_go_on_beside_output());
        // The client has taken some of it.
        dispatcher.session.output().truncate(OUTPUT_PAUSE - 1);
        assert!(!dispatcher.session.may_take_frame());
        assert!(dispatcher.session.may_go_on_beside_output());
        assert!(!dispatcher.session.may_go_on_beside_output(), "once");
        // Who is not read for what waits is not woken by that, if its SELECTs go on without it.
        let asked_to_read = |dispatcher: &mut Dispatcher<'_>| {
            dispatcher.session.prepare_read(false, || 1);
            dispatcher.session.may_go_on_beside_output()
        };
        dispatcher.session.set_late(true);
        assert!(!asked_to_read(dispatcher), "they have their turn");
        dispatcher.session.set_late(false);
        let _ = dispatcher.session.on_reply_short(true);
        assert!(!asked_to_read(dispatcher), "they wait for memory");
    });
}

#[test]
fn who_is_let_through_without_memory_makes_one_reply_at_a_time() {
    let let_through = |dispatcher: &mut Dispatcher<'_>| {
        assert!(dispatcher.worker.paused.reply.give(dispatcher.cell.id));
    };
    assert_eq!(ends_after(let_through), [1, 2]);
    let as_others = |dispatcher: &mut Dispatcher<'_>| {
        let_through(dispatcher);
        assert!(dispatcher.session.needs_reply_memory(false));
        dispatcher.session.output().resize(OUTPUT_PAUSE, 0);
        assert_left(dispatcher);
        // Others are let through meanwhile, unless what waits is what is over the bound.
        assert!(!dispatcher.session.needs_reply_memory(false));
        assert!(dispatcher.session.needs_reply_memory(true));
        send_all(dispatcher);
        assert!(dispatcher.session.on_output_empty(), "its session is woken");
        assert!(dispatcher.session.needs_reply_memory(false));
    };
    assert_eq!(ends_after(as_others), [1, 2]);
    written(|dispatcher| {
        let_through(dispatcher);
        let requests = [many(1, 7), many(2, 8)].map(|request| request.bytes());
        assert_eq!(passing(dispatcher, &requests), []);
        assert_eq!(dispatcher.session.scans().count(), 1, "the other one waits");
    });
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
    let (scans, most) = (SCANS_MAX as u64, SCAN_WAITERS_MAX as u64);
    for (waiting, passes) in [(most, true), (most + 1, false)] {
        let all = scans + waiting;
        let mut requests: Vec<_> = (0..all).map(|sync| many(sync, 1 + sync)).collect();
        requests.push(few(all, 1000));
        let last = if passes { vec![all] } else { vec![] };
        assert_eq!(order(&requests).0, last, "{waiting}");
    }
}

/// Has a SELECT of many steps under way.
fn begin_scan(dispatcher: &mut Dispatcher<'_>) {
    assert_eq!(passing(dispatcher, &[many(1, 7).bytes()]), []);
}

#[test]
fn what_passes_a_select_of_many_steps_takes_no_longer_than_a_turn() {
    written(|dispatcher| {
        begin_scan(dispatcher);
        let most = u64::from(SESSION_TURN_WORK_PER_LOOK);
        let ping = |sync| RequestBuilder::new(RequestType::Ping, sync).bytes();
        let pings: Vec<u8> = (2..2 + 3 * most).flat_map(ping).collect();
        let began = dispatcher.now.checked_sub(SESSION_TURN_TIME_MAX);
        let began = began.expect("the clock runs for longer than a turn");
        for turn in 0..3 {
            dispatcher.worker.turns.begin();
            dispatcher.worker.turns.note(began);
            match turn {
                0 => take_bytes(dispatcher, &pings),
                _ => take_inbox(dispatcher),
            }
            let first = 2 + turn * most;
            let expected: Vec<u64> = (first..first + most).collect();
            assert_eq!(answered(dispatcher), expected);
        }
    });
}

#[test]
fn who_has_closed_its_half_is_not_given_up_while_a_request_of_it_passes_a_select() {
    let limits = TimeLimits {
        half_closed: Duration::from_secs(3),
        ..TimeLimits::default()
    };
    for passes in [true, false] {
        written(|dispatcher| {
            begin_scan(dispatcher);
            let back = Back::Tx(SilentTx::handle_of_new());
            dispatcher.worker.outgoing.attach(back);
            dispatcher.session.on_end_of_input();
            // It is read in a turn that has no time for it.
            dispatcher.worker.turns.end();
            let stream = if passes { 8 } else { 7 };
            let request = RequestBuilder::replace(2, 1).stream(stream);
            take_bytes(dispatcher, &request.bytes());
            let read = dispatcher.now;
            let look = |dispatcher: &mut Dispatcher<'_>, at| {
                dispatcher.session.check_timeouts(at, false, &limits)
            };
            assert_eq!(look(dispatcher, read), None);
            dispatcher.worker.turns.begin();
            take_inbox(dispatcher);
            assert_eq!(dispatcher.session.counts().all > 0, passes);
            let given_up = (!passes).then_some(TimeoutKind::HalfClosed);
            assert_eq!(look(dispatcher, read + limits.half_closed), given_up);
        });
    }
}

/// Has all be taken and answered; how often a frame that was kept was looked at meanwhile.
fn looks_at(requests: &[RequestBuilder]) -> usize {
    let before = looks();
    let (_, answered) = order(requests);
    assert_eq!(answered.len(), requests.len());
    looks() - before
}

#[test]
fn who_waits_for_selects_of_many_steps_is_not_looked_at_again_for_each_of_them() {
    const SELECTS: u64 = 200;
    for streams in [1, 2, 5] {
        let requests: Vec<_> = (0..SELECTS)
            .map(|sync| read_spaces(sync, 1 + sync % streams, 1500))
            .collect();
        let looks = looks_at(&requests);
        // A few times each; all of them for each would be 20,000.
        assert!(looks <= 8 * SELECTS as usize, "{streams}: {looks}");
    }
}

#[test]
fn what_is_looked_at_again_takes_no_longer_than_a_turn() {
    const WAITING: u64 = 1000;
    written(|dispatcher| {
        // The second ends first, and one of its stream stands behind many of the other one.
        let mut requests = vec![many(1, 7), read_spaces(2, 8, 1500)];
        requests.extend((3..3 + WAITING).map(|sync| few(sync, 7)));
        requests.push(few(WAITING + 3, 8));
        let requests: Vec<_> = requests.iter().map(RequestBuilder::bytes).collect();
        assert_eq!(passing(dispatcher, &requests), []);
        while dispatcher.session.scans().count() > 1 {
            dispatcher.worker.turns.begin();
            dispatcher.resume_scan();
        }
        assert_eq!(answered(dispatcher), [2]);
        let began = dispatcher.now.checked_sub(SESSION_TURN_TIME_MAX);
        let began = began.expect("the clock runs for longer than a turn");
        let most = SESSION_TURN_WORK_PER_LOOK as usize + 1;
        let mut turns = 0;
        while answered(dispatcher).is_empty() {
            let before = looks();
            dispatcher.worker.turns.begin();
            dispatcher.worker.turns.note(began);
            take_inbox(dispatcher);
            assert!(looks() - before <= most, "{}", looks() - before);
            turns += 1;
        }
        assert_eq!(
            turns,
            WAITING as usize / (most - 1) + 1,
            "each goes on where the last one ended"
        );
    });
}

#[test]
fn who_found_no_credit_passes_a_select_as_soon_as_there_is_one() {
    written(|dispatcher| {
        begin_scan(dispatcher);
        let back = Back::Tx(SilentTx::handle_of_new());
        dispatcher.worker.outgoing.attach(back);
        let write = |sync, stream| RequestBuilder::replace(sync, sync).stream(stream).bytes();
        let sent = |dispatcher: &mut Dispatcher<'_>| {
            let entries = &dispatcher.worker.outgoing.batch().entries;
            entries.iter().map(|own| own.sync).collect::<Vec<_>>()
        };
        dispatcher.worker.turns.begin();
        // As many as may be on their way, one more, and one behind that.
        let most = CONNECTION_REQUESTS_MAX as u64;
        let last = most + 2;
        let requests = (2..=last + 1).flat_map(|sync| write(sync, 8));
        take_bytes(dispatcher, &requests.collect::<Vec<_>>());
        while sent(dispatcher).len() < most as usize {
            dispatcher.worker.turns.begin();
            take_inbox(dispatcher);
        }
        dispatcher.worker.turns.begin();
        take_inbox(dispatcher);
        let first = dispatcher.worker.outgoing.batch().entries[0].id;
        dispatcher.worker.in_flight.finish(first, |request| {
            assert!(dispatcher.session.on_reply(request), "it lets it go on");
        });
        dispatcher.worker.turns.begin();
        take_inbox(dispatcher);
        assert!(dispatcher.session.has_scans());
        assert_eq!(sent(dispatcher).last(), Some(&last));
    });
}
