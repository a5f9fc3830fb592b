//! What becomes of a job that has no result.

use std::fmt;

use vestibule_wire::{Error, ErrorCode};

/// Why work on the engine has no result, and whether it may be done again. The [`Error`] inside is
/// what a client would be told in its place, with the fields `reason` and `retry_after`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum EngineError {
    /// No data have changed: the engine is loading or busy, the role forbids it, nothing can be
    /// written at present, the runtime stops. It may be asked for again, there or elsewhere. It was
    /// not begun, or only to be refused when it came to change something.
    Refused(Error),
    /// Begun and not waited for any longer: it may be done or not. Tx died, or the grace of a
    /// transition is over.
    OutcomeUnknown(Error),
    /// Failed, by its own error or by that of its commit. A commit that fails keeps nothing; what
    /// work has changed before an error of its own stays changed.
    Failed(Error),
}

impl EngineError {
    /// Of work that was begun, by its own error. `may_change_nothing`: all of it ran where data may
    /// not be changed.
    pub(crate) fn of_work(error: Error, may_change_nothing: bool) -> Self {
        if may_change_nothing && error.code() == ErrorCode::READONLY {
            Self::Refused(error)
        } else {
            Self::Failed(error)
        }
    }

    /// Of work whose turn was not committed. What a transition overtakes, of which nothing is kept,
    /// is to be asked for elsewhere.
    pub(crate) fn of_commit(error: Error) -> Self {
        Self::of_work(error, true)
    }

    /// What a client would be told.
    #[must_use]
    pub fn error(&self) -> &Error {
        match self {
            Self::Refused(error) | Self::OutcomeUnknown(error) | Self::Failed(error) => error,
        }
    }

    /// Whether it is certain that no data have changed, but for temporary spaces.
    #[must_use]
    pub fn is_without_effect(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error().fmt(f)
    }
}

impl std::error::Error for EngineError {}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Refused(error)
            | EngineError::OutcomeUnknown(error)
            | EngineError::Failed(error) => error,
        }
    }
}
