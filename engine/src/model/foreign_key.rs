//! Foreign keys: a tuple, the child, needs another one, the parent, in another space or in its own.
//!
//! ```text
//!   child  ── local fields ───▶ key in a unique index of the parent's space: has to be there
//!   parent ── foreign fields ─▶ key in an index of the child's space: nothing may have it, when
//!                               the parent goes or gets another key
//! ```
//!
//! What a key names is looked up when it is needed: an index may be made after the foreign key, and
//! a format may get its names then. Until it is, nothing can be checked, and nothing is changed.

use vestibule_wire::Error;
use vestibule_wire::msgpack::{Reader, write_array_len};

use crate::errors;
use crate::errors::foreign_key as foreign_key_errors;
use crate::model::index::{IndexDef, NIL, Part};
use crate::model::key::Key;
use crate::model::space::SpaceDef;

/// A foreign key, of a field or of a whole tuple.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForeignKey {
    pub(crate) name: Box<str>,
    /// The parent's space; `None` for the child's own.
    pub(crate) space: Option<u32>,
    pub(crate) fields: ForeignFields,
}

/// Which fields refer to which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ForeignFields {
    /// One field, by its number, to one field.
    Field(u32, FieldId),
    /// Fields to fields, pair by pair; at least one.
    Tuple(Box<[(FieldId, FieldId)]>),
}

/// A field as definitions name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FieldId {
    /// From 0.
    Number(u32),
    /// By the format.
    Name(Box<str>),
}

/// A key, and the index of the space where it is to be looked up.
pub(crate) type Wanted<'d> = (&'d IndexDef, Key);

impl FieldId {
    fn number(&self, space: &SpaceDef) -> Option<u32> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Name(name) => space.field_number(name),
        }
    }
}

impl ForeignKey {
    /// The parent's space, for a child in the space of this number.
    pub(crate) fn parent(&self, child: u32) -> u32 {
        self.space.unwrap_or(child)
    }

    /// The numbers of the child's fields; `None` if a name means nothing.
    fn local(&self, child: &SpaceDef) -> Option<Vec<u32>> {
        match &self.fields {
            ForeignFields::Field(own, _) => Some(vec![*own]),
            ForeignFields::Tuple(pairs) => pairs.iter().map(|(own, _)| own.number(child)).collect(),
        }
    }

    /// The numbers of the parent's fields, in the same order; `None` if a name means nothing.
    fn foreign(&self, parent: &SpaceDef) -> Option<Vec<u32>> {
        match &self.fields {
            ForeignFields::Field(_, field) => Some(vec![field.number(parent)?]),
            ForeignFields::Tuple(pairs) => {
                let foreign = pairs.iter().map(|(_, field)| field.number(parent));
                foreign.collect()
            }
        }
    }

    /// What it comes to between two definitions: fields that refer to fields; `None` if a name
    /// means nothing.
    pub(crate) fn resolved(
        &self,
        child: &SpaceDef,
        parent: &SpaceDef,
    ) -> Option<(Vec<u32>, Vec<u32>)> {
        Some((self.local(child)?, self.foreign(parent)?))
    }

    /// The key that a child needs in its parent's space; `None` if it refers to nothing.
    ///
    /// # Errors
    ///
    /// `ErrorCode::FIELD_FOREIGN_KEY_FAILED` or `ErrorCode::COMPLEX_FOREIGN_KEY_FAILED` if there is
    /// no unique index with these fields or the child's are of other types.
    pub(crate) fn needed<'d>(
        &self,
        child: &SpaceDef,
        parent: &'d SpaceDef,
        tuple: &[u8],
    ) -> Result<Option<Wanted<'d>>, Error> {
        let failed = |why| self.failed(child, why);
        let local = self.local(child);
        if let (ForeignFields::Field(..), Some(local)) = (&self.fields, &local)
            && is_nil(values(tuple, local)[0])
        {
            return Ok(None);
        }
        let index = self
            .foreign(parent)
            .and_then(|fields| unique_index(parent, &fields).map(|index| (fields, index)));
        let (foreign, index) = index.ok_or_else(|| failed("foreign index was not found"))?;
        let local = local.ok_or_else(|| failed("wrong local field name"))?;
        let values = values(tuple, &local);
        let given: Vec<&[u8]> = values.iter().copied().flatten().collect();
        if given.iter().all(|value| *value == NIL) {
            return Ok(None);
        }
        if given.len() < values.len() {
            return Err(failed("extract key failed"));
        }
        let key = index.whole_key(&key_of(index, &foreign, &given));
        let key = key.map_err(|_| failed("wrong key type"))?;
        Ok(Some((index, key)))
    }

    /// The key, possibly partial, that no child may have once a parent is changed like this; `None`
    /// if nothing can refer to it, or goes on to do so.
    ///
    /// # Errors
    ///
    /// `ErrorCode::FOREIGN_KEY_INTEGRITY` if children cannot be looked for: they have no index with
    /// these fields, or one of other types.
    pub(crate) fn referring<'d>(
        &self,
        child: &'d SpaceDef,
        parent: &SpaceDef,
        old: &[u8],
        new: Option<&[u8]>,
    ) -> Result<Option<Wanted<'d>>, Error> {
        let failed = |why| Err(foreign_key_errors::integrity(&self.name, why));
        let Some(foreign) = self.foreign(parent) else {
            return failed("wrong foreign field name");
        };
        let goes = values(old, &foreign);
        if let Some(new) = new {
            let unique = unique_index(parent, &foreign);
            let is_same_key = unique.is_some_and(|index| index.key_of(old) == index.key_of(new));
            if is_same_key || goes == values(new, &foreign) {
                return Ok(None);
            }
        }
        let local = self.local(child);
        let index = local.and_then(|local| {
            let index = child.indexes().find(|index| has_fields(index, &local))?;
            Some((local, index))
        });
        let Some((local, index)) = index else {
            return failed("index was not found");
        };
        if goes.iter().copied().any(is_nil) {
            return Ok(None);
        }
        let given: Vec<&[u8]> = goes.into_iter().flatten().collect();
        match index.partial_key(&key_of(index, &local, &given), true) {
            Ok(given) if !given.has_null => Ok(Some((index, given.key))),
            _ => failed("wrong key type"),
        }
    }

    /// Why a child cannot be stored.
    #[cold]
    pub(crate) fn failed(&self, child: &SpaceDef, why: &str) -> Error {
        match &self.fields {
            ForeignFields::Field(own, _) => {
                let name = child.format.get(*own as usize).map(|field| &*field.name);
                let path = errors::field_path(*own as usize, name);
                foreign_key_errors::field_failed(&self.name, &path, why)
            }
            ForeignFields::Tuple(_) => foreign_key_errors::tuple_failed(&self.name, why),
        }
    }
}

fn unique_index<'d>(space: &'d SpaceDef, fields: &[u32]) -> Option<&'d IndexDef> {
    let mut indexes = space.indexes();
    indexes.find(|index| index.is_unique && has_fields(index, fields))
}

/// Whether the parts of an index are these fields, in any order.
fn has_fields(index: &IndexDef, fields: &[u32]) -> bool {
    let mut parts = index.parts.iter();
    // What stands inside of a field is another value, and a collation takes one value for another.
    let is_whole = |part: &Part| part.path.is_none() && part.collation.is_none();
    let is_one = |part: &Part| is_whole(part) && fields.contains(&part.field);
    index.parts.len() == fields.len() && parts.all(is_one)
}

/// The key of values, which stand in the order of `fields`, for an index.
fn key_of(index: &IndexDef, fields: &[u32], values: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::new();
    write_array_len(&mut key, index.parts.len() as u32);
    for part in &index.parts {
        let at = fields.iter().position(|field| *field == part.field);
        key.extend_from_slice(at.map_or(NIL, |at| values[at]));
    }
    key
}

/// The values of fields, in their order; `None` for one that a tuple does not have.
fn values<'t>(tuple: &'t [u8], fields: &[u32]) -> Vec<Option<&'t [u8]>> {
    let mut found = vec![None; fields.len()];
    let mut reader = Reader::new(tuple);
    let last = fields.iter().max().map_or(0, |last| last.saturating_add(1));
    for number in 0..reader.read_array_len().unwrap_or(0).min(last) {
        let Ok(value) = reader.skip() else { break };
        for (at, field) in fields.iter().enumerate() {
            if *field == number {
                found[at] = Some(value);
            }
        }
    }
    found
}

fn is_nil(value: Option<&[u8]>) -> bool {
    value.is_none_or(|value| value == NIL)
}
