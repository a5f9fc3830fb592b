//! Wrong logins: each from an address has its answer wait longer, and nobody else's.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use vestibule_actors::config::LoginLimits;
use vestibule_actors::engine::Engine;
use vestibule_actors::monitoring::LoginResult;
use vestibule_actors::testing::{Harness, RequestBuilder, Script, TestServer, block_on, config};
use vestibule_actors::wire::client::{ReplyFrame, login_tuple};
use vestibule_actors::wire::greeting::{self, GREETING_SIZE};
use vestibule_actors::wire::keys::{self, RequestType};
use vestibule_actors::{
    Connection, Login, LoginDecision, PeerAddress, RuntimeBuilder, RuntimeHandle,
};

const PATIENCE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const FREE: u64 = 5;

fn wait_for<T: Send>(future: impl Future<Output = T> + Send) -> T {
    let done = block_on(async { tokio::time::timeout(PATIENCE, future).await });
    done.expect("it is answered in time")
}

/// A client that comes from an address, as who adopts its connection says: those of sockets of a
/// test are all of this machine.
struct Guest {
    stream: DuplexStream,
    salt: Vec<u8>,
    sync: u64,
}

impl Guest {
    fn from(harness: &Harness, address: &str) -> Self {
        Self::of(harness.handle(), address)
    }

    fn of<E: Engine>(runtime: &RuntimeHandle<E>, address: &str) -> Self {
        let (mut stream, server) = tokio::io::duplex(1 << 16);
        let address: SocketAddr = address.parse().expect("an address");
        let connection = Connection::over(server, PeerAddress::Network(address));
        runtime.adopt(connection).expect("there is a slot");
        let mut bytes = [0; GREETING_SIZE];
        wait_for(stream.read_exact(&mut bytes)).expect("it is greeted");
        let salt = greeting::decode(&bytes).expect("a greeting").salt;
        let sync = 0;
        Self { stream, salt, sync }
    }

    fn send(&mut self, request: &RequestBuilder) {
        wait_for(self.stream.write_all(&request.bytes())).expect("it is taken");
    }

    /// Asks to log in as alice.
    fn log_in(&mut self, password: &str) {
        self.sync += 1;
        let tuple = login_tuple(password, &self.salt);
        let request = RequestBuilder::new(RequestType::Auth, self.sync)
            .text(keys::USER_NAME, "alice")
            .pair(keys::TUPLE, &tuple);
        self.send(&request);
    }

    fn ping(&mut self) {
        self.sync += 1;
        let request = RequestBuilder::new(RequestType::Ping, self.sync);
        self.send(&request);
    }

    /// The next reply: its sync, and the number of its error, 0 if it is none.
    fn receive(&mut self) -> (u64, u16) {
        wait_for(async {
            let mut frame = vec![0; 5];
            self.stream.read_exact(&mut frame).await.expect("more");
            let size = u32::from_be_bytes([frame[1], frame[2], frame[3], frame[4]]);
            frame.resize(5 + size as usize, 0);
            self.stream.read_exact(&mut frame[5..]).await.expect("more");
            let reply = ReplyFrame::read(&frame, usize::MAX).expect("a frame");
            let reply = reply.expect("it is whole");
            (reply.sync, reply.error_code().map_or(0, |code| code.0))
        })
    }

    fn guess(&mut self) {
        self.log_in("wrong");
        assert_eq!(self.receive(), (self.sync, 47));
    }
}

fn delayed(harness: &Harness) -> u64 {
    harness.handle().metrics().logins[&LoginResult::Delayed]
}

#[test]
fn the_answer_to_a_wrong_login_waits_what_is_behind_it_too_and_nobody_elsewhere() {
    let harness = Harness::start();
    let mut guesser = Guest::from(&harness, "198.51.100.7:1001");
    for _ in 0..FREE {
        guesser.guess();
    }
    assert_eq!(delayed(&harness), 0);
    // An hour has passed for the server when the longest wait would be over many times.
    for round in 1..=8 {
        guesser.log_in("wrong");
        harness.wait_until("it waits", || delayed(&harness) == round);
        guesser.ping();
        let mut other = Guest::from(&harness, "198.51.100.8:1001");
        other.log_in("secret");
        assert_eq!(other.receive(), (1, 0), "from elsewhere it is no matter");
        harness.wind(Duration::from_secs(6));
        let sync = guesser.sync;
        assert_eq!(guesser.receive(), (sync - 1, 47));
        assert_eq!(guesser.receive(), (sync, 0), "what came behind");
    }
    // The right one comes through.
    guesser.log_in("secret");
    assert_eq!(guesser.receive(), (guesser.sync, 0));
}

/// Who connects again for each guess does not know sooner whether it was right.
#[test]
fn any_login_from_such_an_address_waits_until_its_connection_is_a_little_old() {
    let harness = Harness::start();
    let mut first = Guest::from(&harness, "[2001:db8::1]:1001");
    for _ in 0..FREE {
        first.guess();
    }
    first.log_in("wrong");
    harness.wait_until("it waits", || delayed(&harness) == 1);
    harness.wind(Duration::from_secs(1));
    assert_eq!(first.receive(), (first.sync, 47));
    // The same network, another address. On a busy machine a connection may be a quarter of a
    // second old by then, and need not wait: one of these is faster.
    let before = delayed(&harness);
    let waited = (0..50).any(|_| {
        let mut again = Guest::from(&harness, "[2001:db8::2]:1001");
        again.log_in("secret");
        assert_eq!(again.receive(), (1, 0));
        delayed(&harness) > before
    });
    assert!(waited, "none of them has waited");
    let before = delayed(&harness);
    let mut other = Guest::from(&harness, "[2001:db8:0:1::1]:1001");
    other.log_in("secret");
    assert_eq!(other.receive(), (1, 0));
    assert_eq!(delayed(&harness), before, "another network is no matter");
    harness.wind(HOUR);
    let mut forgiven = Guest::from(&harness, "[2001:db8::3]:1001");
    for _ in 0..FREE {
        forgiven.guess();
    }
}

#[test]
fn logins_from_this_machine_never_wait_nor_any_where_the_longest_wait_is_none() {
    let limits = LoginLimits::default().failures_free(0);
    let limits = config().login_limits(limits);
    let harness = Harness::start_with(limits, Script::default());
    let mut peer = harness.connect();
    for address in ["127.0.0.1:1001", "[::1]:1001", "[::ffff:127.0.0.1]:1001"] {
        let mut guesser = Guest::from(&harness, address);
        for _ in 0..20 {
            guesser.guess();
        }
        assert_eq!(peer.log_in("alice", "wrong").error_code(), Some(47));
    }
    assert_eq!(delayed(&harness), 0);
    let never = LoginLimits::default()
        .failures_free(0)
        .delay_max(Duration::ZERO);
    let harness = Harness::start_with(config().login_limits(never), Script::default());
    let mut guesser = Guest::from(&harness, "198.51.100.7:1001");
    for _ in 0..20 {
        guesser.guess();
    }
    assert_eq!(delayed(&harness), 0);
}

#[test]
fn a_stop_answers_the_logins_that_wait() {
    let limits = LoginLimits::default()
        .failures_free(0)
        .delay_max(100 * HOUR);
    let mut harness = Harness::start_with(config().login_limits(limits), Script::default());
    let mut guesser = Guest::from(&harness, "198.51.100.7:1001");
    // The last of these is to wait for longer than anybody would.
    for round in 1..=16 {
        guesser.log_in("wrong");
        harness.wait_until("it waits", || delayed(&harness) == round);
        if round < 16 {
            harness.wind(HOUR);
            assert_eq!(guesser.receive(), (round, 47));
        }
    }
    harness.handle().begin_drain(Some(HOUR), "test");
    assert_eq!(guesser.receive(), (16, 47));
    assert_eq!(harness.join().killed, 0);
}

#[test]
fn what_an_authenticator_refuses_counts_as_wrong_and_is_asked_once() {
    let script = Script::default();
    let limits = LoginLimits::default().failures_free(0);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let builder = RuntimeBuilder::new(
        config().login_limits(limits),
        move || Ok(script.engine()),
        Script::procedures(),
    )
    .authenticator(move |_: Login| {
        count.fetch_add(1, Ordering::Relaxed);
        async { LoginDecision::Refused }
    });
    let server = TestServer::start(builder);
    let mut guesser = Guest::of(server.handle(), "198.51.100.7:1001");
    guesser.log_in("secret");
    let delayed = || server.handle().metrics().logins[&LoginResult::Delayed];
    server.wait_until("it waits", || delayed() == 1);
    server.wind(Duration::from_secs(1));
    assert_eq!(guesser.receive(), (1, 47));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

/// Connection pools go back to guest; that needs no password.
#[test]
fn who_has_guessed_wrong_is_guest_at_once_and_served() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    assert_eq!(peer.log_in("alice", "wrong").error_code(), Some(47));
    assert_eq!(peer.log_in("guest", "").code, 0);
    peer.ping();
    assert_eq!(peer.ask(&RequestBuilder::replace(7, 7)).code, 0);
}
