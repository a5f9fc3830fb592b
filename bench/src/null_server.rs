//! The null server, `--floor`: the least that a server on this machine can do for a request.
//!
//! One thread that looks at the length of a request, answers it by the empty reply that a server of
//! ours gives to PING, and writes all replies of a read at once. It knows where clients of this
//! package put the sync and speaks with no others.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use vestibule_wire::Uuid;
use vestibule_wire::client::SYNC_AT;
use vestibule_wire::greeting::{self, SALT_SIZE};
use vestibule_wire::reply::ReplyHeader;

use crate::error::BenchError;
use crate::stream::{BufferedStream, ReadEnd, SHARED_BUFFER_SIZE};

const LISTENER: Token = Token(usize::MAX);
const STOP: Token = Token(usize::MAX - 1);

/// A running null server; stops when dropped.
pub(crate) struct NullServer {
    addr: SocketAddr,
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl NullServer {
    /// Starts on a free port of the loopback interface.
    pub(crate) fn start() -> Result<Self, BenchError> {
        Self::try_start().map_err(BenchError::io("starting the floor"))
    }

    fn try_start() -> io::Result<Self> {
        let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let addr = listener.local_addr()?;
        let poll = Poll::new()?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        let waker = Waker::new(poll.registry(), STOP)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("floor".to_owned())
            .spawn(move || {
                let server = Loop {
                    poll,
                    listener,
                    streams: Vec::new(),
                    shared: vec![0; SHARED_BUFFER_SIZE],
                    replies: Vec::new(),
                };
                if let Err(error) = server.serve(&stopped) {
                    log::error!("the floor failed: {error}");
                }
            })?;
        Ok(NullServer {
            addr,
            stop,
            waker,
            thread: Some(thread),
        })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for NullServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if self.waker.wake().is_ok()
            && let Some(thread) = self.thread.take()
        {
            // It only fails if the thread panicked, which has been printed already.
            let _ = thread.join();
        }
    }
}

struct Loop {
    poll: Poll,
    listener: TcpListener,
    /// By token; a closed one leaves a hole, for the few connections of one run.
    streams: Vec<Option<BufferedStream<TcpStream>>>,
    shared: Vec<u8>,
    replies: Vec<u8>,
}

impl Loop {
    fn serve(mut self, stop: &AtomicBool) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        while !stop.load(Ordering::Relaxed) {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                match event.token() {
                    STOP => {}
                    LISTENER => self.accept()?,
                    Token(number) => {
                        if self.turn(number, event.is_read_closed()).is_err() {
                            self.streams[number] = None;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll
                .registry()
                .register(&mut stream, Token(self.streams.len()), interest)?;
            let mut stream = BufferedStream::new(stream);
            stream.send(&greeting::encode(&Uuid::NIL, &[0; SALT_SIZE]))?;
            self.streams.push(Some(stream));
        }
    }

    /// Answers all that has arrived on a connection; an error means that it is over.
    fn turn(&mut self, number: usize, to_the_end: bool) -> io::Result<()> {
        let Some(stream) = &mut self.streams[number] else {
            return Ok(());
        };
        stream.flush()?;
        loop {
            let filled = stream.fill(&mut self.shared, to_the_end)?;
            let bytes = &self.shared[..filled.len];
            self.replies.clear();
            let used = answer(bytes, &mut self.replies)?;
            stream.keep(&bytes[used..]);
            if !self.replies.is_empty() {
                stream.send(&self.replies)?;
            }
            match filled.end {
                ReadEnd::More => {}
                ReadEnd::Drained => return Ok(()),
                ReadEnd::Closed => return Err(ErrorKind::UnexpectedEof.into()),
            }
        }
    }
}

/// Appends a reply for every whole request and gives the bytes used.
fn answer(bytes: &[u8], replies: &mut Vec<u8>) -> io::Result<usize> {
    let mut used = 0;
    while let Some(prefix) = bytes[used..].first_chunk::<{ SYNC_AT + 4 }>() {
        let [form, a, b, c, d, .., s, y, n, k] = *prefix;
        if form != 0xce {
            return Err(ErrorKind::InvalidData.into());
        }
        let size = 5 + u32::from_be_bytes([a, b, c, d]) as usize;
        if bytes.len() - used < size {
            break;
        }
        let header = ReplyHeader {
            sync: u64::from(u32::from_be_bytes([s, y, n, k])),
            schema_version: 1,
        };
        header.write_empty(replies);
        used += size;
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use vestibule_wire::reply::HEADER_SIZE;

    use super::*;
    use crate::reply;
    use crate::requests::KeyedTemplate;

    /// Size of the reply that the server gives to PING.
    const REPLY_SIZE: usize = HEADER_SIZE + 1;

    #[test]
    fn every_request_is_answered_with_its_sync() {
        let mut requests = Vec::new();
        KeyedTemplate::ping().append(&mut requests, 258, 0);
        KeyedTemplate::replace(512).append(&mut requests, 3, 4);
        let whole = requests.len();
        KeyedTemplate::select(512).append(&mut requests, 5, 6);
        for cut in whole..requests.len() {
            let mut replies = Vec::new();
            assert_eq!(answer(&requests[..cut], &mut replies).unwrap(), whole);
            assert_eq!(replies.len(), 2 * REPLY_SIZE);
            assert_eq!(reply::read(&replies).unwrap().unwrap().sync, 258);
            assert_eq!(
                reply::read(&replies[REPLY_SIZE..]).unwrap().unwrap().sync,
                3
            );
        }
    }
}
