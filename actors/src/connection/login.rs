//! A login that is being checked, or waits because others were wrong: its frame is left where it is
//! until it is decided or its time has come, and what came behind it waits. Pure but for the future
//! itself.
//!
//! ```text
//!   AUTH ─▶ begun, its frame left ─┬ decided ─────────────▶ the frame again, with the decision
//!                                  ├ its time is over, killed, a stop, a panic ─▶ the same
//!                                  └ the connection ends ─▶ dropped
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};
use std::time::Instant;

use futures::future::LocalBoxFuture;
use vestibule_wire::Error;

use crate::authenticator::{LoginDecision, LoginProof};
use crate::quotas::WaitCharge;

/// A login that waits because of wrong ones from its address.
#[derive(Debug)]
pub(crate) struct LoginWait {
    pub(crate) until: Instant,
    /// What it waits to be told, if it was found wrong; else it was not looked at.
    pub(crate) refused: Option<Box<Error>>,
}

/// What a check has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Checked {
    Decided(LoginDecision),
    Late,
    Killed,
    Panicked,
    /// A stop has begun.
    Stopping,
}

enum LoginProgress {
    UnderWay {
        check: LocalBoxFuture<'static, LoginDecision>,
        /// Given back when it is over.
        _charge: WaitCharge,
    },
    Over(Checked),
}

/// The check of one login.
pub(crate) struct LoginCheck {
    sync: u64,
    user: String,
    proof: LoginProof,
    deadline: Option<Instant>,
    progress: LoginProgress,
}

impl LoginCheck {
    pub(crate) fn new(
        sync: u64,
        user: &str,
        proof: LoginProof,
        deadline: Option<Instant>,
        check: LocalBoxFuture<'static, LoginDecision>,
        charge: WaitCharge,
    ) -> Self {
        Self {
            sync,
            user: user.to_owned(),
            proof,
            deadline,
            progress: LoginProgress::UnderWay {
                check,
                _charge: charge,
            },
        }
    }

    pub(crate) fn sync(&self) -> u64 {
        self.sync
    }

    /// As whom it is to be.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    pub(crate) fn is_under_way(&self) -> bool {
        matches!(self.progress, LoginProgress::UnderWay { .. })
    }

    /// Until when it may take, while it is under way.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline.filter(|_| self.is_under_way())
    }

    /// Goes on with it; true if that ends it.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let LoginProgress::UnderWay { check, .. } = &mut self.progress else {
            return false;
        };
        // After a panic it is dropped: nobody sees what state it was left in.
        let checked = match catch_unwind(AssertUnwindSafe(|| check.as_mut().poll(cx))) {
            Ok(Poll::Pending) => return false,
            Ok(Poll::Ready(decision)) => Checked::Decided(decision),
            Err(_) => Checked::Panicked,
        };
        self.end(checked)
    }

    /// Ends it with this, if it is under way; true if it was.
    pub(crate) fn end(&mut self, checked: Checked) -> bool {
        let is_under_way = self.is_under_way();
        if is_under_way {
            let ended = std::mem::replace(&mut self.progress, LoginProgress::Over(checked));
            // A panic in the end of a check ends nothing else.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(ended)));
        }
        is_under_way
    }

    /// What it has come to, if that is the login it was begun for.
    pub(crate) fn into_checked(
        mut self,
        sync: u64,
        user: &str,
        proof: &LoginProof,
    ) -> Option<Checked> {
        let is_it = self.sync == sync && self.user == user && self.proof == *proof;
        match &mut self.progress {
            LoginProgress::Over(checked) if is_it => {
                Some(std::mem::replace(checked, Checked::Killed))
            }
            _ => None,
        }
    }
}

impl Drop for LoginCheck {
    fn drop(&mut self) {
        self.end(Checked::Killed);
    }
}
