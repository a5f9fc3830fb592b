//! The serving state: one shared cell that everyone reads and nobody waits for.
//!
//! ```text
//!   Supervisor, Tx's guards, operators ──store──▶ cell ──load──▶ every session, on every request
//!                                            └── notice ─▶ one message per worker
//!
//!            recovered           guard, operator, watchdog
//!   Loading ──────────▶ Assist ◀────────────────────▶ Solo
//!      │                  │        last reason gone    │
//!      └──────────────────┴───────── drain ────────────┴──▶ Draining ──▶ Stopped
//!                         └──────── demote ────────────────▶ Draining ──▶ Assist, Replica
//! ```
//!
//! The target of a running transition is a separate field ([`DrainTarget`]): announced, a stop
//! changes nothing but the readiness; and a solo during a demotion is still a solo.
//!
//! A session that acts on the old value for one turn is correct by design: what it forwarded
//! meanwhile is revoked by the notice if Tx has not begun it.
//!
//! | file | what |
//! |---|---|
//! | `status` | what stands behind the state, for people and error fields |
//! | `transition` | what is told of the transition under way |
//! | `solo` | reasons for solo |
//! | `admitted` | under what a request was admitted |
//! | `cell` | the shared cell |
//! | `guard` | the means to declare solo |
//! | `events` | the events that clients watch |
//! | `passed` | events of upstreams, that are passed on |

mod admitted;
mod cell;
pub(crate) mod events;
mod guard;
mod passed;
mod solo;
mod status;
#[cfg(test)]
mod tests;
mod transition;

pub(crate) use crate::states::Revocation;
pub use crate::states::{DrainTarget, Role, Serving, State, StateOrRole, UpstreamUse};
pub(crate) use admitted::Admitted;
pub(crate) use cell::ServingCell;
pub use events::Events;
pub(crate) use guard::Solos;
pub use solo::SoloCounts;
pub(crate) use status::Status;
pub(crate) use transition::TransitionView;
pub use transition::{TransitionPhase, TransitionProgress};
