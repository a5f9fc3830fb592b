//! What a configuration cannot be.

use std::time::Duration;

/// A field of a [`Config`](super::Config) has a value that it cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A number is outside of its bounds.
    #[error("{field} is {value}, and may be {min} to {max}")]
    OutOfBounds {
        /// Name of the field.
        field: &'static str,
        /// What it was set to.
        value: u64,
        /// The least that it may be.
        min: u64,
        /// The most that it may be.
        max: u64,
    },
    /// The shortest automatic grace is longer than the longest.
    #[error("shutdown_grace_period: its shortest, {min:?}, is longer than its longest, {max:?}")]
    GraceBounds {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
}

/// Refuses a number that is out of its bounds, by the name of its field.
pub(super) fn in_bounds(
    field: &'static str,
    value: u64,
    min: u64,
    max: u64,
) -> Result<(), ConfigError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::OutOfBounds {
        field,
        value,
        min,
        max,
    })
}
