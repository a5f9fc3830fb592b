//! Putting the actors together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::Context;
use actix_rt::System;
use tokio::sync::watch;
use vestibule_wire::Uuid;

use super::assemble::{Mailboxes, shared, spawner};
use super::start;
use crate::acceptor::bind;
use crate::clock::Clock;
use crate::config::Config;
use crate::engine::procedures::{Audience, ProcedureCall, Procedures};
use crate::engine::{LocalCall, Outcome};
use crate::jobs::JobTable;
use crate::limits::{TRANSITION_SLACK, WAITS_MAX};
use crate::messages::TxEvent;
use crate::serving::State;
use crate::shared::{Additions, Shared};
use crate::slots::ConnectionSlots;
use crate::supervisor::Supervisor;
use crate::testing::{Script, ScriptedEngine};
use crate::transitions::StopReport;

type Stopped = watch::Receiver<Option<StopReport>>;

/// A Supervisor that does not run yet, of one worker that never does.
fn supervisor(script: &Script) -> (Arc<Shared>, Mailboxes, Supervisor, Stopped) {
    let config = Config {
        session_threads: 1,
        ..Config::default()
    };
    let slots = ConnectionSlots::new(&config, &[]).expect("no limit is known");
    let shared = shared(config, Clock::SYSTEM, slots, Additions::default(), None);
    let (mailboxes, peers) = Mailboxes::new(1);
    let engine = script.clone();
    let spawn_tx = spawner(
        shared.clone(),
        peers.clone(),
        Arc::default(),
        Arc::new(move || Ok(engine.engine())),
        Script::procedures(),
    );
    let jobs = JobTable::new(shared.clone(), peers.supervisor.clone());
    let (told, stopped) = watch::channel(None);
    let supervisor = Supervisor::new(
        shared.clone(),
        peers,
        jobs,
        Vec::new(),
        TRANSITION_SLACK,
        Some(spawn_tx),
        told,
    );
    (shared, mailboxes, supervisor, stopped)
}

/// The state and the handle of a new Tx become visible together, whichever comes first.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "waits here, and is never dropped"
)]
fn the_state_is_ready_when_the_last_worker_has_the_tx_that_is() {
    System::new().block_on(async {
        // What happens is told by this test, and by nobody else.
        let script = Script::default();
        script.hold_recovery(true);
        let (shared, mailboxes, supervisor, _stopped) = supervisor(&script);
        let supervisor = Context::with_receiver(mailboxes.supervisor).run(supervisor);
        for [first, last] in [
            [
                TxEvent::Recovered { generation: 1 },
                TxEvent::Attached { generation: 0 },
            ],
            [
                TxEvent::Attached { generation: 1 },
                TxEvent::Recovered { generation: 0 },
            ],
        ] {
            assert_eq!(shared.serving.load().state, State::Loading);
            supervisor.send(first).await.expect("it runs");
            // Of another Tx: that changes nothing.
            let before = shared.serving.load();
            supervisor.send(last).await.expect("it runs");
            assert_eq!(shared.serving.load(), before);
        }
        assert_eq!(shared.serving.load().state, State::Assist);
        script.hold_recovery(false);
    });
}

fn refused(config: Config, procedures: Procedures<ScriptedEngine>) -> String {
    let engine = || Ok(Script::default().engine());
    let fault = start(config, engine, procedures).expect_err("it is refused");
    fault.to_string()
}

#[test]
fn what_cannot_be_started_is_refused_by_name_before_anything_runs() {
    let own = || Procedures::<ScriptedEngine>::default();
    let text = refused(Config::default(), own());
    assert!(text.contains("actix System"), "{text}");
    System::new().block_on(async {
        let mut config = Config::default();
        config.quotas.shares.user_percent = 0;
        let text = refused(config, own());
        assert!(text.contains("user_percent"), "{text}");
        let mut config = Config::default();
        config.quotas.waits_max = WAITS_MAX + 1;
        let text = refused(config, own());
        assert!(text.contains("waits_max"), "{text}");
        let config = Config {
            packet_size_max: 0,
            ..Config::default()
        };
        let text = refused(config, own());
        assert_eq!(
            text,
            "bad configuration: packet_size_max is 0, and may be 1 to 2147483648"
        );
        let answer = |(): ()| Ok(1);
        let procedures = own().function("vestibule.state", answer);
        let text = refused(Config::default(), procedures);
        assert!(
            text.starts_with("the procedure 'vestibule.state' would never"),
            "{text}"
        );
        let local = |_: &LocalCall<'_>| Ok(1);
        for procedures in [
            own().function("vestibule.lock", answer),
            own().local("vestibule.lock", Audience::Everybody, local),
        ] {
            let text = refused(Config::default(), procedures);
            assert_eq!(text, "the procedure 'vestibule.lock' is registered twice");
        }
        let procedures = own().function("own", answer).function("own", answer);
        let text = refused(Config::default(), procedures);
        assert_eq!(text, "the procedure 'own' is registered twice");
        let family = |_: &mut ProcedureCall<'_, ScriptedEngine>| Ok(Outcome::Done);
        let procedures = own().family("own.", family).family("own.", family);
        let text = refused(Config::default(), procedures);
        assert_eq!(text, "the procedure 'own.*' is registered twice");
        let taken = bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port is free");
        let address = taken.local_addr().expect("it listens");
        let config = Config {
            listen: vec![address.into()],
            ..Config::default()
        };
        let text = refused(config, own());
        assert!(
            text.starts_with(&format!("cannot listen on {address}: ")),
            "{text}"
        );
    });
}

#[test]
fn once_it_has_stopped_nobody_waits_for_a_change() {
    System::new().block_on(async {
        let script = Script::default();
        let engine = move || Ok(script.engine());
        let runtime = start(Config::default(), engine, Script::procedures()).expect("it starts");
        let report = runtime.stop(None).await;
        assert_eq!(report.failure, None);
        let stopped = runtime.serving();
        assert_eq!(stopped.state, State::Stopped);
        assert_eq!(runtime.changed(stopped).await, stopped);
    });
}

/// Without a UUID of its own, each runtime has another one.
#[test]
fn an_instance_uuid_that_is_not_given_is_made() {
    System::new().block_on(async {
        let uuid = || {
            let engine = || Ok(Script::default().engine());
            let runtime = start(Config::default(), engine, Script::procedures());
            let runtime = runtime.expect("it starts");
            runtime.begin_drain(Some(Duration::ZERO), "test");
            runtime.shared.config.instance_uuid
        };
        let (first, second) = (uuid(), uuid());
        assert!(first != Uuid::NIL && first != second);
    });
}

/// What is granted says so at the recovery: there is no engine before.
#[test]
fn a_guest_who_may_do_everything_ends_the_start_where_other_machines_are() {
    System::new().block_on(async {
        let (shared, mailboxes, supervisor, mut stopped) = supervisor(&Script::default());
        shared.exposure.note_listener(([192, 0, 2, 1], 3301).into());
        Context::with_receiver(mailboxes.supervisor).run(supervisor);
        let report = stopped.wait_for(Option::is_some).await.expect("it stops");
        let failure = report.as_ref().and_then(|report| report.failure.clone());
        let failure = failure.expect("it fails");
        assert!(failure.contains("192.0.2.1:3301"), "{failure}");
    });
}

/// Signals one after the other, and none after them.
#[cfg(feature = "signals")]
fn signals(names: &[&'static str]) -> impl AsyncFnMut() -> &'static str {
    let mut names = names.iter().copied();
    async move || match names.next() {
        Some(name) => name,
        None => std::future::pending().await,
    }
}

/// The order of what ends: the web server in front, then the runtime.
#[cfg(feature = "signals")]
#[test]
fn after_a_signal_what_goes_before_has_its_time_and_then_the_drain_begins() {
    System::new().block_on(async {
        let engine = || Ok(Script::default().engine());
        let config = crate::testing::config();
        let runtime = start(config, engine, Script::procedures()).expect("a port is free");
        let first = async || {
            // Handlers that are under way still need the engine.
            while runtime.serving().state != State::Assist {
                runtime.changed(runtime.serving()).await;
            }
            let written = runtime.write(|engine| {
                engine.put(1);
                Ok(engine.count())
            });
            assert_eq!(written.await, Ok(1));
        };
        let report = runtime.serve_until(signals(&["SIGTERM"]), first).await;
        assert_eq!((report.killed, report.failure), (0, None));
        assert_eq!(runtime.serving().state, State::Stopped);
    });
}

#[cfg(feature = "signals")]
#[test]
fn a_second_signal_waits_neither_for_what_goes_before_nor_for_the_grace() {
    System::new().block_on(async {
        let engine = || Ok(Script::default().engine());
        let config = crate::testing::config();
        let runtime = start(config, engine, Script::procedures()).expect("a port is free");
        let next = signals(&["SIGTERM", "SIGINT"]);
        let report = runtime.serve_until(next, std::future::pending).await;
        assert_eq!(report.failure, None);
    });
}

#[cfg(feature = "signals")]
#[test]
fn what_goes_before_a_drain_and_comes_after_a_stop_is_ended_by_a_signal() {
    System::new().block_on(async {
        let engine = || Ok(Script::default().engine());
        let config = crate::testing::config();
        let runtime = start(config, engine, Script::procedures()).expect("a port is free");
        runtime.begin_drain(Some(Duration::ZERO), "an operator");
        let mut is_stopped = false;
        let next = async || {
            if std::mem::replace(&mut is_stopped, true) {
                return "SIGTERM";
            }
            std::future::pending().await
        };
        let report = runtime.serve_until(next, std::future::pending).await;
        assert_eq!(report.failure, None);
    });
}
