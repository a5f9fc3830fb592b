//! The session threads, as `vestibule.show('threads')` shows them.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::serialized::{each_in_seconds, in_microseconds, in_seconds};
use crate::shared::{Shared, WorkerCounters};

/// A session thread, and how fast it hears of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SessionThread {
    /// The thread's number, from 0.
    pub thread: usize,
    /// Connections that live on it.
    pub connections: usize,
    /// Their requests that were forwarded and are not answered.
    pub in_flight: usize,
    /// The epoch of the last change of state that all its sessions have heard of.
    pub epoch: u64,
    /// From that change until the last of its sessions had heard of it: what was queued is taken
    /// back, what was held is woken, events are handed to the sockets. Serialized as `reached_us`.
    #[serde(rename = "reached_us", serialize_with = "in_microseconds")]
    pub reached: Duration,
    /// The longest since the start. Serialized as `reached_max_us`.
    #[serde(rename = "reached_max_us", serialize_with = "in_microseconds")]
    pub reached_max: Duration,
}

/// When threads were seen to go on: each tells by a timer of its own, at least once a second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Heartbeats {
    /// How long ago the System's thread was, which drives transitions and accepts. Serialized in
    /// seconds.
    #[serde(serialize_with = "in_seconds")]
    pub system: Duration,
    /// How long ago each session thread was, in their order. Serialized in seconds.
    #[serde(serialize_with = "each_in_seconds")]
    pub session_threads: Vec<Duration>,
}

impl Heartbeats {
    pub(crate) fn of(shared: &Shared, now: Instant) -> Self {
        let now = shared.since_start(now);
        let threads = shared.counters.iter();
        Self {
            system: shared.system_pulse.age(now),
            session_threads: threads.map(|own| own.pulse.age(now)).collect(),
        }
    }
}

impl SessionThread {
    /// All of a runtime, in their order.
    pub(crate) fn all(shared: &Shared) -> Vec<Self> {
        let counters = shared.counters.iter().enumerate();
        let one = |(thread, counters): (usize, &WorkerCounters)| {
            let (epoch, reached_us, reached_max_us) = counters.reach();
            Self {
                thread,
                connections: shared.slots.of_thread(thread),
                in_flight: counters.in_flight.load(Ordering::Relaxed),
                epoch,
                reached: Duration::from_micros(reached_us),
                reached_max: Duration::from_micros(reached_max_us),
            }
        };
        counters.map(one).collect()
    }
}
