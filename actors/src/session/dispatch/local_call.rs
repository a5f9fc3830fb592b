//! CALLs of procedures that sessions run.

use std::panic::{AssertUnwindSafe, catch_unwind};

use vestibule_wire::request::Call;
use vestibule_wire::{Error, ErrorCode};

use crate::engine::{LocalCall, LocalProcedure};
use crate::limits::{LOCAL_CALL_LONG, SESSION_TURN_WORK_PER_LOOK};
use crate::segments::Held;
use crate::session::dispatch::{DecodedRequest, Dispatcher};

impl<'a> Dispatcher<'a> {
    /// The procedure that sessions run of this name.
    #[inline]
    pub(super) fn find_local(&self, name: &str) -> Option<&'a LocalProcedure> {
        let shared = self.shared;
        shared.additions.locals.get(name)
    }

    /// Answers a call of a procedure that sessions run.
    pub(super) fn answer_local(
        &mut self,
        request: &DecodedRequest<'_>,
        procedure: &LocalProcedure,
        call: &Call<'_>,
    ) {
        if !self.has_reply_memory(Held::default()) {
            return;
        }
        // Nobody knows what it takes: the clock tells.
        self.worker.turns.spend(SESSION_TURN_WORK_PER_LOOK);
        let result = self.run_local(procedure, call);
        let took = (self.shared.clock.now()).saturating_duration_since(self.now);
        if took >= LOCAL_CALL_LONG
            && let Some(times) = self.worker.local_calls.long.note(self.now)
        {
            let name = call.name;
            log::warn!(
                "a procedure held up its session thread{times}, the last '{name}' for \
                 {took:?}"
            );
        }
        match result {
            Ok(mut body) => {
                let write = |out: &mut Vec<u8>| {
                    out.append(&mut body);
                    Ok(())
                };
                self.session
                    .reply_with(self.shared, request.sync, call.wrap_results, write);
            }
            Err(error) => self.refuse(request.sync, &error),
        }
    }

    fn run_local(&mut self, procedure: &LocalProcedure, call: &Call<'_>) -> Result<Vec<u8>, Error> {
        let has_view = self.worker.published.refresh_view(self.shared);
        let view = self.worker.published.view().filter(|_| has_view);
        let call = LocalCall::new(
            call.name,
            call.args,
            self.session.caller(),
            self.shared.serving.load(),
            view.map(|own| &**own),
        );
        // The procedure sees to what it shares with its next calls, as with any panic.
        let result = catch_unwind(AssertUnwindSafe(|| procedure.run(&call)));
        result.unwrap_or_else(|_| {
            let name = call.name;
            if let Some(times) = self.worker.local_calls.panics.note(self.now) {
                log::error!("a procedure panicked{times}, the last '{name}'");
            }
            let text = format!("Procedure '{name}' panicked");
            Err(Error::new(ErrorCode::SYSTEM, text))
        })
    }
}
