//! What stands behind the state, for people and error fields.

use std::time::Duration;

use vestibule_wire::error::Field;
use vestibule_wire::{Error, ErrorCode};

use super::transition::TransitionProgress;
use crate::engine::Progress;
use crate::limits::{RETRY_AFTER_DEFAULT, RETRY_AFTER_MAX, RETRY_AFTER_MIN};
use crate::states::{Role, Serving};

/// What stands behind the state, for people and error fields.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Status {
    /// The state it explains.
    pub(crate) serving: Serving,
    /// Why it is not `Assist`; empty if it is.
    pub(crate) reason: String,
    /// The reason is how the upstreams of a gateway are.
    pub(crate) is_of_upstreams: bool,
    /// How far what is waited for has come, if that is known.
    pub(crate) progress: Option<Progress>,
    /// How long the state has been so.
    pub(crate) since: Duration,
    /// When a client should come back.
    pub(crate) retry_after: Duration,
    /// The transition that is under way.
    pub(crate) transition: Option<TransitionProgress>,
    /// The role that is wanted, once everything that was asked for is done; `None` if that is a
    /// stop.
    pub(crate) wanted: Option<Role>,
}

/// What is left at the pace so far; a fixed guess while the pace is not known.
pub(super) fn retry_after(progress: Option<Progress>, elapsed: Duration) -> Duration {
    let share = progress
        .and_then(Progress::share)
        .filter(|share| *share > 0.01);
    let left = share.map(|share| elapsed.mul_f64((1.0 - share) / share));
    left.unwrap_or(RETRY_AFTER_DEFAULT)
        .clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX)
}

impl Status {
    /// The error for a request that is refused with this code because of the state. It always tells
    /// a reason: where the state has none, that of the code.
    #[must_use]
    pub(crate) fn error(&self, code: ErrorCode) -> Error {
        if self.reason.is_empty() {
            return self.with_reason_of(code).error(code);
        }
        let percent = self
            .progress
            .and_then(Progress::share)
            .map_or(String::new(), |share| {
                format!(" ({:.0} %)", (share * 100.0).floor())
            });
        let retry_after = self.told_retry_after().as_secs_f64();
        let has_recovered = self.serving.state.traits().has_recovered;
        let text = match code {
            ErrorCode::SHUTDOWN => "Server is shutting down".to_owned(),
            ErrorCode::READONLY => {
                // Word for word: the npm connector decides on fail-over by this text.
                "Can't modify data on a read-only instance - box.cfg.read_only is true".to_owned()
            }
            _ if !has_recovered => format!(
                "Instance bootstrap hasn't finished yet: {}{percent}, retry after {retry_after} s",
                self.reason
            ),
            _ if self.is_of_upstreams => {
                format!(
                    "No upstream serves: {}, retry after {retry_after} s",
                    self.reason
                )
            }
            _ => format!(
                "Tx is busy: {}{percent}, retry after {retry_after} s",
                self.reason
            ),
        };
        self.error_with_text(code, text)
    }

    /// When a client should come back, in tenths of a second: more would be a false precision.
    pub(crate) fn told_retry_after(&self) -> Duration {
        let tenths = (self.retry_after.as_secs_f64() * 10.0).round() as u64;
        Duration::from_millis(tenths * 100)
    }

    /// The same with a reason, for a refusal that the state by itself does not explain.
    fn with_reason_of(&self, code: ErrorCode) -> Self {
        let (reason, retry_after) = match code {
            ErrorCode::READONLY if self.serving.role == Role::Replica => {
                ("the server is a replica", self.retry_after)
            }
            ErrorCode::SHUTDOWN => ("the server is shutting down", self.retry_after),
            // What stood in the way a moment ago is gone.
            _ => ("the state has just changed", RETRY_AFTER_MIN),
        };
        Self {
            reason: reason.to_owned(),
            retry_after,
            ..self.clone()
        }
    }

    /// An error with a text of one's own and the fields that every error of a state carries.
    #[must_use]
    pub(crate) fn error_with_text(&self, code: ErrorCode, text: String) -> Error {
        let retry_after = self.told_retry_after().as_secs_f64();
        let progress = self.progress.and_then(Progress::share).unwrap_or(0.0);
        Error::new(code, text)
            .with_field("state", Field::Str(self.serving.state.name().into()))
            .with_field("reason", Field::Str(self.reason.clone().into()))
            .with_field("progress", Field::Float(progress))
            .with_field("retry_after", Field::Float(retry_after))
            .with_field("epoch", Field::Uint(self.serving.epoch))
    }
}
