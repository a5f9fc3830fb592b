//! What the machine has its shell do.

use std::time::{Duration, Instant};

use super::outcome::TransitionResult;
use super::report::TransitionReport;
use super::request::{TransitionRequest, TransitionTarget};

/// Who waits for an answer. The machine answers each exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CallerId(pub(crate) u64);

/// What the shell has to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// A transition begins: remember it.
    Begin(Box<TransitionRequest>),
    /// The readiness goes red; everything is still served.
    Announce,
    /// The state becomes `Draining`; of a stop, the listeners close.
    Quiesce,
    /// Nothing older may be written; every worker answers its clients now: at the deadline, and in
    /// each stop. Once.
    CutOff,
    /// Ask Tx to close its engine.
    StopTx,
    /// The new state holds.
    Establish(TransitionTarget),
    /// Call [`Machine::on_time`](super::Machine::on_time) at this time.
    WakeAt(Instant),
    /// The same, for a caller who waits no longer than that: nobody needs it once the caller is
    /// told or withdrawn.
    WaitUntil(CallerId, Instant),
    /// A stop that is under way is given less time: so long after its beginning.
    Shorten(Duration),
    /// The transition is over: complete what is remembered.
    End(Box<TransitionReport>),
    /// Tell a caller.
    Answer(CallerId, TransitionResult),
}
