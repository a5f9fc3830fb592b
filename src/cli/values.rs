//! Values of options, read from text.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// `127.0.0.1:3301`, `[::1]:3301`, `localhost:3301`.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let mut found = text.to_socket_addrs().map_err(|fault| {
        format!("{fault} (examples: 127.0.0.1:3301, [::1]:3301, localhost:3301)")
    })?;
    found
        .next()
        .ok_or_else(|| "no address has this name".to_owned())
}

/// `1500ms`, `3s`, `2m`; a bare 0.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(text).map_err(|fault| format!("{fault} (examples: 500ms, 3s, 2m, 0)"))
}

/// A time as [`duration`] reads it, in the largest unit of hours, seconds and milliseconds that it
/// is a whole number of.
pub(crate) fn time_text(time: Duration) -> String {
    let millis = time.as_millis();
    match millis {
        0 => "0".to_owned(),
        _ if millis.is_multiple_of(3_600_000) => format!("{}h", millis / 3_600_000),
        _ if millis.is_multiple_of(1000) => format!("{}s", millis / 1000),
        _ => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_units() {
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert!(duration("5").is_err());
        assert!(duration("-1s").is_err());
    }

    #[test]
    fn a_time_is_written_as_it_is_read() {
        for text in [
            "0", "1ms", "500ms", "1500ms", "3s", "60s", "3601s", "1h", "24h",
        ] {
            assert_eq!(duration(text).map(time_text).as_deref(), Ok(text));
        }
    }
}
