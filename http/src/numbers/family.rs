//! What a row of the tables is: a metric with all its series.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vestibule_actors::monitoring::DurationHistogram;

use super::seen::Seen;

/// The value of a label.
pub(super) type LabelValue = Cow<'static, str>;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Grows only; its name ends in `_total`.
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric, as it is told and documented.
pub(crate) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    /// One sentence without its full stop.
    pub(super) help: &'static str,
    pub(super) read: fn(&Seen) -> Vec<Series>,
}

/// One series of a metric.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    /// In the order of the metric's labels.
    pub(super) labels: Vec<LabelValue>,
    pub(super) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Whole(u64),
    Real(f64),
    Histogram(DurationHistogram),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Whole(value as u64)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Whole(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<Duration> for Value {
    fn from(value: Duration) -> Self {
        Self::Real(value.as_secs_f64())
    }
}

impl From<SystemTime> for Value {
    fn from(value: SystemTime) -> Self {
        value.duration_since(UNIX_EPOCH).unwrap_or_default().into()
    }
}

impl From<DurationHistogram> for Value {
    fn from(value: DurationHistogram) -> Self {
        Self::Histogram(value)
    }
}

/// The one series of a metric without labels.
pub(super) fn one(value: impl Into<Value>) -> Vec<Series> {
    maybe(Some(value))
}

/// The same, if it is known.
pub(super) fn maybe(value: Option<impl Into<Value>>) -> Vec<Series> {
    let series = value.map(|value| Series {
        labels: Vec::new(),
        value: value.into(),
    });
    series.into_iter().collect()
}

/// The series of a metric with one label.
pub(super) fn by<L: Into<LabelValue>, V: Into<Value>>(
    values: impl IntoIterator<Item = (L, V)>,
) -> Vec<Series> {
    by_all(
        values
            .into_iter()
            .map(|(label, value)| ([label.into()], value)),
    )
}

/// The series of a metric with several labels.
pub(super) fn by_all<const LABELS: usize, V: Into<Value>>(
    values: impl IntoIterator<Item = ([LabelValue; LABELS], V)>,
) -> Vec<Series> {
    let series = values.into_iter().map(|(labels, value)| Series {
        labels: labels.into(),
        value: value.into(),
    });
    series.collect()
}
