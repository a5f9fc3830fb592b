//! What operators may set of a gateway, and what that promises beside: each of them in some worlds.
//!
//! | option | what has to hold |
//! |---|---|
//! | `primary` | requests do not begin to go to another one beside it |
//! | `silent_abandon` | who says nothing for so long has no connections but its scout's |
//! | `lost` is `close` | nobody is told that an outcome is unknown because a link has ended |
//! | `requests_max`, `calls_max` | no upstream has more of them at a time |
//! | `staleness_max`, `read_from`, `listen_reads` | `reads` |

use std::time::{Duration, Instant};

use super::world::{GatewayWorld, SLICE};
use crate::limits::{RECONNECT_WAIT_MAX, SCOUT_LOOK_PERIOD};
use crate::simulation::random::Random;
use crate::simulation::runtime::WORKERS;
use crate::upstream::{
    Condition, Destination, LinkMode, OnLost, ReadFrom, RequestBounds, Upstreams,
};

/// What a world sets of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Options {
    prefers: bool,
    pub(super) abandons: bool,
    closes: bool,
    has_bounds: bool,
    /// Where SELECTs are answered of who does not say so, if replicas answer any.
    pub(super) reads: Option<ReadFrom>,
}

impl Options {
    /// For the world of a seed, if nothing else is said.
    pub(super) fn of(seed: u64) -> Self {
        let mut random = own_random(seed);
        let mut draw = || random.once_in(4);
        Self {
            prefers: draw(),
            abandons: draw(),
            closes: draw(),
            has_bounds: draw(),
            reads: match (draw(), draw()) {
                (true, _) => Some(ReadFrom::Replica),
                (false, true) => Some(ReadFrom::Primary),
                (false, false) => None,
            },
        }
    }

    /// Sets them.
    pub(super) fn set(self, seed: u64, mut own: Upstreams) -> Upstreams {
        let mut random = own_random(!seed);
        if self.prefers {
            let name = &own.upstreams[random.index(own.upstreams.len())].name;
            own.primary = Some(name.clone());
        }
        if self.abandons {
            own.silent_abandon = random.millis(100..400);
        }
        if self.closes {
            own.lost = OnLost::Close;
        }
        if self.has_bounds {
            own.requests_max = 8 + random.index(60);
            own.calls_max = Some(1 + random.index(own.requests_max - 1));
        }
        if let Some(read_from) = self.reads {
            own.read_from = read_from;
            own.staleness_max = random.millis(100..2000);
            // They need it so.
            own.mode = LinkMode::Shared;
            own.failover_hold = Duration::from_millis(200);
        }
        own
    }
}

/// Others are what they are in worlds without.
fn own_random(seed: u64) -> Random {
    Random::new(seed ^ 4)
}

impl GatewayWorld {
    /// Requests come to go there, one after another.
    pub(super) fn check_preferred(&mut self, set: &[Destination], now: Instant) {
        let Some(preferred) = self.gateway.config.preferred() else {
            return;
        };
        let mut last = self.fates.last_target();
        for destination in set {
            let Destination::To(own) = destination else {
                continue;
            };
            let before = last.replace(own.upstream);
            let is_new = before != Some(own.upstream) && own.upstream != preferred;
            if is_new
                && self.is_seen_to_be_writable(preferred, now)
                && !self.is_led_later(set, preferred)
            {
                let fault = format!("requests go to {destination:?}, and not to {preferred}");
                self.fates.ledger.fault(fault);
            }
        }
    }

    /// Whether clients are closed of whose requests nobody knows what became.
    pub(super) fn closes(&self) -> bool {
        self.gateway.config.lost == OnLost::Close
    }

    /// What was on its way to who has said nothing for too long is given up.
    pub(super) fn check_abandoned(&mut self, now: Instant) {
        let config = &self.gateway.config;
        if config.silent_abandon.is_zero() {
            return;
        }
        // By then it owes an answer, and what came of it last is seen, which counts from then.
        let seen = config.probe_interval.max(SCOUT_LOOK_PERIOD);
        let late = seen + SCOUT_LOOK_PERIOD + 2 * SLICE;
        let until = config.silent_abandon + late;
        for (index, upstream) in self.upstreams.iter().enumerate() {
            let Some(since) = upstream.silent_since() else {
                continue;
            };
            let live = upstream.live_connections();
            // Where the scout lost its connection when nothing was owed, a greeting is to be owed
            // first.
            let report = self.gateway.sight.upstreams()[index].report();
            let until = match report.condition {
                Condition::Absent => until + RECONNECT_WAIT_MAX,
                _ => until,
            };
            if now > since + until && live > 1 {
                let fault = format!("{index} says nothing, and has {live} connections");
                self.fates.ledger.fault(fault);
            }
        }
    }

    /// What an upstream may have at a time: each session thread may have one call.
    pub(super) fn bounds(&self) -> RequestBounds {
        let own = self.gateway.config.request_bounds();
        RequestBounds {
            calls: own.calls.max(WORKERS),
            ..own
        }
    }
}
