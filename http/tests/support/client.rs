//! A client that writes HTTP by hand.

#![allow(dead_code, reason = "each test file takes its own part of it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A test waits no longer than this for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header, without regard to the case of its name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let own = lines.find(|(own, _)| own.eq_ignore_ascii_case(name));
        own.map(|(_, value)| value)
    }

    /// The value of a metric, by its name with its labels.
    pub(crate) fn metric(&self, series: &str) -> Option<f64> {
        let line = self
            .body
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line?.parse().ok()
    }
}

/// Sends these bytes and reads until the other end closes.
pub(crate) fn exchange(stream: &mut (impl Read + Write), request: &[u8]) -> Answer {
    // It may have been closed before it has read all of it.
    let _ = stream.write_all(request);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|own| own.parse().ok());
    Answer {
        status: status.unwrap_or(0),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("it can be set");
    stream
}

/// Sends these bytes on a connection of their own.
pub(crate) fn ask(address: SocketAddr, request: &str) -> Answer {
    exchange(&mut connect(address), request.as_bytes())
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    ask(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    )
}
