//! A runtime beside others on an actix System: what the System's end does to it.

use std::time::Duration;

use actix_rt::System;
use vestibule_actors::serving::State;
use vestibule_actors::testing::{Peer, RequestBuilder, Script, ScriptedEngine, config};
use vestibule_actors::wire::keys::RequestType;
use vestibule_actors::{RuntimeHandle, StopReport, start};

const LONG: Duration = Duration::from_secs(3600);

/// Starts a runtime on a System, waits until it serves, and lets `then` go on.
fn on_a_system<R, F>(then: impl FnOnce(RuntimeHandle<ScriptedEngine>) -> F) -> R
where
    F: Future<Output = R>,
{
    System::new().block_on(async {
        let script = Script::default();
        let engine = move || Ok(script.engine());
        let runtime = start(config(), engine, Script::procedures()).expect("a port is free");
        let mut serving = runtime.serving();
        while serving.state != State::Assist {
            serving = runtime.changed(serving).await;
        }
        then(runtime).await
    })
}

fn assert_that_it_failed(report: &StopReport, runtime: &RuntimeHandle<ScriptedEngine>) {
    let failure = report.failure.as_deref().unwrap_or_default();
    assert!(failure.contains("System was stopped"), "{report:?}");
    assert_eq!(runtime.serving().state, State::Stopped);
}

#[test]
fn a_system_that_ends_under_the_runtime_ends_it_and_the_report_says_so() {
    on_a_system(|runtime| async move {
        System::current().stop();
        assert_that_it_failed(&runtime.stopped().await, &runtime);
    });
}

/// As actix-web's server does by default, 300 ms after a signal.
#[test]
fn a_drain_under_which_the_system_ends_does_not_wait_for_its_grace() {
    on_a_system(|runtime| async move {
        let address = runtime.addresses()[0];
        // On a thread of its own: it blocks.
        let open = std::thread::spawn(move || {
            let mut peer = Peer::connect(address);
            let begin = RequestBuilder::new(RequestType::Begin, 1).stream(1);
            assert_eq!(peer.ask(&begin).code, 0);
            peer
        });
        while !open.is_finished() {
            actix_rt::task::yield_now().await;
        }
        runtime.begin_drain(Some(LONG), "test");
        let mut serving = runtime.serving();
        while serving.state != State::Draining {
            serving = runtime.changed(serving).await;
        }
        System::current().stop();
        assert_that_it_failed(&runtime.stopped().await, &runtime);
    });
}
