//! What becomes of a job that has no result.

use std::fmt;

use vestibule_wire::Error;

/// Why work on the engine has no result, and whether it may be done again. The [`Error`] inside is
/// what a client would be told in its place, with the fields `reason` and `retry_after`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum EngineError {
    /// Not begun, so nothing has changed: the engine is loading or busy, the role forbids it, the
    /// runtime stops. It may be asked for again, there or elsewhere.
    Refused(Error),
    /// Begun and not waited for any longer: it may be done or not. Tx died, or the grace of a
    /// transition is over.
    OutcomeUnknown(Error),
    /// Failed, by its own error or by that of its commit. A commit that fails keeps nothing; what
    /// work has changed before an error of its own stays changed.
    Failed(Error),
}

impl EngineError {
    /// What a client would be told.
    #[must_use]
    pub fn error(&self) -> &Error {
        match self {
            Self::Refused(error) | Self::OutcomeUnknown(error) | Self::Failed(error) => error,
        }
    }

    /// Whether it is certain that nothing has changed: it was not begun.
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
