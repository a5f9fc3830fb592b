//! Procedures of the scripted engine.

use std::sync::PoisonError;
use std::time::Duration;

use vestibule_wire::Error;

use super::{Script, ScriptedEngine, Unending, first_uint, pause};
use crate::engine::procedures::{Procedures, ReadOnlyCall};
use crate::engine::{Outcome, ReservationId, TransactionId};

type ScriptedProcedures = Procedures<ScriptedEngine>;
type ScriptedCall<'a> = ReadOnlyCall<'a, ScriptedEngine>;

impl Script {
    /// The procedures of this script: `block` (until released), `busy` (the same, declaring solo
    /// first), `pause`, `echo`, `later` (async), `never` (async, without an end), `cooperate`
    /// (until it is cancelled), `reserve`, `take` (a reservation, until
    /// [`complete`](Self::complete)), `commit_first` (and with `_then_fail`, `_then_block`),
    /// `write_steps`, `write_in_transaction`, `user`.
    #[must_use]
    pub fn procedures() -> Procedures<ScriptedEngine> {
        let procedures = answering(Procedures::default());
        committing(reserving(sleeping(blocking(procedures))))
    }

    /// Whether Tx's thread stands still until the test does something about it.
    pub(in crate::testing) fn stands_still(&self) -> bool {
        let state = self.state();
        let is_blocked = state.is_blocking_wanted || state.is_cooperating;
        state.is_blocked && is_blocked || state.is_committing && state.are_commits_held
    }
}

/// Adds the procedures that keep Tx from going on.
fn blocking(procedures: ScriptedProcedures) -> ScriptedProcedures {
    procedures
        .read_only("block", |call: &mut ScriptedCall<'_>| {
            call.engine.script.stand_still();
            call.reply.value(&"released")
        })
        .read_only("busy", |call: &mut ScriptedCall<'_>| {
            let guard = call.reply.solo("scripted work");
            guard.progress(25, 100);
            call.engine.script.stand_still();
            call.reply.value(&"released")
        })
        .read_only("pause", |call: &mut ScriptedCall<'_>| {
            let script = &call.engine.script;
            let mut on_pause = script
                .on_pause
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(work) = on_pause.as_mut() {
                (work.0)();
            }
            let milliseconds = first_uint(call.args)?;
            pause(Duration::from_millis(milliseconds));
            call.reply.value(&milliseconds)
        })
        .read_only("cooperate", |call: &mut ScriptedCall<'_>| {
            call.engine.script.change(|state| {
                state.is_blocked = true;
                state.is_cooperating = true;
            });
            while !call.reply.is_cancelled() {
                std::thread::yield_now();
            }
            call.engine.script.change(|state| {
                state.is_blocked = false;
                state.is_cooperating = false;
                state.log.push("cooperated".to_owned());
            });
            call.reply.value(&"too late")
        })
}

/// Adds the procedures that give way to others.
fn sleeping(procedures: ScriptedProcedures) -> ScriptedProcedures {
    procedures
        .async_function("later", |(turns,): (u32,), context| async move {
            for _ in 0..turns {
                context.read(|_: &ScriptedEngine| Ok(())).await?;
            }
            Ok(turns)
        })
        .async_function("never", |_: Vec<u8>, context| async move {
            let own = |engine: &ScriptedEngine, _| Ok(Unending::new(&engine.script));
            let _unending = context.read_in_transaction(own).await?;
            std::future::pending::<()>().await;
            Ok(())
        })
        .async_function(
            "write_in_transaction",
            |(key,): (u64,), context| async move {
                let step = move |engine: &mut ScriptedEngine,
                                 transaction: Option<TransactionId>| {
                    let own = transaction.map_or(0, |own| own.0);
                    let note = format!("wrote {key} in {own}");
                    engine.script.change(|state| state.log.push(note));
                    Ok(own)
                };
                context.engine_in_transaction(step).await
            },
        )
        .async_function("write_steps", |(steps,): (u64,), context| async move {
            let mut committed = 0u64;
            for key in 0..steps {
                let step = move |engine: &mut ScriptedEngine| {
                    engine.pending.insert(key, vec![0x91, 1]);
                    Ok(())
                };
                committed += u64::from(context.engine(step).await.is_ok());
            }
            Ok(committed)
        })
}

/// Adds the procedures that reserve something.
fn reserving(procedures: ScriptedProcedures) -> ScriptedProcedures {
    procedures
        .read_only("reserve", |call: &mut ScriptedCall<'_>| {
            let id = call.reply.reserve("scripted", "own")?;
            call.reply.value(&id.0)
        })
        .read_only("take", |call: &mut ScriptedCall<'_>| {
            let (id,): (u64,) = call.parse()?;
            call.reply.take_reservation(ReservationId(id))?;
            let completion = call.reply.defer()?;
            call.engine
                .script
                .change(|state| state.completion = Some(completion));
            Ok(Outcome::Deferred)
        })
}

/// Adds the procedures that want a commit first.
fn committing(procedures: ScriptedProcedures) -> ScriptedProcedures {
    procedures
        .read_only("commit_first", |call: &mut ScriptedCall<'_>| {
            if !call.engine.pending.is_empty() {
                return Ok(Outcome::CommitFirst);
            }
            call.reply.value(&"alone")
        })
        .read_only("commit_first_then_fail", |call: &mut ScriptedCall<'_>| {
            if !call.engine.pending.is_empty() {
                return Ok(Outcome::CommitFirst);
            }
            Err(Error::illegal_params("scripted failure"))
        })
        .read_only("commit_first_then_block", |call: &mut ScriptedCall<'_>| {
            if !call.engine.pending.is_empty() {
                return Ok(Outcome::CommitFirst);
            }
            call.engine.script.stand_still();
            call.reply.value(&"released")
        })
}

/// Adds the procedures that answer at once.
fn answering(procedures: ScriptedProcedures) -> ScriptedProcedures {
    procedures
        .function("echo", |(value,): (u64,)| Ok(value))
        .read_only("user", |call: &mut ScriptedCall<'_>| {
            let user = call.caller.user.to_string();
            call.reply.value(&user)
        })
}
