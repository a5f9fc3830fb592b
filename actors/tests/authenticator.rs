//! Logins that an authenticator of the embedder decides.

use std::collections::{BTreeSet, HashMap};
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use vestibule_actors::config::SoloPolicy;
use vestibule_actors::testing::{
    Harness, Peer, RequestBuilder, Script, ScriptedEngine, TestServer, config,
};
use vestibule_actors::wire::keys::{self, RequestType};
use vestibule_actors::wire::msgpack::{write_array_len, write_str};
use vestibule_actors::{Authenticator, Config, Login, LoginDecision, LoginProof, RuntimeBuilder};

const NO_ARGS: &[u8] = &[0x90];
const CREDENTIALS: Option<u16> = Some(47);

#[derive(Default)]
struct State {
    decisions: HashMap<String, LoginDecision>,
    asked: Vec<Login>,
    dropped: usize,
}

/// An authenticator that decides when the test does.
#[derive(Clone, Default)]
struct Directory {
    state: Arc<Mutex<State>>,
    told: Arc<Notify>,
    takes_plain: bool,
}

/// Counts a check that is over, however it ended.
struct Counted(Directory);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.state().dropped += 1;
    }
}

impl Directory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics in it")
    }

    fn decide(&self, user: &str, decision: LoginDecision) {
        self.state().decisions.insert(user.to_owned(), decision);
        self.told.notify_waiters();
    }

    fn asked(&self) -> usize {
        self.state().asked.len()
    }

    fn dropped(&self) -> usize {
        self.state().dropped
    }

    fn server_with(&self, config: Config, script: &Script) -> TestServer<ScriptedEngine> {
        let script = script.clone();
        let procedures = Script::procedures().read_only("whoami", |call| {
            let name = call.caller.user.to_string();
            call.reply.value(&name)
        });
        let builder = RuntimeBuilder::new(config, move || Ok(script.engine()), procedures);
        TestServer::start(builder.authenticator(self.clone()))
    }

    fn server(&self) -> TestServer<ScriptedEngine> {
        self.server_with(config(), &Script::default())
    }
}

impl Authenticator for Directory {
    async fn check(&self, login: Login) -> LoginDecision {
        let _counted = Counted(self.clone());
        let user = login.user.clone();
        self.state().asked.push(login);
        assert!(user != "panic", "as the test wants it");
        loop {
            let told = self.told.notified();
            let decision = self.state().decisions.get(&user).cloned();
            if let Some(decision) = decision {
                return decision;
            }
            told.await;
        }
    }

    fn takes_plain_passwords(&self) -> bool {
        self.takes_plain
    }
}

fn whoami(peer: &mut Peer) -> String {
    peer.call("whoami", NO_ARGS).value()
}

/// A login that waits until it is decided, with its connection.
fn begin(server: &TestServer<ScriptedEngine>, directory: &Directory, user: &str) -> Peer {
    let before = directory.asked();
    let mut peer = server.connect();
    peer.send(&peer.log_in_request(1, user, "hunter2"));
    server.wait_until("the login is checked", || directory.asked() > before);
    peer
}

#[test]
fn who_is_accepted_is_the_user_that_is_named_and_what_came_behind_the_login_follows_it() {
    let directory = Directory::default();
    let server = directory.server();
    let mut zoe = begin(&server, &directory, "zoe");
    zoe.send(&RequestBuilder::call(2, "whoami", NO_ARGS));
    zoe.send(&RequestBuilder::new(RequestType::Ping, 3));
    // Everybody else goes on meanwhile.
    let mut other = server.connect();
    other.ping();
    assert_eq!(whoami(&mut other), "guest");
    directory.decide("zoe", LoginDecision::AcceptedAs("alice".to_owned()));
    let replies = [zoe.receive(), zoe.receive(), zoe.receive()];
    assert_eq!(replies.clone().map(|own| own.code), [0; 3]);
    assert_eq!(replies[0].sync, 1, "{replies:?}");
    let who = replies.iter().find(|own| own.sync == 2);
    assert_eq!(who.map(|own| own.value()), Some("alice".to_owned()));
    // What it was told is what is to be known of a login.
    let asked = directory.state().asked.remove(0);
    assert_eq!((asked.user.as_str(), asked.connection), ("zoe", 1));
    assert!(asked.peer.ip().is_loopback());
    assert!(asked.proves("hunter2") && !asked.proves("hunter3"));
    assert_eq!(directory.dropped(), 1);
}

#[test]
fn the_users_of_the_engine_decide_on_what_is_not_the_authenticators() {
    let directory = Directory::default();
    let server = directory.server();
    for user in ["alice", "nobody"] {
        directory.decide(user, LoginDecision::NotMine);
    }
    let mut peer = server.connect();
    assert_eq!(peer.log_in("alice", "secret").code, 0);
    assert_eq!(whoami(&mut peer), "alice");
    // The way back to guest is nobody's to decide.
    assert_eq!(peer.log_in("guest", "").code, 0);
    assert_eq!(whoami(&mut peer), "guest");
    assert_eq!(directory.asked(), 1);
    assert_eq!(
        server.connect().log_in("nobody", "x").error_code(),
        CREDENTIALS
    );
    // Nor are names that no user has.
    let long = "x".repeat(1025);
    assert_eq!(
        server.connect().log_in(&long, "x").error_code(),
        CREDENTIALS
    );
    assert_eq!(directory.asked(), 2);
}

#[test]
fn who_is_accepted_as_a_user_that_is_not_there_is_told_so_and_stays_guest() {
    let directory = Directory::default();
    let server = directory.server();
    directory.decide("zoe", LoginDecision::AcceptedAs("gone".to_owned()));
    let mut peer = server.connect();
    let told = peer.log_in("zoe", "hunter2");
    assert_eq!(told.error_code(), Some(45));
    assert_eq!(
        told.error_text().as_deref(),
        Some("User 'gone' is not found")
    );
    assert_eq!(whoami(&mut peer), "guest");
}

#[test]
fn a_login_that_is_refused_is_told_as_wrong_and_one_that_is_not_decided_is_not() {
    let directory = Directory::default();
    let server = directory.server();
    directory.decide("zoe", LoginDecision::Refused);
    directory.decide("later", LoginDecision::Unavailable);
    directory.decide("alice", LoginDecision::NotMine);
    let mut peer = server.connect();
    for user in ["later", "panic"] {
        let told = peer.log_in(user, "x");
        assert_eq!(told.error_code(), Some(115), "{user}");
        let text = "The login cannot be checked at present";
        assert_eq!(told.error_text().as_deref(), Some(text));
    }
    assert_eq!(peer.log_in("zoe", "x").error_code(), CREDENTIALS);
    let asked = directory.asked();
    peer.send(&peer.log_in_request(7, "alice", "secret"));
    assert_eq!(peer.receive().code, 0);
    assert_eq!(
        directory.asked(),
        asked + 1,
        "asked when its time has come, and once"
    );
}

#[test]
fn a_login_that_takes_too_long_is_told_so_and_dropped() {
    let directory = Directory::default();
    let server = directory.server();
    let mut peer = begin(&server, &directory, "zoe");
    server.wind(Duration::from_secs(10));
    let told = peer.receive();
    assert_eq!((told.sync, told.error_code()), (1, Some(78)));
    assert_eq!(directory.dropped(), 1);
    peer.ping();
}

/// A client that closes its half is answered; one that resets its connection is gone.
#[test]
fn a_login_ends_with_its_connection() {
    let directory = Directory::default();
    let server = directory.server();
    let half = begin(&server, &directory, "zoe");
    half.shut_down_writing();
    let request = half.log_in_request(1, "yves", "hunter2");
    let mut stream = TcpStream::connect(server.address()).expect("it listens");
    stream.write_all(&request.bytes()).expect("it is taken");
    server.wait_until("it is checked", || directory.asked() == 2);
    assert_eq!(directory.dropped(), 0);
    let socket = socket2::SockRef::from(&stream);
    socket
        .set_linger(Some(Duration::ZERO))
        .expect("a socket can");
    drop(stream);
    server.wait_until("the check is dropped", || directory.dropped() == 1);
    server.wait_until("only one is left", || {
        server.handle().connection_count() == 1
    });
    directory.decide("zoe", LoginDecision::Refused);
    let mut half = half;
    let replies = half.receive_until_closed();
    assert_eq!(replies.len(), 1);
    assert_eq!(replies[0].error_code(), CREDENTIALS);
}

#[test]
fn a_login_is_killed_with_its_sync_or_its_connection() {
    let directory = Directory::default();
    let server = directory.server();
    let mut operator = server.connect();
    let mut peer = begin(&server, &directory, "zoe");
    let killed = operator.call_with("vestibule.kill", &(2, 1));
    assert_eq!(killed.code, 0, "{killed:?}");
    let told = peer.receive();
    assert_eq!((told.sync, told.error_code()), (1, Some(32)));
    assert!(told.error_mentions("cancelled"));
    assert_eq!(directory.dropped(), 1);
    // The connection is of use still.
    directory.decide("zoe", LoginDecision::AcceptedAs("alice".to_owned()));
    assert_eq!(peer.log_in("zoe", "hunter2").code, 0);
    let mut other = begin(&server, &directory, "yves");
    operator.call_with("vestibule.kill", &(3,));
    let replies = other.receive_until_closed();
    assert_eq!(replies.len(), 1, "{replies:?}");
    assert_eq!(replies[0].error_code(), Some(32));
    server.wait_until("it is dropped", || directory.dropped() == 3);
}

#[test]
fn a_stop_does_not_wait_for_logins() {
    for grace in [Duration::from_secs(3600), Duration::ZERO] {
        let directory = Directory::default();
        let server = directory.server();
        let mut peer = begin(&server, &directory, "zoe");
        let report = server.stop(grace);
        assert!(report.took < Duration::from_secs(60), "{report:?}");
        let replies = peer.receive_until_closed();
        let told: Vec<_> = replies
            .iter()
            .map(|own| (own.sync, own.error_code()))
            .collect();
        assert_eq!(told, [(1, Some(279))]);
        assert_eq!(directory.dropped(), 1);
    }
}

#[test]
fn in_solo_and_through_a_demotion_logins_are_decided_as_ever() {
    let directory = Directory::default();
    let script = Script::default();
    let server = directory.server_with(config(), &script);
    script.hold_tx();
    let mut blocker = server.connect();
    blocker.send(&RequestBuilder::call(1, "busy", NO_ARGS));
    script.wait_until_blocked();
    server.wait_for(vestibule_actors::serving::State::Solo);
    let mut peer = begin(&server, &directory, "zoe");
    directory.decide("zoe", LoginDecision::AcceptedAs("alice".to_owned()));
    assert_eq!(peer.receive().code, 0);
    script.release();
    assert_eq!(blocker.receive().code, 0);
    server.wait_for(vestibule_actors::serving::State::Assist);
    let mut late = begin(&server, &directory, "yves");
    let _ = server.demote(Duration::ZERO);
    directory.decide("yves", LoginDecision::AcceptedAs("alice".to_owned()));
    assert_eq!(late.receive().code, 0);
    assert_eq!(whoami(&mut late), "alice");
}

/// What it asks of Tx is cut off, and its connection with it.
#[test]
fn a_login_under_way_is_answered_when_solo_closes_its_connection() {
    let directory = Directory::default();
    let script = Script::default();
    let config = config().solo_policy(SoloPolicy::Close);
    let server = directory.server_with(config, &script);
    script.hold_tx();
    let mut blocker = server.connect();
    blocker.send(&RequestBuilder::call(1, "block", NO_ARGS));
    script.wait_until_blocked();
    let mut peer = server.connect();
    peer.send(&RequestBuilder::replace(1, 1));
    peer.send(&peer.log_in_request(2, "zoe", "hunter2"));
    server.wait_until("the login is checked", || directory.asked() > 0);
    let mut operator = server.connect();
    operator.call("vestibule.solo", &[0x91, 0xa1, b'x']);
    let replies = peer.receive_until_closed();
    let told = replies.iter().map(|own| (own.sync, own.error_code()));
    let told: BTreeSet<_> = told.collect();
    assert_eq!(told, BTreeSet::from([(1, Some(116)), (2, Some(116))]));
    script.release();
}

/// Each login that waits is held by somebody: one address cannot have all of them.
#[test]
fn logins_that_wait_are_bounded_like_all_that_waits() {
    let directory = Directory::default();
    let mut config = config();
    config.quotas.waits_max = 16;
    let server = directory.server_with(config, &Script::default());
    let mut waiting = Vec::new();
    let refused = loop {
        let mut peer = server.connect();
        let before = directory.asked();
        peer.send(&peer.log_in_request(1, "zoe", "x"));
        peer.send(&RequestBuilder::new(RequestType::Ping, 2));
        if waiting.len() == 4 {
            break peer.receive();
        }
        server.wait_until("it is checked", || directory.asked() > before);
        waiting.push(peer);
    };
    assert_eq!((refused.sync, refused.error_code()), (1, Some(1)));
    let text = "Too many waiting requests of user 'guest' at 127.0.0.1: there may be 4";
    assert_eq!(refused.error_text().as_deref(), Some(text));
    directory.decide("zoe", LoginDecision::Refused);
    for peer in &mut waiting {
        assert_eq!(peer.receive().error_code(), CREDENTIALS);
    }
    assert_eq!(
        server.connect().log_in("zoe", "x").error_code(),
        CREDENTIALS
    );
}

fn plain(sync: u64, user: &str, password: &str) -> RequestBuilder {
    let mut tuple = Vec::new();
    write_array_len(&mut tuple, 2);
    write_str(&mut tuple, "pap-sha256");
    write_str(&mut tuple, password);
    RequestBuilder::new(RequestType::Auth, sync)
        .text(keys::USER_NAME, user)
        .pair(keys::TUPLE, &tuple)
}

#[test]
fn a_password_comes_as_it_is_to_an_authenticator_that_takes_it() {
    let directory = Directory {
        takes_plain: true,
        ..Directory::default()
    };
    let server = directory.server();
    directory.decide("zoe", LoginDecision::AcceptedAs("alice".to_owned()));
    directory.decide("alice", LoginDecision::NotMine);
    let mut peer = server.connect();
    assert_eq!(peer.ask(&plain(1, "zoe", "hunter2")).code, 0);
    let password = "hunter2".to_owned();
    let proof = LoginProof::PapSha256 { password };
    assert_eq!(directory.state().asked[0].proof, proof);
    // What the engine's users prove is a hash.
    let told = server.connect().ask(&plain(1, "alice", "secret"));
    assert_eq!(told.error_code(), CREDENTIALS);
    let directory = Directory::default();
    let server = directory.server();
    let told = server.connect().ask(&plain(1, "zoe", "hunter2"));
    assert_eq!((told.error_code(), directory.asked()), (Some(249), 0));
    let told = Harness::start().connect().ask(&plain(1, "zoe", "hunter2"));
    assert_eq!(told.error_code(), Some(249));
}
