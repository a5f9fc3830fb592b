//! What the program tells of itself: its configuration.

use super::family::{Family, Kind, by, maybe};

pub(super) const CONFIGURATION: &[Family] = &[
    Family {
        name: "vestibule_config_reloads_total",
        kind: Kind::Counter,
        labels: &["result"],
        help: "How often the configuration was loaded again: what was `refused` changed nothing",
        read: |seen| {
            let reloads = seen.reloads.iter();
            by(reloads.flat_map(|own| [("taken", own.taken), ("refused", own.refused)]))
        },
    },
    Family {
        name: "vestibule_config_last_reload_timestamp_seconds",
        kind: Kind::Gauge,
        labels: &[],
        help: "When the last of them was, taken or refused; absent if there was none",
        read: |seen| maybe(seen.reloads.as_ref().and_then(|own| own.last)),
    },
    Family {
        name: "vestibule_config_last_reload_successful",
        kind: Kind::Gauge,
        labels: &[],
        help: "0 if the last of them was refused, else 1",
        read: |seen| maybe(seen.reloads.as_ref().map(|own| own.faults.is_empty())),
    },
    Family {
        name: "vestibule_config_needs_restart",
        kind: Kind::Gauge,
        labels: &[],
        help: "Options that were given another value since the start, and wait for the next one",
        read: |seen| maybe(seen.reloads.as_ref().map(|own| own.needs_restart.len())),
    },
];
