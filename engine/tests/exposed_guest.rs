//! A guest who may do everything, where other machines are.

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use vestibule_actors::config::ExposedGuest;
use vestibule_actors::serving::State;
use vestibule_actors::testing::{Peer, RequestBuilder};
use vestibule_actors::wire::keys::{self, RequestType};
use vestibule_actors::{
    Config, Connection, Listener, RuntimeBuilder, RuntimeHandle, StartError, start,
};
use vestibule_engine::{EmbeddedEngine, EngineOptions, GuestRights, procedures};

/// Of no machine at all (RFC 5737).
const ELSEWHERE: ([u8; 4], u16) = ([192, 0, 2, 1], 3301);

fn options(name: &str, guest: GuestRights) -> EngineOptions {
    let directory = std::env::temp_dir().join(format!("vestibule-{name}-{}", std::process::id()));
    EngineOptions::new(directory).guest(guest)
}

#[test]
fn a_listener_that_other_machines_reach_is_refused_before_it_is_opened() {
    let options = options("exposed-start", GuestRights::Super);
    for admin in [false, true] {
        let mut config = Config::default();
        let addresses = if admin {
            &mut config.admin_listen
        } else {
            &mut config.listen
        };
        addresses.push(SocketAddr::from(ELSEWHERE).into());
        let engine = EmbeddedEngine::factory(options.clone());
        let fault = actix_rt::System::new()
            .block_on(async { start(config, engine, procedures::standard()) })
            .expect_err("it is refused");
        let StartError::ExposedGuest { address, .. } = &fault else {
            panic!("{fault}");
        };
        assert_eq!(*address, ELSEWHERE.into());
        let told = fault.to_string();
        assert!(told.contains("GuestRights::Super"), "{told}");
    }
    assert!(!options.data_dir.exists());
}

/// Has `act` be done with a runtime that serves this directory.
fn serve(options: EngineOptions, config: Config, act: impl FnOnce(&RuntimeHandle<EmbeddedEngine>)) {
    let (told, handle) = mpsc::channel();
    let server = thread::spawn(move || {
        actix_rt::System::new().block_on(async {
            let engine = EmbeddedEngine::factory(options);
            let runtime = start(config, engine, procedures::standard()).expect("it starts");
            let serves = async {
                while runtime.serving().state != State::Assist {
                    runtime.changed(runtime.serving()).await;
                }
            };
            serves.await;
            told.send(runtime.clone()).expect("the test waits for it");
            runtime.stopped().await;
        });
    });
    let runtime = handle.recv().expect("it serves");
    act(&runtime);
    runtime.begin_drain(Some(Duration::ZERO), "test");
    server.join().expect("it does not panic");
}

fn arguments(values: &[&str]) -> Vec<u8> {
    rmp_serde::to_vec(values).expect("it is MessagePack")
}

/// A connection that its adopter says to come from there.
fn adopted(runtime: &RuntimeHandle<EmbeddedEngine>, peer: impl Into<SocketAddr>) -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let client = thread::spawn(move || Peer::connect(address));
    let (stream, _) = listener.accept().expect("it connects");
    let connection = Connection::tcp(stream).expect("it is connected");
    let adopted = runtime.adopt(connection.from_peer(peer.into()));
    adopted.expect("there is a slot");
    client.join().expect("it is greeted")
}

/// What it is told when it asks for the schema; nothing if it gets it.
fn refusal(peer: &mut Peer) -> String {
    let schema = RequestBuilder::new(RequestType::Select, 1)
        .uint(keys::SPACE_ID, 281)
        .uint(keys::LIMIT, 1)
        .pair(keys::KEY, &[0x90]);
    peer.ask(&schema).error_text().unwrap_or_default()
}

#[test]
fn a_guest_who_comes_to_do_everything_is_refused_on_connections_from_elsewhere() {
    let mut options = options("exposed-guest", GuestRights::Super);
    let directory = options.data_dir.clone();
    serve(options.clone(), Config::default(), |runtime| {
        let mut first = Peer::connect(runtime.addresses()[0]);
        let password = arguments(&["admin", "secret"]);
        assert_eq!(first.call("box.schema.user.passwd", &password).code, 0);
    });
    options.guest = GuestRights::Granted;
    serve(options, Config::default(), |runtime| {
        let grants = |procedure: &str| {
            let mut admin = Peer::connect(runtime.addresses()[0]);
            assert_eq!(admin.log_in("admin", "secret").code, 0);
            let granted = admin.call(procedure, &arguments(&["guest", "super"]));
            assert_eq!(granted.code, 0, "{granted:?}");
        };
        let mut far = adopted(runtime, ELSEWHERE);
        let mut near = Peer::connect(runtime.addresses()[0]);
        let refused = "User 'guest' is refused on connections from other machines";
        assert_eq!(refusal(&mut far), "");
        grants("box.schema.user.grant");
        let told = refusal(&mut far);
        assert!(told.starts_with(refused), "{told}");
        assert!(told.contains("by its own rights"), "{told}");
        let replace = far.ask(&RequestBuilder::replace(1, 1));
        assert!(replace.error_text().unwrap().starts_with(refused));
        // One that is adopted now is no better.
        let mut other = adopted(runtime, ELSEWHERE);
        assert!(refusal(&mut other).starts_with(refused));
        far.ping();
        assert_eq!(refusal(&mut near), "");
        assert_eq!(far.log_in("admin", "secret").code, 0);
        assert_eq!(refusal(&mut far), "");
        grants("box.schema.user.revoke");
        assert_eq!(refusal(&mut other), "");
    });
    let _ = std::fs::remove_dir_all(directory);
}

#[test]
fn whoever_is_meant_to_do_everything_is_allowed_it_by_the_configuration() {
    let config = Config::default().exposed_guest(ExposedGuest::Allowed);
    let options = options("allowed-guest", GuestRights::Super);
    let directory = options.data_dir.clone();
    serve(options, config, |runtime| {
        let mut far = adopted(runtime, ELSEWHERE);
        assert_eq!(refusal(&mut far), "");
    });
    let _ = std::fs::remove_dir_all(directory);
}

#[test]
fn a_listener_that_is_bound_already_is_no_way_around_it() {
    let options = options("exposed-bound", GuestRights::Super);
    let bound = TcpListener::bind("0.0.0.0:0").expect("a port is free");
    let address = bound.local_addr().expect("it is bound");
    let engine = EmbeddedEngine::factory(options.clone());
    let config = Config::default().listen(Vec::new());
    let builder = RuntimeBuilder::new(config, engine, procedures::standard())
        .listener(Listener::tcp(bound).expect("it is set up"));
    let fault = actix_rt::System::new()
        .block_on(async { builder.start() })
        .expect_err("it is refused");
    assert!(
        matches!(fault, StartError::ExposedGuest { address: told, .. } if told == address),
        "{fault}"
    );
    assert!(!options.data_dir.exists());
}
