//! What CALL reaches in the embedded engine.
//!
//! From the ground floor up; no file uses one that stands below it in this table:
//!
//! | file | what it is |
//! |---|---|
//! | `args` | arguments as Lua callers give them |
//! | `call` | what a procedure is called with, and how it answers |
//! | `lookup` | objects that arguments name or number |
//! | `remove` | objects are dropped with all that hangs on them |
//! | `foreign_keys` | foreign keys as Lua callers write them |
//! | `format` | formats as Lua callers write them |
//! | `checkpoints` | `box.snapshot`, `vestibule.checkpoints` |
//! | `functions` | `box.schema.func.*` |
//! | `sequences` | `box.schema.sequence.*`, `box.sequence.<name>:<method>` |
//! | `attachments` | the option `sequence` of an index |
//! | `monitoring` | `bsize`, `box.info.memory`, `box.slab.info`, `box.session.*` |
//! | `indexes` | `space:create_index`, `index:alter`, … |
//! | `spaces` | `box.schema.space.create`, `box.space.<name>:<method>` |
//! | `principals` | what users and roles have in common |
//! | `grants` | rights, granted and revoked |
//! | `users` | `box.schema.user.*` |
//! | `roles` | `box.schema.role.*` |
//! | `transactions` | `box.begin` and the like outside of a stream |
//! | `debug` | `vestibule.debug.*`, for demonstrations and tests only |
//! | `mod` | all of them by name, and who may call them |
//!
//! Names, arguments and texts are those of Tarantool's Lua functions, so that what sets up a schema
//! there does so here.

mod args;
mod attachments;
mod call;
mod checkpoints;
mod debug;
mod foreign_keys;
mod format;
mod functions;
mod grants;
mod indexes;
mod lookup;
mod monitoring;
mod principals;
mod remove;
mod roles;
mod sequences;
mod spaces;
#[cfg(test)]
mod tests;
mod transactions;
mod users;

use vestibule_actors::engine::Outcome;
use vestibule_actors::procedures::Audience::{self, Administrators, Everybody};
use vestibule_actors::procedures::Procedures;
use vestibule_wire::Error;

pub use debug::with_debug;

use self::call::{EngineCall, Procedure};
use crate::engine::EmbeddedEngine;

/// By their whole names. Who is no administrator is told so here: the engine lets all calls of
/// `vestibule.*` pass, for the runtime has some that are for everybody.
const PROCEDURES: [(&str, Audience, Procedure); 39] = [
    ("box.begin", Everybody, transactions::begin),
    ("box.commit", Everybody, transactions::end),
    ("box.info.memory", Everybody, monitoring::memory),
    ("box.is_in_txn", Everybody, transactions::is_in_transaction),
    ("box.rollback", Everybody, transactions::end),
    // The older name.
    ("box.schema.create_space", Everybody, spaces::create_space),
    ("box.schema.func.create", Everybody, functions::create),
    ("box.schema.func.drop", Everybody, functions::drop),
    ("box.schema.func.exists", Everybody, functions::exists),
    ("box.schema.role.create", Everybody, roles::create),
    ("box.schema.role.drop", Everybody, roles::drop),
    ("box.schema.role.exists", Everybody, roles::exists),
    ("box.schema.role.grant", Everybody, roles::grant),
    ("box.schema.role.info", Everybody, roles::info),
    ("box.schema.role.revoke", Everybody, roles::revoke),
    ("box.schema.sequence.alter", Everybody, sequences::alter),
    ("box.schema.sequence.create", Everybody, sequences::create),
    ("box.schema.sequence.drop", Everybody, sequences::drop),
    ("box.schema.space.create", Everybody, spaces::create_space),
    ("box.schema.user.create", Everybody, users::create),
    ("box.schema.user.disable", Everybody, grants::disable),
    ("box.schema.user.drop", Everybody, users::drop),
    ("box.schema.user.enable", Everybody, grants::enable),
    ("box.schema.user.exists", Everybody, users::exists),
    ("box.schema.user.grant", Everybody, grants::grant_user),
    ("box.schema.user.info", Everybody, users::info),
    ("box.schema.user.passwd", Everybody, users::passwd),
    ("box.schema.user.password", Everybody, users::password),
    ("box.schema.user.revoke", Everybody, grants::revoke_user),
    (
        "box.session.effective_user",
        Everybody,
        monitoring::session_effective_user,
    ),
    ("box.session.euid", Everybody, monitoring::session_euid),
    ("box.session.id", Everybody, monitoring::session_id),
    ("box.session.type", Everybody, monitoring::session_type),
    ("box.session.uid", Everybody, monitoring::session_uid),
    ("box.session.user", Everybody, monitoring::session_user),
    ("box.slab.info", Everybody, monitoring::slab_info),
    ("box.snapshot", Everybody, checkpoints::snapshot),
    ("vestibule.checkpoints", Administrators, checkpoints::status),
    ("vestibule.journal.resume", Administrators, resume),
];

/// By the beginnings of their names.
const FAMILIES: [(&str, Procedure); 2] = [
    ("box.sequence.", sequences::call),
    ("box.space.", spaces::call),
];

/// The procedures of a server with the embedded engine.
#[must_use]
pub fn standard() -> Procedures<EmbeddedEngine> {
    let mut procedures = Procedures::default();
    for (name, audience, function) in PROCEDURES {
        procedures = procedures.with_engine(name, move |call| run(call, audience, function));
    }
    for (prefix, function) in FAMILIES {
        procedures = procedures.family(prefix, move |call| run(call, Everybody, function));
    }
    procedures
}

/// Calls a procedure, in the caller's transaction if there is one, unless the turn is full: if
/// definitions are being changed, it would look at the old ones.
fn run(
    call: &mut EngineCall<'_>,
    audience: Audience,
    function: Procedure,
) -> Result<Outcome, Error> {
    audience.check(call.caller, call.name)?;
    if call.engine.is_turn_full() {
        return Ok(Outcome::CommitFirst);
    }
    let entered = call.engine.enter(call.transaction)?;
    call.engine
        .switch_user_for_call(&call.caller.user, call.name);
    let outcome = function(call);
    call.engine.leave(entered);
    outcome
}

/// `vestibule.journal.resume()`: data may be changed again once the journal can be written.
fn resume(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    call.engine.resume()?;
    call.reply.value(&true)
}

/// Calls a procedure by its name, as Tx would, without a commit.
#[cfg(test)]
pub(crate) fn invoke(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let mut whole = PROCEDURES.into_iter();
    if let Some((_, audience, function)) = whole.find(|(name, ..)| *name == call.name) {
        return run(call, audience, function);
    }
    let mut families = FAMILIES.into_iter();
    match families.find(|(prefix, _)| call.name.starts_with(prefix)) {
        Some((_, function)) => run(call, Everybody, function),
        None => Err(Error::no_such_procedure(call.name)),
    }
}
