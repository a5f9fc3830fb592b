//! What the actors tell each other, and the handles by which they do. No actor is named here, so
//! that every actor may know the messages of every other.
//!
//! | file | what |
//! |---|---|
//! | `worker` | what a worker is told, and its handle |
//! | `tx` | batches to Tx, replies from it, and its handle |
//! | `supervisor` | what the Supervisor is told, and its handle |
//! | `gather` | what is asked of every worker, and its answer |
//! | `look_around` | a clock was wound by hand |
//! | `post` | how they are told |
//! | `reply_to` | where the reply of such a question goes |
//! | `session_id` | how a session is named |

mod gather;
mod look_around;
pub(crate) mod post;
mod reply_to;
mod session_id;
pub(crate) mod supervisor;
pub(crate) mod tx;
pub(crate) mod worker;

pub(crate) use gather::{
    Contribute, Contribution, FanOut, Gather, Gathered, KillTarget, Row, sum_of_killed,
};
#[cfg(feature = "testing")]
pub(crate) use look_around::LookAround;
pub(crate) use look_around::LooksAround;
pub(crate) use reply_to::{ReplyTo, WaitId};
pub(crate) use session_id::SessionId;
pub(crate) use supervisor::{Requester, SupervisorHandle, TxEvent, WorkerReport};
pub(crate) use worker::{IncomingConnection, WorkerHandle};
