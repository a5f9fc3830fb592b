//! What the kernel tells of this process.
//!
//! ```text
//!   /proc/self/stat   times, start, threads, memory
//!   /proc/self/fd     open descriptors, counted now and then
//!   /proc/self/limits how many there may be
//!   /proc/stat        when the machine started
//! ```

use std::cell::{Cell, OnceCell};
use std::fs;
use std::time::{Duration, Instant};

use serde::Serialize;

/// Numbers of the process; those that the kernel does not tell are `None`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub(crate) struct ProcessNumbers {
    pub(crate) user_seconds: Option<f64>,
    pub(crate) system_seconds: Option<f64>,
    pub(crate) resident_bytes: Option<u64>,
    pub(crate) virtual_bytes: Option<u64>,
    pub(crate) threads: Option<u64>,
    pub(crate) open_descriptors: Option<u64>,
    pub(crate) descriptors_max: Option<u64>,
    /// Unix time.
    pub(crate) started_seconds: Option<f64>,
}

/// How often open descriptors are counted, at most: the more there are the longer the kernel takes
/// to list them, and anybody may ask.
const COUNT_EVERY: Duration = Duration::from_secs(10);

/// What is looked at, and what is known of it already.
#[derive(Debug, Default)]
pub(crate) struct ProcessLook {
    /// When the descriptors were counted, and how many there were, if that was told.
    counted: Cell<Option<(Instant, Option<u64>)>>,
    /// When the machine started.
    boot: OnceCell<Option<f64>>,
}

impl ProcessLook {
    /// The numbers as of now.
    pub(crate) fn numbers(&self, now: Instant) -> ProcessNumbers {
        let boot = || {
            let told = fs::read_to_string("/proc/stat").ok();
            told.and_then(|text| boot_time(&text))
        };
        ProcessNumbers {
            open_descriptors: self.open_descriptors(now, count_descriptors),
            ..ProcessNumbers::now(*self.boot.get_or_init(boot))
        }
    }

    /// Open descriptors, which this counts, unless it did a moment ago.
    fn open_descriptors(&self, now: Instant, count: impl FnOnce() -> Option<u64>) -> Option<u64> {
        match self.counted.get() {
            Some((at, counted)) if now.saturating_duration_since(at) < COUNT_EVERY => counted,
            _ => {
                let counted = count();
                self.counted.set(Some((now, counted)));
                counted
            }
        }
    }
}

fn count_descriptors() -> Option<u64> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    // The look itself has one open.
    Some(open.saturating_sub(1))
}

impl ProcessNumbers {
    /// As of now, but for the open descriptors.
    fn now(boot: Option<f64>) -> Self {
        let read = |path| fs::read_to_string(path).ok();
        let stat = read("/proc/self/stat");
        let mut numbers = stat.map_or_else(Self::default, |stat| {
            let ticks = rustix::param::clock_ticks_per_second();
            let page = rustix::param::page_size() as u64;
            Self::of_stat(&stat, boot, ticks, page)
        });
        numbers.descriptors_max = read("/proc/self/limits").and_then(|text| descriptors_max(&text));
        numbers
    }

    fn of_stat(stat: &str, boot: Option<f64>, ticks: u64, page: u64) -> Self {
        // The name may have any characters in it, but for the last parenthesis.
        let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let fields: Vec<_> = behind_name.split_ascii_whitespace().collect();
        // Numbered as in proc(5), where the first field behind the name is the third.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let seconds = |number| field(number).map(|own| own as f64 / ticks.max(1) as f64);
        Self {
            user_seconds: seconds(14),
            system_seconds: seconds(15),
            threads: field(20),
            started_seconds: boot.zip(seconds(22)).map(|(boot, since)| boot + since),
            virtual_bytes: field(23),
            resident_bytes: field(24).map(|pages| pages * page),
            ..Self::default()
        }
    }

    /// Processor time, of both kinds.
    pub(crate) fn cpu_seconds(&self) -> Option<f64> {
        Some(self.user_seconds? + self.system_seconds?)
    }
}

fn boot_time(stat: &str) -> Option<f64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    let since = Duration::from_secs(line.trim().parse().ok()?);
    Some(since.as_secs_f64())
}

fn descriptors_max(limits: &str) -> Option<u64> {
    let row = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    row.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_behind_any_name() {
        let stat =
            "7 (a ) name) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 9 0 100 4096000 300 0";
        let numbers = ProcessNumbers::of_stat(stat, Some(1000.0), 100, 4096);
        assert_eq!(
            (numbers.user_seconds, numbers.system_seconds),
            (Some(2.5), Some(0.5))
        );
        assert_eq!(numbers.cpu_seconds(), Some(3.0));
        assert_eq!(
            (numbers.threads, numbers.virtual_bytes),
            (Some(9), Some(4_096_000))
        );
        assert_eq!(numbers.resident_bytes, Some(300 * 4096));
        assert_eq!(numbers.started_seconds, Some(1001.0));
        assert_eq!(
            ProcessNumbers::of_stat("", None, 100, 4096),
            ProcessNumbers::default()
        );
    }

    #[test]
    fn this_process_has_numbers() {
        let numbers = ProcessLook::default().numbers(Instant::now());
        assert!(numbers.resident_bytes.is_some_and(|bytes| bytes > 0));
        assert!(numbers.open_descriptors.is_some_and(|open| open > 0));
        assert!(numbers.descriptors_max >= numbers.open_descriptors);
        assert!(numbers.threads.is_some_and(|threads| threads > 0));
        assert!(numbers.started_seconds.is_some_and(|at| at > 1e9));
    }

    #[test]
    fn descriptors_are_counted_now_and_then_however_often_somebody_asks() {
        let look = ProcessLook::default();
        let start = Instant::now();
        let mut counts = 0;
        let mut ask = |seconds: u64| {
            let now = start + Duration::from_secs(seconds);
            look.open_descriptors(now, || {
                counts += 1;
                Some(counts)
            })
        };
        assert_eq!([0, 0, 5, 9].map(&mut ask), [Some(1); 4]);
        assert_eq!([10, 19].map(&mut ask), [Some(2); 2]);
    }

    #[test]
    fn a_bound_that_is_none_is_not_told() {
        let limits =
            "Limit Soft Hard Units\nMax open files            unlimited  unlimited files\n";
        assert_eq!(descriptors_max(limits), None);
        assert_eq!(
            descriptors_max("Max open files  1024  4096  files\n"),
            Some(1024)
        );
    }
}
