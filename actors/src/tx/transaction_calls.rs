//! CALLs that mean BEGIN, COMMIT and ROLLBACK.

use vestibule_wire::Error;
use vestibule_wire::request::Body;

use super::core::Executor;
use super::request::ClaimedRequest;
use crate::engine::{Engine, transaction_call};

impl<E: Engine> Executor<E> {
    /// What a CALL of `box.begin` and the like means in a stream. To begin takes the right to call;
    /// to end takes none, as COMMIT and ROLLBACK: the session takes its transaction for ended as
    /// soon as it has sent the end.
    pub(super) fn meaning(
        &self,
        request: &ClaimedRequest<'_>,
        body: &Body<'_>,
    ) -> Result<Option<Body<'static>>, Error> {
        match body {
            Body::Call(call) if request.entry.stream != 0 => {
                let meaning = transaction_call(call)?.map(|(_, meaning)| meaning);
                if matches!(meaning, Some(Body::Begin(_))) {
                    self.engine.may_call(request.caller, call.name)?;
                }
                Ok(meaning)
            }
            _ => Ok(None),
        }
    }
}
