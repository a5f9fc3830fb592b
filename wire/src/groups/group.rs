//! Who shares a connection.

use std::num::NonZeroU64;

/// A group of messages that are sent in order; different groups share the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// What must not wait behind data: pings, logins, events, refusals.
    Control,
    /// Reads outside of streams.
    Read,
    /// Writes outside of streams.
    Write,
    /// Calls outside of streams.
    Call,
    /// Everything of one stream.
    Stream(NonZeroU64),
}

impl Group {
    /// The stream with this id; `None` for 0, which stands for "no stream".
    #[must_use]
    pub fn stream(id: u64) -> Option<Self> {
        NonZeroU64::new(id).map(Self::Stream)
    }

    /// The number by which a chunk names it, beside the stream's id.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Stream(_) => 0,
            Self::Read => 1,
            Self::Write => 2,
            Self::Call => 3,
            Self::Control => 4,
        }
    }

    /// The stream's id, 0 without one.
    pub(super) const fn stream_id(self) -> u64 {
        match self {
            Self::Stream(id) => id.get(),
            _ => 0,
        }
    }

    /// The group with this number and stream id. Messages of control are never cut.
    pub(super) fn from_code(code: u8, stream_id: u64) -> Option<Self> {
        match (code, stream_id) {
            (0, id) => Self::stream(id),
            (1, 0) => Some(Self::Read),
            (2, 0) => Some(Self::Write),
            (3, 0) => Some(Self::Call),
            _ => None,
        }
    }
}
