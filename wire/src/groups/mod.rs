//! Message groups: how those who share a connection share it fairly, in bytes.
//!
//! ```text
//!  messages ─▶ Sender: one queue per group, whose turn it is ─▶ whole messages, or chunks
//!                                                                        │
//!  messages ◀─ Receiver: one message under way per group ◀───────────────┘
//! ```
//!
//! A stream is a group. What belongs to no stream is grouped by its class. The groups exist while
//! they have something to send. Both ends of a connection use the same, in both directions.
//!
//! | module | what |
//! |---|---|
//! | `group` | who shares |
//! | `scheduler` | whose turn it is: deficit round robin |
//! | `chunk` | the frames of pieces, credit and resets |
//! | `ledger` | what may be sent of messages that are cut |
//! | `pace` | how much is taken ahead of the socket |
//! | `sender` | which bytes go out next |
//! | `receiver` | pieces become messages again |

pub mod chunk;
mod group;
mod ledger;
mod pace;
#[cfg(test)]
mod part_tests;
mod receiver;
mod scheduler;
mod sender;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod transfer_tests;
#[cfg(test)]
mod waiting_tests;

pub use group::Group;
pub use ledger::{Agreement, WrongCredit};
pub use pace::Pace;
pub use receiver::{Assembly, DamagedSequence, Received, Receiver};
pub use sender::{Payload, Piece, Sender};
