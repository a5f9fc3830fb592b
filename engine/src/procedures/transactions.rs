//! `box.begin`, `box.commit`, `box.rollback` outside of a stream, and `box.is_in_txn`. In a stream
//! the first three are BEGIN, COMMIT and ROLLBACK, before they come here.

use vestibule_actors::engine::Outcome;
use vestibule_wire::{Error, ErrorCode};

use super::call::{EngineCall, no_result};

/// `box.begin()`: the transaction would end with the call.
pub(super) fn begin(_: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let text = "Transaction is active at return from function";
    Err(Error::new(ErrorCode::FUNCTION_TX_ACTIVE, text))
}

/// `box.commit()`, `box.rollback()`: there is no transaction to end.
pub(super) fn end(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    no_result(call)
}

/// `box.is_in_txn()`
pub(super) fn is_in_transaction(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let is_inside = call.transaction.is_some();
    call.reply.value(&is_inside)
}
