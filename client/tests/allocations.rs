//! What a client takes of the allocator for requests that share a connection, once it has sent
//! some: in a process of its own, whose memory is counted, with a server that takes none.

use std::alloc::System;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use vestibule_client::{Client, Value};
use vestibule_wire::Uuid;
use vestibule_wire::features::Features;
use vestibule_wire::frame::PREFIX_SIZE;
use vestibule_wire::greeting;
use vestibule_wire::groups::Agreement;
use vestibule_wire::groups::chunk::{self, Chunk};
use vestibule_wire::header::read_header;
use vestibule_wire::keys::RequestType;
use vestibule_wire::reply::ReplyHeader;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const LARGE: usize = 3 << 20;
const ROUNDS: usize = 20;
const TIMES: usize = 5;

/// A server that says yes to everything, in memory that is there before it begins.
struct Yes {
    stream: TcpStream,
    buffer: Vec<u8>,
    from: usize,
    to: usize,
    output: Vec<u8>,
    /// Of the request in chunks that is under way: its number, sync and rest.
    large: Option<(u32, u64, usize)>,
}

/// Listens for one connection.
fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client comes");
        stream.set_nodelay(true).expect("it can be set");
        let greeting = greeting::encode(&Uuid::from_bytes([1; 16]), &[0; greeting::SALT_SIZE]);
        stream.write_all(&greeting).expect("the client reads");
        let mut yes = Yes {
            stream,
            buffer: vec![0; LARGE + (1 << 20)],
            from: 0,
            to: 0,
            output: Vec::with_capacity(1 << 20),
            large: None,
        };
        while yes.step() {}
    });
    address
}

impl Yes {
    /// Answers all requests that are there and reads more; false if the client is gone.
    fn step(&mut self) -> bool {
        while let Some([_, length @ ..]) =
            self.buffer[self.from..self.to].first_chunk::<PREFIX_SIZE>()
        {
            let end = self.from + PREFIX_SIZE + u32::from_be_bytes(*length) as usize;
            if end > self.to {
                break;
            }
            self.take(self.from + PREFIX_SIZE, end);
            self.from = end;
        }
        self.stream
            .write_all(&self.output)
            .expect("the client reads");
        self.output.clear();
        self.buffer.copy_within(self.from..self.to, 0);
        (self.from, self.to) = (0, self.to - self.from);
        let read = self.stream.read(&mut self.buffer[self.to..]).unwrap_or(0);
        self.to += read;
        read > 0
    }

    fn take(&mut self, start: usize, end: usize) {
        let content = &self.buffer[start..end];
        if !Chunk::is_one(content) {
            let (header, _) = read_header(content).expect("a request");
            let is_id = header.request_type == RequestType::Id as u64;
            return self.reply(header.sync, is_id);
        }
        match Chunk::read(content).expect("in form") {
            Chunk::Data {
                number,
                first,
                piece,
            } => {
                if let Some(first) = first {
                    let (header, _) = read_header(piece).expect("a request");
                    self.large = Some((number, header.sync, first.total as usize));
                    let credit = chunk::credit(number, first.total);
                    self.output.extend_from_slice(credit.as_bytes());
                }
                let Some((_, sync, rest)) = &mut self.large else {
                    panic!("it was begun");
                };
                *rest -= piece.len();
                if *rest == 0 {
                    let sync = *sync;
                    self.reply(sync, false);
                }
            }
            other => panic!("{other:?}"),
        }
    }

    fn reply(&mut self, sync: u64, is_id: bool) {
        let header = ReplyHeader {
            sync,
            schema_version: 1,
        };
        if is_id {
            let agreed = Agreement {
                window: 64 << 10,
                messages_max: 4,
            };
            header.write_id(&mut self.output, Features::NONE, Some(agreed));
        } else {
            header.write_empty(&mut self.output);
        }
    }
}

/// Allocations for each of the requests that `ask` asks, in a client that has asked some: the
/// fewest, for its clocks tick beside it.
async fn per_request(requests: usize, ask: impl AsyncFn()) -> f64 {
    let mut least = f64::MAX;
    for _ in 0..TIMES {
        let region = Region::new(ALLOCATOR);
        for _ in 0..ROUNDS {
            ask().await;
        }
        let stats = region.change();
        let taken = (stats.allocations + stats.reallocations) as f64;
        least = least.min(taken / (ROUNDS * requests) as f64);
    }
    least
}

async fn connect(chunks: bool) -> Client {
    let builder = Client::builder(serve().to_string()).chunks(chunks);
    builder.connect().await.expect("it listens")
}

/// Encoding, waiting for the reply, and the reply.
const PING_MAX: f64 = 4.0;

#[tokio::test]
async fn a_request_takes_the_same_few_allocations_whoever_shares_its_connection() {
    let bytes = Value::Bytes(vec![7; LARGE]);
    let mut large = [0.0; 2];
    for (chunks, large) in [false, true].into_iter().zip(&mut large) {
        let client = connect(chunks).await;
        let ping = async || client.ping().await.expect("yes");
        let send = async || {
            let reply = client.call::<()>("store", &(&bytes,)).await;
            reply.expect("yes");
        };
        let alone = per_request(1, &ping).await;
        *large = per_request(1, &send).await;
        let eight = per_request(8, async || {
            tokio::join!(
                send(),
                ping(),
                ping(),
                ping(),
                ping(),
                ping(),
                ping(),
                ping()
            );
        });
        let beside = eight.await;
        let told = format!("chunks {chunks}: {alone}, {large}, {beside}");
        assert!(
            alone <= PING_MAX && beside <= (7.0 * PING_MAX + *large) / 8.0,
            "{told}"
        );
    }
    // It has 192 chunks.
    assert!(large[1] <= large[0] + 1.0, "{large:?}");
}
