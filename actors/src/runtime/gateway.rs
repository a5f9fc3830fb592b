//! A runtime that has no engine, and stands before one or several Tarantool instances.

use std::fmt;
#[cfg(feature = "tls")]
use std::net::SocketAddr;

use super::assemble::{Timing, assemble_gateway, check_config};
use super::handle::RuntimeHandle;
use super::start_error::StartError;
use crate::clock::Clock;
use crate::config::Config;
use crate::incoming::Listener;
use crate::limits::TRANSITION_SLACK;
use crate::reload::ReloadRequest;
use crate::shared::Additions;
#[cfg(feature = "tls")]
use crate::tls::TlsIdentity;
use crate::tls::UpstreamTls;
use crate::upstream::{Upstreams, UpstreamsError};

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
    GatewayBuilder::new(config, upstreams).start()
}

/// What a gateway is made of: what [`start_gateway`] takes as well, and what an embedder may add.
#[must_use = "it has to be started"]
pub struct GatewayBuilder {
    config: Config,
    upstreams: Upstreams,
    upstream_tls: Option<UpstreamTls>,
    additions: Additions,
}

impl fmt::Debug for GatewayBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayBuilder")
            .field("config", &self.config)
            .field("upstreams", &self.upstreams)
            .finish_non_exhaustive()
    }
}

impl GatewayBuilder {
    /// What every gateway has.
    pub fn new(config: Config, upstreams: Upstreams) -> Self {
        Self {
            config,
            upstreams,
            upstream_tls: None,
            additions: Additions::default(),
        }
    }

    /// Has this be called when an administrator calls `vestibule.reload`, as
    /// [`RuntimeBuilder::on_reload`](crate::RuntimeBuilder::on_reload) does.
    pub fn on_reload(mut self, hook: impl Fn(ReloadRequest) + Send + Sync + 'static) -> Self {
        self.additions.reload.set(hook);
        self
    }

    /// Has it accept from a listener that is bound already, as
    /// [`RuntimeBuilder::listener`](crate::RuntimeBuilder::listener) does.
    pub fn listener(mut self, listener: Listener) -> Self {
        self.additions.listeners.push(listener);
        self
    }

    /// Has it listen for TLS at these addresses as well, as
    /// [`RuntimeBuilder::tls`](crate::RuntimeBuilder::tls) does.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, identity: TlsIdentity, listen: Vec<SocketAddr>) -> Self {
        self.additions.tls = Some((identity, listen));
        self
    }

    /// Has it connect to upstreams of the network by TLS, all of them, and never without; those at
    /// unix sockets are on this machine. The files are looked at once a minute.
    #[cfg(feature = "tls")]
    pub fn upstream_tls(mut self, tls: UpstreamTls) -> Self {
        self.upstream_tls = Some(tls);
        self
    }

    /// Starts it, as [`start_gateway`] does.
    ///
    /// # Errors
    ///
    /// Those of [`start_gateway`].
    pub fn start(self) -> Result<RuntimeHandle<Gateway>, StartError> {
        let timing = Timing {
            clock: Clock::SYSTEM,
            role_slack: TRANSITION_SLACK,
        };
        self.start_with_timing(timing)
    }

    /// The same with a timing of its own.
    pub(crate) fn start_with_timing(
        self,
        timing: Timing,
    ) -> Result<RuntimeHandle<Gateway>, StartError> {
        check_config(&self.config)?;
        self.upstreams.check()?;
        if !self.upstreams.tls_listen_reads.is_empty() && self.additions.tls.is_none() {
            let (field, needs) = ("tls_listen_reads", "an identity");
            return Err(UpstreamsError::NoReadListeners(field, needs).into());
        }
        let upstreams = (self.upstreams, self.upstream_tls);
        assemble_gateway(self.config, timing, upstreams, self.additions)
    }
}
