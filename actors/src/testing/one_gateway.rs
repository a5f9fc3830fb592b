//! A gateway and its upstream on the thread of their test: what a request costs that is forwarded.
//!
//! ```text
//!   PipePeer ═ pipe ═ session, worker, links ═ pipe ═ an upstream that answers all the same
//!       └─────────── while it waits, the upstream acts ────────────▲
//! ```

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::sync::Arc;

use vestibule_wire::frame::read_prefix;
use vestibule_wire::header::read_header;
use vestibule_wire::keys::REQUEST_VOTE;
use vestibule_wire::reply::ReplyHeader;
use vestibule_wire::{Uuid, greeting};

use super::one_thread::{OneWorker, PipePeer};
use super::pipe::{ClientEnd, pipe};
use crate::clock::Clock;
use crate::config::Config;
use crate::connection::transport::Transport;
use crate::limits::SCHEMA_VERSION_MIN;
use crate::outbound::simulated::{SimulatedNetwork, connect_by};
use crate::scouts::Scouts;
use crate::serving::State;
use crate::upstream::{GatewayCell, Upstream, Upstreams};

/// Bytes that the gateway may write ahead of its upstream.
const ROOM: usize = 64 << 20;

/// As whom the upstream greets: it is asked for nothing but how it is.
const VERSION: (u32, u32, u32) = (2, 7, 3);

/// The upstream takes changes, and has its data.
const BALLOT: &[u8] = &[0x81, 0x29, 0x84, 1, 0xc2, 2, 0x80, 4, 0xc2, 6, 0xc3];

/// What it answers to everything else: one row of two fields.
const ROW: &[u8] = &[0x81, 0x30, 0xdd, 0, 0, 0, 1, 0x92, 7, 8];

/// The number of its catalog.
const CATALOG: u64 = 80;

/// A connection to the upstream, and what has come of a frame that is not whole.
type UpstreamEnd = (ClientEnd, Vec<u8>);

thread_local! {
    /// The connections of this thread's gateway.
    static UPSTREAM: RefCell<Vec<UpstreamEnd>> = const { RefCell::new(Vec::new()) };
}

fn dial(_: usize) -> io::Result<Box<dyn Transport>> {
    let (end, transport) = pipe(ROOM);
    end.send(&greeting::encode_version(VERSION, &Uuid::NIL, &[7; 32]));
    UPSTREAM.with_borrow_mut(|all| all.push((end, Vec::new())));
    Ok(Box::new(transport))
}

/// The upstream answers what has come.
fn act() {
    UPSTREAM.with_borrow_mut(|all| all.iter_mut().for_each(answer));
}

fn answer((end, received): &mut UpstreamEnd) {
    let came = end.receive();
    if came.is_empty() {
        return;
    }
    received.extend_from_slice(&came);
    let (mut at, mut replies) = (0, Vec::new());
    while let Ok(Some(prefix)) = read_prefix(&received[at..], u64::MAX) {
        let Some(content) = received.get(at + prefix.size..at + prefix.frame_size()) else {
            break;
        };
        let (header, _) = read_header(content).expect("a gateway sends headers");
        let to = ReplyHeader {
            sync: header.sync,
            schema_version: CATALOG,
        };
        let is_vote = header.request_type == REQUEST_VOTE;
        to.pass_on(&mut replies, 0, if is_vote { BALLOT } else { ROW });
        at += prefix.frame_size();
    }
    received.drain(..at);
    end.send(&replies);
}

/// A worker of a gateway on the thread that made it, serving. Its upstream answers whatever it is
/// asked with the same row.
pub struct OneGateway(OneWorker);

impl fmt::Debug for OneGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneGateway").finish_non_exhaustive()
    }
}

impl OneGateway {
    /// On a running [`System`](actix::System), until that ends; returns when requests go on to the
    /// upstream. It has one worker, whatever the configuration says, and listens nowhere. There is
    /// one on a thread.
    ///
    /// # Panics
    ///
    /// If the configuration does not hold.
    pub async fn start(config: Config) -> Self {
        Self::start_by(Clock::RUNTIME, dial, Upstreams::default(), config).await
    }

    /// The same by another clock, of an upstream that is connected to by this, and as this says.
    async fn start_by(
        clock: Clock,
        dial: fn(usize) -> io::Result<Box<dyn Transport>>,
        upstreams: Upstreams,
        config: Config,
    ) -> Self {
        let network = SimulatedNetwork {
            dial,
            chance: || 0.5,
        };
        connect_by(Some(network));
        let upstreams = upstreams.upstreams(vec![Upstream::new("a", "in memory", 1)]);
        let gateway = GatewayCell::new(upstreams, 1, SCHEMA_VERSION_MIN, clock.now());
        let gateway = Arc::new(gateway);
        let of_gateway = gateway.clone();
        let (own, supervisor) =
            OneWorker::start_with(clock, config, |shared| shared.with_gateway(of_gateway));
        own.supervise(supervisor, None);
        let shared = &own.shared;
        Scouts::new(shared.clone(), gateway).launch();
        while shared.serving.load().state != State::Assist {
            actix_rt::task::yield_now().await;
            act();
        }
        Self(own)
    }

    /// A new connection, greeted. The upstream answers while its client waits for replies.
    ///
    /// # Panics
    ///
    /// If there is no slot for it.
    pub async fn connect(&self) -> PipePeer {
        PipePeer::new(self.0.connect().await, act)
    }
}

#[cfg(test)]
mod tests;
