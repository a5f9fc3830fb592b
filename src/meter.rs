//! How far something long is: a bar on a terminal, a line in the log every few seconds elsewhere.
//!
//! Both the bar and the log are on stderr: those who log do so by [`beside_bar`], so that neither
//! writes over the other.

use std::io::IsTerminal as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use vestibule_actors::engine::Progress;

/// Time between two lines in the log.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Time between two looks of a bar that shows no progress by itself.
const TICK_EVERY: Duration = Duration::from_millis(100);

/// The length of a bar that has not been shown yet.
const UNKNOWN: Option<u64> = Some(0);

/// The bar that is on the terminal, if one is.
static ON_TERMINAL: Mutex<Option<ProgressBar>> = Mutex::new(None);

fn on_terminal() -> MutexGuard<'static, Option<ProgressBar>> {
    ON_TERMINAL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether there is somebody who sees bars.
pub(crate) fn is_seen() -> bool {
    std::io::stderr().is_terminal()
}

/// Writes to stderr while no bar is there.
pub(crate) fn beside_bar(write: impl FnOnce()) {
    // Not held while it writes: what writes may be in the middle of a bar's own work.
    let bar = on_terminal().clone();
    match bar.filter(|bar| bar.length() != UNKNOWN) {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// A bar on the terminal, until it is dropped.
struct Bar(ProgressBar);

impl Bar {
    fn start(length: Option<u64>, template: &str) -> Self {
        let style = ProgressStyle::with_template(template);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = match length {
            Some(length) => ProgressBar::new(length),
            None => ProgressBar::no_length(),
        };
        bar.set_style(style);
        *on_terminal() = Some(bar.clone());
        Self(bar)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        *on_terminal() = None;
        self.0.finish_and_clear();
    }
}

/// Shows progress on stderr.
pub(crate) struct Meter {
    what: &'static str,
    bar: Option<Bar>,
    told: Instant,
}

impl Meter {
    /// Starts with a unit that the numbers count: `bytes`, `rows`, or `%` if they are a share.
    pub(crate) fn start(what: &'static str, unit: &str) -> Self {
        let bar = is_seen().then(|| {
            let amounts = match unit {
                "bytes" => "{bytes}/{total_bytes} {bytes_per_sec}".to_owned(),
                "%" => "{percent} %".to_owned(),
                _ => format!("{{human_pos}}/{{human_len}} {unit} {{per_sec}}"),
            };
            Bar::start(UNKNOWN, &format!("{what} [{{bar:30}}] {amounts} {{eta}}"))
        });
        Self {
            what,
            bar,
            told: Instant::now(),
        }
    }

    /// So much is done.
    pub(crate) fn show(&mut self, progress: Progress) {
        let Progress { done, total, .. } = progress;
        if let Some(Bar(bar)) = &self.bar {
            // Of a pipe, the total is not known.
            let total = total.max(done);
            if bar.length() != Some(total) {
                bar.set_length(total);
            }
            bar.set_position(done);
        } else if self.told.elapsed() >= TELL_EVERY {
            self.told = Instant::now();
            match progress.share() {
                Some(share) => log::info!("{}: {:.0} % of {total}", self.what, 100.0 * share),
                None => log::info!("{}: {done}", self.what),
            }
        }
    }
}

/// Says on a terminal what is waited for; elsewhere nothing.
pub(crate) struct Waiting(Option<Bar>);

impl Waiting {
    /// Starts with what is waited for.
    pub(crate) fn start(text: &str) -> Self {
        let bar = is_seen().then(|| Bar::start(None, "{spinner} {msg} ({elapsed})"));
        if let Some(Bar(bar)) = &bar {
            bar.set_message(text.to_owned());
            bar.enable_steady_tick(TICK_EVERY);
        }
        Self(bar)
    }

    /// What is waited for now.
    pub(crate) fn say(&self, text: String) {
        if let Some(Bar(bar)) = &self.0 {
            bar.set_message(text);
        }
    }
}
