//! Upstreams of a gateway: drained, used again, and new connections to them.

use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use vestibule_client::Value;

use super::link::{CtlError, Link};
use super::transition::{Ends, not_over, tell, watch, within};
use super::{told, write};
use crate::cli::ctl::{DrainUpstreamArgs, ReconnectArgs, RestoreUpstreamArgs};
use crate::meter::Waiting;

/// Options of `vestibule.drain_upstream` and `vestibule.restore_upstream`, in seconds.
#[derive(Serialize)]
struct UpstreamTimes {
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<f64>,
}

/// Has an upstream drained or restored. A grace, of this or of what it waits for, may be longer
/// than requests may take.
async fn call(
    link: &Link,
    procedure: &str,
    name: &str,
    timeout: Option<Duration>,
) -> Result<Value, CtlError> {
    let timeout = timeout.map(|time| time.as_secs_f64());
    let times = Value::named(&UpstreamTimes { timeout }).map_err(CtlError::Failed)?;
    link.call("vestibule.set", ("request_timeout", 0)).await?;
    link.call_within(procedure, (name, times), Duration::MAX)
        .await
}

/// `vestibule ctl drain-upstream`
pub(super) async fn drain(link: &Link, args: &DrainUpstreamArgs) -> Result<ExitCode, CtlError> {
    let waiting = Waiting::start("draining");
    let drain = call(link, "vestibule.drain_upstream", &args.name, args.grace);
    let outcome = within(args.wait, drain).await;
    drop(waiting);
    let outcome = outcome.ok_or_else(|| not_over(args.wait))??;
    tell(link, &outcome, "drained", Ends::UnderWay)
}

/// `vestibule ctl restore-upstream`
pub(super) async fn restore(link: &Link, args: &RestoreUpstreamArgs) -> Result<ExitCode, CtlError> {
    let waiting = Waiting::start("restoring");
    let procedure = "vestibule.restore_upstream";
    let restore = call(link, procedure, &args.name, args.turn.within);
    let outcome = tokio::select! {
        outcome = restore => outcome,
        never = watch(link, &waiting, "restoring") => never,
    };
    drop(waiting);
    tell(link, &outcome?, "used", Ends::Nothing)
}

/// `vestibule ctl reconnect`
pub(super) async fn reconnect(link: &Link, args: &ReconnectArgs) -> Result<ExitCode, CtlError> {
    let state = link.call("vestibule.reconnect", (&args.name,)).await?;
    // What it answers is the state, which this has changed nothing of.
    write(&if link.json {
        told::answer(&state, true)?
    } else {
        "reconnecting: `vestibule ctl show links` tells which connections are still ending\n"
            .to_owned()
    })?;
    Ok(ExitCode::SUCCESS)
}
