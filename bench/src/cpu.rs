//! How much processor time the generator itself takes: near one whole core, the result tells
//! about the generator and not about the server.

use std::fs;
use std::time::Duration;

/// The time that the calling thread has been running, where the system tells (Linux).
pub(crate) fn thread_time() -> Option<Duration> {
    parse(&fs::read_to_string("/proc/thread-self/schedstat").ok()?)
}

/// The first number is the time on the processor, in nanoseconds.
fn parse(text: &str) -> Option<Duration> {
    text.split_whitespace()
        .next()?
        .parse()
        .ok()
        .map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_counts() {
        assert_eq!(parse("1500 22 3\n"), Some(Duration::from_nanos(1500)));
        assert_eq!(parse(""), None);
    }
}
