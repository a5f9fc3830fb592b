//! The configuration, loaded again while the server serves: all of it is taken, or none.
//!
//! ```text
//!   SIGHUP ──────────┐         arguments, environment and file, and the files that they name
//!   vestibule.reload ┴▶ load ──┬─ wrong ─────────────▶ nothing changes
//!                              └▶ prepare every part ─┬─ one cannot ─▶ nothing changes
//!                                                     └▶ each is taken: nothing can go wrong there
//! ```
//!
//! A [`Part`] is something that goes by options and can be given others: the log, the runtime, the
//! engine, certificates, the side door. Whatever may fail of it, reading a file for example, is
//! done when it is prepared.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use vestibule_actors::ReloadRequest;
use vestibule_http::Reloads;

use crate::cli::serve::HandedOver;
use crate::config::{self, LoadedOptions, OptionRow, Problem};
use crate::notify::ServiceManager;

/// Reloads that wait for the one under way, at most.
const WAITING_MAX: usize = 64;

/// What has a prepared part go by what was loaded.
pub(crate) type Take = Box<dyn FnOnce() + Send>;

/// Prepares a part to go by what was loaded.
///
/// # Errors
///
/// Why it cannot.
pub(crate) type Part = Box<dyn Fn(&LoadedOptions) -> Result<Take, Problem> + Send + Sync>;

/// Who wants a reload.
#[derive(Debug)]
enum Wanted {
    Signal,
    Client(ReloadRequest),
}

/// Asks for reloads. Of those beyond [`WAITING_MAX`] nothing comes.
#[derive(Debug, Clone)]
pub(crate) struct ReloadSender(mpsc::Sender<Wanted>);

impl ReloadSender {
    /// SIGHUP has come.
    pub(crate) fn on_signal(&self) {
        // As many as may wait do: one of them reads what has changed.
        let _ = self.0.try_send(Wanted::Signal);
    }

    /// A client has called `vestibule.reload`.
    pub(crate) fn on_request(&self, request: ReloadRequest) {
        // Beyond the bound it is dropped, which its client is told.
        let _ = self.0.try_send(Wanted::Client(request));
    }
}

/// What is to be reloaded, until it is run.
#[derive(Debug)]
pub(crate) struct ReloadQueue(mpsc::Receiver<Wanted>);

/// A queue of reloads, and what fills it.
pub(crate) fn queue() -> (ReloadSender, ReloadQueue) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (ReloadSender(sender), ReloadQueue(receiver))
}

/// The configuration that the server goes by, and what became of reloads.
#[derive(Debug, Clone)]
pub(crate) struct Configuration(Arc<Mutex<Current>>);

#[derive(Debug)]
struct Current {
    started: config::Settings,
    /// As of the last reload that was taken, or of the start.
    options: Vec<OptionRow>,
    reloads: Reloads,
}

/// What a client is told of a reload that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Report {
    result: &'static str,
    /// Options that are others now.
    changed: Vec<String>,
    /// Options that have another value than the server goes by: they are taken at its start.
    needs_restart: Vec<String>,
}

impl Configuration {
    /// What the server starts with.
    pub(crate) fn new(started: config::Settings) -> Self {
        Self(Arc::new(Mutex::new(Current {
            options: started.rows(),
            started,
            reloads: Reloads::default(),
        })))
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        // Its fields are replaced whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The options that the server goes by, each with its origin.
    pub(crate) fn options(&self) -> Vec<OptionRow> {
        self.current().options.clone()
    }

    /// What became of reloads.
    pub(crate) fn reloads(&self) -> Reloads {
        self.current().reloads.clone()
    }

    /// Loads it again, and has all parts take it. Reads files.
    fn reload(&self, parts: &[Part]) -> Result<Report, Problem> {
        let loaded = config::of_process_again(&self.handed_over())?;
        let takes: Result<Vec<_>, _> = parts.iter().map(|part| part(&loaded)).collect();
        takes?.into_iter().for_each(|take| take());
        let mut current = self.current();
        let options = loaded.settings.rows_beside(&current.started);
        let changed = config::changed(&current.options, &options);
        current.options = options;
        Ok(Report {
            result: "taken",
            changed,
            needs_restart: loaded.settings.needs_restart(&current.started),
        })
    }

    /// Where the sockets listen that the server was started with.
    fn handed_over(&self) -> HandedOver {
        let current = self.current();
        let args = current.started.cli.serving();
        args.map_or_else(HandedOver::default, |args| args.handed.clone())
    }

    fn begin(&self) {
        self.current().reloads.is_under_way = true;
    }

    /// Remembers what came of a reload.
    fn end(&self, requested_by: &str, outcome: &Result<Report, Problem>) {
        let mut current = self.current();
        let reloads = &mut current.reloads;
        reloads.is_under_way = false;
        reloads.last = Some(SystemTime::now());
        requested_by.clone_into(&mut reloads.requested_by);
        match outcome {
            Ok(report) => {
                reloads.taken += 1;
                reloads.faults.clear();
                reloads.needs_restart.clone_from(&report.needs_restart);
            }
            Err(problem) => {
                reloads.refused += 1;
                reloads.faults = problem.lines();
            }
        }
    }
}

/// Does what is wanted, one after the other, as long as somebody may want something.
pub(crate) async fn run(
    configuration: Configuration,
    parts: Vec<Part>,
    manager: ServiceManager,
    mut queue: ReloadQueue,
) {
    let parts = Arc::new(parts);
    while let Some(wanted) = queue.0.recv().await {
        let requested_by = match &wanted {
            Wanted::Signal => "SIGHUP".to_owned(),
            Wanted::Client(request) => format!("vestibule.reload by {}", request.requested_by()),
        };
        configuration.begin();
        manager.reloading().await;
        let (own, parts) = (configuration.clone(), parts.clone());
        let outcome = on_thread(move || own.reload(&parts)).await;
        let outcome = outcome.unwrap_or_else(|| Err(Problem::failed()));
        configuration.end(&requested_by, &outcome);
        tell_log(&requested_by, &outcome);
        manager.reloaded().await;
        let Wanted::Client(request) = wanted else {
            continue;
        };
        match outcome {
            Ok(report) => request.taken(&report),
            Err(problem) => {
                let faults = problem.lines().join("; ");
                request.refused(&format!("The configuration is not taken: {faults}"));
            }
        }
    }
}

/// Does it on a thread of its own: files may be slow, and neither the System's thread waits for
/// them nor the end of the process. `None` if nothing comes of it: it panicked, or there is no
/// thread.
async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (told, done) = oneshot::channel();
    let thread = std::thread::Builder::new().name("reload".to_owned());
    // Nobody is there to be told only if the server ends.
    let started = thread.spawn(move || drop(told.send(work())));
    started.ok()?;
    done.await.ok()
}

fn tell_log(requested_by: &str, outcome: &Result<Report, Problem>) {
    match outcome {
        Ok(report) if report.changed.is_empty() => {
            log::info!("{requested_by}: the configuration is loaded again, with the same options");
        }
        Ok(report) => {
            let changed = report.changed.join(", ");
            log::info!("{requested_by}: the configuration is loaded again, with other {changed}");
        }
        Err(problem) => {
            log::error!("{requested_by}: the configuration is not taken, and nothing is changed");
            problem
                .lines()
                .iter()
                .for_each(|line| log::error!("{line}"));
        }
    }
    if let Ok(report) = outcome
        && !report.needs_restart.is_empty()
    {
        let options = report.needs_restart.join(", ");
        log::warn!("another value is taken at the next start only: {options}");
    }
}
