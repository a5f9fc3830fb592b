//! The standard numbers of a process, by the names that all programs have for them.

use super::family::{Family, Kind, maybe};

pub(super) const PROCESS: &[Family] = &[
    Family {
        name: "process_cpu_seconds_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Processor time of the process, in user and system mode",
        read: |seen| maybe(seen.process.cpu_seconds()),
    },
    Family {
        name: "process_resident_memory_bytes",
        kind: Kind::Gauge,
        labels: &[],
        help: "Memory of the process that is in RAM",
        read: |seen| maybe(seen.process.resident_bytes),
    },
    Family {
        name: "process_virtual_memory_bytes",
        kind: Kind::Gauge,
        labels: &[],
        help: "Address space of the process",
        read: |seen| maybe(seen.process.virtual_bytes),
    },
    Family {
        name: "process_open_fds",
        kind: Kind::Gauge,
        labels: &[],
        help: "Descriptors that are open",
        read: |seen| maybe(seen.process.open_descriptors),
    },
    Family {
        name: "process_max_fds",
        kind: Kind::Gauge,
        labels: &[],
        help: "Descriptors that may be open",
        read: |seen| maybe(seen.process.descriptors_max),
    },
    Family {
        name: "process_start_time_seconds",
        kind: Kind::Gauge,
        labels: &[],
        help: "When the process started, as Unix time",
        read: |seen| maybe(seen.process.started_seconds),
    },
    Family {
        name: "process_threads",
        kind: Kind::Gauge,
        labels: &[],
        help: "Threads of the process",
        read: |seen| maybe(seen.process.threads),
    },
];
