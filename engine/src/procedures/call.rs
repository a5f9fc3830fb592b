//! What every procedure is called with, and how it answers.

use vestibule_actors::engine::{Outcome, Reply};
use vestibule_actors::procedures::ProcedureCall;
use vestibule_wire::Error;
use vestibule_wire::reply::write_data_head;

use crate::engine::EmbeddedEngine;

/// A call of a procedure of the embedded engine.
pub(super) type EngineCall<'a> = ProcedureCall<'a, EmbeddedEngine>;

/// A procedure.
pub(super) type Procedure = fn(&mut EngineCall<'_>) -> Result<Outcome, Error>;

/// A procedure without a result.
pub(super) fn no_result(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let out = call.reply.body();
    write_data_head(out);
    out.push(0x90);
    Ok(Outcome::Done)
}

/// One result that is MessagePack already.
pub(super) fn raw_result(call: &mut EngineCall<'_>, value: &[u8]) -> Result<Outcome, Error> {
    let out = call.reply.body();
    write_data_head(out);
    out.push(0x91);
    out.extend_from_slice(value);
    Ok(Outcome::Done)
}

/// Changes definitions and answers without a result.
///
/// # Errors
///
/// `ErrorCode::UNSUPPORTED` inside a transaction, `ErrorCode::READONLY` if nothing can be written,
/// and what `work` fails with.
pub(super) fn alter_schema(
    call: &mut EngineCall<'_>,
    work: impl FnOnce(&mut EmbeddedEngine, &Reply<'_>) -> Result<(), Error>,
) -> Result<Outcome, Error> {
    alter_schema_and_answer(call, work, no_result)
}

/// Changes definitions, which may have to be the first of its turn, and answers once that is done.
///
/// # Errors
///
/// Those of [`alter_schema`], and what `answer` fails with.
pub(super) fn alter_schema_and_answer(
    call: &mut EngineCall<'_>,
    work: impl FnOnce(&mut EmbeddedEngine, &Reply<'_>) -> Result<(), Error>,
    answer: impl FnOnce(&mut EngineCall<'_>) -> Result<Outcome, Error>,
) -> Result<Outcome, Error> {
    let reply = &call.reply;
    match call.engine.alter(|engine| work(engine, reply))? {
        Some(()) => {
            call.engine.note_author(call.caller);
            answer(call)
        }
        None => Ok(Outcome::CommitFirst),
    }
}
