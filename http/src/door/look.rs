//! What questions are answered from: a runtime, and what the program says of itself.

use std::fmt;

use crate::answered::AnsweredCounts;
use crate::config::HttpConfig;
use crate::numbers::Seen;
use crate::observed::Observed;
use crate::process::ProcessNumbers;
use crate::sources::Sources;

/// What questions are answered from.
pub(crate) struct Door {
    pub(crate) observed: Box<dyn Observed>,
    pub(crate) config: HttpConfig,
    pub(crate) sources: Sources,
    pub(crate) answered: AnsweredCounts,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Door {
    pub(crate) fn new(observed: Box<dyn Observed>, config: HttpConfig, sources: Sources) -> Self {
        Self {
            observed,
            config,
            sources,
            answered: AnsweredCounts::default(),
        }
    }

    /// The name of this instance; of one that has none, that of the machine.
    fn name(&self) -> String {
        let of_machine = || {
            rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned()
        };
        self.observed.instance().name.unwrap_or_else(of_machine)
    }

    /// Everything that metrics are read from, as of now.
    pub(crate) fn look(&self) -> Seen {
        Seen {
            metrics: self.observed.metrics(),
            descriptors: self.observed.descriptors(),
            process: ProcessNumbers::now(),
            answered: self.answered.all(),
            version: self.sources.version.clone(),
            alias: self.name(),
        }
    }
}
