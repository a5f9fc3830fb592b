//! The metrics: one table of all that there are, and the two formats in which they are told.
//!
//! ```text
//!   runtime ─▶ Seen ─▶ each row of the tables reads its series ─▶ text 0.0.4 or OpenMetrics 1.0.0
//! ```
//!
//! A row has the name, the kind, the labels, the help, and the function that reads it: the
//! documentation is written from the same rows.
//!
//! | file | what |
//! |---|---|
//! | `family` | what a row of the tables is |
//! | `seen` | what the rows are read from |
//! | `serving` | states, connections, requests |
//! | `inside` | Tx, transitions, threads, the engine |
//! | `upstreams` | the upstreams of a gateway |
//! | `program` | the configuration of the program |
//! | `process` | the standard numbers of a process |
//! | `tarantool` | those that Tarantool's dashboard draws, by its names |
//! | `exposition` | the formats |
//! | `reference` | the documentation of all of them |

mod exposition;
mod family;
mod inside;
mod process;
mod program;
mod reference;
mod seen;
mod serving;
mod tarantool;
mod upstreams;

use family::Family;

pub(crate) use exposition::{Format, write};
pub use reference::metrics_reference;
pub(crate) use seen::Seen;

/// A part of the metrics, by what they are about.
pub(crate) struct Group {
    pub(crate) title: &'static str,
    pub(crate) families: &'static [Family],
    /// Whether each series has the label `alias`, and can be left out.
    pub(crate) is_tarantools: bool,
}

/// All metrics.
pub(crate) const GROUPS: &[Group] = &[
    Group {
        title: "State",
        families: serving::STATE,
        is_tarantools: false,
    },
    Group {
        title: "Connections",
        families: serving::CONNECTIONS,
        is_tarantools: false,
    },
    Group {
        title: "Requests",
        families: serving::REQUESTS,
        is_tarantools: false,
    },
    Group {
        title: "Tx and transactions",
        families: inside::TX,
        is_tarantools: false,
    },
    Group {
        title: "Transitions and threads",
        families: inside::THREADS,
        is_tarantools: false,
    },
    Group {
        title: "Upstreams of a gateway",
        families: upstreams::UPSTREAMS,
        is_tarantools: false,
    },
    Group {
        title: "Engine",
        families: inside::ENGINE,
        is_tarantools: false,
    },
    Group {
        title: "The door itself",
        families: inside::DOOR,
        is_tarantools: false,
    },
    Group {
        title: "Configuration",
        families: program::CONFIGURATION,
        is_tarantools: false,
    },
    Group {
        title: "Process",
        families: process::PROCESS,
        is_tarantools: false,
    },
    Group {
        title: "For Tarantool's dashboard",
        families: tarantool::TARANTOOL,
        is_tarantools: true,
    },
];
