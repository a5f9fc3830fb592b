//! What one user or one address holds of what all connections share: never so much that nothing is
//! left for the others, and nothing at all of the credits for requests that wait.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde::Deserialize;
use vestibule_actors::config::{Administrators, QuotaLimits};
use vestibule_actors::limits::{
    CONNECTION_REQUESTS_MAX, RESERVE_REQUESTS_MAX, WAITS_MAX, WORKER_REQUESTS_MAX, WORKER_RESERVE,
    WORKER_USERS_RESERVE,
};
use vestibule_actors::testing::{Harness, Peer, RequestBuilder, Script, config};
use vestibule_actors::wire::keys::RequestType;

const LOCK: &str = "vestibule.lock";
const NAME: &[u8] = &[0x91, 0xa1, b'L'];
/// The lock `L`, waited for a day.
const FOR_A_DAY: &[u8] = &[0x92, 0xa1, b'L', 0xce, 0, 1, 0x51, 0x80];
const OTHER_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// A server on one session thread, with alice for an administrator.
fn start(quotas: QuotaLimits) -> Harness {
    let config = config()
        .session_threads(1)
        .administrators(Administrators::Users(vec!["alice".to_owned()]))
        .quotas(quotas);
    Harness::start_with(config, Script::default())
}

fn alice(harness: &Harness) -> Peer {
    let mut alice = harness.connect();
    assert_eq!(alice.log_in("alice", "secret").code, 0);
    alice
}

fn begin(sync: u64) -> RequestBuilder {
    RequestBuilder::new(RequestType::Begin, sync).stream(sync)
}

/// Begins transactions until one is refused; returns how many there are, and why there are no more.
fn begin_all(peer: &mut Peer) -> (u64, String) {
    for sync in 1.. {
        let reply = peer.ask(&begin(sync));
        if let Some(refusal) = reply.error_text() {
            return (sync - 1, refusal);
        }
    }
    unreachable!("there is a bound");
}

/// The attack as it was found: all that is shared by default waits in one lock.
#[test]
fn requests_that_wait_for_a_lock_keep_nobody_from_writing() {
    let harness = start(QuotaLimits::default().waits_max(WAITS_MAX));
    let mut holder = harness.connect();
    assert_eq!(holder.call(LOCK, NAME).code, 0);
    let mut guests: Vec<_> = (0..353).map(|_| harness.connect()).collect();
    let lock = RequestBuilder::call(7, LOCK, FOR_A_DAY).bytes();
    let (many, few) = guests.split_at_mut(9);
    for peer in many {
        peer.send_bytes(&lock.repeat(CONNECTION_REQUESTS_MAX));
    }
    for peer in few {
        peer.send_bytes(&lock.repeat(4));
    }
    let all = 9 * CONNECTION_REQUESTS_MAX + (353 - 9) * 4;
    harness.wait_until("all of them wait", || harness.handle().in_flight() == all);
    let mut guest = harness.connect();
    assert_eq!(guest.ask(&RequestBuilder::replace(1, 1)).code, 0);
    assert_eq!(alice(&harness).ask(&RequestBuilder::replace(1, 2)).code, 0);
    // Their connections take other requests meanwhile.
    assert_eq!(guests[20].ask(&RequestBuilder::replace(1, 3)).code, 0);
}

/// Whatever keeps Tx from answering: guests hold what they can get, of the reserve too.
#[test]
fn guests_who_hold_every_credit_leave_some_to_users_who_have_logged_in() {
    let config = config()
        .session_threads(1)
        // So alice is a user like others.
        .administrators(Administrators::Users(vec!["root".to_owned()]))
        .tx_stall_after(Duration::from_secs(3600));
    let harness = Harness::start_with(config, Script::default());
    harness.script().hold_tx();
    let mut many: Vec<_> = (0..WORKER_REQUESTS_MAX / CONNECTION_REQUESTS_MAX)
        .map(|_| harness.connect())
        .collect();
    many[0].send(&RequestBuilder::call(1, "block", &[0x90]));
    harness.script().wait_until_blocked();
    let write = RequestBuilder::replace(2, 1).bytes();
    for (at, peer) in many.iter_mut().enumerate() {
        peer.send_bytes(&write.repeat(CONNECTION_REQUESTS_MAX - usize::from(at == 0)));
    }
    let in_flight = || harness.handle().in_flight();
    harness.wait_until("they have what all share", || {
        in_flight() == WORKER_REQUESTS_MAX
    });
    let guests_reserve = WORKER_RESERVE - WORKER_USERS_RESERVE;
    let mut few: Vec<_> = (0..guests_reserve / RESERVE_REQUESTS_MAX)
        .map(|_| harness.connect())
        .collect();
    for peer in &mut few {
        peer.send_bytes(&write.repeat(RESERVE_REQUESTS_MAX));
    }
    let all = WORKER_REQUESTS_MAX + guests_reserve;
    harness.wait_until("they have the reserve", || in_flight() == all);

    let mut alice = alice(&harness);
    alice.send_bytes(&write.repeat(2));
    harness.wait_until("hers are under way", || in_flight() == all + 2);
    let mut guest = harness.connect();
    guest.send_bytes(&write);
    // The session thread has seen it when it answers somebody who came later.
    harness.connect().ping();
    assert!(in_flight() <= all + 2, "a guest has a user's credit");
    harness.script().release();
    assert_eq!([alice.receive().code, alice.receive().code], [0, 0]);
    assert_eq!(guest.receive().code, 0);
}

#[test]
fn requests_that_wait_are_bounded_for_a_user_at_an_address() {
    let harness = start(QuotaLimits::default().waits_max(16));
    let mut guest = harness.connect();
    let calls = (1..=5).flat_map(|sync| RequestBuilder::call(sync, "never", &[0x90]).bytes());
    guest.send_bytes(&calls.collect::<Vec<_>>());
    let refused = guest.receive();
    let text = "Too many waiting requests of user 'guest' at 127.0.0.1: there may be 4";
    assert_eq!(
        (refused.sync, refused.error_text().as_deref()),
        (5, Some(text))
    );
    let mut elsewhere = Peer::connect_from(OTHER_ADDRESS, harness.address());
    elsewhere.send(&RequestBuilder::call(1, "never", &[0x90]));
    let mut alice = alice(&harness);
    alice.send(&RequestBuilder::call(1, "never", &[0x90]));
    harness.wait_until("all of them wait", || harness.handle().in_flight() == 6);
    // The first connection is the guest's.
    assert_eq!(alice.call("vestibule.kill", &[0x91, 1]).code, 0);
    harness.wait_until("they have ended", || harness.handle().in_flight() == 2);
    // What waits behind another one in its stream counts as well.
    let mut next = harness.connect();
    next.send(&RequestBuilder::call(1, "never", &[0x90]).stream(1));
    let behind = (2..=5).flat_map(|key| RequestBuilder::replace(key, key).stream(1).bytes());
    next.send_bytes(&behind.collect::<Vec<_>>());
    assert_eq!(next.receive().error_text().as_deref(), Some(text));
}

#[test]
fn transactions_of_guests_leave_some_to_guests_elsewhere_to_users_and_to_administrators() {
    let harness = start(
        QuotaLimits::default()
            .transactions_max(64)
            .transactions_per_connection_max(20),
    );
    let mut guests: Vec<_> = (0..4).map(|_| harness.connect()).collect();
    let (taken, refusal) = begin_all(&mut guests[0]);
    assert_eq!(taken, 16);
    let text = "Too many open transactions of user 'guest' at 127.0.0.1: there may be 16";
    assert_eq!(refusal, text);
    assert_eq!(begin_all(&mut guests[1]).0, 0);
    let mut elsewhere = Peer::connect_from(OTHER_ADDRESS, harness.address());
    assert_eq!(begin_all(&mut elsewhere).0, 16);
    // She finds 16 as everybody does, and 4 that are kept for her.
    let mut alice = alice(&harness);
    let (taken, refusal) = begin_all(&mut alice);
    assert_eq!(
        (taken, &*refusal),
        (
            20,
            "Too many open transactions on this connection: there may be 20"
        )
    );
    let shown = shown_quotas(&mut alice);
    let of = |row: &Row| (row.user.clone(), row.address.clone(), row.used, row.max);
    let mut shown: Vec<_> = shown.iter().map(of).collect();
    shown.sort();
    let row = |user: &str, address: &str| (user.to_owned(), address.to_owned(), 16, 16);
    let expected = [
        row("alice", "127.0.0.1"),
        row("guest", "127.0.0.1"),
        row("guest", "127.0.0.2"),
    ];
    assert_eq!(shown, expected);
    // What ends is given back, whether it is committed or its connection is gone.
    let commit = RequestBuilder::new(RequestType::Commit, 1).stream(1);
    assert_eq!(guests[0].ask(&commit).code, 0);
    assert_eq!(begin_all(&mut guests[1]).0, 1);
    drop(guests);
    harness.wait_until("they are gone", || harness.handle().connection_count() == 2);
    let mut guest = harness.connect();
    harness.wait_until("theirs are rolled back", || {
        let rolled_back = harness.script().log();
        rolled_back
            .iter()
            .filter(|entry| entry.starts_with("rollback"))
            .count()
            == 16
    });
    assert_eq!(begin_all(&mut guest).0, 16);
}

/// A row of `vestibule.show('quotas')`.
#[derive(Debug, Deserialize)]
struct Row {
    user: String,
    address: String,
    used: usize,
    max: usize,
}

fn shown_quotas(peer: &mut Peer) -> Vec<Row> {
    let shown = peer.show("quotas");
    shown.data::<Vec<Vec<Row>>>().remove(0)
}

#[test]
fn locks_of_guests_leave_some_to_administrators() {
    let harness = start(QuotaLimits::default().reservations_max(64));
    let lock_all = |peer: &mut Peer| {
        for number in 0u8.. {
            let reply = peer.call(LOCK, &[0x91, 0xa2, b'g', number]);
            if let Some(refusal) = reply.error_text() {
                return (number, refusal);
            }
        }
        unreachable!("there is a bound");
    };
    let mut guest = harness.connect();
    let (taken, refusal) = lock_all(&mut guest);
    let text = "Too many reservations of user 'guest' at 127.0.0.1: there may be 16";
    assert_eq!((taken, &*refusal), (16, text));
    assert_eq!(harness.connect().call(LOCK, NAME).error_code(), Some(1));
    let mut alice = alice(&harness);
    assert_eq!(alice.call(LOCK, NAME).data::<Vec<bool>>(), [true]);
    drop(guest);
    harness.wait_until("the guest is gone", || {
        harness.handle().connection_count() == 1
    });
    assert_eq!(lock_all(&mut harness.connect()).0, 16);
}

#[test]
fn a_request_that_waits_too_long_is_told_so_and_has_no_lock() {
    let config = config().wait_timeout(Duration::from_millis(200));
    let harness = Harness::start_with(config, Script::default());
    let mut holder = harness.connect();
    assert_eq!(holder.call(LOCK, NAME).code, 0);
    let mut waiting = harness.connect();
    waiting.send(&RequestBuilder::call(1, LOCK, FOR_A_DAY).stream(3));
    // Behind it in its stream, and never begun.
    waiting.send(&RequestBuilder::replace(2, 2).stream(3));
    for _ in 0..2 {
        let reply = waiting.receive();
        assert_eq!(reply.error_code(), Some(78));
        assert!(reply.error_mentions("waited for a lock"), "{reply:?}");
    }
    assert_eq!(holder.call("vestibule.unlock", NAME).code, 0);
    let mut next = harness.connect();
    assert_eq!(next.call(LOCK, NAME).data::<Vec<bool>>(), [true]);
    assert!(harness.script().executed().is_empty());
}
