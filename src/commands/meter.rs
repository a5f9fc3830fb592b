//! How far a tool is: a bar on a terminal, a line in the log every few seconds elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use vestibule_actors::engine::Progress;

/// Time between two lines in the log.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Shows progress on stderr.
pub(super) struct Meter {
    what: &'static str,
    bar: Option<ProgressBar>,
    told: Instant,
}

impl Meter {
    /// Starts with a unit, such as `rows`, that the numbers count.
    pub(super) fn start(what: &'static str, unit: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let amounts = if unit == "bytes" {
                "{bytes}/{total_bytes} {bytes_per_sec}".to_owned()
            } else {
                format!("{{human_pos}}/{{human_len}} {unit} {{per_sec}}")
            };
            let template = format!("{{prefix}} [{{bar:30}}] {amounts} {{eta}}");
            let style = ProgressStyle::with_template(&template);
            let bar = ProgressBar::new(0).with_prefix(what);
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self {
            what,
            bar,
            told: Instant::now(),
        }
    }

    /// So much is done.
    pub(super) fn show(&mut self, progress: Progress) {
        let Progress { done, total, .. } = progress;
        if let Some(bar) = &self.bar {
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

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
