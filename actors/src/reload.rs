//! `vestibule.reload`: an administrator has the program load its configuration again. What that
//! means is the embedder's matter.
//!
//! ```text
//!   CALL ─▶ session ─▶ the embedder's hook ─▶ ReloadRequest ─┬ taken ───▶ a value
//!                                                            ├ refused ─▶ error 59
//!                                                            └ dropped ─▶ an error
//! ```

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use vestibule_wire::reply::write_value;
use vestibule_wire::{Error, ErrorCode};

/// A body, or why there is none.
pub(crate) type ReloadAnswer = Result<Vec<u8>, Error>;

type AnswerTo = Box<dyn FnOnce(ReloadAnswer) + Send>;

/// An administrator wants the configuration to be loaded again, and waits for the answer: given to
/// the hook of [`RuntimeBuilder::on_reload`](crate::RuntimeBuilder::on_reload). Dropped, it tells
/// that nothing came of it.
#[must_use = "somebody waits for the answer"]
pub struct ReloadRequest {
    requested_by: String,
    answer_to: Option<AnswerTo>,
}

impl fmt::Debug for ReloadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReloadRequest")
            .field("requested_by", &self.requested_by)
            .finish_non_exhaustive()
    }
}

impl ReloadRequest {
    pub(crate) fn new(
        requested_by: String,
        answer_to: impl FnOnce(ReloadAnswer) + Send + 'static,
    ) -> Self {
        Self {
            requested_by,
            answer_to: Some(Box::new(answer_to)),
        }
    }

    /// Who wants it: a user, and the address.
    #[must_use]
    pub fn requested_by(&self) -> &str {
        &self.requested_by
    }

    /// What was loaded holds from now on; the client is told this.
    pub fn taken<T: Serialize>(mut self, told: &T) {
        let mut body = Vec::new();
        let written = write_value(&mut body, told);
        self.answer(written.map(|()| body));
    }

    /// Nothing is changed; the client is told why, by error 59.
    pub fn refused(mut self, why: &str) {
        self.answer(Err(Error::new(ErrorCode::CFG, why.to_owned())));
    }

    fn answer(&mut self, answer: ReloadAnswer) {
        if let Some(answer_to) = self.answer_to.take() {
            answer_to(answer);
        }
    }
}

impl Drop for ReloadRequest {
    fn drop(&mut self) {
        let text = "Nothing was loaded: the request was dropped";
        self.answer(Err(Error::new(ErrorCode::CFG, text)));
    }
}

type OnReload = Box<dyn Fn(ReloadRequest) + Send + Sync>;

/// Who loads it, if anybody does.
#[derive(Default)]
pub(crate) struct ReloadHook(Option<OnReload>);

impl fmt::Debug for ReloadHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReloadHook")
            .field(&self.0.is_some())
            .finish()
    }
}

impl ReloadHook {
    pub(crate) fn set(&mut self, hook: impl Fn(ReloadRequest) + Send + Sync + 'static) {
        self.0 = Some(Box::new(hook));
    }

    /// Whether there is somebody who loads it.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UNSUPPORTED`] if not.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.0 {
            Some(_) => Ok(()),
            None => Err(Error::unsupported("This program", "loading anything again")),
        }
    }

    pub(crate) fn ask(&self, request: ReloadRequest) {
        let Some(hook) = &self.0 else { return };
        // A panic is the hook's own: the client is told by the request, which it drops.
        if catch_unwind(AssertUnwindSafe(|| hook(request))).is_err() {
            log::error!("the hook of reloads panicked");
        }
    }
}
