//! The bytes of a scripted server's connection: whole frames, and pieces of them once the client
//! takes chunks.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use vestibule_wire::groups::chunk::{Chunk, First};
use vestibule_wire::groups::{Agreement, Group, Piece, Received, Receiver, Sender};
use vestibule_wire::limits::PACKET_SIZE_MAX;

use crate::incoming::AGREED;
use crate::limits::CHUNK_CREDIT;

/// Frames that wait to be written to a client.
#[derive(Debug, Default)]
pub(super) struct ScriptOutput {
    sender: Mutex<Sender<Bytes>>,
    to_write: Notify,
}

impl ScriptOutput {
    fn sender(&self) -> MutexGuard<'_, Sender<Bytes>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a whole frame.
    pub(super) fn send(&self, group: Group, frame: Vec<u8>) {
        self.sender().push(group, frame.into(), 0);
        self.to_write.notify_one();
    }

    /// The next bytes to write, waited for.
    pub(super) async fn next(&self) -> Vec<u8> {
        loop {
            if let Some(Piece { head, payload }) = self.sender().pick() {
                return [head.as_bytes(), &payload].concat();
            }
            self.to_write.notified().await;
        }
    }
}

/// What comes of requests in chunks, of a client that sends them.
#[derive(Debug, Default)]
pub(super) struct ScriptChunks(Option<Receiver>);

/// What a frame of chunks has brought.
pub(super) enum Brought {
    /// Nothing yet.
    Nothing,
    /// A whole request.
    Request(Vec<u8>),
    /// The client has given up a request that it had begun.
    GivenUp,
    /// The client refuses a reply.
    Refused,
}

impl ScriptChunks {
    /// Both ends have agreed: what is sent from now on is cut; what is answered to ID.
    pub(super) fn agree(&mut self, asked: Agreement, output: &ScriptOutput) -> Agreement {
        self.0 = Some(Receiver::new(AGREED));
        output.sender().cut(asked.at_most(asked));
        AGREED
    }

    /// Whether a frame is one of chunks.
    pub(super) fn is_one(&self, content: &[u8]) -> bool {
        self.0.is_some() && Chunk::is_one(content)
    }

    /// Takes such a frame; `None` if no client sends it, and the connection is to end.
    pub(super) fn take(&mut self, content: &[u8], output: &ScriptOutput) -> Option<Brought> {
        let receiver = self.0.as_mut()?;
        let mut credit = None;
        let brought = match Chunk::read(content).ok()? {
            Chunk::Data {
                number,
                first,
                piece,
            } => match receiver.data(number, first, piece).ok()? {
                Received::Opened(First { total, .. }) if u64::from(total) > PACKET_SIZE_MAX => {
                    output.send(Group::Control, receiver.stop(number, None)?);
                    Brought::Nothing
                }
                Received::Opened(_) | Received::Piece => {
                    credit = receiver.admit_ahead(number, CHUNK_CREDIT);
                    Brought::Nothing
                }
                Received::Complete {
                    content,
                    credit: due,
                    ..
                } => {
                    credit = due;
                    Brought::Request(content)
                }
                Received::Dropped => Brought::Nothing,
            },
            Chunk::Credit { number, limit } => {
                output.sender().credit(number, limit).ok()?;
                output.to_write.notify_one();
                Brought::Nothing
            }
            Chunk::Stop { number, .. } => {
                output.sender().stop(number).ok()?;
                output.to_write.notify_one();
                Brought::Refused
            }
            Chunk::Reset { number, .. } => match receiver.reset(number) {
                true => Brought::GivenUp,
                false => Brought::Nothing,
            },
        };
        if let Some(head) = credit {
            output.send(Group::Control, head.as_bytes().to_vec());
        }
        Some(brought)
    }
}
