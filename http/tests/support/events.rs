//! A reader of events, by hand.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::net::TcpStream;

/// A stream of events that is being read.
#[derive(Debug)]
pub(crate) struct EventStream {
    lines: Lines<BufReader<TcpStream>>,
}

impl EventStream {
    /// Asks for one on this connection.
    ///
    /// # Errors
    ///
    /// The status, if it is refused.
    pub(crate) fn open(mut stream: TcpStream) -> Result<Self, u16> {
        let request = "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut lines = BufReader::new(stream).lines();
        let first = lines.next().and_then(Result::ok).unwrap_or_default();
        let status = first.split(' ').nth(1).and_then(|own| own.parse().ok());
        match status {
            Some(200) => Ok(Self { lines }),
            other => Err(other.unwrap_or(0)),
        }
    }

    /// The name and the data of the next event; `None` when the stream has ended.
    pub(crate) fn event(&mut self) -> Option<(String, String)> {
        let mut name = String::new();
        for line in self.lines.by_ref().map_while(Result::ok) {
            if let Some(own) = line.strip_prefix("event: ") {
                name = own.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some((name, data.to_owned()));
            }
        }
        None
    }

    /// The data of the next event of this name.
    pub(crate) fn next(&mut self, name: &str) -> Option<String> {
        loop {
            let (own, data) = self.event()?;
            if own == name {
                return Some(data);
            }
        }
    }
}
