//! One connection: transfers without a pause between them, and small requests beside.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::net::TcpStream;
use vestibule_wire::ErrorCode;
use vestibule_wire::client::{ReplyFrame, RequestHeader};
use vestibule_wire::groups::{Agreement, Group};

use super::frame::Frame;
use super::incoming::{Arrived, Incoming, broken};
use super::outgoing::Outgoing;
use crate::error::BenchError;
use crate::meter::Meter;
use crate::reply;
use crate::stream::{BufferedStream, ReadEnd};

/// The sync of the first request beside the transfers, whose syncs are small.
const BESIDE_SYNC: u64 = 1 << 32;

/// Requests beside that may be without an answer; then no more are sent until one comes.
const BESIDE_IN_FLIGHT_MAX: usize = 65_536;

/// What a connection is to do.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    /// The transfers that are in flight all the time: their groups and requests.
    pub(super) transfers: Vec<(Group, Frame)>,
    /// The small requests beside them.
    pub(super) beside: Option<BesideOrders>,
    /// What the server holds of chunks, if they are used.
    pub(super) chunks: Option<Agreement>,
}

/// Small requests, at regular times.
#[derive(Clone, Debug)]
pub(super) struct BesideOrders {
    pub(super) group: Group,
    /// One of them, whose sync is patched.
    pub(super) request: Small,
    pub(super) every: Duration,
}

/// A small request that is made for each sync.
#[derive(Clone, Debug)]
pub(super) struct Small {
    pub(super) stream_id: u64,
    pub(super) request_type: u64,
    /// The body, if it has one.
    pub(super) body: Bytes,
}

impl Small {
    fn with_sync(&self, sync: u64) -> Frame {
        let header = RequestHeader {
            sync,
            stream_id: self.stream_id,
            schema_version: 0,
        };
        let mut out = Vec::new();
        header.write_with(&mut out, self.request_type, |out| {
            out.extend_from_slice(&self.body);
        });
        Frame::from(out)
    }
}

/// What all connections count together.
pub(super) struct BulkCounts {
    pub(super) transfers: Meter,
    pub(super) beside: Meter,
}

/// A connection, and what is in flight on it.
pub(super) struct Link {
    stream: BufferedStream<TcpStream>,
    outgoing: Outgoing,
    incoming: Incoming,
    orders: Orders,
    /// When each transfer was asked for; its sync is its place here.
    asked_at: Vec<Option<Instant>>,
    beside_at: HashMap<u64, Instant>,
    next_sync: u64,
    next_beside: Option<Instant>,
    /// Whether a transfer that is over is followed by the next; not any more at the end.
    is_going_on: bool,
    pub(super) is_readable: bool,
    pub(super) is_writable: bool,
    /// Replies that were taken in and not looked at.
    done: Vec<Done>,
}

/// A reply that has come.
struct Done {
    sync: u64,
    refused: Option<(ErrorCode, String)>,
    size: usize,
}

impl Link {
    pub(super) fn new(stream: TcpStream, orders: Orders) -> Self {
        let mut outgoing = Outgoing::default();
        let mut incoming = Incoming::default();
        if let Some(agreed) = orders.chunks {
            outgoing.cut(agreed);
            incoming.take_chunks();
        }
        Self {
            stream: BufferedStream::new(stream),
            outgoing,
            incoming,
            asked_at: vec![None; orders.transfers.len()],
            beside_at: HashMap::new(),
            next_sync: BESIDE_SYNC,
            next_beside: None,
            is_going_on: true,
            is_readable: true,
            is_writable: true,
            done: Vec::new(),
            orders,
        }
    }

    /// Asks for every transfer that the connection has in flight, and begins with what is beside.
    pub(super) fn start(&mut self, now: Instant) {
        for at in 0..self.orders.transfers.len() {
            self.ask(at, now);
        }
        self.next_beside = self.orders.beside.as_ref().map(|_| now);
    }

    /// Sends nothing new from now on.
    pub(super) fn end(&mut self) {
        self.is_going_on = false;
        self.next_beside = None;
    }

    /// Bytes of values that were ever received, and sent.
    pub(super) fn moved(&self) -> (u64, u64) {
        (self.incoming.values_read, self.outgoing.values_written)
    }

    /// When the next request beside is due.
    pub(super) fn next_beside(&self) -> Option<Instant> {
        self.next_beside
    }

    /// When what is in flight for the longest time was sent.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let transfers = self.asked_at.iter().flatten();
        transfers.chain(self.beside_at.values()).min().copied()
    }

    fn ask(&mut self, at: usize, now: Instant) {
        let (group, frame) = &self.orders.transfers[at];
        self.outgoing.push(*group, frame.clone());
        self.asked_at[at] = Some(now);
    }

    /// Sends what is due, writes and reads a part of what there is. Whether there may be more.
    pub(super) fn work(
        &mut self,
        shared: &mut [u8],
        counts: &mut BulkCounts,
    ) -> Result<bool, BenchError> {
        self.send_beside(Instant::now());
        self.write()?;
        if self.is_readable {
            self.read(shared, counts)?;
            self.write()?;
        }
        Ok(self.is_readable || (self.is_writable && self.outgoing.has_ready()))
    }

    fn send_beside(&mut self, now: Instant) {
        let (Some(due), Some(beside)) = (self.next_beside, &self.orders.beside) else {
            return;
        };
        if due > now {
            return;
        }
        // What could not be sent in time is left out: it would all be sent at once.
        let missed = now.duration_since(due).as_nanos() / beside.every.as_nanos();
        let periods = u32::try_from(missed).unwrap_or(u32::MAX).saturating_add(1);
        self.next_beside = due.checked_add(beside.every.saturating_mul(periods));
        if self.beside_at.len() >= BESIDE_IN_FLIGHT_MAX {
            return;
        }
        let frame = beside.request.with_sync(self.next_sync);
        self.outgoing.push(beside.group, frame);
        self.beside_at.insert(self.next_sync, now);
        self.next_sync += 1;
    }

    fn write(&mut self) -> Result<(), BenchError> {
        if self.is_writable {
            let flushed = self.outgoing.flush(&mut self.stream.stream);
            self.is_writable = flushed.map_err(BenchError::io("sending"))?;
        }
        Ok(())
    }

    fn read(&mut self, shared: &mut [u8], counts: &mut BulkCounts) -> Result<(), BenchError> {
        // A close is seen by the next read, which is asked for then.
        let filled = self.stream.fill(shared, true);
        let filled = filled.map_err(BenchError::io("receiving"))?;
        self.is_readable = filled.end == ReadEnd::More;
        if filled.end == ReadEnd::Closed {
            let closed = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(BenchError::io("receiving")(closed));
        }
        let now = Instant::now();
        let bytes = &shared[..filled.len];
        let (outgoing, done) = (&mut self.outgoing, &mut self.done);
        let used = self.incoming.take(bytes, |arrived| {
            match arrived {
                Arrived::Reply(frame) if frame.is_final() => done.push(Done {
                    sync: frame.sync,
                    refused: reply::refusal(&frame),
                    size: frame.size,
                }),
                Arrived::Reply(_) => {}
                Arrived::Large { code, sync } => done.push(Done {
                    sync,
                    refused: large_refusal(code),
                    size: 0,
                }),
                Arrived::Answer(head) => {
                    let answer = Frame::from(head.as_bytes().to_vec());
                    outgoing.push(Group::Control, answer);
                }
                Arrived::Credit { number, limit } => {
                    outgoing.credit(number, limit).map_err(broken)?;
                }
            }
            Ok(())
        })?;
        self.stream.keep(&bytes[used..]);
        for reply in std::mem::take(&mut self.done) {
            self.count(reply, now, counts)?;
        }
        Ok(())
    }

    fn count(
        &mut self,
        reply: Done,
        now: Instant,
        counts: &mut BulkCounts,
    ) -> Result<(), BenchError> {
        let Done {
            sync,
            refused,
            size,
        } = reply;
        let transfer = self.asked_at.get_mut(sync as usize).and_then(Option::take);
        let (asked, meter) = match (transfer, self.beside_at.remove(&sync)) {
            (Some(asked), _) => (asked, &mut counts.transfers),
            (None, Some(asked)) => (asked, &mut counts.beside),
            (None, None) => {
                let text = format!("a reply to no request in flight, sync {sync}");
                return Err(BenchError::Protocol(text));
            }
        };
        match refused {
            None => meter.served(now.duration_since(asked).as_nanos() as u64, size),
            Some((code, text)) => meter.refused(code, || text),
        }
        if transfer.is_some() && self.is_going_on {
            self.ask(sync as usize, now);
        }
        Ok(())
    }
}

/// An error that is too long for its text to be kept.
fn large_refusal(code: u32) -> Option<(ErrorCode, String)> {
    let frame = ReplyFrame {
        code,
        sync: 0,
        schema_version: None,
        size: 0,
        body: &[],
    };
    let code = frame.error_code()?;
    Some((code, "a long text".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use vestibule_wire::keys::RequestType;

    use super::*;

    #[test]
    fn what_is_beside_is_in_flight_though_no_transfer_is() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let request = Small {
            stream_id: 0,
            request_type: RequestType::Ping as u64,
            body: Bytes::new(),
        };
        let beside = BesideOrders {
            group: Group::Control,
            request,
            every: Duration::from_secs(1),
        };
        let orders = Orders {
            transfers: Vec::new(),
            beside: Some(beside),
            chunks: None,
        };
        let mut link = Link::new(stream, orders);
        let now = Instant::now();
        link.start(now);
        assert_eq!(link.oldest(), None);
        link.send_beside(now);
        assert_eq!(link.oldest(), Some(now));
    }
}
