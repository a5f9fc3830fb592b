//! Clients that hold up a transition: writers, transactions that stay open, one that blocks the
//! server's thread, and clients that do not read what they asked for.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, Scope};
use std::time::Duration;

use fastrand::Rng;
use vestibule_wire::msgpack::{write_array_len, write_f64, write_uint};
use vestibule_wire::request::{After, Begin, Body, IdOrName, IteratorType, Select, Store};

use crate::client::{BlockingClient, Endpoint};
use crate::error::BenchError;
use crate::requests::{KeyedTemplate, call, frame, stream_frame};

const WRITES_AT_ONCE: u32 = 16;
const TRANSACTION_MAX: Duration = Duration::from_millis(300);
const BLOCK_MAX: Duration = Duration::from_millis(400);
const BETWEEN_BLOCKS_MAX: Duration = Duration::from_millis(200);
/// How many SELECTs of the whole space a client asks for that does not read, and for how long.
const UNREAD_REQUESTS: usize = 64;
const UNREAD_MAX: Duration = Duration::from_millis(500);
const STREAM: u64 = 1;
const BEGIN: Body<'_> = Body::Begin(Begin {
    timeout: None,
    isolation: 0,
});

/// What the clients need to know.
pub(super) struct Disturbance<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) space: u32,
    pub(super) keys: u32,
    /// The procedure that blocks the server's thread, if that is wanted.
    pub(super) block: Option<&'a str>,
}

#[derive(Debug, Clone, Copy)]
enum Hindrance {
    Writer,
    Transaction,
    Blocker,
    NonReader,
}

impl Disturbance<'_> {
    /// Starts `clients` clients of each kind, but one that blocks, until `is_over`.
    pub(super) fn make<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        clients: u32,
        is_over: &'env AtomicBool,
    ) {
        let mut number = 0;
        for kind in [
            Hindrance::Writer,
            Hindrance::Transaction,
            Hindrance::NonReader,
        ] {
            for _ in 0..clients {
                number += 1;
                scope.spawn(move || self.keep_on(kind, Rng::with_seed(number), is_over));
            }
        }
        if self.block.is_some() {
            scope.spawn(move || {
                self.keep_on(Hindrance::Blocker, Rng::with_seed(number + 1), is_over)
            });
        }
    }

    /// One client; comes again when its connection is closed.
    fn keep_on(&self, kind: Hindrance, mut random: Rng, is_over: &AtomicBool) {
        while !is_over.load(Relaxed) {
            let Ok(mut client) = BlockingClient::open(self.endpoint) else {
                continue;
            };
            // Whatever the server answers to a disturbance is right; what is measured is the
            // transition.
            while !is_over.load(Relaxed) && self.once(kind, &mut client, &mut random).is_ok() {}
        }
    }

    fn once(
        &self,
        kind: Hindrance,
        client: &mut BlockingClient,
        random: &mut Rng,
    ) -> Result<(), BenchError> {
        let mut upto = |most: Duration| most.mul_f64(random.f64());
        let replace = |out: &mut Vec<u8>, sync: u32, key: u64| {
            let key = (key % u64::from(self.keys)) as u32;
            KeyedTemplate::replace(self.space).append(out, sync, key);
        };
        match kind {
            Hindrance::Writer => {
                let mut requests = Vec::new();
                for sync in 0..WRITES_AT_ONCE {
                    replace(&mut requests, sync, random.u64(..));
                }
                ask(client, &requests, WRITES_AT_ONCE as usize)
            }
            Hindrance::Transaction => {
                ask(client, &stream_frame(STREAM, &BEGIN), 1)?;
                ask(client, &self.replace_in_stream(0), 1)?;
                pause(upto(TRANSACTION_MAX));
                ask(client, &stream_frame(STREAM, &Body::Commit), 1)
            }
            Hindrance::Blocker => {
                let mut seconds = Vec::new();
                write_array_len(&mut seconds, 1);
                write_f64(&mut seconds, upto(BLOCK_MAX).as_secs_f64());
                let procedure = self.block.unwrap_or_default();
                ask(client, &frame(&call(procedure, &seconds)), 1)?;
                pause(upto(BETWEEN_BLOCKS_MAX));
                Ok(())
            }
            Hindrance::NonReader => {
                let requests = self.select_all().repeat(UNREAD_REQUESTS);
                client.send(&requests, "sending")?;
                pause(upto(UNREAD_MAX));
                // Leaves without having read anything.
                Err(BenchError::io("leaving")(ErrorKind::Other.into()))
            }
        }
    }

    fn replace_in_stream(&self, key: u32) -> Vec<u8> {
        let mut row = Vec::new();
        write_array_len(&mut row, 2);
        write_uint(&mut row, u64::from(key));
        write_uint(&mut row, u64::from(key));
        let replace = Body::Replace(Store {
            space: IdOrName::Id(self.space),
            tuple: &row,
        });
        stream_frame(STREAM, &replace)
    }

    fn select_all(&self) -> Vec<u8> {
        frame(&Body::Select(Select {
            space: IdOrName::Id(self.space),
            index: IdOrName::Id(0),
            limit: u64::from(u32::MAX),
            offset: 0,
            iterator: IteratorType::All as u64,
            key: &[0x90],
            fetch_position: false,
            after: After::Start,
        }))
    }
}

/// Sends, and waits for `count` answers, whatever they say.
fn ask(client: &mut BlockingClient, requests: &[u8], count: usize) -> Result<(), BenchError> {
    client.exchange_any(requests, count, "disturbing", |_| Ok(()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "on threads of the generator, which wait for nothing else"
)]
pub(super) fn pause(time: Duration) {
    thread::sleep(time);
}
