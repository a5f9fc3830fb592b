//! Clients that hold up a transition: writers, transactions that stay open, one that blocks the server's
//! thread, and clients that do not read what they asked for.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, Scope};
use std::time::Duration;

use vestibule_wire::keys::{self, RequestType};
use vestibule_wire::msgpack::{write_array_len, write_f64, write_map_len, write_uint};

use super::super::control::{Control, Target};
use super::super::request::{Random, Template, call_body, frame, stream_frame};
use super::super::{BenchError, reply};

const WRITES_AT_ONCE: u32 = 16;
const TRANSACTION_MAX: Duration = Duration::from_millis(300);
const BLOCK_MAX: Duration = Duration::from_millis(400);
const BETWEEN_BLOCKS_MAX: Duration = Duration::from_millis(200);
/// How many SELECTs of the whole space a client asks for that does not read, and for how long.
const UNREAD_REQUESTS: usize = 64;
const UNREAD_MAX: Duration = Duration::from_millis(500);
const STREAM: u64 = 1;

/// What the clients need to know.
pub(super) struct Trouble<'a> {
    pub(super) target: &'a Target,
    pub(super) space: u32,
    pub(super) keys: u32,
    /// The procedure that blocks the server's thread, if that is wanted.
    pub(super) block: Option<&'a str>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Writer,
    Transaction,
    Blocker,
    NonReader,
}

impl Trouble<'_> {
    /// Starts so many clients of each kind, but one that blocks, until `is_over`.
    pub(super) fn make<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        clients: u32,
        is_over: &'env AtomicBool,
    ) {
        let mut number = 0;
        for kind in [Kind::Writer, Kind::Transaction, Kind::NonReader] {
            for _ in 0..clients {
                number += 1;
                scope.spawn(move || self.keep_on(kind, Random::new(number), is_over));
            }
        }
        if self.block.is_some() {
            scope.spawn(move || self.keep_on(Kind::Blocker, Random::new(number + 1), is_over));
        }
    }

    /// One client; comes again when its connection is closed.
    fn keep_on(&self, kind: Kind, mut random: Random, is_over: &AtomicBool) {
        while !is_over.load(Relaxed) {
            let Ok(stream) = Control::open(self.target).map(Control::into_stream) else {
                continue;
            };
            let mut client = Client {
                stream,
                received: Vec::new(),
            };
            // Whatever the server answers to trouble is right; what is measured is the transition.
            while !is_over.load(Relaxed) && self.once(kind, &mut client, &mut random).is_ok() {}
        }
    }

    fn once(&self, kind: Kind, client: &mut Client, random: &mut Random) -> Result<(), BenchError> {
        let mut upto = |most: Duration| most.mul_f64(random.next() as f64 / u64::MAX as f64);
        let replace = |out: &mut Vec<u8>, sync: u32, key: u64| {
            let key = (key % u64::from(self.keys)) as u32;
            Template::replace(self.space).append(out, sync, key);
        };
        match kind {
            Kind::Writer => {
                let mut requests = Vec::new();
                for sync in 0..WRITES_AT_ONCE {
                    replace(&mut requests, sync, random.next());
                }
                client.ask(&requests, WRITES_AT_ONCE)
            }
            Kind::Transaction => {
                client.ask(&stream_frame(RequestType::Begin, STREAM, &[0x80]), 1)?;
                client.ask(&self.replace_in_stream(0), 1)?;
                pause(upto(TRANSACTION_MAX));
                client.ask(&stream_frame(RequestType::Commit, STREAM, &[0x80]), 1)
            }
            Kind::Blocker => {
                let body = call_body(self.block.unwrap_or_default(), |arguments| {
                    write_array_len(arguments, 1);
                    write_f64(arguments, upto(BLOCK_MAX).as_secs_f64());
                });
                client.ask(&frame(RequestType::Call, 1, &body), 1)?;
                pause(upto(BETWEEN_BLOCKS_MAX));
                Ok(())
            }
            Kind::NonReader => {
                let requests = self.select_all().repeat(UNREAD_REQUESTS);
                client.send(&requests)?;
                pause(upto(UNREAD_MAX));
                // Leaves without having read anything.
                Err(BenchError::io("leaving")(ErrorKind::Other.into()))
            }
        }
    }

    fn replace_in_stream(&self, key: u32) -> Vec<u8> {
        let mut body = Vec::new();
        write_map_len(&mut body, 2);
        write_uint(&mut body, keys::SPACE_ID);
        write_uint(&mut body, u64::from(self.space));
        write_uint(&mut body, keys::TUPLE);
        write_array_len(&mut body, 2);
        write_uint(&mut body, u64::from(key));
        write_uint(&mut body, u64::from(key));
        stream_frame(RequestType::Replace, STREAM, &body)
    }

    fn select_all(&self) -> Vec<u8> {
        const ALL: u64 = 2;
        let mut body = Vec::new();
        write_map_len(&mut body, 4);
        let numbers = [
            (keys::SPACE_ID, u64::from(self.space)),
            (keys::ITERATOR, ALL),
            (keys::LIMIT, u64::from(u32::MAX)),
        ];
        for (key, value) in numbers {
            write_uint(&mut body, key);
            write_uint(&mut body, value);
        }
        write_uint(&mut body, keys::KEY);
        write_array_len(&mut body, 0);
        frame(RequestType::Select, 1, &body)
    }
}

struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    fn send(&mut self, requests: &[u8]) -> Result<(), BenchError> {
        self.stream
            .write_all(requests)
            .map_err(BenchError::io("sending"))
    }

    /// Sends, and waits for so many answers, whatever they say.
    fn ask(&mut self, requests: &[u8], count: u32) -> Result<(), BenchError> {
        self.send(requests)?;
        let mut left = count;
        while left > 0 {
            match reply::parse(&self.received)? {
                Some(reply) => {
                    left -= u32::from(reply.is_final());
                    self.received.drain(..reply.size);
                }
                None => self.receive().map_err(BenchError::io("receiving"))?,
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            size => {
                self.received.extend_from_slice(&chunk[..size]);
                Ok(())
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "on threads of the generator, which wait for nothing else"
)]
pub(super) fn pause(time: Duration) {
    thread::sleep(time);
}
