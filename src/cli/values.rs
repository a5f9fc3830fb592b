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
}
