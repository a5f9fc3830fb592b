//! SELECTs that replicas answer. No event tells when a replica may: until then, and whenever it may
//! not, the upstream that takes changes answers.

use std::thread;
use std::time::{Duration, Instant};

use vestibule_actors::limits::SESSION_SETTINGS_BYTES_MAX;
use vestibule_actors::testing::{Peer, RequestBuilder, TestServer, config};
use vestibule_actors::wire::keys::{self, RequestType};
use vestibule_actors::{Config, Gateway, Upstreams};

use crate::upstream::{Asked, FakeUpstream, PATIENCE, REFUSED, upstreams};
use crate::{DONE, eval, on_one_thread, on_one_thread_with};

/// Longer than any test takes.
const STALENESS_MAX: Duration = Duration::from_secs(3600);
const SILENT_AFTER: Duration = Duration::from_millis(500);

/// Looks again and again.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        thread::yield_now();
    }
}

/// One that takes changes, and replicas.
pub(crate) struct Set {
    pub(crate) all: Vec<FakeUpstream>,
    pub(crate) server: TestServer<Gateway>,
}

impl Set {
    /// No machine is so busy that one of them is silent against its will.
    fn start(replicas: usize) -> Self {
        Self::start_silent_after(replicas, PATIENCE)
    }

    fn start_silent_after(replicas: usize, silent_after: Duration) -> Self {
        Self::start_with(replicas, silent_after, |_| ())
    }

    /// `prepare` says how they are before anybody asks them.
    fn start_with(
        replicas: usize,
        silent_after: Duration,
        prepare: impl FnOnce(&[FakeUpstream]),
    ) -> Self {
        Self::start_as(replicas, prepare, |own| own.silent_after(silent_after))
    }

    /// With what a gateway is told besides.
    pub(crate) fn start_as(
        replicas: usize,
        prepare: impl FnOnce(&[FakeUpstream]),
        change: impl FnOnce(Upstreams) -> Upstreams,
    ) -> Self {
        Self::start_configured(config(), replicas, prepare, change)
    }

    /// And with another configuration.
    pub(crate) fn start_configured(
        config: Config,
        replicas: usize,
        prepare: impl FnOnce(&[FakeUpstream]),
        change: impl FnOnce(Upstreams) -> Upstreams,
    ) -> Self {
        let all: Vec<_> = (0..=replicas).map(|_| FakeUpstream::start()).collect();
        prepare(&all);
        all[1..].iter().for_each(|own| own.set_writable(false));
        let names = ["a", "b", "c"];
        let addresses = all.iter().map(|own| own.address);
        let named: Vec<_> = names.into_iter().zip(addresses).collect();
        let own = upstreams(&named).staleness_max(STALENESS_MAX);
        Self {
            server: on_one_thread_with(config, change(own)),
            all,
        }
    }

    /// The request that comes next, and which of them got it.
    pub(crate) fn asked(&self) -> (usize, Asked) {
        let mut got = None;
        wait_until("one of them is asked", || {
            let mut all = self.all.iter().enumerate();
            got = all.find_map(|(at, own)| Some((at, own.try_asked()?)));
            got.is_some()
        });
        got.unwrap()
    }

    /// Reads; tells who has answered.
    fn read(&self, peer: &mut Peer) -> usize {
        peer.send(&RequestBuilder::select(1, 1));
        let (at, asked) = self.asked();
        asked.reply(DONE);
        assert_eq!(peer.receive().code, 0);
        at
    }

    /// A replica answers, by and by; tells which one. Between two tries the client is idle: a
    /// replica has to have what was answered last, and that is known by a question behind it.
    pub(crate) fn wait_for_replica(&self, peer: &mut Peer) -> usize {
        let mut at = 0;
        wait_until("a replica answers", || {
            at = self.read(peer);
            if at == 0 {
                self.wait_for_votes(0, || ());
            }
            at != 0
        });
        at
    }

    /// Waits until the upstream that takes changes, and this one, have been asked how they are so
    /// often that all is known of them that was so before.
    pub(crate) fn wait_for_votes(&self, at: usize, mut meanwhile: impl FnMut()) {
        let votes = || [0, at].map(|own| self.all[own].votes());
        let before = votes();
        wait_until("they are asked how they are", || {
            meanwhile();
            votes().iter().zip(before).all(|(now, own)| *now >= own + 4)
        });
    }

    /// The upstream that takes changes answers all that is read meanwhile.
    pub(crate) fn no_replica_answers(&self, peer: &mut Peer, at: usize) {
        self.wait_for_votes(at, || assert_eq!(self.read(peer), 0));
    }

    fn write(&self, peer: &mut Peer, request: &RequestBuilder, changes: u64) {
        peer.send(request);
        let (at, asked) = self.asked();
        assert_eq!(at, 0);
        self.all[0].set_changes(changes);
        asked.reply(DONE);
        assert_eq!(peer.receive().code, 0);
    }
}

#[test]
fn a_connection_reads_what_it_has_written_before_a_replica_has_it_and_after() {
    let set = Set::start(1);
    let mut peer = set.server.connect();
    for (changes, request) in [
        (12, RequestBuilder::replace(1, 1)),
        // Nobody knows what these do.
        (13, eval(1, "box.space.rows:replace{2, 2}")),
        (14, RequestBuilder::call(1, "write", &[0x90])),
    ] {
        set.wait_for_replica(&mut peer);
        set.write(&mut peer, &request, changes);
        set.no_replica_answers(&mut peer, 1);
        set.all[1].set_changes(changes);
    }
    set.wait_for_replica(&mut peer);
    let seen = set.server.handle().upstreams();
    assert!(seen[1].replica_reads >= 4 && seen[0].replica_reads == 0);
}

#[test]
fn what_keeps_a_replica_from_being_read_is_shown_as_long_as_it_does() {
    let set = Set::start(1);
    let unread = || {
        let shown = set.server.handle().upstreams();
        assert_eq!(shown[0].unread, None, "it is no replica");
        shown[1].unread.clone()
    };
    let other = Some("its spaces and indexes are not those of a".to_owned());
    for _ in 0..2 {
        set.all[1].set_spaces(&[512, 513]);
        wait_until("it is shown", || unread() == other);
        set.all[0].set_spaces(&[512, 513]);
        wait_until("it is over", || unread().is_none());
        set.all[0].set_spaces(&[512]);
        wait_until("it is shown again", || unread() == other);
        set.all[1].set_spaces(&[512]);
        wait_until("it is over again", || unread().is_none());
    }
    set.wait_for_replica(&mut set.server.connect());
}

#[test]
fn without_being_asked_to_replicas_answer_nothing() {
    let (first, second) = (FakeUpstream::start(), FakeUpstream::start());
    second.set_writable(false);
    let server = on_one_thread(upstreams(&[("a", first.address), ("b", second.address)]));
    let set = Set {
        all: vec![first, second],
        server,
    };
    let mut peer = set.server.connect();
    set.no_replica_answers(&mut peer, 1);
}

#[test]
fn what_was_read_at_one_replica_is_not_missed_at_another_one() {
    let mut set = Set::start(2);
    let mut peer = set.server.connect();
    let at = set.wait_for_replica(&mut peer);
    let other = 3 - at;
    // Another client has written: one replica has that, and the other one has not.
    set.all[0].set_changes(12);
    set.all[at].set_changes(12);
    set.wait_for_votes(at, || ());
    assert_eq!(set.read(&mut peer), at);
    let gone = std::mem::replace(&mut set.all[at], FakeUpstream::start());
    drop(gone);
    set.no_replica_answers(&mut peer, other);
    set.all[other].set_changes(12);
    assert_eq!(set.wait_for_replica(&mut peer), other);
}

#[test]
fn a_replica_that_lags_for_longer_than_it_may_is_not_read() {
    let set = Set::start(1);
    let mut peer = set.server.connect();
    set.wait_for_replica(&mut peer);
    set.all[0].set_changes(12);
    set.wait_for_votes(1, || ());
    assert_eq!(set.read(&mut peer), 1, "it may lag for so long");
    set.server.wind(STALENESS_MAX + Duration::from_secs(1));
    set.no_replica_answers(&mut peer, 1);
    set.all[1].set_changes(12);
    set.wait_for_replica(&mut peer);
}

#[test]
fn a_replica_with_another_catalog_is_not_read_nor_a_space_that_is_not_known() {
    let set = Set::start(1);
    let mut peer = set.server.connect();
    set.wait_for_replica(&mut peer);
    peer.send(
        &RequestBuilder::new(RequestType::Select, 1)
            .uint(keys::SPACE_ID, 600)
            .uint(keys::LIMIT, 1)
            .pair(keys::KEY, &[0x91, 1]),
    );
    set.all[0].asked().reply(DONE);
    assert_eq!(peer.receive().code, 0);
    set.all[1].set_spaces(&[512, 600]);
    set.wait_for_votes(1, || ());
    set.no_replica_answers(&mut peer, 1);
    set.all[0].set_spaces(&[512, 600]);
    set.wait_for_replica(&mut peer);
}

#[test]
fn a_catalog_that_did_not_come_is_asked_for_again_until_it_does() {
    let set = Set::start_with(1, PATIENCE, |all| all[1].set_catalog_error(32));
    wait_until("it is asked again", || set.all[1].catalog_asked() > 2);
    set.all[1].set_catalog_error(0);
    set.wait_for_replica(&mut set.server.connect());
}

#[test]
fn who_may_not_read_a_catalog_asks_again_by_and_by() {
    let set = Set::start_with(1, PATIENCE, |all| all[1].set_catalog_error(42));
    wait_until("it is asked", || set.all[1].catalog_asked() > 0);
    set.wait_for_votes(1, || ());
    set.all[1].set_catalog_error(0);
    set.server.wind(Duration::from_secs(5));
    set.wait_for_replica(&mut set.server.connect());
}

#[test]
fn an_upstream_that_loads_is_not_asked_for_its_catalog_before_it_serves() {
    let set = Set::start_with(1, PATIENCE, |all| all[1].set_loading(true));
    set.wait_for_votes(1, || ());
    assert_eq!(set.all[1].catalog_asked(), 0);
    set.all[1].set_loading(false);
    set.wait_for_replica(&mut set.server.connect());
}

#[test]
fn what_a_client_with_a_connection_of_its_own_sends_waits_for_none_of_its_selects() {
    let set = Set::start(1);
    let mut peer = set.server.connect();
    set.wait_for_replica(&mut peer);
    let setting = RequestBuilder::new(RequestType::Execute, 1);
    let setting = setting.text(keys::SQL_TEXT, "set session a = 1");
    set.write(&mut peer, &setting, 11);
    set.wait_for_votes(1, || ());
    peer.send(&RequestBuilder::select(1, 1));
    peer.send(&RequestBuilder::replace(2, 1));
    let asked = [(); 2].map(|()| set.all[0].asked());
    for own in &asked {
        own.reply(DONE);
        assert_eq!(peer.receive().code, 0);
    }
    assert!(set.all[1].try_asked().is_none());
}

#[test]
fn replicas_answer_a_client_again_whose_setting_was_refused() {
    let set = Set::start(1);
    let mut peer = set.server.connect();
    let setting = |value: &str| {
        let text = format!("set session a = '{value}'");
        RequestBuilder::new(RequestType::Execute, 1).text(keys::SQL_TEXT, &text)
    };
    set.wait_for_replica(&mut peer);
    let too_large = "x".repeat(SESSION_SETTINGS_BYTES_MAX);
    assert_eq!(peer.ask(&setting(&too_large)).error_code(), Some(2));
    set.wait_for_replica(&mut peer);
    // This one has a connection of its own by then, for as long as that is there.
    peer.send(&setting("1"));
    let (at, asked) = set.asked();
    asked.fail(1, REFUSED);
    assert_eq!((at, peer.receive().error_code()), (0, Some(1)));
    set.no_replica_answers(&mut peer, 1);
    set.all[0].end(asked.connection);
    set.wait_for_replica(&mut peer);
}

#[test]
fn a_replica_that_says_nothing_any_more_is_left_and_what_it_owes_is_asked_elsewhere() {
    let set = Set::start_silent_after(1, SILENT_AFTER);
    let mut peer = set.server.connect();
    set.wait_for_replica(&mut peer);
    peer.send(&RequestBuilder::select(5, 1));
    let (at, _owed) = set.asked();
    assert_eq!(at, 1);
    set.all[1].set_silent(true);
    set.all[0].asked().reply(DONE);
    let told = peer.receive();
    assert_eq!((told.code, told.sync), (0, 5));
    assert_eq!(set.read(&mut peer), 0);
    set.all[1].set_silent(false);
    set.wait_for_replica(&mut peer);
}

#[test]
fn what_a_replica_refuses_is_answered_by_the_upstream_that_takes_changes() {
    let set = Set::start(1);
    let mut peer = set.server.connect();
    set.wait_for_replica(&mut peer);
    peer.send(&RequestBuilder::select(5, 1));
    let (at, asked) = set.asked();
    assert_eq!(at, 1);
    asked.fail(42, REFUSED);
    // What comes behind it must not see less.
    let (at, asked) = set.asked();
    assert_eq!(at, 0);
    peer.send(&RequestBuilder::select(6, 1));
    let (at, behind) = set.asked();
    assert_eq!(at, 0);
    asked.reply(DONE);
    behind.reply(DONE);
    for sync in [5, 6] {
        let told = peer.receive();
        assert_eq!((told.code, told.sync), (0, sync));
    }
}

#[test]
fn behind_what_is_under_way_nothing_is_read_at_a_replica() {
    let set = Set::start(1);
    let mut peer = set.server.connect();
    for request in [RequestBuilder::replace(1, 1), eval(1, "return 1")] {
        set.wait_for_replica(&mut peer);
        peer.send(&request);
        let (at, asked) = set.asked();
        assert_eq!(at, 0);
        peer.send(&RequestBuilder::select(2, 1));
        let (at, behind) = set.asked();
        assert_eq!(at, 0);
        asked.reply(DONE);
        behind.reply(DONE);
        (0..2).for_each(|_| assert_eq!(peer.receive().code, 0));
    }
}

#[test]
fn a_change_is_not_sent_before_what_replicas_answer_that_was_sent_before_it() {
    let set = Set::start(1);
    let (mut peer, mut other) = (set.server.connect(), set.server.connect());
    set.wait_for_replica(&mut peer);
    let requests = [
        RequestBuilder::select(1, 1),
        RequestBuilder::select(2, 1),
        RequestBuilder::replace(3, 1),
        RequestBuilder::select(4, 1),
    ];
    peer.send_bytes(
        &requests
            .iter()
            .flat_map(|own| own.bytes())
            .collect::<Vec<_>>(),
    );
    let asked = [set.all[1].asked(), set.all[1].asked()];
    // One that was sent behind all of them gets through.
    set.write(&mut other, &eval(1, "return 1"), 11);
    asked[0].reply(DONE);
    assert_eq!(peer.receive().sync, 1);
    set.write(&mut other, &eval(1, "return 1"), 11);
    assert!(set.all[0].try_asked().is_none());
    asked[1].reply(DONE);
    for (sync, request) in [(3, RequestType::Replace), (4, RequestType::Select)] {
        let asked = set.all[0].asked();
        assert_eq!(asked.header.request_type, request as u64, "{sync}");
        asked.reply(DONE);
    }
    let syncs = [(); 3].map(|()| peer.receive().sync);
    assert_eq!(syncs, [2, 3, 4]);
}

#[test]
fn who_was_told_that_nobody_knows_what_became_of_a_request_reads_at_no_replica_any_more() {
    let set = Set::start(1);
    let (mut peer, mut other) = (set.server.connect(), set.server.connect());
    set.wait_for_replica(&mut peer);
    peer.call_with("vestibule.set", &("request_timeout", 5));
    peer.send(&eval(7, "return 1"));
    let _late = set.all[0].asked();
    set.server.wind(Duration::from_secs(6));
    assert_eq!(peer.receive().error_code(), Some(78));
    set.wait_for_replica(&mut other);
    set.no_replica_answers(&mut peer, 1);
}
