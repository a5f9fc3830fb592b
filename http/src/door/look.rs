//! What questions are answered from: a runtime, and what the program says of itself.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use vestibule_actors::monitoring::{MemoryUse, ServerStatus, UpstreamInfo};

use super::events::Events;
use crate::answered::AnsweredCounts;
use crate::config::{HttpConfig, HttpSettings, LiveSettings};
use crate::history::{History, Reading};
use crate::numbers::Seen;
use crate::observed::Observed;
use crate::process::{ProcessLook, ProcessNumbers};
use crate::sources::Sources;
use crate::summary::{Facts, Use, stood_still};

/// What questions are answered from.
pub(crate) struct Door {
    pub(crate) observed: Box<dyn Observed>,
    pub(crate) config: HttpConfig,
    settings: Arc<LiveSettings>,
    pub(crate) sources: Sources,
    pub(crate) answered: AnsweredCounts,
    pub(crate) history: RefCell<History>,
    pub(crate) events: Events,
    process: ProcessLook,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Door {
    pub(crate) fn new(
        observed: Box<dyn Observed>,
        config: HttpConfig,
        settings: Arc<LiveSettings>,
        sources: Sources,
    ) -> Self {
        Self {
            observed,
            config,
            settings,
            sources,
            answered: AnsweredCounts::default(),
            history: RefCell::default(),
            events: Events::default(),
            process: ProcessLook::default(),
        }
    }

    /// What may be replaced, as of now.
    pub(crate) fn settings(&self) -> Arc<HttpSettings> {
        self.settings.get()
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

    /// Adds a sample to the history. To be called once in a period.
    pub(crate) fn take_sample(&self, now: SystemTime) {
        let reading = Reading::of(&self.observed.metrics(), now);
        self.history.borrow_mut().add(reading);
    }

    /// The numbers that alerts are made of.
    pub(crate) fn facts(&self, seen: &Seen, status: &ServerStatus) -> Facts {
        let metrics = &seen.metrics;
        let engine = metrics.engine.as_ref();
        let checkpoints = engine.and_then(|own| own.checkpoints.as_ref());
        let told = self.sources.certificates.as_ref();
        let mut certificates = told.map(|read| read()).unwrap_or_default();
        let of_runtime = metrics.tls.ends.iter();
        certificates.extend(of_runtime.map(|(file, end)| (file.display().to_string(), *end)));
        let reloads = seen.reloads.as_ref();
        let config_faults = reloads.map(|own| own.faults.join("; "));
        let places = seen.descriptors.iter().filter_map(|own| {
            let (used, max) = own.taken.zip(own.max)?;
            Some((own.share.name(), Use { used, max }))
        });
        let memory = |what, own: &MemoryUse| {
            let (used, max) = (own.used_bytes as u64, own.max_bytes as u64);
            (what, Use { used, max })
        };
        let connections = Some(memory("connections", &metrics.connections_memory));
        let data = metrics.data_memory.as_ref().map(|own| memory("data", own));
        let upstreams = metrics.gateway.iter().flat_map(|own| &own.upstreams);
        let name = |own: &UpstreamInfo| own.name.clone();
        let writable = upstreams
            .clone()
            .filter(|own| own.is_writable == Some(true));
        let split: Vec<_> = writable.map(name).collect();
        let names: Vec<_> = upstreams.clone().map(name).collect();
        let same = upstreams.clone().enumerate().filter_map(|(at, own)| {
            let first = own.same_as.as_ref();
            let first = first.filter(|own| names[..at].contains(own))?;
            Some((first.clone(), own.name.clone()))
        });
        Facts {
            split: if split.len() > 1 { split } else { Vec::new() },
            same: same.collect(),
            target: upstreams.clone().find(|own| own.is_target).map(name),
            fault: status.fault.clone(),
            stood_still: stood_still(metrics.state, &metrics.heartbeats),
            checkpoint_failure: checkpoints.and_then(|own| own.failure.clone()),
            config_fault: config_faults.filter(|own| !own.is_empty()),
            needs_restart: reloads.map_or_else(Vec::new, |own| own.needs_restart.clone()),
            certificates,
            places: places.collect(),
            memory: connections.into_iter().chain(data).collect(),
            tx_restarts: metrics.tx.restarts,
            guest_may_do_everything: self.sources.guest_may_do_everything,
        }
    }

    /// Everything that metrics are read from, as of now; open descriptors as of a moment ago.
    pub(crate) fn look(&self) -> Seen {
        Seen {
            process: self.process.numbers(Instant::now()),
            ..self.look_at_runtime()
        }
    }

    /// The same without the numbers of the process: the kernel takes the longer for them the more
    /// descriptors are open.
    pub(crate) fn look_at_runtime(&self) -> Seen {
        Seen {
            metrics: self.observed.metrics(),
            descriptors: self.observed.descriptors(),
            process: ProcessNumbers::default(),
            answered: self.answered.all(),
            event_streams: self.events.count(),
            version: self.sources.version.clone(),
            reloads: self.sources.reloads.as_ref().map(|read| read()),
            alias: self.name(),
        }
    }
}
