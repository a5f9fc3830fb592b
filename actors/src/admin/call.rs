//! A call of a control procedure, and what the session that was called has to do.
//!
//! The procedures know neither sessions nor other actors: what has to be done there is their
//! answer.

use std::time::{Duration, Instant};

use vestibule_wire::Error;

use crate::endpoints::PeerAddress;
use crate::engine::Caller;
use crate::engine::procedures::Audience;
use crate::messages::FanOut;
use crate::shared::Shared;
use crate::transitions::TransitionRequest;
use crate::upstream::ReadFrom;

/// A control procedure: a row of [`PROCEDURES`](super::procedures::PROCEDURES).
#[derive(Debug)]
pub(crate) struct ControlProcedure {
    pub(crate) name: &'static str,
    pub(crate) audience: Audience,
    /// As they stand between the parentheses of the usage.
    pub(crate) arguments: &'static str,
    pub(crate) run: RunControl,
}

/// Writes what is to be answered, or says what is to be done first.
pub(crate) type RunControl = fn(&ControlCall<'_>, &mut Vec<u8>) -> Result<Answer, Error>;

/// One call of a control procedure.
pub(crate) struct ControlCall<'a> {
    pub(crate) procedure: &'static ControlProcedure,
    /// The arguments, as a MessagePack array.
    pub(crate) args: &'a [u8],
    pub(crate) sync: u64,
    pub(crate) caller: &'a Caller,
    /// Address of the caller.
    pub(crate) peer: PeerAddress,
    pub(crate) shared: &'a Shared,
    pub(crate) now: Instant,
}

impl ControlProcedure {
    /// Refuses arguments that are not what the procedure takes.
    pub(crate) fn usage(&self) -> Error {
        let Self {
            name, arguments, ..
        } = self;
        Error::illegal_params(format!("Usage: {name}({arguments})"))
    }
}

impl ControlCall<'_> {
    /// Who calls, as logs and lists of transitions tell it.
    pub(super) fn requested_by(&self) -> String {
        format!("{} from {}", self.caller.user, self.peer)
    }
}

/// What becomes of a call of a control procedure.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    /// The body is written.
    Written,
    /// The connection takes over a setting; answered with what holds then, in seconds.
    Set(Setting),
    /// Every worker adds its part; answered when the last one has.
    FanOut(FanOut),
    /// A transition is asked for; answered as soon as it has begun, or is refused.
    AtStart(TransitionRequest),
    /// A transition is asked for; answered when it is over, or is refused.
    AtEnd(TransitionRequest),
    /// The embedder loads its configuration again; answered when that is done, or refused.
    Reload {
        /// Who wants it.
        requested_by: String,
    },
}

/// What a connection may choose for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    /// How long its requests may take: zero for ever, `None` as configured.
    RequestTimeout(Option<Duration>),
    /// Where its SELECTs are answered; `None` as where it came in.
    ReadFrom(Option<ReadFrom>),
}
