//! Stops and changes of role: begun, or watched until they are over.
//!
//! A stop is answered at its beginning, a change of role at its end. So a stop is over when the
//! server is gone, and a change of role is begun when the state says so.

use std::error::Error as _;
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::Serialize;
use vestibule_client::{ErrorKind, Value};

use super::answers::{Outcome, Record, Status, read};
use super::link::{CtlError, Link};
use super::{told, write};
use crate::cli::EXIT_CUT_OFF;
use crate::cli::ctl::{CtlArgs, DemoteArgs, DrainArgs, PromoteArgs, TurnArgs};
use crate::meter::Waiting;

/// Time between two looks at what is watched.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Options of `vestibule.drain`, in seconds.
#[derive(Serialize)]
struct DrainTimes {
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lameduck: Option<f64>,
}

/// Options of `vestibule.demote` and `vestibule.promote`, in seconds.
#[derive(Serialize)]
struct RoleTimes {
    #[serde(skip_serializing_if = "Option::is_none")]
    grace: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<f64>,
}

/// What a transition waits for, and cuts off at its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// What is under way.
    UnderWay,
    /// Nothing: more is let in than before.
    Nothing,
}

/// A change of role.
struct Change<'a> {
    procedure: &'static str,
    role: &'static str,
    ends: Ends,
    grace: Option<Duration>,
    turn: &'a TurnArgs,
    /// None: until it is begun. Else until it is over, or for so long.
    wait: Option<Option<Duration>>,
}

/// `vestibule ctl drain`
pub(super) async fn drain(
    link: Link,
    server: &CtlArgs,
    args: &DrainArgs,
) -> Result<ExitCode, CtlError> {
    let began = Instant::now();
    let times = Value::named(&DrainTimes {
        timeout: args.grace.map(|time| time.as_secs_f64()),
        lameduck: args.lameduck.map(|time| time.as_secs_f64()),
    });
    let times = times.map_err(CtlError::Failed)?;
    let state = link.call("vestibule.drain", (times,)).await?;
    let Some(most) = args.watch.wait else {
        write(&told::answer(&state, link.json)?)?;
        return Ok(ExitCode::SUCCESS);
    };
    let waiting = Waiting::start("stopping");
    let is_json = link.json;
    let ended = within(most, ended(link, server, &waiting)).await;
    drop(waiting);
    ended.ok_or_else(|| not_over(most))??;
    write(&if is_json {
        told::answer(&state, true)?
    } else {
        format!("stopped within {:.1} s\n", began.elapsed().as_secs_f64())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Waits until the server is gone: nobody listens there any more, or the next one does. That a
/// connection is lost says neither.
async fn ended(mut link: Link, server: &CtlArgs, waiting: &Waiting) -> Result<(), CtlError> {
    loop {
        let state = match link.state().await {
            Ok(state) => read::<Status>(&state)?,
            Err(CtlError::Failed(fault)) if is_loss(&fault) => {
                match opened_again(server).await? {
                    Some(opened) => link = opened,
                    None => return Ok(()),
                }
                continue;
            }
            Err(other) => return Err(other),
        };
        if state.wanted != "stopped" {
            // The next one is there already.
            return Ok(());
        }
        waiting.say(progress(&state, "stopping"));
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn is_loss(fault: &vestibule_client::Error) -> bool {
    matches!(fault.kind(), ErrorKind::Connection | ErrorKind::Closed)
}

/// Another connection to the same address; none if nobody listens there.
///
/// # Errors
///
/// The address is not reached, or does not let this user in: nobody knows what has become of the
/// server.
async fn opened_again(server: &CtlArgs) -> Result<Option<Link>, CtlError> {
    loop {
        match Link::open(&server.server, &server.tls).await {
            Ok(link) => return Ok(Some(link)),
            Err(CtlError::Unreached { source, .. }) if is_nobody(&source) => return Ok(None),
            // It is there, and takes nobody at present; or it went just now.
            Err(CtlError::Unreached { source, .. })
                if source.server().is_some() || is_cut(&source) => {}
            Err(other) => return Err(CtlError::Lost(other.into())),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Whether nobody listens there.
fn is_nobody(fault: &vestibule_client::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, NotFound};
    matches!(io_kind(fault), Some(ConnectionRefused | NotFound))
}

/// Whether somebody has taken the connection, and closed it.
fn is_cut(fault: &vestibule_client::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let cut = [
        BrokenPipe,
        ConnectionAborted,
        ConnectionReset,
        UnexpectedEof,
    ];
    io_kind(fault).is_some_and(|kind| cut.contains(&kind))
}

/// What the system has said.
fn io_kind(fault: &vestibule_client::Error) -> Option<io::ErrorKind> {
    let mut cause = fault.source();
    while let Some(own) = cause {
        if let Some(own) = own.downcast_ref::<io::Error>() {
            return Some(own.kind());
        }
        cause = own.source();
    }
    None
}

/// `vestibule ctl demote`
pub(super) async fn demote(link: &Link, args: &DemoteArgs) -> Result<ExitCode, CtlError> {
    let change = Change {
        procedure: "vestibule.demote",
        role: "replica",
        ends: Ends::UnderWay,
        grace: args.grace,
        turn: &args.turn,
        wait: args.watch.wait,
    };
    change.make(link).await
}

/// `vestibule ctl promote`
pub(super) async fn promote(link: &Link, args: &PromoteArgs) -> Result<ExitCode, CtlError> {
    let change = Change {
        procedure: "vestibule.promote",
        role: "primary",
        ends: Ends::Nothing,
        grace: None,
        turn: &args.turn,
        wait: args.watch.wait,
    };
    change.make(link).await
}

impl Change<'_> {
    async fn make(&self, link: &Link) -> Result<ExitCode, CtlError> {
        let times = Value::named(&RoleTimes {
            grace: self.grace.map(|time| time.as_secs_f64()),
            timeout: self.turn.within.map(|time| time.as_secs_f64()),
        });
        let times = times.map_err(CtlError::Failed)?;
        // Its grace may be longer than requests may take.
        link.call("vestibule.set", ("request_timeout", 0)).await?;
        let waiting = Waiting::start(self.procedure);
        // Until it is begun, or for as long as is waited for: nothing else ends the call.
        let call = link.call_within(self.procedure, (times,), Duration::MAX);
        let outcome = match self.wait {
            Some(most) => {
                let over = async {
                    tokio::select! {
                        outcome = call => outcome,
                        never = watch(link, &waiting, self.procedure) => never,
                    }
                };
                within(most, over).await.ok_or_else(|| not_over(most))?
            }
            None => tokio::select! {
                outcome = call => outcome,
                state = self.begun(link) => {
                    drop(waiting);
                    write(&told::answer(&state?, link.json)?)?;
                    return Ok(ExitCode::SUCCESS);
                }
            },
        };
        drop(waiting);
        self.tell(link, &outcome?)
    }

    /// Waits until it is wanted.
    async fn begun(&self, link: &Link) -> Result<Value, CtlError> {
        loop {
            let state = link.state().await?;
            let status = read::<Status>(&state)?;
            // What is there already is answered at once, with more to tell.
            if status.wanted == self.role && status.role != self.role {
                return Ok(state);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn tell(&self, link: &Link, answer: &Value) -> Result<ExitCode, CtlError> {
        tell(link, answer, self.role, self.ends)
    }
}

/// Shows how far it is, as long as the server answers; or what else it is at, `otherwise` for
/// nothing.
pub(super) async fn watch(
    link: &Link,
    waiting: &Waiting,
    otherwise: &str,
) -> Result<Value, CtlError> {
    loop {
        let status = read::<Status>(&link.state().await?)?;
        waiting.say(progress(&status, otherwise));
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Tells how it ended; `now`: what it is by that.
pub(super) fn tell(
    link: &Link,
    answer: &Value,
    now: &str,
    ends: Ends,
) -> Result<ExitCode, CtlError> {
    let outcome: Outcome = read(answer)?;
    if link.json {
        write(&told::answer(answer, true)?)?;
    }
    let text = match (outcome.result.as_str(), &outcome.transition) {
        ("done", Some(record)) if ends == Ends::UnderWay => {
            format!("{now}: {}\n", sentence(record))
        }
        ("done", Some(record)) => format!("{now}: took {:.3} s\n", record.took),
        ("done", None) => format!("{now}\n"),
        ("unchanged", _) => format!("{now}, as it was before\n"),
        ("superseded", _) => {
            let text = "it was not done: something that was asked for later came first";
            return Err(CtlError::Refused(text.to_owned()));
        }
        ("timed out", _) => {
            let text = "it was not begun in time: another transition is under way";
            return Err(CtlError::Refused(text.to_owned()));
        }
        (other, _) => return Err(CtlError::Answer(format!("the result '{other}'"))),
    };
    if !link.json {
        write(&text)?;
    }
    let cut_off = |record: &Record| record.requests_cut_off() + record.transactions_cut_off();
    Ok(match outcome.transition.as_ref().map_or(0, cut_off) {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(EXIT_CUT_OFF),
    })
}

fn sentence(record: &Record) -> String {
    format!(
        "took {:.3} s; {} requests and {} transactions came to their end, {} and {} were cut off",
        record.took,
        record.finished.total(),
        record.finished_transactions,
        record.requests_cut_off(),
        record.transactions_cut_off(),
    )
}

pub(super) fn progress(status: &Status, otherwise: &str) -> String {
    let held_up = format!(
        "{} requests in flight, {} connections",
        status.in_flight, status.connections
    );
    match &status.transition {
        None => format!("{otherwise}: {held_up}"),
        Some(own) => {
            let left = match own.left {
                Some(left) => format!("{left:.1} s left"),
                None => "no time limit".to_owned(),
            };
            format!("to {}, {}: {left}, {held_up}", own.to, own.phase)
        }
    }
}

/// A step, or nothing if it takes longer.
pub(super) async fn within<T>(most: Option<Duration>, step: impl Future<Output = T>) -> Option<T> {
    match most {
        Some(most) => tokio::time::timeout(most, step).await.ok(),
        None => Some(step.await),
    }
}

pub(super) fn not_over(most: Option<Duration>) -> CtlError {
    let time = most.unwrap_or_default();
    CtlError::Refused(format!(
        "not over within {time:?}, and it goes on: `vestibule ctl state` tells how far it is"
    ))
}
