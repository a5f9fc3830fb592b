//! The serving states, the roles, and what each means: code that acts on a state asks its row here.
//!
//! A new state is one row of the table below, and its column in [`admission`](crate::admission).

use std::fmt;

use serde::Serialize;
use vestibule_wire::ErrorCode;

/// What a state means for those who act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StateTraits {
    /// As it stands in `vestibule.state()` and in error fields.
    pub(crate) name: &'static str,
    /// The engine has recovered: its data may be read.
    pub(crate) has_recovered: bool,
    /// Connections are served, in whatever way.
    pub(crate) serves: bool,
    /// Requests go to Tx.
    pub(crate) forwards: bool,
    /// Tx is blocked: the network side answers what it can, and the solo policy decides on the
    /// rest.
    pub(crate) answers_alone: bool,
    /// Connection pools are told that it runs.
    pub(crate) is_ready: bool,
    /// New changes of data are taken, if the role allows them.
    pub(crate) accepts_writes: bool,
    /// The state is entered by a transition, which the Supervisor records; else a change to it is
    /// over at once.
    pub(crate) is_of_transition: bool,
    /// What becomes of queued requests when it is entered.
    pub(crate) revokes: Revocation,
}

/// What becomes of requests that Tx has not begun when a state is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Revocation {
    /// Requests stay queued.
    Nothing,
    /// Requests are taken back, and the solo policy of each connection decides on them.
    ByPolicy,
    /// Requests are taken back and refused with this code.
    With(ErrorCode),
}

macro_rules! states {
    ($($(#[$doc:meta])* $state:ident: $($field:ident $value:expr),+;)+) => {
        /// What the network side may do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
        #[serde(rename_all = "lowercase")]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum State {
            $($(#[$doc])* $state,)+
        }

        impl State {
            /// Every state, for tests over the whole product.
            pub const ALL: [Self; [$(Self::$state),+].len()] = [$(Self::$state),+];

            const TRAITS: [StateTraits; Self::ALL.len()] =
                [$(StateTraits { $($field: $value),+ }),+];
        }
    };
}

states! {
    /// The engine is recovering: nothing may be read that is not complete.
    Loading: name "loading", has_recovered false, serves true, forwards false, answers_alone false,
        is_ready false, accepts_writes false, is_of_transition false,
        revokes Revocation::With(ErrorCode::LOADING);
    /// Normal: sessions forward to Tx.
    Assist: name "assist", has_recovered true, serves true, forwards true, answers_alone false,
        is_ready true, accepts_writes true, is_of_transition false,
        revokes Revocation::Nothing;
    /// Tx is blocked: the network side answers alone.
    Solo: name "solo", has_recovered true, serves true, forwards false, answers_alone true,
        is_ready false, accepts_writes false, is_of_transition false,
        revokes Revocation::ByPolicy;
    /// A stop or a demotion is under way: what runs may finish, nothing of its kind begins.
    Draining: name "draining", has_recovered true, serves true, forwards true, answers_alone false,
        is_ready true, accepts_writes false, is_of_transition true,
        revokes Revocation::Nothing;
    /// Nothing is served.
    Stopped: name "stopped", has_recovered true, serves false, forwards false, answers_alone false,
        is_ready false, accepts_writes false, is_of_transition true,
        revokes Revocation::Nothing;
}

impl State {
    /// What it means.
    #[inline]
    #[must_use]
    pub(crate) const fn traits(self) -> &'static StateTraits {
        &Self::TRAITS[self as usize]
    }

    /// As it stands in `vestibule.state()` and in error fields.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.traits().name
    }

    /// Whether the engine has recovered, so that its data may be read.
    #[must_use]
    pub const fn has_recovered(self) -> bool {
        self.traits().has_recovered
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether data may be changed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Role {
    /// Reads and writes.
    #[default]
    Primary = 0,
    /// Reads.
    Replica = 1,
}

impl Role {
    /// Both roles, for tests over the whole product.
    pub const ALL: [Self; 2] = [Self::Primary, Self::Replica];

    /// As it stands in `vestibule.state()`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether requests may go to an upstream of a gateway, as operators have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamUse {
    /// Requests may.
    Used,
    /// Requests may not, whatever it says of itself.
    Drained,
}

impl UpstreamUse {
    /// As it stands in the list of transitions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Drained => "drained",
        }
    }
}

/// What a change leads from or to: a state, a role, or the use of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum StateOrRole {
    /// A state: what the network side may do.
    State(State),
    /// A role: whether data may be changed.
    Role(Role),
    /// Of an upstream of a gateway: whether requests may go there.
    Upstream(UpstreamUse),
}

impl StateOrRole {
    /// As it stands in `vestibule.state()` and in the list of transitions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::State(state) => state.name(),
            Self::Role(role) => role.name(),
            Self::Upstream(own) => own.name(),
        }
    }
}

impl fmt::Display for StateOrRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<State> for StateOrRole {
    fn from(state: State) -> Self {
        Self::State(state)
    }
}

impl From<UpstreamUse> for StateOrRole {
    fn from(own: UpstreamUse) -> Self {
        Self::Upstream(own)
    }
}

impl From<Role> for StateOrRole {
    fn from(role: Role) -> Self {
        Self::Role(role)
    }
}

/// Where a drain leads, from its announcement to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DrainTarget {
    /// The runtime stops.
    Stopped = 1,
    /// The role becomes `Replica`.
    Replica = 2,
}

impl DrainTarget {
    /// None and each of them, for tests over the whole product.
    pub const ALL: [Option<Self>; 3] = [None, Some(Self::Stopped), Some(Self::Replica)];
}

/// State, role and epoch as one atomic load gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Serving {
    /// What the network side may do.
    pub state: State,
    /// Whether data may be changed.
    pub role: Role,
    /// Where a drain that is under way or announced leads. A promotion has none: it is done at
    /// once.
    pub drain_target: Option<DrainTarget>,
    /// Grows with every change of the others.
    pub epoch: u64,
}

// Bits of the word, from the lowest: the state, the role, the target of a drain, the epoch.
const ROLE_SHIFT: u32 = 4;
const DRAIN_TARGET_SHIFT: u32 = 5;
const EPOCH_SHIFT: u32 = 8;
const STATE_MASK: u64 = (1 << ROLE_SHIFT) - 1;
const ROLE_MASK: u64 = 1;
const DRAIN_TARGET_MASK: u64 = (1 << (EPOCH_SHIFT - DRAIN_TARGET_SHIFT)) - 1;

const _: () = assert!(State::ALL.len() as u64 <= STATE_MASK + 1);
const _: () = assert!(Role::ALL.len() as u64 == ROLE_MASK + 1);
const _: () = assert!(DrainTarget::ALL.len() as u64 <= DRAIN_TARGET_MASK + 1);

impl Serving {
    /// Whether a stop has begun: nothing new is taken, and idle connections are closed.
    #[must_use]
    pub fn is_stopping(self) -> bool {
        self.state == State::Draining && self.is_stop_announced()
    }

    /// Whether a stop is announced or has begun.
    #[must_use]
    pub fn is_stop_announced(self) -> bool {
        self.drain_target == Some(DrainTarget::Stopped)
    }

    /// Whether a stop has begun or is done: nothing is taken, nothing restarted.
    #[must_use]
    pub fn is_ending(self) -> bool {
        self.is_stopping() || !self.state.traits().serves
    }

    /// How those are served who have just been told of a stop that has begun: as before it.
    pub(crate) fn as_announced(self) -> Self {
        Self {
            state: State::Assist,
            ..self
        }
    }

    /// Whether connection pools are told that it runs: not while data are out of reach, nor from
    /// the announcement of a stop on.
    #[must_use]
    pub fn is_ready(self) -> bool {
        self.state.traits().is_ready && !self.is_stop_announced()
    }

    /// Whether what begins now may change data.
    #[must_use]
    pub fn is_writable(self) -> bool {
        self.role == Role::Primary && self.drain_target != Some(DrainTarget::Replica)
    }

    /// Whether new requests outside of transactions go to Tx.
    #[must_use]
    pub fn forwards(self) -> bool {
        self.state.traits().forwards && !self.is_stopping()
    }

    pub(super) const fn to_bits(self) -> u64 {
        let drain_target = match self.drain_target {
            None => 0,
            Some(target) => target as u64,
        };
        self.epoch << EPOCH_SHIFT
            | drain_target << DRAIN_TARGET_SHIFT
            | (self.role as u64) << ROLE_SHIFT
            | self.state as u64
    }

    /// From a word that [`to_bits`](Self::to_bits) made.
    ///
    /// # Panics
    ///
    /// If another made it.
    #[inline]
    pub(super) const fn from_bits(bits: u64) -> Self {
        let drain_target = bits >> DRAIN_TARGET_SHIFT & DRAIN_TARGET_MASK;
        Self {
            state: State::ALL[(bits & STATE_MASK) as usize],
            role: Role::ALL[(bits >> ROLE_SHIFT & ROLE_MASK) as usize],
            drain_target: DrainTarget::ALL[drain_target as usize],
            epoch: bits >> EPOCH_SHIFT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_answers_alone_or_forwards_or_neither() {
        for state in State::ALL {
            let own = state.traits();
            assert!(!(own.answers_alone && own.forwards), "{state}");
            assert!(
                own.serves || !(own.answers_alone || own.forwards),
                "{state}"
            );
            assert!(own.forwards || !own.is_ready, "{state}");
            assert!(own.is_ready || !own.accepts_writes, "{state}");
        }
    }
}
