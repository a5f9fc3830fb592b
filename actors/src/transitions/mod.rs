//! Transitions: changes of the role, drains of upstreams, and stops. A pure machine decides: one
//! deadline, handed to every step, and an answer for every caller.
//!
//! ```text
//!   announce ─▶ quiesce ─▶ grace ─▶ abort ─▶ settle ─▶ done ─▶ the one that waits, if any
//!      │           │         │       │        └ Stopped: Tx closes its engine, and what came after
//!      │           │         │       │          that is answered; a role: at once
//!      │           │         │       └ every worker has answered its clients, or the slack is over
//!      │           │         └ every worker is quiet ─▶ settle;  the deadline ─▶ abort
//!      │           └ every worker has seen the new state and told what it waits for
//!      └ the lameduck of a stop
//!
//!   asked for while one is under way:  the same again ─▶ waits for its end; a stop ends sooner if
//!                                                        the later one gives it less time
//!                                      another role   ─▶ waits for its turn; the latest wins
//!                                      an upstream    ─▶ the same, for each upstream by itself
//!                                      a stop         ─▶ at once; nothing follows a stop
//! ```
//!
//! A transition ends [`TRANSITION_SLACK`](crate::limits::TRANSITION_SLACK) after its deadline at
//! the latest, whatever the workers, Tx and the clients do: the machine waits for nobody without a
//! time.
//!
//! | file | what |
//! |---|---|
//! | `counts` | requests by class |
//! | `request` | what is asked for |
//! | `report` | phases, what workers tell, how it went |
//! | `record`, `log` | what is remembered of the last transitions |
//! | `outcome` | what those who asked are told |
//! | `action` | what the machine has its shell do |
//! | `current` | the transition under way |
//! | `machine` | the machine; the Supervisor is its shell |

mod action;
mod counts;
mod current;
mod log;
mod machine;
mod outcome;
mod record;
mod report;
mod request;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod upstream_tests;

pub(crate) use action::{Action, CallerId};
pub use counts::Counts;
pub use log::TransitionCount;
pub(crate) use log::TransitionLog;
pub(crate) use machine::Machine;
pub use outcome::{TransitionOutcome, TransitionResult};
pub use record::{Phases, RecordedResult, StopReport, TransitionRecord};
pub(crate) use report::{CutOffCounts, TransitionReport, WaitedFor};
pub(crate) use request::{AskedTimes, TransitionRequest, TransitionScope, TransitionTarget};
