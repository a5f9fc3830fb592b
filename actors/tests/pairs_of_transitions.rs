//! Every pair of transitions that follow on each other at once, with every kind of transaction
//! open.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use vestibule_actors::serving::{Role, State};
use vestibule_actors::testing::{Harness, RequestBuilder, ScriptedEngine};
use vestibule_actors::wire::keys::RequestType;
use vestibule_actors::{RuntimeHandle, TransitionOutcome, TransitionResult};

/// Long enough that the second is asked for while the first waits.
const GRACE: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Open {
    Nothing,
    /// A transaction that has written something, or may.
    Write,
    /// One that has only read.
    Read,
    /// One whose write was refused, where that is possible.
    Refused,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum To {
    Primary,
    Replica,
    Stopped,
}

/// Asks for a transition; its outcome is waited for later.
async fn ask(handle: RuntimeHandle<ScriptedEngine>, to: To) -> Option<TransitionOutcome> {
    match to {
        To::Primary => Some(handle.promote("test").await),
        To::Replica => Some(handle.demote(Some(GRACE), "test").await),
        To::Stopped => {
            handle.begin_drain(Some(GRACE), "test");
            None
        }
    }
}

/// Asks for one after the other without waiting in between; returns what each was told.
fn ask_both(
    handle: &RuntimeHandle<ScriptedEngine>,
    first: To,
    second: To,
) -> [Option<TransitionOutcome>; 2] {
    let mut first = pin!(ask(handle.clone(), first));
    let mut cx = Context::from_waker(Waker::noop());
    // Polled once, so that it is asked for before the other.
    let early = match first.as_mut().poll(&mut cx) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime can be made").block_on(async {
        let last = ask(handle.clone(), second).await;
        let first = match early {
            Some(outcome) => outcome,
            None => first.await,
        };
        [first, last]
    })
}

fn one_case(start: Role, open: Open, first: To, second: To) {
    let name = format!("{start:?} {open:?} {first:?} {second:?}");
    let mut harness = Harness::start();
    if start == Role::Replica {
        let _ = harness.demote(Duration::ZERO);
    }
    let mut peer = harness.connect();
    if open != Open::Nothing {
        let begin = RequestBuilder::new(RequestType::Begin, 1).stream(1);
        assert_eq!(peer.ask(&begin).code, 0, "{name}");
    }
    let statement = match open {
        Open::Nothing => None,
        Open::Read => Some(RequestBuilder::select(2, 2).stream(1)),
        Open::Write | Open::Refused => Some(RequestBuilder::replace(2, 2).stream(1)),
    };
    if let Some(statement) = statement {
        let is_refused = start == Role::Replica && open != Open::Read;
        let wanted = is_refused.then_some(7);
        assert_eq!(peer.ask(&statement).error_code(), wanted, "{name}");
    }
    let handle = harness.handle().clone();
    let told = ask_both(&handle, first, second);
    for outcome in told.into_iter().flatten() {
        assert_ne!(outcome.result, TransitionResult::TimedOut, "{name}");
    }
    let is_stop = first == To::Stopped || second == To::Stopped;
    if is_stop {
        let report = harness.join();
        assert!(report.tx_stopped, "{name}");
        assert_eq!(handle.serving().state, State::Stopped, "{name}");
        return;
    }
    let wanted = match second {
        To::Primary => Role::Primary,
        _ => Role::Replica,
    };
    let serving = handle.serving();
    assert_eq!(
        (serving.role, serving.state),
        (wanted, State::Assist),
        "{name}"
    );
    let write = harness.connect().ask(&RequestBuilder::replace(9, 9));
    let refused = (wanted == Role::Replica).then_some(7);
    assert_eq!(write.error_code(), refused, "{name}");
}

/// TE-04: whatever is open and however they follow on each other, the last that was asked for is
/// what comes; nothing follows a stop.
#[test]
fn the_last_of_two_transitions_is_what_comes() {
    let transactions = [Open::Nothing, Open::Write, Open::Read, Open::Refused];
    let targets = [To::Primary, To::Replica, To::Stopped];
    for start in [Role::Primary, Role::Replica] {
        for open in transactions {
            for first in targets {
                for second in targets {
                    one_case(start, open, first, second);
                }
            }
        }
    }
}
