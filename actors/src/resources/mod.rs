//! What the sessions of one worker share by `Rc`. Nothing here knows a session.
//!
//! | file | what |
//! |---|---|
//! | `cell` | what each of them holds of its worker |
//! | `state` | what changes of it: the parts below, and what is counted for all sessions |
//! | `outgoing` | the batch for Tx |
//! | `buffers` | memory that sessions lend each other |
//! | `large_buffers` | what large requests have left of it |
//! | `published` | the catalog and the read view |
//! | `paused` | connections that are not read for now |
//! | `in_flight` | requests that were forwarded and not answered |
//! | `looks` | when sessions are looked at again |
//! | `logins` | what was told to the log of logins |
//! | `turns` | how long a session's turn may go on, and who waits for another one |
//! | `credits` | a fair queue for the credits to forward more |
//! | `transactions` | which streams of a session have an open transaction |

mod buffers;
mod cell;
pub(crate) mod credits;
pub(crate) mod in_flight;
mod large_buffers;
pub(crate) mod logins;
mod looks;
pub(crate) mod outgoing;
mod paused;
mod published;
mod state;
pub(crate) mod transactions;
pub(crate) mod turns;

pub(crate) use buffers::Buffers;
pub(crate) use cell::WorkerCell;
pub(crate) use state::WorkerState;
