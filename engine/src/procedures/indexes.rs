//! Definitions of indexes: `space:create_index`, `index:alter`, `index:rename`, `index:drop`, with
//! options and parts as Lua callers write them.

use std::sync::Arc;

use serde::Serialize;
use vestibule_actors::engine::{Outcome, Reply};
use vestibule_wire::request::IdOrName;
use vestibule_wire::{Error, ErrorCode};

use super::args::{Args, LuaValue, Options, illegal};
use super::attachments::{self, Wish};
use super::call::{EngineCall, alter_schema, alter_schema_and_answer};
use super::format::read_collation;
use super::remove;
use crate::engine::EmbeddedEngine;
use crate::errors;
use crate::limits::INDEX_PARTS_MAX;
use crate::model::collation::Collation;
use crate::model::field::FieldType;
use crate::model::index::{PRIMARY, Part};
use crate::model::part_path::PartPath;
use crate::model::path::{Path, Token};
use crate::model::space::{Field, SpaceDef};
use crate::schema::system::read::{self, attachment};
use crate::schema::system::rows::{IndexRow, RowOptions, has_collations, is_descending};
use crate::schema::system::{self};

const OPTIONS: [&str; 16] = [
    "type",
    "id",
    "if_not_exists",
    "parts",
    "unique",
    "sequence",
    "func",
    "dimension",
    "distance",
    "bloom_fpr",
    "page_size",
    "range_size",
    "run_count_per_level",
    "run_size_ratio",
    "hint",
    "fast_offset",
];

/// Options that change nothing here and are kept, with the types of their values.
const KEPT: [(&str, &str); 9] = [
    ("dimension", "number"),
    ("distance", "string"),
    ("bloom_fpr", "number"),
    ("page_size", "number"),
    ("range_size", "number"),
    ("run_count_per_level", "number"),
    ("run_size_ratio", "number"),
    ("hint", "boolean"),
    ("fast_offset", "boolean"),
];

/// What is said of a part by a name.
const PART_OPTIONS: [&str; 7] = [
    "field",
    "type",
    "is_nullable",
    "exclude_null",
    "sort_order",
    "path",
    "collation",
];

/// What `space:create_index` returns: the index as Tarantool prints it.
#[derive(Debug, Serialize)]
struct CreatedIndex<'a> {
    id: u32,
    name: &'a str,
    space_id: u32,
    #[serde(rename = "type")]
    kind: String,
    unique: bool,
    parts: Vec<CreatedPart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_id: Option<u32>,
    /// From 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_fieldno: Option<u32>,
}

#[derive(Debug, Serialize)]
struct CreatedPart {
    fieldno: u32,
    #[serde(rename = "type")]
    kind: &'static str,
    is_nullable: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    exclude_null: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    collation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sort_order: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
}

impl<'a> CreatedIndex<'a> {
    fn of(row: &'a IndexRow, engine: &EmbeddedEngine) -> Result<Self, Error> {
        let attached = engine.look(|snapshot| attachment(snapshot, row.space))?;
        let attached = attached.filter(|_| row.id == PRIMARY);
        let part = |part: &Part| CreatedPart {
            fieldno: part.field + 1,
            kind: part.kind.name(),
            is_nullable: part.is_nullable,
            exclude_null: part.exclude_null,
            collation: part.collation.map(|own| own.known().name()),
            sort_order: part.is_descending.then_some("desc"),
            path: part.path.as_ref().map(|path| path.text().to_owned()),
        };
        Ok(Self {
            id: row.id,
            name: &row.name,
            space_id: row.space,
            kind: row.kind.to_ascii_uppercase(),
            unique: row.is_unique,
            parts: row.parts.iter().map(part).collect(),
            sequence_id: attached.map(|own| own.sequence),
            sequence_fieldno: attached.map(|own| own.field + 1),
        })
    }
}

/// `box.space.<name>:create_index(name [, options])`
pub(super) fn create(call: &mut EngineCall<'_>, space: &str) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let name = args.name(0, "name")?;
    let options = args.options(1, &OPTIONS)?;
    let is_lenient = options.flag("if_not_exists")?;
    let space = call.engine.definition(IdOrName::Name(space))?;
    let existing = call
        .engine
        .look(|snapshot| read::index_rows(snapshot, space.id))?;
    if let Some(same) = existing.iter().find(|row| *row.name == *name) {
        if is_lenient {
            let same = CreatedIndex::of(same, call.engine)?;
            return call.reply.value(&same);
        }
        return Err(errors::index_exists(name));
    }
    let next = existing.iter().map(|row| row.id + 1).max().unwrap_or(0);
    let row = read_row(name, &options, space.id, next, &space.format)?;
    if let Some(same) = existing.iter().find(|existing| existing.id == row.id) {
        let (old, new) = (same.encode(), row.encode());
        return Err(errors::duplicate("primary", "_index", &old, &new));
    }
    let wish = Wish::read(&options)?;
    let owner = call.engine.effective_user().id;
    let define = |engine: &mut EmbeddedEngine, reply: &Reply<'_>| {
        define(engine, &wish, &row, &space, owner, reply)
    };
    alter_schema_and_answer(call, define, |call| {
        let created = CreatedIndex::of(&row, call.engine)?;
        call.reply.value(&created)
    })
}

/// Defines an index and its sequence. For use inside [`EmbeddedEngine::alter`].
fn define(
    engine: &mut EmbeddedEngine,
    wish: &Wish<'_>,
    row: &IndexRow,
    space: &SpaceDef,
    owner: u64,
    reply: &Reply<'_>,
) -> Result<(), Error> {
    let prepared = attachments::prepare(engine, wish, row, space, owner, reply)?;
    engine.put_system(system::INDEX, &row.encode(), reply)?;
    prepared.map_or(Ok(()), |prepared| prepared.finish(engine, reply))
}

fn row_of(call: &EngineCall<'_>, space: u32, index: u32) -> Result<IndexRow, Error> {
    let rows = call
        .engine
        .look(|snapshot| read::index_rows(snapshot, space))?;
    let found = rows.into_iter().find(|row| row.id == index);
    found.ok_or_else(|| Error::no_such_index_id(u64::from(index), &space.to_string()))
}

/// `index:drop()`
pub(super) fn drop(call: &mut EngineCall<'_>, space: u32, index: u32) -> Result<Outcome, Error> {
    alter_schema(call, |engine, reply| {
        if index == PRIMARY {
            remove::attached_sequence(engine, space, reply)?;
        }
        remove::index(engine, space, index, reply)
    })
}

/// `index:rename(name)`
pub(super) fn rename(call: &mut EngineCall<'_>, space: u32, index: u32) -> Result<Outcome, Error> {
    let mut row = row_of(call, space, index)?;
    row.name = Args::read(call.args)?.name(0, "name")?.into();
    alter_schema(call, |engine, reply| {
        engine.put_system(system::INDEX, &row.encode(), reply)
    })
}

/// `index:alter(options)`: what is not said stays as it is.
pub(super) fn alter(
    call: &mut EngineCall<'_>,
    space: &SpaceDef,
    index: u32,
) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let options = args.options(0, &[&OPTIONS[..], &["name"]].concat())?;
    refuse_options(&options)?;
    let mut row = row_of(call, space.id, index)?;
    if let Some(id) = options.uint("id")? {
        refuse_beside_id(&options)?;
        if id != u64::from(row.id) {
            return Err(errors::primary_key_update("_index"));
        }
    }
    if let Some(name) = options.text("name")? {
        row.name = name.into();
    }
    if let Some(kind) = options.text("type")? {
        row.kind = kind.to_ascii_lowercase().into();
    }
    if options.get("unique").is_some() {
        row.set_unique(options.flag("unique")?);
    }
    if let Some(parts) = options.get("parts") {
        row.parts = read_parts(parts, &space.format)?;
    }
    keep_options(&options, &mut row.options)?;
    let wish = Wish::read(&options)?;
    let owner = call.engine.effective_user().id;
    alter_schema(call, |engine, reply| {
        define(engine, &wish, &row, space, owner, reply)
    })
}

/// The number is changed by itself, or beside name and type.
fn refuse_beside_id(options: &Options<'_>) -> Result<(), Error> {
    let others = OPTIONS
        .into_iter()
        .filter(|name| !matches!(*name, "id" | "type"));
    let given: String = others
        .filter(|name| options.get(name).is_some())
        .map(|name| format!(" {name}"))
        .collect();
    if given.is_empty() {
        return Ok(());
    }
    let message = format!("Don't know how to update both id and{given}");
    Err(Error::new(ErrorCode::PROC, message))
}

fn refuse_options(options: &Options<'_>) -> Result<(), Error> {
    match options.get("func") {
        None | Some(LuaValue::Bool(false)) => Ok(()),
        Some(_) => Err(errors::unsupported("the index option 'func'")),
    }
}

fn read_row(
    name: &str,
    options: &Options<'_>,
    space: u32,
    next: u32,
    format: &[Field],
) -> Result<IndexRow, Error> {
    refuse_options(options)?;
    let id = match options.uint("id")? {
        Some(id) => u32::try_from(id).map_err(|_| illegal("index id is too big"))?,
        None => next,
    };
    let parts = match options.get("parts") {
        None => vec![Part::new(0, FieldType::Unsigned)],
        Some(parts) => read_parts(parts, format)?,
    };
    let is_unique = options.get("unique").is_none() || options.flag("unique")?;
    let kind = options
        .text("type")?
        .unwrap_or("tree")
        .to_ascii_lowercase()
        .into();
    let mut kept = RowOptions::unique(is_unique);
    keep_options(options, &mut kept)?;
    Ok(IndexRow {
        space,
        id,
        name: name.into(),
        kind,
        is_unique,
        options: kept,
        parts,
    })
}

/// Takes over the options that change nothing here.
fn keep_options(options: &Options<'_>, kept: &mut RowOptions) -> Result<(), Error> {
    for (name, kind) in KEPT {
        let Some(value) = options.get(name) else {
            continue;
        };
        match kind {
            "number" => {
                options.number(name)?;
            }
            "string" => {
                options.text(name)?;
            }
            _ => {
                options.flag(name)?;
            }
        }
        let mut raw = Vec::new();
        value.write(&mut raw);
        kept.set(name, &raw);
    }
    Ok(())
}

/// Reads `{{field = 1, type = 'unsigned'}, {'name'}}`, `{1, 'unsigned', 2, 'string'}`, `{'name'}`.
fn read_parts(parts: &LuaValue<'_>, format: &[Field]) -> Result<Vec<Part>, Error> {
    let LuaValue::List(values) = parts else {
        return Err(illegal("options parameter 'parts' should be of type table"));
    };
    if values.is_empty() {
        return Err(illegal("options.parts must have at least one part"));
    }
    if values.len() > 2 * INDEX_PARTS_MAX {
        return Err(errors::wrong_index_parts("too many key parts"));
    }
    let (mut parts, mut at) = (Vec::new(), 0);
    while let Some(value) = values.get(at) {
        let number = parts.len() + 1;
        at += 1;
        if matches!(value, LuaValue::List(_) | LuaValue::Table(_)) {
            parts.push(read_part(number, value, format)?);
            continue;
        }
        let (field, path) = read_place(number, Some(value), format)?;
        // The flat form: a type may follow its field.
        let kind = values
            .get(at)
            .and_then(LuaValue::as_str)
            .and_then(FieldType::from_name);
        let is_flat = kind.is_some() && value.as_uint().is_some();
        at += usize::from(is_flat);
        let kind = kind
            .filter(|_| is_flat)
            .unwrap_or(default_kind(field, format));
        parts.push(Part {
            is_nullable: is_nullable(field, format),
            collation: default_collation(field, kind, format),
            path,
            ..Part::new(field, kind)
        });
    }
    Ok(parts)
}

fn read_part(number: usize, part: &LuaValue<'_>, format: &[Field]) -> Result<Part, Error> {
    // Only field and type have a place; what else is said has a name.
    if part.at(3).is_some() {
        return Err(errors::wrong_index_options(number, "key must be a string"));
    }
    if let Some(option) = part.names().find(|name| !PART_OPTIONS.contains(name)) {
        return Err(errors::unsupported_option("index part", option));
    }
    let place = part.get("field").or(part.at(1));
    let (field, inside) = read_place(number, place, format)?;
    let path = match part.get("path") {
        _ if inside.is_some() => inside,
        None | Some(LuaValue::Nil) => None,
        Some(LuaValue::Str(path)) => read_path(number, path)?,
        Some(_) => return Err(errors::wrong_index_options(number, "'path' must be string")),
    };
    let kind = match part.get("type").or(part.at(2)) {
        None => default_kind(field, format),
        Some(kind) => kind
            .as_str()
            .and_then(FieldType::from_name)
            .ok_or_else(|| errors::wrong_index_parts("unknown field type"))?,
    };
    let flag = |name: &str| match part.get(name) {
        None => Ok(None),
        Some(LuaValue::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => {
            let what = format!("options.parts[{number}]: type (boolean) of {name} is expected");
            Err(illegal(what))
        }
    };
    let exclude_null = flag("exclude_null")?.unwrap_or(false);
    let told = flag("is_nullable")?;
    if exclude_null && told == Some(false) {
        let what = "exclude_null=true and is_nullable=false are incompatible";
        return Err(illegal(format_args!("options.parts[{number}]: {what}")));
    }
    let place = format_args!("options.parts[{number}]");
    let collation = read_collation(part.get("collation"), place)?;
    Ok(Part {
        field,
        kind,
        is_nullable: exclude_null || told.unwrap_or(is_nullable(field, format)),
        exclude_null,
        is_descending: read_order(number, part.get("sort_order"))?,
        collation: match collation {
            Some(known) => known.order()?,
            None => default_collation(field, kind, format),
        },
        path,
    })
}

/// Whether a sort order is the descending one.
fn read_order(number: usize, order: Option<&LuaValue<'_>>) -> Result<bool, Error> {
    let wrong = |why: &str| errors::wrong_index_options(number, why);
    match order {
        None | Some(LuaValue::Nil) => Ok(false),
        Some(LuaValue::Str(order)) => {
            is_descending(order).ok_or_else(|| wrong("index part: unknown sort order"))
        }
        Some(_) => Err(wrong("'sort_order' must be enum")),
    }
}

/// Whether the format lets a field be null: what an index follows when nothing is said.
fn is_nullable(field: u32, format: &[Field]) -> bool {
    let field = format.get(field as usize);
    field.is_some_and(|field| field.is_nullable)
}

/// What orders the strings of a field when nothing is said: what the format says, as in Tarantools
/// later than 2.6.
fn default_collation(field: u32, kind: FieldType, format: &[Field]) -> Option<Collation> {
    let field = format.get(field as usize).filter(|_| has_collations(kind));
    field.and_then(|field| field.collation)
}

/// What an index makes of a field when nothing is said.
fn default_kind(field: u32, format: &[Field]) -> FieldType {
    format
        .get(field as usize)
        .map_or(FieldType::Scalar, |field| field.kind)
}

fn read_path(number: usize, path: &str) -> Result<Option<Arc<PartPath>>, Error> {
    let path = PartPath::read(path).map_err(|why| errors::wrong_index_options(number, why))?;
    Ok(path.map(Arc::new))
}

/// A field by number, from 1, by name, or by a path that leads into it (`body.id`, `[2].id`); its
/// number is returned from 0.
fn read_place(
    number: usize,
    field: Option<&LuaValue<'_>>,
    format: &[Field],
) -> Result<(u32, Option<Arc<PartPath>>), Error> {
    let wrong = |what: &str| Err(illegal(format_args!("options.parts[{number}]: {what}")));
    match field {
        Some(LuaValue::Str(name)) => {
            if let Some(at) = format.iter().position(|own| *own.name == **name) {
                return Ok((at as u32, None));
            }
            match first_step(name, format) {
                Some((at, rest)) => Ok((at, read_path(number, rest)?)),
                None => wrong(&format!("field was not found by name '{name}'")),
            }
        }
        Some(value @ (LuaValue::Integer(_) | LuaValue::Float(_))) => {
            match value.as_uint().map(u32::try_from) {
                Some(Ok(field @ 1..)) => Ok((field - 1, None)),
                _ => wrong("field (number) must be one-based"),
            }
        }
        _ => wrong("field (name or number) is expected"),
    }
}

/// The field that a path begins with, and what of the path is left.
fn first_step<'p>(path: &'p str, format: &[Field]) -> Option<(u32, &'p str)> {
    let mut steps = Path::new(path);
    let field = match steps.next().ok()? {
        Token::Index(at) => u32::try_from(at).ok()?,
        Token::Key(name) => format.iter().position(|own| *own.name == *name)? as u32,
        Token::Any | Token::End => return None,
    };
    Some((field, steps.rest()))
}
