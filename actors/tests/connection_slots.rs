//! Bounds on the number of connections: who has no slot is told, administrators have their own.

use std::net::SocketAddr;
use std::time::Duration;

use vestibule_actors::config::{Administrators, ConnectionLimits, DescriptorLimits, TimeLimits};
use vestibule_actors::serving::State;
use vestibule_actors::testing::{Harness, Peer, RequestBuilder, Script, config};

const NO_ARGS: &[u8] = &[0x90];
const CLIENTS: usize = 5;

fn start(connections_max: usize, admin_listen: &[&str]) -> Harness {
    let address = |text: &&str| text.parse().unwrap();
    let config = config()
        .admin_listen(admin_listen.iter().map(address).collect())
        .connection_limits(ConnectionLimits::default().connections_max(connections_max));
    Harness::start_with(config, Script::default())
}

/// Whether it was greeted, told that there is no slot, and nothing else.
fn assert_turned_away(peer: &mut Peer, slots: usize) {
    let told = peer.receive_until_closed();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].error_code(), Some(116));
    let text = told[0].error_text().unwrap();
    assert_eq!(
        text,
        format!("Too many connections: all {slots} places are taken, retry after 1 s")
    );
    for field in ["state", "assist", "reason", "retry_after", "epoch"] {
        assert!(told[0].error_mentions(field), "{field}");
    }
}

#[test]
fn who_has_no_slot_is_told_and_administrators_have_their_own() {
    let harness = start(CLIENTS, &["127.0.0.1:0"]);
    let listener = harness.handle().admin_addresses()[0];
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| harness.connect()).collect();
    for _ in 0..20 {
        assert_turned_away(&mut harness.connect(), CLIENTS);
    }
    let mut administrator = Peer::connect(listener);
    assert_eq!(administrator.call("vestibule.state", NO_ARGS).code, 0);
    assert_eq!(administrator.ask(&RequestBuilder::replace(1, 1)).code, 0);
    for client in &mut clients {
        client.ping();
    }
    // A slot that is given back is there for the next.
    drop(clients.pop());
    harness.wait_until("its end is noticed", || {
        harness.handle().connection_count() == CLIENTS
    });
    harness.connect().ping();
}

/// The address of the harness's peers is an attacker's; others come from another one.
#[test]
fn one_address_leaves_slots_to_users_from_others_and_to_administrators() {
    let config = config()
        .administrators(Administrators::Users(vec!["alice".to_owned()]))
        .connection_limits(
            ConnectionLimits::default()
                .connections_max(CLIENTS)
                .per_address_max(CLIENTS - 1),
        );
    let harness = Harness::start_with(config, Script::default());
    let (listener, max) = (
        harness.address(),
        DescriptorLimits::default().administrators,
    );
    let mut greedy: Vec<_> = (0..CLIENTS - 1).map(|_| harness.connect()).collect();
    // Who may be an administrator has a moment to show it.
    let mut provisional: Vec<_> = (0..max).map(|_| harness.connect()).collect();
    let refused = harness.connect().receive_until_closed();
    let text = refused[0].error_text().unwrap();
    let expected = "Too many connections from 127.0.0.1: there may be 4, retry after 1 s";
    assert_eq!((refused[0].error_code(), &*text), (Some(116), expected));

    let mut elsewhere = Peer::connect_from([127, 0, 0, 2].into(), listener);
    assert_eq!(elsewhere.log_in("alice", "secret").code, 0);
    assert_eq!(elsewhere.ask(&RequestBuilder::replace(1, 1)).code, 0);
    let mut alice = provisional.pop().unwrap();
    assert_eq!(alice.log_in("alice", "secret").code, 0);
    assert_eq!(alice.call("vestibule.state", NO_ARGS).code, 0);
    for own in &mut provisional {
        own.receive_until_closed();
    }
    assert_eq!(alice.ask(&RequestBuilder::replace(2, 2)).code, 0);
    // What is given back is there for the next.
    drop(greedy.pop());
    let left = CLIENTS - 2 + 2;
    harness.wait_until("its end is noticed", || {
        harness.handle().connection_count() == left
    });
    harness.connect().ping();
}

#[test]
fn administrators_slots_are_bounded_too() {
    let harness = start(CLIENTS, &["127.0.0.1:0"]);
    let listener = harness.handle().admin_addresses()[0];
    let max = DescriptorLimits::default().administrators;
    let mut administrators: Vec<_> = (0..max).map(|_| Peer::connect(listener)).collect();
    for own in &mut administrators {
        assert_eq!(own.call("vestibule.state", NO_ARGS).code, 0);
    }
    assert_turned_away(&mut Peer::connect(listener), max);
    for own in &mut administrators {
        own.ping();
    }
    harness.connect().ping();
}

/// A server with an administrators' listener, with alice for an administrator, and this timeout.
fn start_for_alice(admin_authentication: Duration) -> (Harness, SocketAddr) {
    let config = config()
        .admin_listen(vec!["127.0.0.1:0".parse().expect("it is an address")])
        .administrators(Administrators::Users(vec!["alice".to_owned()]))
        .time_limits(TimeLimits::default().admin_authentication(admin_authentication));
    let harness = Harness::start_with(config, Script::default());
    let listener = harness.handle().admin_addresses()[0];
    (harness, listener)
}

#[test]
fn who_does_not_log_in_at_the_administrators_listener_makes_room_for_who_comes() {
    let (harness, listener) = start_for_alice(Duration::ZERO);
    let max = DescriptorLimits::default().administrators;
    let mut alice = Peer::connect(listener);
    assert_eq!(alice.log_in("alice", "secret").code, 0);
    let _idle: Vec<_> = (1..max).map(|_| Peer::connect(listener)).collect();
    // The oldest of them have a moment's time before that.
    let come_in = || {
        let mut own = Peer::connect(listener);
        let log_in = own.log_in_request(1, "alice", "secret").bytes();
        let is_sent = own.try_send_bytes(&log_in).is_ok();
        let is_in = is_sent && matches!(own.try_receive(), Ok(Some(reply)) if reply.code == 0);
        is_in.then_some(own)
    };
    let administrators = std::cell::RefCell::new(Vec::new());
    harness.wait_until("all of them have come in", || {
        administrators.borrow_mut().extend(come_in());
        administrators.borrow().len() == max - 1
    });
    // Those who have logged in stay.
    assert_turned_away(&mut Peer::connect(listener), max);
    alice.ping();
    for own in administrators.borrow_mut().iter_mut() {
        own.ping();
    }
}

#[test]
fn who_does_not_log_in_at_the_administrators_listener_is_let_go_after_its_time() {
    let (harness, listener) = start_for_alice(Duration::from_secs(2));
    let mut alice = Peer::connect(listener);
    assert_eq!(alice.log_in("alice", "secret").code, 0);
    let mut idle = Peer::connect(listener);
    let told = idle.receive_until_closed();
    assert_eq!(told[0].error_code(), Some(116));
    alice.ping();
    harness.connect().ping();
}

#[test]
fn without_a_listener_of_their_own_administrators_take_and_keep_a_slot_by_using_it() {
    let harness = start(CLIENTS, &[]);
    let _clients: Vec<_> = (0..CLIENTS).map(|_| harness.connect()).collect();
    let max = DescriptorLimits::default().administrators;
    let mut beyond: Vec<_> = (0..max).map(|_| harness.connect()).collect();
    assert_turned_away(&mut harness.connect(), CLIENTS);
    let mut administrator = beyond.pop().unwrap();
    assert_eq!(administrator.call("vestibule.state", NO_ARGS).code, 0);
    // This is nothing that only an administrator would ask for.
    beyond[0].ping();
    assert_eq!(beyond[1].call("box.info", NO_ARGS).code, 0);
    for own in &mut beyond {
        assert_turned_away(own, CLIENTS);
    }
    administrator.ping();
    let rows = administrator.show("descriptors");
    for share in ["process", "runtime", "engine", "spare", "clients"] {
        assert!(rows.error_mentions(share), "{share}");
    }
}

#[test]
fn when_descriptors_are_scarce_who_cannot_be_served_in_solo_is_let_go() {
    let room = 16;
    // As many as it needs for itself, and some.
    let descriptors = (1..)
        .find(|own| clients_of(*own) == Some(room))
        .expect("there is such a limit");
    let config = config()
        .session_threads(1)
        .descriptors(DescriptorLimits::default().process(descriptors));
    let harness = Harness::start_with(config, Script::default());
    harness.script().hold_tx();
    let mut blocker = harness.connect();
    blocker.send(&RequestBuilder::call(1, "busy", NO_ARGS));
    harness.script().wait_until_blocked();
    harness.wait_for(State::Solo);
    let mut early = harness.connect();
    let refused = early.ask(&RequestBuilder::replace(2, 2));
    assert_eq!(refused.error_code(), Some(116));
    early.ping();
    let mut others: Vec<_> = (0..room - 4).map(|_| harness.connect()).collect();
    let mut last = others.pop().unwrap();
    last.send(&RequestBuilder::replace(3, 3));
    let told = last.receive_until_closed();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].error_code(), Some(116));
    harness.wait_until("it is gone", || {
        harness.handle().connection_count() < room - 2
    });
    early.ping();
    harness.script().release();
    assert_eq!(blocker.receive().code, 0);
}

/// What a runtime with one session thread and one listener has for clients.
fn clients_of(descriptors: usize) -> Option<usize> {
    use vestibule_actors::limits::{
        ADMINISTRATORS_DEFAULT, ENGINE_DESCRIPTORS_DEFAULT, RUNTIME_DESCRIPTORS, SPARE_DESCRIPTORS,
        THREAD_DESCRIPTORS,
    };
    let own = RUNTIME_DESCRIPTORS + 3 * THREAD_DESCRIPTORS + 1 + SPARE_DESCRIPTORS;
    descriptors.checked_sub(own + ENGINE_DESCRIPTORS_DEFAULT + ADMINISTRATORS_DEFAULT)
}

#[test]
fn connections_are_spread_evenly_over_the_session_threads() {
    const THREADS: usize = 3;
    let config = config().session_threads(THREADS);
    let harness = Harness::start_with(config, Script::default());
    let mut peers: Vec<_> = (0..1000).map(|_| harness.connect()).collect();
    let rows = peers[0].show("connections");
    // Pairs of the text "thread" and a small number.
    let mut counts = [0; THREADS];
    for pair in rows
        .body
        .windows(8)
        .filter(|own| own.starts_with(b"\xa6thread"))
    {
        counts[usize::from(pair[7])] += 1;
    }
    assert_eq!(counts.iter().sum::<usize>(), peers.len());
    let spread = counts.iter().max().unwrap() - counts.iter().min().unwrap();
    assert!(spread <= 1, "{counts:?}");
}
