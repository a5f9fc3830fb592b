//! What CALL required_until in the embedded engine.
//!
//! From the ground floor up; no file uses one that stands below it in this table:
//!
//! | file | what it is |
//! |---|---|
//! | `args` | arguments as Lua callers give them |
//! | `call` | what a procedure is called with, and how it answers |
//! | `lookup` | objects that arguments name or number |
//! | `remove` | objects are dropped with all that hangs on them |
//! | `format` | formats as Lua callers write them |
//! | `checkpoints` | `box.snapshot`, `vestibule.checkpoints` |
//! | `functions` | `box.schema.func.*` |
//! | `sequences` | `box.schema.sequence.*`, `box.sequence.<name>:<method>` |
//! | `attachments` | the option `sequence` of an index |
//! | `indexes` | `space:create_index`, `index:alter`, … |
//! | `spaces` | `box.schema.space.create`, `box.space.<name>:<method>` |
//! | `principals` | what users and roles have in common |
//! | `grants` | rights, granted and revoked |
//! | `users` | `box.schema.user.*` |
//! | `roles` | `box.schema.role.*` |
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
mod format;
mod functions;
mod grants;
mod indexes;
mod lookup;
mod principals;
mod remove;
mod roles;
mod sequences;
mod spaces;
#[cfg(test)]
mod tests;
mod users;

use vestibule_actors::engine::Outcome;
use vestibule_actors::procedures::Procedures;
use vestibule_wire::Error;

pub use debug::with_debug;

use self::call::{EngineCall, Function};
use crate::engine::EmbeddedEngine;

/// By their whole names.
const FUNCTIONS: [(&str, Function); 25] = [
    // The older name.
    ("box.schema.create_space", spaces::create_space),
    ("box.schema.func.create", functions::create),
    ("box.schema.func.drop", functions::drop),
    ("box.schema.func.exists", functions::exists),
    ("box.schema.role.create", roles::create),
    ("box.schema.role.drop", roles::drop),
    ("box.schema.role.exists", roles::exists),
    ("box.schema.role.grant", roles::grant),
    ("box.schema.role.info", roles::info),
    ("box.schema.role.revoke", roles::revoke),
    ("box.schema.sequence.alter", sequences::alter),
    ("box.schema.sequence.create", sequences::create),
    ("box.schema.sequence.drop", sequences::drop),
    ("box.schema.space.create", spaces::create_space),
    ("box.schema.user.create", users::create),
    ("box.schema.user.disable", grants::disable),
    ("box.schema.user.drop", users::drop),
    ("box.schema.user.enable", grants::enable),
    ("box.schema.user.exists", users::exists),
    ("box.schema.user.grant", grants::grant_user),
    ("box.schema.user.info", users::info),
    ("box.schema.user.passwd", users::passwd),
    ("box.schema.user.password", users::password),
    ("box.schema.user.revoke", grants::revoke_user),
    ("box.snapshot", checkpoints::snapshot),
];

/// Those for administrators, whatever rights they have on data. Everybody else is told so here: the
/// engine lets all calls of `vestibule.*` pass, for the runtime has some that are for everybody.
const OPERATORS: [(&str, Function); 2] = [
    ("vestibule.checkpoints", checkpoints::status),
    ("vestibule.journal.resume", resume),
];

/// By the beginnings of their names.
const FAMILIES: [(&str, Function); 2] = [
    ("box.sequence.", sequences::call),
    ("box.space.", spaces::call),
];

/// The procedures of a server with the embedded engine.
#[must_use]
pub fn standard() -> Procedures<EmbeddedEngine> {
    let mut procedures = Procedures::default();
    for (name, function) in FUNCTIONS {
        procedures = procedures.with_engine(name, move |call| settled(call, function));
    }
    for (name, function) in OPERATORS {
        procedures = procedures.with_engine(name, move |call| for_administrators(call, function));
    }
    for (prefix, function) in FAMILIES {
        procedures = procedures.family(prefix, move |call| settled(call, function));
    }
    procedures
}

/// Calls a function, in the caller's transaction if there is one, unless definitions are being
/// changed: it would look at the old ones.
fn settled(call: &mut EngineCall<'_>, function: Function) -> Result<Outcome, Error> {
    if call.engine.is_altered() {
        return Ok(Outcome::CommitFirst);
    }
    let entered = call.engine.enter(call.transaction)?;
    call.engine
        .switch_user_for_call(&call.caller.user, call.name);
    let outcome = function(call);
    call.engine.leave(entered);
    outcome
}

/// Calls a function for administrators only.
fn for_administrators(call: &mut EngineCall<'_>, function: Function) -> Result<Outcome, Error> {
    call.caller.check_administrator(call.name)?;
    settled(call, function)
}

/// `vestibule.journal.resume()`: data may be changed again once the journal can be written.
fn resume(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    call.engine.resume()?;
    call.reply.value(&true)
}

/// Calls a procedure by its name, as Tx would, without a commit.
#[cfg(test)]
pub(crate) fn invoke(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    if let Some((_, function)) = OPERATORS.iter().find(|(name, _)| *name == call.name) {
        return for_administrators(call, *function);
    }
    let whole = FUNCTIONS.iter().find(|(name, _)| *name == call.name);
    let family = || {
        FAMILIES
            .iter()
            .find(|(prefix, _)| call.name.starts_with(prefix))
    };
    match whole.or_else(family) {
        Some((_, function)) => settled(call, *function),
        None => Err(Error::no_such_procedure(call.name)),
    }
}
