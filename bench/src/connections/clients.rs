//! Many connections in one thread, opened at once, each read as its bytes come.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use vestibule_wire::greeting::GREETING_SIZE;

use crate::error::BenchError;
use crate::reply;

/// How long all connections may take: several times the first retry of a lost SYN.
const GATHER_TIMEOUT: Duration = Duration::from_secs(30);

/// The connections.
pub(super) struct Clients {
    poll: Poll,
    members: Vec<Member>,
    chunk: Vec<u8>,
}

struct Member {
    stream: TcpStream,
    received: Vec<u8>,
    is_waiting: bool,
}

impl Clients {
    /// Begins to connect `count` times; nothing is waited for.
    pub(super) fn open(addr: SocketAddr, count: u32) -> Result<Self, BenchError> {
        Self::try_open(addr, count).map_err(BenchError::io(format!(
            "opening {count} connections (is `ulimit -n` large enough?)"
        )))
    }

    fn try_open(addr: SocketAddr, count: u32) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut members = Vec::with_capacity(count as usize);
        for number in 0..count as usize {
            let mut stream = TcpStream::connect(addr)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry()
                .register(&mut stream, Token(number), interest)?;
            members.push(Member {
                stream,
                received: Vec::new(),
                is_waiting: false,
            });
        }
        Ok(Self {
            poll,
            members,
            chunk: vec![0; 16 * 1024],
        })
    }

    /// Waits for every greeting; gives the times since `since`, sorted.
    pub(super) fn greetings(&mut self, since: Instant) -> Result<Vec<Duration>, BenchError> {
        self.gather("waiting for greetings", since, |received| {
            let is_whole = received.len() >= GREETING_SIZE;
            if is_whole {
                received.drain(..GREETING_SIZE);
            }
            Ok(is_whole)
        })
    }

    /// Sends the same bytes on every connection.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), BenchError> {
        for member in &mut self.members {
            // A few bytes always fit where nothing waits.
            member
                .stream
                .write_all(bytes)
                .map_err(BenchError::io("sending"))?;
        }
        Ok(())
    }

    /// Waits on every connection for one frame that `is_wanted`, by its code; gives the times since
    /// `since`, sorted. Frames before it are dropped.
    pub(super) fn frames(
        &mut self,
        doing: &str,
        since: Instant,
        is_wanted: impl Fn(u32) -> bool,
    ) -> Result<Vec<Duration>, BenchError> {
        self.gather(doing, since, |received| {
            while let Some(reply) = reply::read(received)? {
                if let Some((code, text)) = reply::refusal(&reply) {
                    let doing = doing.to_owned();
                    return Err(BenchError::Refused { doing, code, text });
                }
                let (code, size) = (reply.code, reply.size);
                received.drain(..size);
                if is_wanted(code) {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    fn gather(
        &mut self,
        doing: &str,
        since: Instant,
        mut take: impl FnMut(&mut Vec<u8>) -> Result<bool, BenchError>,
    ) -> Result<Vec<Duration>, BenchError> {
        let deadline = Instant::now() + GATHER_TIMEOUT;
        let mut times = Vec::with_capacity(self.members.len());
        for member in &mut self.members {
            member.is_waiting = true;
        }
        let mut events = Events::with_capacity(1024);
        // What came before anybody waited for it raises no event again.
        let mut ready: Vec<usize> = (0..self.members.len()).collect();
        loop {
            for number in ready.drain(..) {
                let member = &mut self.members[number];
                member
                    .read(&mut self.chunk)
                    .map_err(BenchError::io(doing))?;
                if member.is_waiting && take(&mut member.received)? {
                    member.is_waiting = false;
                    times.push(since.elapsed());
                }
            }
            if times.len() == self.members.len() {
                times.sort_unstable();
                return Ok(times);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.poll.poll(&mut events, Some(left)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => other.map_err(BenchError::io(doing))?,
            }
            if events.is_empty() && Instant::now() >= deadline {
                let late = io::Error::from(ErrorKind::TimedOut);
                let got = times.len();
                return Err(BenchError::io(format!("{doing} ({got} have come)"))(late));
            }
            ready.extend(events.iter().map(|event| event.token().0));
        }
    }
}

impl Member {
    /// Reads what there is.
    fn read(&mut self, chunk: &mut [u8]) -> io::Result<()> {
        loop {
            match self.stream.read(chunk) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(size) => self.received.extend_from_slice(&chunk[..size]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::NotConnected => return Ok(()),
                    ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
    }
}
