//! `/events`: what the page shows, told as it changes.
//!
//! ```text
//!   event: history   {period, kept, samples}    first, and once
//!   event: sample    {at once, and with each sample: state, alerts, the sample}
//! ```

use std::time::SystemTime;

use bytes::Bytes;
use serde::Serialize;

use super::status::Brief;
use crate::door::{Answer, Door, Question};
use crate::history::Sample;
use crate::limits::{EVENT_STREAMS_MAX, SAMPLES_MAX};

/// How long a client waits before it comes back, in milliseconds.
const COME_BACK_AFTER_MS: u32 = 1000;

/// What the charts show.
#[derive(Debug, Serialize)]
pub(crate) struct Samples {
    /// Seconds from one to the next.
    period: f64,
    /// How many are kept.
    kept: usize,
    samples: Vec<Sample>,
}

impl Samples {
    pub(super) fn of(door: &Door) -> Self {
        Self {
            period: door.config.sample_period.as_secs_f64(),
            kept: SAMPLES_MAX,
            samples: door.history.borrow().samples().copied().collect(),
        }
    }
}

/// What is told with each sample.
#[derive(Serialize)]
struct Update {
    #[serde(flatten)]
    brief: Brief,
    sample: Option<Sample>,
}

/// `/events`
pub(crate) fn stream(door: &Door, _: &Question) -> Answer {
    let first = || {
        let mut first = format!("retry: {COME_BACK_AFTER_MS}\n");
        first.push_str(&event("history", &Samples::of(door)));
        first.push_str(&newest(door));
        first.into()
    };
    match door.events.open(first) {
        Some(stream) => Answer::events(stream),
        None => Answer::text(
            503,
            format!("{EVENT_STREAMS_MAX} streams are open, as many as may be: ask /status.json\n"),
        ),
    }
}

/// Takes a sample, and tells it to those who read events. To be called once in a period.
pub(crate) fn take_sample(door: &Door) {
    door.take_sample(SystemTime::now());
    if door.events.count() > 0 {
        door.events.tell(Bytes::from(newest(door)));
    }
}

fn newest(door: &Door) -> String {
    let update = Update {
        brief: Brief::of(door, &door.look_at_runtime()),
        sample: door.history.borrow().newest().copied(),
    };
    event("sample", &update)
}

/// An event with a value as JSON, which has no line ends in it.
fn event(name: &str, value: &impl Serialize) -> String {
    match serde_json::to_string(value) {
        Ok(data) => format!("event: {name}\ndata: {data}\n\n"),
        Err(error) => {
            log::error!("an event cannot be written as JSON: {error}");
            String::new()
        }
    }
}
