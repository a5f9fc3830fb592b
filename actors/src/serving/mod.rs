//! The serving state: one shared cell that everyone reads and nobody waits for.
//!
//! ```text
//!   Supervisor, Tx's guards, operators ──store──▶ cell ──load──▶ every session, on every request
//!                                            └── notice ─▶ one message per session arbiter
//!
//!            recovered           guard, operator, watchdog
//!   Loading ──────────▶ Assist ◀────────────────────▶ Solo
//!      │                  │        last reason gone    │
//!      └──────────────────┴───────── drain ────────────┴──▶ Draining ──▶ Stopped
//!                         └──────── demote ────────────────▶ Draining ──▶ Assist, Replica
//! ```
//!
//! Whither a transition leads is told beside the state ([`Toward`]): announced, a stop changes nothing
//! but the readiness; and a solo during a demotion is still a solo.
//!
//! A session that acts on the old value for one turn is correct by design: what it forwarded meanwhile
//! is revoked by the notice if Tx has not begun it.

mod admitted;
mod cell;
pub(crate) mod events;
mod guard;
mod situation;
mod solo;
#[cfg(test)]
mod tests;

use std::fmt;

pub(crate) use admitted::Admitted;
pub use cell::ServingCell;
pub use guard::Solos;
pub use situation::{Situation, Underway};

/// What the network side may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// The engine is recovering: nothing may be read that is not complete.
    Loading = 0,
    /// Normal: sessions forward to Tx.
    Assist = 1,
    /// Tx is deaf: the network side answers alone.
    Solo = 2,
    /// A stop or a demotion is under way: what runs may finish, nothing of its kind begins.
    Draining = 3,
    /// Nothing is served.
    Stopped = 4,
}

impl State {
    /// Every state, for tests over the whole product.
    pub const ALL: [Self; 5] = [
        Self::Loading,
        Self::Assist,
        Self::Solo,
        Self::Draining,
        Self::Stopped,
    ];

    /// As it stands in `vestibule.state()` and in error fields.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Assist => "assist",
            Self::Solo => "solo",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether data may be changed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
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

/// Where a transition leads, from its announcement to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Toward {
    /// The runtime stops.
    Stopped = 1,
    /// The role becomes `Replica`.
    Replica = 2,
}

impl Toward {
    /// None and each of them, for tests over the whole product.
    pub const ALL: [Option<Self>; 3] = [None, Some(Self::Stopped), Some(Self::Replica)];
}

/// State, role and epoch as one atomic load gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Serving {
    /// What the network side may do.
    pub state: State,
    /// Whether data may be changed.
    pub role: Role,
    /// Where a transition that is under way leads. Not told of a promotion, which is done at once.
    pub toward: Option<Toward>,
    /// Grows with every change of the others.
    pub epoch: u64,
}

impl Serving {
    /// Whether a stop has closed the door: nothing new is begun, and idle connections are closed.
    #[must_use]
    pub fn is_stopping(self) -> bool {
        self.state == State::Draining && self.toward == Some(Toward::Stopped)
    }

    /// Whether what begins now may change data.
    #[must_use]
    pub fn is_writable(self) -> bool {
        self.role == Role::Primary && self.toward != Some(Toward::Replica)
    }

    const fn pack(self) -> u64 {
        let toward = match self.toward {
            None => 0,
            Some(toward) => toward as u64,
        };
        self.epoch << 8 | toward << 5 | (self.role as u64) << 4 | self.state as u64
    }

    const fn unpack(packed: u64) -> Self {
        let state = match packed & 0x0f {
            0 => State::Loading,
            1 => State::Assist,
            2 => State::Solo,
            3 => State::Draining,
            _ => State::Stopped,
        };
        let role = if packed >> 4 & 1 == 0 {
            Role::Primary
        } else {
            Role::Replica
        };
        let toward = match packed >> 5 & 7 {
            0 => None,
            1 => Some(Toward::Stopped),
            _ => Some(Toward::Replica),
        };
        Self {
            state,
            role,
            toward,
            epoch: packed >> 8,
        }
    }
}
