//! What the sessions of one worker share by `Rc`. Nothing here knows a session.
//!
//! | file | what |
//! |---|---|
//! | `cell` | what each of them holds of its worker |
//! | `state` | what changes of it: the batch for Tx, buffers, snapshots of catalog and view |
//! | `in_flight` | requests that were forwarded and not answered |
//! | `credits` | a fair queue for the credits to forward more |
//! | `transactions` | which streams of a session have an open transaction |

mod cell;
pub(crate) mod credits;
pub(crate) mod in_flight;
mod state;
pub(crate) mod transactions;

pub(crate) use cell::WorkerCell;
pub(crate) use state::WorkerState;
