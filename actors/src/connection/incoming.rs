//! Requests that come in chunks, until they are whole.
//!
//! ```text
//!   pieces ─▶ receiver ─▶ whole ─▶ dispatched, as any other
//!                            └▶ kept, if it finds no credit: its last piece comes again then
//! ```

use vestibule_wire::Error;
use vestibule_wire::groups::chunk::First;
use vestibule_wire::groups::{Agreement, DamagedSequence, Received, Receiver};

use crate::limits::{CHUNK_CREDIT, CHUNK_MESSAGES_MAX, CHUNK_WINDOW};

/// What a server holds of messages in chunks, for each connection that sends them.
pub(crate) const AGREED: Agreement = Agreement {
    window: CHUNK_WINDOW,
    messages_max: CHUNK_MESSAGES_MAX,
};

/// The messages in chunks of one connection.
#[derive(Debug)]
pub(crate) struct Incoming {
    receiver: Receiver,
    /// A whole request, without its length prefix, that was not taken yet.
    kept: Option<Vec<u8>>,
}

/// What a piece has brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Brought {
    /// What is to be sent back.
    pub(crate) answer: Vec<u8>,
    /// A whole request.
    pub(crate) request: Option<Vec<u8>>,
}

impl Default for Incoming {
    fn default() -> Self {
        let (receiver, kept) = (Receiver::new(AGREED), None);
        Self { receiver, kept }
    }
}

impl Incoming {
    /// Memory that it takes, in bytes.
    pub(crate) fn allocated(&self) -> usize {
        self.receiver.allocated() + self.kept.as_ref().map_or(0, Vec::capacity)
    }

    /// The request that was not taken, if there is one.
    pub(crate) fn take_kept(&mut self) -> Option<Vec<u8>> {
        self.kept.take()
    }

    /// The request could not be taken: its last piece comes again.
    pub(crate) fn keep(&mut self, request: Vec<u8>) {
        self.kept = Some(request);
    }

    /// Takes a piece.
    pub(crate) fn data(
        &mut self,
        number: u32,
        first: Option<First>,
        piece: &[u8],
        packet_size_max: u64,
    ) -> Result<Brought, DamagedSequence> {
        let mut brought = Brought::default();
        match self.receiver.data(number, first, piece)? {
            Received::Opened(first) if u64::from(first.total) > packet_size_max => {
                let what = format!("too big packet size in the header: {}", first.total);
                let error = Error::invalid_msgpack(&what);
                brought
                    .answer
                    .extend(self.receiver.stop(number, Some(&error)).unwrap_or_default());
            }
            Received::Opened(_) | Received::Piece => {
                if let Some(credit) = self.receiver.admit_ahead(number, CHUNK_CREDIT) {
                    brought.answer.extend_from_slice(credit.as_bytes());
                }
            }
            Received::Complete {
                content, credit, ..
            } => {
                if let Some(credit) = credit {
                    brought.answer.extend_from_slice(credit.as_bytes());
                }
                brought.request = Some(content);
            }
            Received::Dropped => {}
        }
        Ok(brought)
    }

    /// The client has given a message up. False if there is none such.
    pub(crate) fn reset(&mut self, number: u32) -> bool {
        self.receiver.reset(number)
    }
}

/// The error that ends a connection whose chunks cannot be understood.
pub(crate) fn damage(what: impl std::fmt::Display) -> Error {
    Error::invalid_msgpack(&what.to_string())
}
