//! Whether a request that failed is sent again, and when: as one pure function.

use std::time::Duration;

use vestibule_wire::error::ErrorCode;

use crate::backoff::spread;
use crate::error::{Error, ErrorKind, Outcome};
use crate::limits::RETRY_AFTER_DEFAULT;
use crate::options::Retry;

/// What a repetition depends on besides the error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    /// Since the first attempt began.
    pub(crate) elapsed: Duration,
    /// Whether another instance may take the request.
    pub(crate) is_pooled: bool,
    /// Whether it can be sent over another connection.
    pub(crate) is_pinned: bool,
    /// At least 0 and below 1.
    pub(crate) random: f64,
}

impl Retry {
    /// How long to wait before the request is sent again; `None` if it is not.
    ///
    /// Only what surely did not run is sent again.
    pub(crate) fn wait(self, error: &Error, attempt: Attempt) -> Option<Duration> {
        if self.is_never() {
            return None;
        }
        let hint = error.retry_after().unwrap_or(RETRY_AFTER_DEFAULT);
        let wait = match (error.outcome(), error.kind()) {
            (Outcome::NotSent, ErrorKind::Connection) if !attempt.is_pinned => Duration::ZERO,
            (Outcome::Refused, ErrorKind::Server) => match error.code()? {
                ErrorCode::LOADING => spread(hint, attempt.random),
                // Wait for its successor, or for another instance.
                ErrorCode::SHUTDOWN if !attempt.is_pinned => {
                    spread(RETRY_AFTER_DEFAULT, attempt.random)
                }
                ErrorCode::READONLY if attempt.is_pooled && !attempt.is_pinned => {
                    spread(RETRY_AFTER_DEFAULT, attempt.random)
                }
                _ => return None,
            },
            _ => return None,
        };
        (attempt.elapsed.saturating_add(wait) <= self.within).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ServerError;
    use proptest::prelude::*;
    use vestibule_wire::error::Field;

    const RETRY: Retry = Retry::within(Duration::from_secs(5));

    fn attempt() -> Attempt {
        Attempt {
            elapsed: Duration::ZERO,
            is_pooled: false,
            is_pinned: false,
            random: 0.0,
        }
    }

    fn refused(code: ErrorCode, retry_after: Option<f64>) -> Error {
        let mut error = ServerError::new(code, "no");
        if let Some(seconds) = retry_after {
            error = error.with_field("retry_after", Field::Float(seconds));
        }
        Error::from_server(error, Outcome::Refused)
    }

    #[test]
    fn a_busy_server_is_asked_again_when_it_says_if_that_is_in_time() {
        let wait = |seconds| RETRY.wait(&refused(ErrorCode::LOADING, seconds), attempt());
        assert_eq!(wait(Some(2.0)), Some(Duration::from_secs(2)));
        assert_eq!(wait(None), Some(RETRY_AFTER_DEFAULT));
        assert_eq!(wait(Some(6.0)), None);
    }

    #[test]
    fn a_replica_is_a_reason_to_look_for_the_primary_in_a_pool_only() {
        let error = refused(ErrorCode::READONLY, None);
        assert_eq!(RETRY.wait(&error, attempt()), None);
        let pooled = Attempt {
            is_pooled: true,
            ..attempt()
        };
        assert!(RETRY.wait(&error, pooled).is_some());
        let pinned = Attempt {
            is_pinned: true,
            ..pooled
        };
        assert_eq!(RETRY.wait(&error, pinned), None);
    }

    #[test]
    fn what_was_not_sent_goes_at_once_unless_its_stream_is_gone() {
        let error = Error::not_sent(ErrorKind::Connection, "lost");
        assert_eq!(RETRY.wait(&error, attempt()), Some(Duration::ZERO));
        let pinned = Attempt {
            is_pinned: true,
            ..attempt()
        };
        assert_eq!(RETRY.wait(&error, pinned), None);
        assert_eq!(Retry::never().wait(&error, attempt()), None);
    }

    proptest! {
        #[test]
        fn what_may_have_run_is_never_sent_again(
            code in 0..400u16,
            is_pooled: bool,
            is_pinned: bool,
            elapsed_ms in 0..4000u64,
            random in 0.0..1.0f64,
        ) {
            let code = ErrorCode(code);
            let error = refused(code, Some(0.1)).with_outcome(Outcome::Unknown);
            let elapsed = Duration::from_millis(elapsed_ms);
            let attempt = Attempt { elapsed, is_pooled, is_pinned, random };
            prop_assert_eq!(RETRY.wait(&error, attempt), None);
            let lost = Error::new(ErrorKind::Connection, Outcome::Unknown, "lost");
            prop_assert_eq!(RETRY.wait(&lost, attempt), None);
        }
    }
}
