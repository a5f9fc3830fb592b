//! A runtime that has no engine, and stands before one or several Tarantool instances.

use super::assemble::{Timing, assemble_gateway, check_config};
use super::handle::RuntimeHandle;
use super::start_error::StartError;
use crate::clock::Clock;
use crate::config::Config;
use crate::limits::TRANSITION_SLACK;
use crate::shared::Additions;
use crate::upstream::Upstreams;

/// What stands in an engine's place in the type of a gateway's handle: there is none, and what
/// needs one is not there for it.
#[derive(Debug, Clone, Copy)]
pub enum Gateway {}

/// Starts a gateway: the same front door before Tarantool instances that exist already.
///
/// Clients are greeted, logged in and told what is going on as ever; what they ask goes on to the
/// upstream that takes changes, over a few connections for all of them, and its replies come back
/// as they are. While no upstream serves, the state is solo. Call it on a running actix System; it
/// returns at once.
///
/// Who may do what is decided upstream: [`Config::exposed_guest`] does not matter, nor does
/// anything that is about Tx.
///
/// ```
/// use vestibule_actors::actix_rt::System;
/// use vestibule_actors::serving::State;
/// use vestibule_actors::{Config, Upstreams, start_gateway};
///
/// System::new().block_on(async {
///     // Nobody is there, so nothing is served but what needs nobody.
///     let upstreams = Upstreams::default().upstreams(vec!["a=127.0.0.1:1".parse().unwrap()]);
///     let runtime = start_gateway(Config::default(), upstreams).unwrap();
///     assert_eq!(runtime.serving().state, State::Loading);
///     runtime.stop(None).await;
/// });
/// ```
///
/// # Errors
///
/// [`StartError`]: a configuration or upstreams that cannot be, no System on this thread, a
/// listener that cannot be opened, too few descriptors. Nothing runs then.
pub fn start_gateway(
    config: Config,
    upstreams: Upstreams,
) -> Result<RuntimeHandle<Gateway>, StartError> {
    let timing = Timing {
        clock: Clock::SYSTEM,
        role_slack: TRANSITION_SLACK,
    };
    start_gateway_with_timing(config, upstreams, timing)
}

/// The same with a timing of its own.
pub(crate) fn start_gateway_with_timing(
    config: Config,
    upstreams: Upstreams,
    timing: Timing,
) -> Result<RuntimeHandle<Gateway>, StartError> {
    check_config(&config)?;
    upstreams.check()?;
    assemble_gateway(config, timing, upstreams, Additions::default())
}
