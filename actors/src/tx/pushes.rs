//! Pushes: from Tx, an async procedure or any thread to the client of one request, past the turn.
//!
//! ```text
//!   push ─▶ room? ─▶ the worker's mailbox, ahead of the reply ─▶ the session's output
//!             └ none: an error, or a wait until its client has read
//! ```

use std::sync::Arc;

use actix::Recipient;
use futures::future::BoxFuture;
use vestibule_wire::reply::{HEADER_SIZE, ReplyHeader};
use vestibule_wire::{Error, ErrorCode};

use crate::cells::claims::{Claim, RequestId};
use crate::engine::{CancelToken, Pusher, Pushes};
use crate::limits::{CONNECTION_REPLY_BYTES_MAX, MEMORY_SMALL, PUSH_SIZE_MAX};
use crate::memory::OutputGauge;
use crate::messages::post::Post as _;
use crate::messages::tx::Push;
use crate::shared::Shared;

/// What a push counts at least, so that their number is bounded as well, in bytes.
const PUSH_COST_MIN: usize = 256;

/// Where the pushes of one request would go.
#[derive(Clone, Copy)]
pub(super) struct PushOrigin<'a> {
    pub(super) worker: &'a Recipient<Push>,
    pub(super) claim: Claim<'a>,
    pub(super) header: ReplyHeader,
    pub(super) gauge: &'a Arc<OutputGauge>,
    pub(super) shared: &'a Arc<Shared>,
}

impl PushOrigin<'_> {
    /// The means to push.
    pub(super) fn pusher(&self) -> Pusher {
        Pusher::new(Arc::new(RequestPushes {
            worker: self.worker.clone(),
            id: self.claim.id,
            token: self.claim.token(),
            header: self.header,
            gauge: self.gauge.clone(),
            shared: self.shared.clone(),
        }))
    }
}

/// The pushes of one request.
struct RequestPushes {
    worker: Recipient<Push>,
    id: RequestId,
    token: CancelToken,
    header: ReplyHeader,
    gauge: Arc<OutputGauge>,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for RequestPushes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestPushes")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl RequestPushes {
    /// Whether another push may be made: for a client that reads.
    fn has_room(&self) -> bool {
        let held = self.gauge.output_and_pushed();
        let memory = &self.shared.memory;
        held < MEMORY_SMALL
            || held < CONNECTION_REPLY_BYTES_MAX
                && memory.may_reply(held, || self.shared.slots.count())
    }
}

impl Pushes for RequestPushes {
    fn try_push(&self, body: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
        if self.token.is_cancelled() {
            return Err(Error::cancelled());
        }
        if body.len() > PUSH_SIZE_MAX {
            let text = format!(
                "A push of {} bytes: {PUSH_SIZE_MAX} are allowed",
                body.len()
            );
            return Err(Error::illegal_params(text));
        }
        if self.gauge.is_closed() {
            return Ok(None);
        }
        if !self.has_room() {
            return Ok(Some(body));
        }
        let mut frame = Vec::with_capacity(HEADER_SIZE + body.len());
        self.header.write_push(&mut frame, &body);
        let cost = frame.len().max(PUSH_COST_MIN);
        let charge = self.gauge.begin_push(&self.shared.memory, cost);
        let id = self.id;
        let charge = Some(charge);
        self.worker.post(Push { id, frame, charge });
        Ok(None)
    }

    fn no_room(&self) -> Error {
        let text = "The client does not read what is pushed to it";
        Error::new(ErrorCode::MEMORY_ISSUE, text)
    }

    fn push<'a>(&'a self, mut body: Vec<u8>) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            loop {
                // Asked for before, so that no room is missed that comes between.
                let room = self.gauge.more_room();
                match self.try_push(body)? {
                    None => return Ok(()),
                    Some(own) => body = own,
                }
                room.await;
            }
        })
    }
}
