//! Procedures that sessions run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use vestibule_actors::config::Administrators;
use vestibule_actors::procedures::Audience;
use vestibule_actors::serving::State;
use vestibule_actors::testing::{RequestBuilder, Script, ScriptedEngine, TestServer, config};
use vestibule_actors::wire::request::IteratorType;
use vestibule_actors::{Config, Procedures, RuntimeBuilder};

const NO_ARGS: &[u8] = &[0x90];

/// `look`: the state, who calls, a row by its key, and how often it was called.
fn procedures() -> Procedures<ScriptedEngine> {
    let calls = Arc::new(AtomicU64::new(0));
    Script::procedures()
        .local("look", Audience::Everybody, move |call| {
            let (key,): (Option<u64>,) = call.parse()?;
            let space = call.space::<(u64, u64)>("scripted");
            let row = key.map(|key| space.get(&key)).transpose()?.flatten();
            let times = calls.fetch_add(1, Ordering::Relaxed) + 1;
            let name = call.caller.user.to_string();
            Ok((call.serving.state.name(), name, row, times))
        })
        .local("all", Audience::Everybody, |call| {
            let space = call.space::<(u64, u64)>("scripted");
            Ok(space.select(IteratorType::All, &(), u32::MAX)?.len())
        })
        .local("again", Audience::Everybody, |call| {
            let space = call.space::<(u64, u64)>("scripted");
            (0..100).try_for_each(|key: u64| space.get(&key).map(drop))
        })
        .local("secret", Audience::Administrators, |_| Ok(42))
        .local("panics", Audience::Everybody, |_| -> Result<(), _> {
            panic!("as the test wants it")
        })
}

type Look = (String, String, Option<(u64, u64)>, u64);

fn server(config: Config, script: &Script) -> TestServer<ScriptedEngine> {
    let script = script.clone();
    TestServer::with_config(config, move || Ok(script.engine()), procedures())
}

#[test]
fn a_local_procedure_is_answered_in_every_state_and_reads_what_was_committed() {
    let script = Script::default();
    script.hold_recovery(true);
    let make = script.clone();
    let server = TestServer::start_loading(config(), move || Ok(make.engine()), procedures());
    let mut peer = server.connect();
    let look: Look = peer.call_with("look", &()).value();
    assert_eq!(look, ("loading".to_owned(), "guest".to_owned(), None, 1));
    assert_eq!(peer.call_with("look", &(7,)).error_code(), Some(116));
    script.hold_recovery(false);
    server.wait_for(State::Assist);
    peer.ask(&RequestBuilder::replace(1, 7));
    assert_eq!(peer.log_in("alice", "secret").code, 0);
    let look: Look = peer.call_with("look", &(7,)).value();
    assert_eq!(
        look,
        ("assist".to_owned(), "alice".to_owned(), Some((7, 7)), 2)
    );
    let _ = server.demote(Duration::ZERO);
    assert_eq!(peer.call_with("look", &(7,)).value::<Look>().3, 3);
    let _ = server.promote();
    script.hold_tx();
    let mut blocker = server.connect();
    blocker.send(&RequestBuilder::call(1, "busy", NO_ARGS));
    script.wait_until_blocked();
    server.wait_for(State::Solo);
    let look: Look = peer.call_with("look", &(7,)).value();
    assert_eq!(
        look,
        ("solo".to_owned(), "alice".to_owned(), Some((7, 7)), 4)
    );
    // In a stop administrators are served to its end.
    let mut operator = server.connect();
    assert_eq!(operator.call("vestibule.state", NO_ARGS).code, 0);
    server
        .handle()
        .begin_drain(Some(Duration::from_secs(3600)), "test");
    server.wait_for(State::Draining);
    let look: Look = operator.call_with("look", &(7,)).value();
    assert_eq!(
        look,
        ("draining".to_owned(), "guest".to_owned(), Some((7, 7)), 5)
    );
    script.release();
}

#[test]
fn who_may_not_call_it_and_arguments_that_do_not_fit_are_refused() {
    let config = config().administrators(Administrators::Users(vec!["alice".to_owned()]));
    let server = server(config, &Script::default());
    let mut peer = server.connect();
    assert_eq!(peer.call("secret", NO_ARGS).error_code(), Some(42));
    let told = peer.call_with("look", &("x",));
    let text = "Bad arguments of look: argument 1 should be an integer from 0";
    assert!(
        told.error_text().is_some_and(|own| own.starts_with(text)),
        "{told:?}"
    );
    assert_eq!(peer.log_in("alice", "secret").code, 0);
    assert_eq!(peer.call("secret", NO_ARGS).value::<u64>(), 42);
}

#[test]
fn a_panic_is_told_and_ends_nothing_else() {
    let server = server(config(), &Script::default());
    let mut peer = server.connect();
    let told = peer.call("panics", NO_ARGS);
    assert_eq!(told.error_code(), Some(115));
    assert_eq!(
        told.error_text().as_deref(),
        Some("Procedure 'panics' panicked")
    );
    peer.ping();
    assert_eq!(peer.call_with("look", &()).code, 0);
}

#[test]
fn what_a_call_reads_is_bounded() {
    let server = server(config(), &Script::default());
    let mut peer = server.connect();
    for key in 0..200 {
        peer.ask(&RequestBuilder::replace(key + 1, key));
    }
    let text = "Procedure 'again' reads more than sessions may";
    let told = peer.call("again", NO_ARGS);
    assert_eq!(
        (told.error_code(), told.error_text().as_deref()),
        (Some(32), Some(text))
    );
    let all = peer.call("all", NO_ARGS);
    assert_eq!(
        all.error_code(),
        Some(32),
        "one read of many steps: {all:?}"
    );
}

#[test]
fn a_name_is_registered_once_and_is_no_control_procedures() {
    actix_rt::System::new().block_on(async {
        let refused = |procedures: Procedures<ScriptedEngine>| {
            let engine = || Ok(Script::default().engine());
            let started = RuntimeBuilder::new(config(), engine, procedures).start();
            started.expect_err("it is refused").to_string()
        };
        let local = |procedures: Procedures<ScriptedEngine>, name| {
            procedures.local(name, Audience::Everybody, |_| Ok(1))
        };
        let own = Procedures::default().function("x", |()| Ok(1));
        let twice = local(own, "x");
        assert!(refused(twice).contains("'x'"));
        let twice = local(Procedures::default(), "x").function("x", |()| Ok(1));
        assert!(refused(twice).contains("'x'"));
        let twice = local(local(Procedures::default(), "x"), "x");
        assert!(refused(twice).contains("'x'"));
        let control = refused(local(Procedures::default(), "box.info"));
        assert!(control.contains("box.info"), "{control}");
    });
}
