//! The option `sequence` of an index: which sequence gives values to which field of the space.
//!
//! ```text
//!   prepare: sequence found or made, old one detached ─▶ row of _index ─▶ finish: new one attached
//! ```
//!
//! All of it is one change of definitions, so nothing is left of it if a part fails.

use vestibule_actors::engine::Reply;
use vestibule_wire::Error;

use super::args::{LuaValue, Options, illegal};
use super::lookup::{self, existing_sequence};
use super::{remove, sequences};
use crate::ddl::sequence_checks::check_index;
use crate::engine::EmbeddedEngine;
use crate::errors;
use crate::model::index::PRIMARY;
use crate::model::space::{Field, SpaceDef};
use crate::schema::system;
use crate::schema::system::read::{self, attachment};
use crate::schema::system::rows::IndexRow;
use crate::schema::system::sequence_rows::AttachmentRow;

/// What the option `sequence` of an index asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Wish<'a> {
    /// Nothing is said.
    Keep,
    /// `false`
    Detach,
    /// `true`, a name, a number, or a table with both or one of `id` and `field`.
    Attach {
        sequence: Option<LuaValue<'a>>,
        field: Option<LuaValue<'a>>,
    },
}

impl<'a> Wish<'a> {
    pub(super) fn read(options: &Options<'a>) -> Result<Self, Error> {
        let wish = |sequence, field| Self::Attach { sequence, field };
        Ok(match options.get("sequence") {
            None => Self::Keep,
            Some(LuaValue::Bool(false)) => Self::Detach,
            Some(LuaValue::Bool(true)) => wish(None, None),
            // A table without names.
            Some(LuaValue::List(_)) => wish(None, None),
            Some(table @ LuaValue::Table(_)) => {
                wish(table.get("id").cloned(), table.get("field").cloned())
            }
            Some(id @ (LuaValue::Str(_) | LuaValue::Integer(_) | LuaValue::Float(_))) => {
                wish(Some(id.clone()), None)
            }
            Some(_) => {
                let kinds = "boolean, number, string, table";
                return Err(illegal(format_args!(
                    "options parameter 'sequence' should be one of types: {kinds}"
                )));
            }
        })
    }
}

/// What is left to do once the index is defined.
#[derive(Debug)]
pub(super) struct Prepared {
    attached: Option<AttachmentRow>,
    /// A generated sequence that nothing needs any more.
    dropped: Option<u32>,
}

/// The first part, before the index is defined. For use inside [`EmbeddedEngine::alter`].
///
/// # Errors
///
/// `ErrorCode::MODIFY_INDEX` if a sequence cannot give values to the index, or to the field;
/// `ErrorCode::NO_SUCH_SEQUENCE` for a given one that is not there; `ErrorCode::ALTER_SPACE` if the
/// given one belongs to another space; `ErrorCode::ILLEGAL_PARAMS` for a field that is not there;
/// and those of the checks of `_sequence` for one that is made.
pub(super) fn prepare(
    engine: &mut EmbeddedEngine,
    wish: &Wish<'_>,
    row: &IndexRow,
    space: &SpaceDef,
    owner: u64,
    reply: &Reply<'_>,
) -> Result<Option<Prepared>, Error> {
    if row.id != PRIMARY {
        if matches!(wish, Wish::Attach { .. }) {
            let why = "sequence cannot be used with a secondary key";
            return Err(errors::cannot_modify_index(&row.name, &space.name, why));
        }
        return Ok(None);
    }
    let old = engine.look(|snapshot| attachment(snapshot, row.space))?;
    let attached = match wish {
        Wish::Keep => {
            return match old {
                Some(old) => check_index(&space.name, row, old.field).map(|()| None),
                None => Ok(None),
            };
        }
        Wish::Detach => None,
        Wish::Attach { sequence, field } => {
            let field = field.as_ref();
            let field = field.map(|field| resolve_field(field, &space.format));
            let given = sequence.as_ref();
            let given = given
                .map(|given| resolve(engine, given, space))
                .transpose()?;
            let old_field = old.map(|old| old.field);
            let first = row.parts.first().map_or(0, |part| part.field);
            let field = field.transpose()?.or(old_field).unwrap_or(first);
            check_index(&space.name, row, field)?;
            let inherited = old.filter(|old| old.is_generated).map(|old| old.sequence);
            let sequence = match given.or(inherited) {
                Some(sequence) => sequence,
                None => make(engine, space, owner, reply)?,
            };
            Some(AttachmentRow {
                space: row.space,
                sequence,
                is_generated: given.is_none(),
                field,
            })
        }
    };
    if old.is_some() {
        remove::attachment(engine, row.space, reply)?;
    }
    let is_kept = |old: &AttachmentRow| attached.is_some_and(|new| new.sequence == old.sequence);
    let dropped = old.filter(|old| old.is_generated && !is_kept(old));
    Ok(Some(Prepared {
        attached,
        dropped: dropped.map(|old| old.sequence),
    }))
}

impl Prepared {
    /// The last part, once the index is defined. For use inside [`EmbeddedEngine::alter`].
    ///
    /// # Errors
    ///
    /// Those of the checks of `_space_sequence` and `_sequence`.
    pub(super) fn finish(
        self,
        engine: &mut EmbeddedEngine,
        reply: &Reply<'_>,
    ) -> Result<(), Error> {
        if let Some(row) = self.attached {
            engine.put_system(system::SPACE_SEQUENCE, &row.encode(), reply)?;
        }
        match self.dropped {
            Some(sequence) => remove::sequence(engine, sequence, reply),
            None => Ok(()),
        }
    }
}

/// A sequence that is given: not one that belongs to a space.
fn resolve(engine: &EmbeddedEngine, given: &LuaValue<'_>, space: &SpaceDef) -> Result<u32, Error> {
    let sequence = system::first_id(&existing_sequence(engine, given)?)?;
    engine.look(|snapshot| {
        for other in read::attachments_of(snapshot, sequence) {
            if other?.is_generated {
                let why = "can not attach generated sequence";
                return Err(errors::cannot_alter_space(&space.name, why));
            }
        }
        Ok(sequence)
    })
}

fn make(
    engine: &mut EmbeddedEngine,
    space: &SpaceDef,
    owner: u64,
    reply: &Reply<'_>,
) -> Result<u32, Error> {
    let name = format!("{}_seq", space.name);
    if lookup::sequence(engine, &LuaValue::Str(&name))?.is_some() {
        return Err(errors::sequence_exists(&name));
    }
    let row = sequences::plain_row(engine, &name, owner)?;
    engine.put_system(system::SEQUENCE, &row.encode(), reply)?;
    Ok(row.id)
}

/// A field by number, from 1, or by name; returned from 0.
fn resolve_field(field: &LuaValue<'_>, format: &[Field]) -> Result<u32, Error> {
    let wrong = |what: &str| Err(illegal(format_args!("sequence field: {what}")));
    match field {
        LuaValue::Str(name) => match format.iter().position(|own| *own.name == **name) {
            Some(at) => Ok(at as u32),
            None => wrong(&format!("field was not found by name '{name}'")),
        },
        value => match value.as_uint().map(u32::try_from) {
            Some(Ok(field @ 1..)) => Ok(field - 1),
            _ => wrong("field (number) must be one-based"),
        },
    }
}
