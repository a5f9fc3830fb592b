//! What the system tells of the server's process (Linux).

use std::fs;
use std::time::Duration;

use crate::error::BenchError;

/// A server's process, by its number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(u32);

impl Process {
    pub(crate) fn new(pid: u32) -> Self {
        Self(pid)
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident_bytes(self) -> Result<u64, BenchError> {
        let status = self.read("status")?;
        field(&status, "VmRSS:")
            .map(|kibibytes| kibibytes * 1024)
            .ok_or_else(|| BenchError::Usage(format!("process {} has no memory", self.0)))
    }

    /// Descriptors that it has open.
    pub(crate) fn descriptors(self) -> Result<u64, BenchError> {
        let entries = fs::read_dir(format!("/proc/{}/fd", self.0));
        let count = entries.map(Iterator::count).map_err(self.reading())?;
        Ok(count as u64)
    }

    /// The time that its threads have been on a processor.
    pub(crate) fn cpu_time(self) -> Result<Duration, BenchError> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.0)).map_err(self.reading())?;
        let of_thread = |entry: fs::DirEntry| {
            let text = fs::read_to_string(entry.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        };
        let nanoseconds = threads.filter_map(Result::ok).filter_map(of_thread).sum();
        Ok(Duration::from_nanos(nanoseconds))
    }

    fn read(self, name: &str) -> Result<String, BenchError> {
        fs::read_to_string(format!("/proc/{}/{name}", self.0)).map_err(self.reading())
    }

    fn reading(self) -> impl FnOnce(std::io::Error) -> BenchError {
        BenchError::io(format!("looking at process {}", self.0))
    }
}

/// The number behind a name in a file like /proc/PID/status.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_there_and_one_that_is_not() {
        let own = Process::new(std::process::id());
        assert!(own.resident_bytes().unwrap() > 0);
        assert!(own.descriptors().unwrap() > 0);
        assert!(own.cpu_time().is_ok());
        assert!(Process::new(u32::MAX).resident_bytes().is_err());
    }

    #[test]
    fn a_field_of_the_status() {
        assert_eq!(field("Name:\tx\nVmRSS:\t  312 kB\n", "VmRSS:"), Some(312));
        assert_eq!(field("Name:\tx\n", "VmRSS:"), None);
    }
}
