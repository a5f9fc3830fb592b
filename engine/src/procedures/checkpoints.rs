//! Checkpoints on demand, and what became of them.

use serde::Serialize;
use vestibule_actors::engine::Outcome;
use vestibule_wire::{Error, ErrorCode};

use super::call::EngineCall;
use crate::errors;

/// `box.snapshot()`: makes a checkpoint and answers "ok" once it is on the disk. Tx goes on
/// meanwhile.
pub(super) fn snapshot(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let completion = call.reply.defer()?;
    let directory = call.engine.data_dir().to_owned();
    call.engine.snapshot(Box::new(move |result| {
        let told = result.map(|()| "ok");
        completion.complete(told.map_err(|fault| {
            let text = errors::without_directory(&fault.to_string(), &directory);
            Error::new(ErrorCode::SYSTEM, text)
        }));
    }))?;
    Ok(Outcome::Deferred)
}

/// What `vestibule.checkpoints()` returns.
#[derive(Debug, Serialize)]
struct StatusMap {
    /// Whether one is being made.
    in_progress: bool,
    /// Bytes in the journal since the last one.
    journal_bytes: u64,
    /// The last one made since the start.
    last: Option<LastMap>,
    /// Why the last attempt failed; nil if it did not.
    failure: Option<String>,
}

#[derive(Debug, Serialize)]
struct LastMap {
    /// The first journal record that recovery reads after it.
    from: u64,
    rows: u64,
    size_bytes: u64,
}

/// `vestibule.checkpoints()`: for administrators.
pub(super) fn status(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let status = call.engine.checkpoint_status();
    call.reply.value(&StatusMap {
        in_progress: status.is_running,
        journal_bytes: status.journal_bytes,
        last: status.made.map(|made| LastMap {
            from: made.from,
            rows: made.rows,
            size_bytes: made.size_bytes,
        }),
        failure: status.failure,
    })
}
