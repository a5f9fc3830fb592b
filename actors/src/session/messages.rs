//! What a session is told by its worker, beside the replies of Tx.
//!
//! A session handles all that it was told before it reads, takes a frame or sends: its mailbox
//! comes first in each of its turns. So what a worker tells its sessions holds from that moment on,
//! as far as their clients can see.

use actix::Message;
use vestibule_wire::Error;

use crate::connection::intake::Closing;
use crate::hooks::CloseReason;
use crate::messages::Contribution;

/// The serving state is another: look at the cell.
#[derive(Debug)]
pub(crate) struct ServingChanged;

impl Message for ServingChanged {
    type Result = ();
}

/// Events have changed that the client watches, maybe.
#[derive(Debug)]
pub(crate) struct EventsChanged;

impl Message for EventsChanged {
    type Result = ();
}

/// Time has passed for requests that are held, or that wait for a transition.
#[derive(Debug)]
pub(crate) struct ExpireWaiting;

impl Message for ExpireWaiting {
    type Result = ();
}

/// Time has passed for what waits for a credit.
#[derive(Debug)]
pub(crate) struct ExpireStalled;

impl Message for ExpireStalled {
    type Result = ();
}

/// Tx died while it ran the COMMIT of this stream: this is what the client is told when it asks.
#[derive(Debug)]
pub(crate) struct CommitLost {
    pub(crate) stream: u64,
    pub(crate) error: Error,
}

impl Message for CommitLost {
    type Result = ();
}

/// Tx died, and every open transaction with it.
#[derive(Debug)]
pub(crate) struct TransactionsLost;

impl Message for TransactionsLost {
    type Result = ();
}

/// The deadline of a demotion: transactions that may change data are over.
#[derive(Debug)]
pub(crate) struct AbortWriters;

impl Message for AbortWriters {
    type Result = ();
}

/// `vestibule.kill`: end the requests of one sync, or all of them and the connection.
#[derive(Debug)]
pub(crate) struct Kill {
    pub(crate) sync: Option<u64>,
    /// How many requests that were is the worker's part of the answer.
    pub(crate) contribution: Contribution,
}

impl Message for Kill {
    type Result = ();
}

/// Nobody has logged in on a connection that has its slot only for administrators.
#[derive(Debug)]
pub(crate) struct SlotRevoked;

impl Message for SlotRevoked {
    type Result = ();
}

/// The connection is to end.
#[derive(Debug)]
pub(crate) struct Close(pub(crate) Closing, pub(crate) CloseReason);

impl Message for Close {
    type Result = ();
}
