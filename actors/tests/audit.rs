//! The audit log: each login has its line, whatever becomes of it.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use log::kv::{Key, Value, VisitSource};
use log::{LevelFilter, Log, Metadata, Record};
use socket2::SockRef;
use tokio::sync::Notify;
use vestibule_actors::audit::AUDIT_TARGET;
use vestibule_actors::testing::{
    Peer, RequestBuilder, Script, ScriptedEngine, TestServer, block_on, config,
};
use vestibule_actors::wire::ErrorCode;
use vestibule_actors::wire::keys::{self, RequestType};
use vestibule_actors::wire::msgpack::{write_array_len, write_str};
use vestibule_actors::{Authenticator, Login, LoginDecision, RuntimeBuilder};

/// Of each line: what happened, to whom, and why.
type Line = (String, String, String);

/// What was written to the audit log.
struct Audited(Mutex<Vec<Line>>);

static AUDITED: Audited = Audited(Mutex::new(Vec::new()));

impl Audited {
    fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for Audited {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == AUDIT_TARGET
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut found = Pairs::default();
        record.key_values().visit(&mut found).expect("it ends");
        let line = (record.args().to_string(), found.user, found.reason);
        self.lines().push(line);
    }

    fn flush(&self) {}
}

#[derive(Default)]
struct Pairs {
    user: String,
    reason: String,
}

impl<'kvs> VisitSource<'kvs> for Pairs {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), log::kv::Error> {
        match key.as_str() {
            "user" => self.user = value.to_string(),
            "reason" => self.reason = value.to_string(),
            _ => {}
        }
        Ok(())
    }
}

/// An authenticator that does what the name of the user says.
#[derive(Clone, Default)]
struct ByName {
    asked: Arc<Notify>,
}

impl Authenticator for ByName {
    async fn check(&self, login: Login) -> LoginDecision {
        self.asked.notify_one();
        match login.user.as_str() {
            "panic" => panic!("as the test wants it"),
            "unavailable" => LoginDecision::Unavailable,
            "refused" => LoginDecision::Refused,
            "accepted" => LoginDecision::AcceptedAs("alice".to_owned()),
            _ => std::future::pending().await,
        }
    }
}

struct Rig {
    server: TestServer<ScriptedEngine>,
    authenticator: ByName,
}

impl Rig {
    fn start() -> Self {
        let script = Script::default();
        let authenticator = ByName::default();
        let engine = move || Ok(script.engine());
        let builder = RuntimeBuilder::new(config(), engine, Script::procedures());
        let builder = builder.authenticator(authenticator.clone());
        let server = TestServer::start(builder);
        Self {
            server,
            authenticator,
        }
    }

    /// A login that nobody decides, under way on a connection of its own.
    fn begin(&self, user: &str) -> Peer {
        let mut peer = self.server.connect();
        peer.send(&peer.log_in_request(1, user, "hunter2"));
        block_on(self.authenticator.asked.notified());
        peer
    }

    /// What a user is told who would be let in, but for what is known of the catalog.
    fn told_of_catalog(&self, peer: &mut Peer, user: &str) -> String {
        let request = peer.log_in_request(1, user, "hunter2");
        let told = peer.ask(&request.schema_version(99));
        assert_eq!(told.error_code(), Some(ErrorCode::WRONG_SCHEMA_VERSION.0));
        told.error_text().expect("it is refused")
    }

    fn told(&self, peer: &mut Peer, request: &RequestBuilder) -> String {
        peer.ask(request).error_text().expect("it is refused")
    }
}

fn login(user: &str, tuple: &[&str]) -> RequestBuilder {
    let mut bytes = Vec::new();
    write_array_len(&mut bytes, tuple.len() as u32);
    tuple.iter().for_each(|text| write_str(&mut bytes, text));
    RequestBuilder::new(RequestType::Auth, 1)
        .text(keys::USER_NAME, user)
        .pair(keys::TUPLE, &bytes)
}

#[test]
fn each_login_has_a_line_with_what_its_client_was_told() {
    log::set_logger(&AUDITED).expect("there is one test here");
    log::set_max_level(LevelFilter::Info);
    let rig = Rig::start();
    let mut peer = rig.server.connect();
    let mut expected = Vec::new();
    let mut failed = |user: &str, reason: String| {
        expected.push(("auth_fail".to_owned(), user.to_owned(), reason));
    };
    for (user, request) in [
        ("", RequestBuilder::new(RequestType::Auth, 1)),
        ("half", login("half", &["chap-sha1"])),
        ("odd", login("odd", &["md5", "x"])),
        ("short", login("short", &["chap-sha1", "x"])),
        ("", login("in a stream", &["chap-sha1", "x"]).stream(1)),
    ] {
        failed(user, rig.told(&mut peer, &request));
    }
    failed("accepted", rig.told_of_catalog(&mut peer, "accepted"));
    for user in ["refused", "unavailable", "panic"] {
        let request = peer.log_in_request(1, user, "hunter2");
        failed(user, rig.told(&mut peer, &request));
    }

    let mut late = rig.begin("late");
    rig.server.wind(Duration::from_secs(10));
    let told = late.receive().error_text();
    failed("late", told.expect("its time is over"));

    // Connections have numbers in their order: `peer` is 1, `late` 2.
    let mut killed = rig.begin("killed");
    peer.call_with("vestibule.kill", &(3, 1));
    let told = killed.receive().error_text();
    failed("killed", told.expect("it is told"));
    let mut cut = rig.begin("cut");
    peer.call_with("vestibule.kill", &(4,));
    let told = cut.receive_until_closed()[0].error_text();
    failed("cut", told.expect("it is told"));

    // A reset: who has closed one half alone is answered.
    let mut gone = TcpStream::connect(rig.server.address()).expect("it listens");
    let request = peer.log_in_request(1, "gone", "hunter2").bytes();
    gone.write_all(&request).expect("it is taken");
    block_on(rig.authenticator.asked.notified());
    let linger = SockRef::from(&gone).set_linger(Some(Duration::ZERO));
    linger.expect("a socket can");
    drop(gone);
    failed("gone", "its client is gone".to_owned());
    rig.server.wait_until("its end is noticed", || {
        AUDITED.lines().iter().any(|own| own.1 == "gone")
    });

    // Nobody looks at it: who is a user is not known yet.
    let script = Script::default();
    script.hold_recovery(true);
    let make = script.clone();
    let engine = move || Ok(make.engine());
    let loading = TestServer::start_loading(config(), engine, Script::procedures());
    let mut early = loading.connect();
    let request = early.log_in_request(1, "early", "hunter2");
    failed("early", rig.told(&mut early, &request));
    script.hold_recovery(false);

    let mut stopped = rig.begin("stopped");
    let _ = rig.server.stop(Duration::ZERO);
    let told = stopped.receive_until_closed()[0].error_text();
    failed("stopped", told.expect("it is told"));
    assert_eq!(*AUDITED.lines(), expected);
}
