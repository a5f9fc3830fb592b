//! The formats in which metrics are told: Prometheus's text 0.0.4, and OpenMetrics 1.0.0.
//!
//! prometheus-client writes both, and escapes what has to be. No type of it leaves this file.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabel, EncodeLabelSet, LabelSetEncoder, MetricEncoder, NoLabelSet,
    prometheus_text, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use vestibule_actors::limits::DURATION_BUCKETS;
use vestibule_actors::monitoring::DurationHistogram;

use super::family::{Family, Kind, LabelValue, Series, Value};
use super::{GROUPS, Seen};

/// How metrics are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus's text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// What a client is told that sends this Accept: OpenMetrics if it asks for that version, at
    /// least as gladly as for text.
    pub(crate) fn of_accept(accept: &str) -> Self {
        let (mut open, mut other) = (0.0, 0.0);
        for part in accept.split(',') {
            let mut parameters = part.split(';').map(str::trim);
            let media = parameters.next().unwrap_or("");
            let (mut quality, mut version) = (1.0f64, None);
            for parameter in parameters {
                match parameter.split_once('=') {
                    Some(("q", own)) => quality = own.parse().unwrap_or(0.0),
                    Some(("version", own)) => version = Some(own.trim_matches('"')),
                    _ => {}
                }
            }
            match (media, version) {
                ("application/openmetrics-text", Some("1.0.0") | None) => {
                    open = quality.max(open);
                }
                ("text/plain" | "text/*" | "*/*", None | Some("0.0.4")) => {
                    other = quality.max(other);
                }
                _ => {}
            }
        }
        match open > 0.0 && open >= other {
            true => Self::OpenMetrics,
            false => Self::Text,
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Text => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Writes all metrics, those of Tarantool's names only if `tarantools` are wanted.
pub(crate) fn write(seen: Seen, format: Format, tarantools: bool) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(All { seen, tarantools }));
    let mut out = String::new();
    let written = match format {
        Format::Text => prometheus_text::encode(&mut out, &registry),
        Format::OpenMetrics => text::encode(&mut out, &registry),
    };
    if written.is_err() {
        // Nothing that is written into memory fails.
        log::error!("metrics could not be written");
    }
    out
}

/// All metrics, as of one look.
struct All {
    seen: Seen,
    tarantools: bool,
}

impl fmt::Debug for All {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("All")
    }
}

impl Collector for All {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for group in GROUPS {
            if group.is_tarantools && !self.tarantools {
                continue;
            }
            let alias = group.is_tarantools.then(|| self.seen.alias.clone().into());
            for family in group.families {
                let series = (family.read)(&self.seen);
                if !series.is_empty() {
                    write_family(&mut encoder, family, alias.as_ref(), &series)?;
                }
            }
        }
        Ok(())
    }
}

fn write_family(
    encoder: &mut DescriptorEncoder<'_>,
    family: &Family,
    alias: Option<&LabelValue>,
    series: &[Series],
) -> fmt::Result {
    // The encoders add `_total` by themselves, and complain of one that is there.
    let name = family.name.strip_suffix("_total").unwrap_or(family.name);
    let kind = match family.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    };
    let mut metric = encoder.encode_descriptor(name, family.help, None, kind)?;
    for own in series {
        let labels = Labels {
            alias,
            names: family.labels,
            values: &own.labels,
        };
        if labels.is_empty() {
            write_value(&mut metric, family.kind, &own.value)?;
        } else {
            write_value(&mut metric.encode_family(&labels)?, family.kind, &own.value)?;
        }
    }
    Ok(())
}

fn write_value(metric: &mut MetricEncoder<'_>, kind: Kind, value: &Value) -> fmt::Result {
    match (kind, value) {
        (Kind::Counter, Value::Whole(own)) => {
            metric.encode_counter::<NoLabelSet, _, u64>(own, None)
        }
        (Kind::Counter, Value::Real(own)) => metric.encode_counter::<NoLabelSet, _, u64>(own, None),
        (_, Value::Whole(own)) => metric.encode_gauge(own),
        (_, Value::Real(own)) => metric.encode_gauge(own),
        (_, Value::Histogram(own)) => write_histogram(metric, own),
    }
}

fn write_histogram(metric: &mut MetricEncoder<'_>, own: &DurationHistogram) -> fmt::Result {
    let bounds = DURATION_BUCKETS.iter().map(|bound| bound.as_secs_f64());
    let counts = own.buckets.iter().copied().chain([own.beyond]);
    let buckets: Vec<_> = bounds.chain([f64::INFINITY]).zip(counts).collect();
    let sum = own.sum.as_secs_f64();
    metric.encode_histogram::<NoLabelSet>(sum, own.count(), &buckets, None)
}

struct Labels<'a> {
    alias: Option<&'a LabelValue>,
    names: &'static [&'static str],
    values: &'a [LabelValue],
}

impl Labels<'_> {
    fn is_empty(&self) -> bool {
        self.alias.is_none() && self.values.is_empty()
    }
}

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let own = self.names.iter().copied().zip(self.values);
        let alias = self.alias.map(|alias| ("alias", alias));
        for (name, value) in alias.into_iter().chain(own) {
            (name, &**value).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}
