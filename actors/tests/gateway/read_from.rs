//! Whose SELECTs replicas answer, as operators and clients say.

use vestibule_actors::config::SoloPolicy;
use vestibule_actors::testing::{Peer, RequestBuilder, config};
use vestibule_actors::{Config, ReadFrom, Upstreams};

use crate::replicas::Set;
use crate::upstream::{FakeUpstream, PATIENCE};
use crate::{DONE, before};

/// One replica; it answers those who come in at an address of their own.
fn with_address() -> Set {
    with_address_and(config())
}

fn with_address_and(config: Config) -> Set {
    let change = |own: Upstreams| {
        let own = own.silent_after(PATIENCE).read_from(ReadFrom::Primary);
        own.listen_reads(vec!["127.0.0.1:0".parse().unwrap()])
    };
    Set::start_configured(config, 1, |_| (), change)
}

fn reader(set: &Set) -> Peer {
    let address = set.server.handle().read_addresses()[0];
    assert!(!set.server.handle().addresses().contains(&address));
    Peer::connect(address)
}

fn read_from(peer: &mut Peer, whom: Option<&str>) -> String {
    let told = peer.call_with("vestibule.set", &("read_from", whom));
    told.value()
}

#[test]
fn replicas_answer_those_who_come_in_where_they_are_read_and_nobody_else() {
    let set = with_address();
    let (mut own, mut other) = (reader(&set), set.server.connect());
    assert_eq!(set.wait_for_replica(&mut own), 1);
    set.no_replica_answers(&mut other, 1);
    assert_eq!(set.wait_for_replica(&mut own), 1);
}

#[test]
fn a_connection_says_itself_by_whom_it_is_answered_and_may_take_that_back() {
    let set = with_address();
    let (mut own, mut other) = (reader(&set), set.server.connect());
    assert_eq!(read_from(&mut other, Some("replica")), "replica");
    assert_eq!(set.wait_for_replica(&mut other), 1);
    assert_eq!(read_from(&mut other, None), "primary");
    set.no_replica_answers(&mut other, 1);
    assert_eq!(set.wait_for_replica(&mut own), 1);
    assert_eq!(read_from(&mut own, Some("primary")), "primary");
    set.no_replica_answers(&mut own, 1);
    assert_eq!(read_from(&mut own, None), "replica");
    assert_eq!(set.wait_for_replica(&mut own), 1);
    let told = own.call_with("vestibule.set", &("read_from", "any"));
    assert_eq!(told.error_code(), Some(1));
}

/// Time does not go back for it in the moment of that.
#[test]
fn what_is_asked_of_the_one_that_takes_changes_waits_for_what_replicas_owe() {
    let set = with_address();
    let mut own = reader(&set);
    assert_eq!(set.wait_for_replica(&mut own), 1);
    own.send(&RequestBuilder::select(1, 1));
    let (at, owed) = set.asked();
    assert_eq!(at, 1);
    assert_eq!(read_from(&mut own, Some("primary")), "primary");
    own.send(&RequestBuilder::select(2, 1));
    set.wait_for_votes(1, || assert!(set.all[0].try_asked().is_none()));
    owed.reply(DONE);
    let (at, asked) = set.asked();
    assert_eq!((at, asked.header.request_type), (0, 1));
    asked.reply(DONE);
    let mut told = [own.receive().sync, own.receive().sync];
    told.sort_unstable();
    assert_eq!(told, [1, 2]);
}

/// The solo policy has its session hold the SELECTs, and what it says meanwhile passes them.
#[test]
fn what_a_connection_says_counts_for_what_it_sends_behind_that_and_for_nothing_that_is_held() {
    let set = with_address_and(config().solo_policy(SoloPolicy::Hold));
    let mut own = reader(&set);
    assert_eq!(set.wait_for_replica(&mut own), 1);
    for (whom, other, wanted) in [("primary", "replica", 0), ("replica", "primary", 1)] {
        assert_eq!(read_from(&mut own, Some(whom)), whom);
        let mut operator = set.server.connect();
        operator.call("vestibule.solo", &[0x90]);
        own.send(&RequestBuilder::select(5, 1));
        assert_eq!(read_from(&mut own, Some(other)), other);
        // A replica has all that was seen by then, and could answer.
        set.wait_for_votes(1, || ());
        operator.call("vestibule.assist", &[0x90]);
        let (at, asked) = set.asked();
        assert_eq!(at, wanted, "{whom}");
        asked.reply(DONE);
        assert_eq!(own.receive().sync, 5);
    }
}

#[test]
fn where_no_replica_answers_nobody_can_choose_one() {
    let upstream = FakeUpstream::start();
    let server = before(&upstream);
    let mut peer = server.connect();
    let told = peer.call_with("vestibule.set", &("read_from", "replica"));
    assert_eq!(told.error_code(), Some(1));
    assert!(told.error_mentions("--staleness-max"));
}
