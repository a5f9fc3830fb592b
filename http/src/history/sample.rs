//! A sample: what there was at a time, and what had grown since the one before it. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use vestibule_actors::monitoring::{DurationHistogram, Metrics, RequestPath};
use vestibule_actors::serving::State;

use super::quantile::Grown;

/// What a sample is made of: counters since the start, and what there is now.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    /// Since the start of the runtime: the time between two readings is the difference of theirs.
    uptime: Duration,
    at: SystemTime,
    state: State,
    /// Requests by path.
    pub(super) tx: u64,
    view: u64,
    local: u64,
    refused: u64,
    /// How long those of Tx took, and all others.
    through_tx: DurationHistogram,
    without_tx: DurationHistogram,
    busy: Duration,
    in_flight: usize,
    queued: usize,
    held: usize,
    connections: usize,
}

impl Reading {
    /// Of a runtime in which nothing has happened.
    #[cfg(test)]
    pub(super) fn at(uptime: Duration, at: SystemTime) -> Self {
        Self {
            uptime,
            at,
            state: State::Assist,
            tx: 0,
            view: 0,
            local: 0,
            refused: 0,
            through_tx: DurationHistogram::default(),
            without_tx: DurationHistogram::default(),
            busy: Duration::ZERO,
            in_flight: 0,
            queued: 0,
            held: 0,
            connections: 0,
        }
    }

    pub(crate) fn of(metrics: &Metrics, at: SystemTime) -> Self {
        let count = |path| {
            let counts = metrics.requests.counts.iter();
            let counts = counts.filter(|own| own.path == path);
            counts.map(|own| own.count).sum()
        };
        let durations = metrics.requests.durations.iter();
        let (mut through_tx, mut without_tx) = Default::default();
        for (path, took) in durations {
            let sum: &mut DurationHistogram = match path {
                RequestPath::Tx => &mut through_tx,
                _ => &mut without_tx,
            };
            *sum = std::mem::take(sum).and(took);
        }
        Self {
            uptime: metrics.uptime,
            at,
            state: metrics.state,
            tx: count(RequestPath::Tx),
            view: count(RequestPath::View),
            local: count(RequestPath::Local),
            refused: count(RequestPath::Refused),
            through_tx,
            without_tx,
            busy: metrics.tx.busy,
            in_flight: metrics.in_flight,
            queued: metrics.queued,
            held: metrics.requests.held,
            connections: metrics.client_connections + metrics.administrator_connections,
        }
    }
}

/// What there was at a time. Rates are per second, times in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Sample {
    /// Unix time.
    at: f64,
    state: State,
    /// Requests per second, by path.
    pub(super) tx: f64,
    view: f64,
    local: f64,
    refused: f64,
    /// How long requests took that went through Tx, and those that were answered without it: none
    /// if there were none.
    tx_p50: Option<f64>,
    tx_p99: Option<f64>,
    door_p50: Option<f64>,
    door_p99: Option<f64>,
    /// Which share of the time Tx was in a turn, from 0 to 1.
    busy: f64,
    in_flight: usize,
    queued: usize,
    held: usize,
    connections: usize,
}

impl Sample {
    /// What happened between two readings; `None` if no time has passed.
    pub(super) fn between(before: &Reading, now: &Reading) -> Option<Self> {
        let elapsed = now.uptime.checked_sub(before.uptime)?.as_secs_f64();
        if elapsed <= 0.0 {
            return None;
        }
        let rate = |before: u64, now: u64| rounded(now.saturating_sub(before) as f64 / elapsed);
        let took = |before, now| {
            let grown = Grown::between(before, now);
            let quantile = |share| grown.quantile(share).map(in_microseconds);
            (quantile(0.5), quantile(0.99))
        };
        let (tx_p50, tx_p99) = took(&before.through_tx, &now.through_tx);
        let (door_p50, door_p99) = took(&before.without_tx, &now.without_tx);
        let busy = now.busy.saturating_sub(before.busy).as_secs_f64() / elapsed;
        let at = now.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(Self {
            at: rounded(at.as_secs_f64()),
            state: now.state,
            tx: rate(before.tx, now.tx),
            view: rate(before.view, now.view),
            local: rate(before.local, now.local),
            refused: rate(before.refused, now.refused),
            tx_p50,
            tx_p99,
            door_p50,
            door_p99,
            busy: rounded(busy.min(1.0)),
            in_flight: now.in_flight,
            queued: now.queued,
            held: now.held,
            connections: now.connections,
        })
    }
}

/// Seconds, to whole microseconds.
fn in_microseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e6
}

/// To thousandths: more is not seen, and takes room in what is sent.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use vestibule_actors::monitoring::DurationCounts;

    use super::*;

    #[test]
    fn rates_are_those_of_the_time_between() {
        let at = UNIX_EPOCH + Duration::from_secs(1000);
        let before = Reading::at(Duration::from_secs(10), at);
        let took = DurationCounts::default();
        took.add_many(Duration::from_millis(2), 10);
        let now = Reading {
            tx: 30,
            view: 3,
            busy: Duration::from_millis(500),
            through_tx: took.histogram(),
            connections: 7,
            state: State::Solo,
            ..Reading::at(Duration::from_secs(12), at + Duration::from_secs(2))
        };
        let sample = Sample::between(&before, &now).expect("time has passed");
        assert_eq!((sample.at, sample.state), (1002.0, State::Solo));
        assert_eq!((sample.tx, sample.view, sample.local), (15.0, 1.5, 0.0));
        assert_eq!((sample.busy, sample.connections), (0.25, 7));
        assert!(sample.tx_p50.is_some_and(|own| own > 0.001 && own < 0.0025));
        assert_eq!((sample.door_p50, sample.door_p99), (None, None));
        assert_eq!(Sample::between(&now, &now), None, "no time has passed");
        assert_eq!(Sample::between(&now, &before), None, "it went back");
    }
}
