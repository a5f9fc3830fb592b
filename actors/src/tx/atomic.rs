//! Procedures whose changes are made all or not at all, and the end of transactions.
//!
//! ```text
//!   CALL ─▶ begin ─▶ the procedure, in it ─┬─ done ─▶ commit, into the turn
//!                                          └─ an error, or not done ─▶ rolled back
//! ```

use vestibule_wire::Error;
use vestibule_wire::request::Begin;

use super::turn_writes::read_only;
use crate::engine::procedures::ProcedureCall;
use crate::engine::{Engine, Outcome, SyncProcedure, TransactionId};
use crate::serving::Admitted;
use crate::shared::Shared;

/// Runs a procedure, in a transaction of its own if there is a number for that.
pub(super) fn run<E: Engine>(
    procedure: &SyncProcedure<E>,
    call: &mut ProcedureCall<'_, E>,
    own: Option<(TransactionId, Admitted)>,
    shared: &Shared,
) -> Result<Outcome, Error> {
    let Some((id, admitted)) = own else {
        return procedure(call);
    };
    let options = Begin {
        timeout: None,
        isolation: 0,
    };
    call.engine.begin(id, &options, call.caller)?;
    call.transaction = Some(id);
    match procedure(call) {
        Ok(Outcome::Done) => {
            commit_transaction(call.engine, id, admitted, shared).map(|()| Outcome::Done)
        }
        Ok(Outcome::CommitFirst) => {
            call.engine.rollback_transaction(id);
            Ok(Outcome::CommitFirst)
        }
        Ok(Outcome::Deferred) => {
            call.engine.rollback_transaction(id);
            let what = "answering later";
            Err(Error::unsupported("A procedure that is atomic", what))
        }
        Err(error) => {
            call.engine.rollback_transaction(id);
            Err(error)
        }
    }
}

/// Commits a transaction into the turn, if it is not too old: the engine may write here already.
pub(super) fn commit_transaction<E: Engine>(
    engine: &mut E,
    id: TransactionId,
    admitted: Admitted,
    shared: &Shared,
) -> Result<(), Error> {
    if admitted.is_read_only() {
        return engine.commit_transaction(id);
    }
    if shared.fence.begin_write(admitted.epoch()).is_err() {
        engine.rollback_transaction(id);
        return Err(read_only(shared));
    }
    let result = engine.commit_transaction(id);
    shared.fence.end_write();
    result
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vestibule_wire::ErrorCode;
    use vestibule_wire::keys::RequestType;

    use super::*;
    use crate::engine::procedures::Procedures;
    use crate::testing::{RequestBuilder, ScriptedEngine};
    use crate::tx::test_fixture::{Fixture, fixture};

    /// Fails if it is told to, after its change.
    fn procedures() -> Arc<Procedures<ScriptedEngine>> {
        let procedures = Procedures::<ScriptedEngine>::default();
        Arc::new(procedures.atomic("change", |call| {
            let (fails,): (bool,) = call.parse()?;
            if fails {
                return Err(Error::new(ErrorCode::PROC, "as wanted"));
            }
            call.reply.value(&call.transaction.map(|own| own.0))
        }))
    }

    #[test]
    fn an_atomic_procedure_that_fails_is_rolled_back_and_another_one_committed() {
        fixture(|mut fixture: Fixture| async move {
            fixture.core.executor.procedures = procedures();
            let change = |sync, fails: bool| {
                let fails = 0xc2 | u8::from(fails);
                RequestBuilder::call(sync, "change", &[0x91, fails])
            };
            assert_eq!(fixture.ask(&change(1, false)).await.data::<Vec<u64>>(), [1]);
            let failed = fixture.ask(&change(2, true)).await;
            assert_eq!(failed.error_code(), Some(32));
            let log = ["begin 1", "commit 1", "begin 2", "rollback 2"];
            assert_eq!(fixture.script.log(), log);
            // Inside of a client's transaction it is the client who ends that.
            let begin = RequestBuilder::new(RequestType::Begin, 3).stream(1);
            assert_eq!(fixture.ask(&begin).await.code, 0);
            let failed = fixture.ask(&change(4, true).stream(1)).await;
            assert_eq!(failed.error_code(), Some(32));
            assert_eq!(fixture.script.log()[4..], ["begin 3"]);
        });
    }
}
