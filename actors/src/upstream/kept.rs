//! Requests with their bodies, as they wait and as they are kept to be sent again. Pure.

use bytes::Bytes;

use super::waiting::Forward;

/// A request's body.
#[derive(Debug)]
pub(crate) enum ForwardBody<'a> {
    /// To be copied.
    Part(&'a [u8]),
    /// In a buffer that nobody else changes.
    Own(Bytes),
}

impl ForwardBody<'_> {
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Part(bytes) => bytes,
            Self::Own(bytes) => bytes,
        }
    }

    pub(crate) fn keep(self) -> Bytes {
        match self {
            Self::Part(bytes) => Bytes::copy_from_slice(bytes),
            Self::Own(bytes) => bytes,
        }
    }
}

/// A request with its body.
#[derive(Debug)]
pub(crate) struct KeptRequest {
    pub(crate) forward: Forward,
    pub(crate) body: Bytes,
    /// An upstream may have seen it, and may be asked once more all the same.
    pub(crate) was_sent: bool,
}

impl KeptRequest {
    /// One that no upstream has seen.
    pub(crate) fn unsent(forward: Forward, body: ForwardBody<'_>) -> Self {
        Self {
            forward,
            body: body.keep(),
            was_sent: false,
        }
    }
}
