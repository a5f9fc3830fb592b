//! Definition of a space: its name, what its tuples must look like, its indexes.

use std::collections::BTreeMap;

use vestibule_wire::Error;
use vestibule_wire::msgpack::{
    Kind, Reader, write_array_len, write_bool, write_map_len, write_str,
};
use vestibule_wire::request::IdOrName;

use crate::errors::{self, parts as part_errors};
use crate::model::collation::Collation;
use crate::model::field::FieldType;
use crate::model::foreign_key::ForeignKey;
use crate::model::index::{IndexDef, NIL, PRIMARY};
use crate::model::inside::{Asking, Inside, ValuePlace};
use crate::model::part_path::PathStep;

/// A space without its tuples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpaceDef {
    pub(crate) id: u32,
    pub(crate) name: Box<str>,
    /// Exact number of fields; 0 for any.
    pub(crate) field_count: u32,
    /// The format as it was given.
    pub(crate) format: Vec<Field>,
    pub(crate) primary: Option<IndexDef>,
    /// All other indexes, by number.
    pub(crate) secondaries: Box<[IndexDef]>,
    /// What gives values to a field that comes as nil.
    pub(crate) generator: Option<Generator>,
    /// Tuples are neither journaled nor in checkpoints: a restart empties the space.
    pub(crate) is_temporary: bool,
    /// What its tuples refer to, by the format and by the space's options.
    pub(crate) foreign_keys: Box<[ForeignKey]>,
    /// What format and index together ask of the first fields.
    rules: Box<[Rule]>,
    /// What indexes ask of the inside of fields, in the order of these.
    inside: Box<[(usize, Inside)]>,
    /// Whether more is asked of tuples than types of their fields.
    asks_more: bool,
    /// Numbers of the format's fields, in the order of their names.
    by_name: Box<[u32]>,
    /// How many fields there are up to the last one with a default.
    default_count: usize,
}

/// Which field of a space takes its values from which sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Generator {
    pub(crate) sequence: u32,
    /// From 0.
    pub(crate) field: u32,
    /// The sequence was made for the space: a user who may write there may use it.
    pub(crate) is_own: bool,
}

/// A field of a format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: Box<str>,
    pub(crate) kind: FieldType,
    pub(crate) is_nullable: bool,
    /// What a tuple that is inserted gets where it has nil or nothing, MessagePack.
    pub(crate) default: Option<Box<[u8]>>,
    /// What orders its strings in an index of which nothing else is said.
    pub(crate) collation: Option<Collation>,
    /// What it refers to.
    pub(crate) foreign_keys: Box<[ForeignKey]>,
    /// The map that says all this, MessagePack as it was given: with older names of types, and
    /// with what means nothing here.
    pub(crate) written: Box<[u8]>,
}

impl Field {
    /// A field that is written in the shortest way.
    pub(crate) fn new(name: &str, kind: FieldType, is_nullable: bool) -> Self {
        let mut written = Vec::new();
        write_map_len(&mut written, if is_nullable { 3 } else { 2 });
        write_str(&mut written, "name");
        write_str(&mut written, name);
        write_str(&mut written, "type");
        write_str(&mut written, kind.name());
        if is_nullable {
            write_str(&mut written, "is_nullable");
            write_bool(&mut written, true);
        }
        Self {
            name: name.into(),
            kind,
            is_nullable,
            default: None,
            collation: None,
            foreign_keys: Box::default(),
            written: written.into(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rule {
    kind: FieldType,
    /// Also: may be missing at the tuple's end.
    is_nullable: bool,
    /// Nil may stand here: where it is inserted, something else takes its place.
    takes_nil: bool,
}

impl SpaceDef {
    /// Puts a space together.
    ///
    /// # Errors
    ///
    /// `ErrorCode::FORMAT_MISMATCH_INDEX_PART` if an index part's type contradicts the format's,
    /// `ErrorCode::INDEX_PART_TYPE_MISMATCH` if it contradicts another index's,
    /// `ErrorCode::DEFAULT_VALUE_TYPE` for a default that is not of its field's type.
    pub(crate) fn new(
        id: u32,
        name: &str,
        field_count: u32,
        format: Vec<Field>,
        indexes: Vec<IndexDef>,
    ) -> Result<Self, Error> {
        check_defaults(&format)?;
        let (rules, inside) = rules(&format, &indexes)?;
        let asks_more = !inside.is_empty() || indexes.iter().any(|index| index.is_collated);
        let last = format.iter().rposition(|field| field.default.is_some());
        let default_count = last.map_or(0, |last| last + 1);
        let mut by_name: Box<[u32]> = (0..format.len() as u32).collect();
        by_name.sort_by_key(|field| &*format[*field as usize].name);
        let (primary, secondaries): (Vec<_>, Vec<_>) =
            indexes.into_iter().partition(|index| index.id == PRIMARY);
        Ok(Self {
            id,
            name: name.into(),
            field_count,
            format,
            primary: primary.into_iter().next(),
            secondaries: secondaries.into(),
            generator: None,
            is_temporary: false,
            foreign_keys: Box::default(),
            rules,
            inside,
            asks_more,
            by_name,
            default_count,
        })
    }

    /// Whether something is put into tuples where they are inserted.
    #[inline]
    pub(crate) fn fills_fields(&self) -> bool {
        self.generator.is_some() || self.default_count > 0
    }

    /// The tuple with the defaults of the format in place of what is nil or missing; `None` if
    /// nothing is.
    ///
    /// # Errors
    ///
    /// `ErrorCode::INVALID_MSGPACK` if it is no array.
    pub(crate) fn with_defaults(&self, tuple: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        if self.default_count == 0 {
            return Ok(None);
        }
        let malformed = |_| Error::invalid_msgpack("packet body");
        let mut reader = Reader::new(tuple);
        let count = reader.read_array_len().map_err(malformed)?;
        let (mut fields, mut is_changed) = (Vec::with_capacity(tuple.len()), false);
        for (at, field) in self.format[..self.default_count].iter().enumerate() {
            let given = if at < count as usize {
                reader.skip().map_err(malformed)?
            } else {
                NIL
            };
            let default = field.default.as_deref().filter(|_| given == NIL);
            is_changed |= default.is_some();
            fields.extend_from_slice(default.unwrap_or(given));
        }
        if !is_changed {
            return Ok(None);
        }
        let mut filled = Vec::with_capacity(fields.len() + tuple.len());
        write_array_len(&mut filled, count.max(self.default_count as u32));
        filled.extend_from_slice(&fields);
        filled.extend_from_slice(reader.rest());
        Ok(Some(filled))
    }

    /// Every index.
    pub(crate) fn indexes(&self) -> impl Iterator<Item = &IndexDef> {
        self.primary.iter().chain(&self.secondaries)
    }

    /// Whether a tuple, a MessagePack array, may be stored here.
    ///
    /// # Errors
    ///
    /// `ErrorCode::EXACT_FIELD_COUNT` for another number of fields, `ErrorCode::FIELD_TYPE` for a
    /// field of another type, `ErrorCode::FIELD_VALUE_OUT_OF_RANGE` for an integer that its type is
    /// too narrow for, `ErrorCode::FIELD_MISSING` for a field that is missing,
    /// `ErrorCode::UNSUPPORTED` for more text than collations order, in this order.
    #[inline]
    pub(crate) fn check(&self, tuple: &[u8]) -> Result<(), Error> {
        let mut reader = Reader::new(tuple);
        let count = reader
            .read_array_len()
            .map_err(|_| Error::invalid_msgpack("packet body"))?;
        // Without format and index, a space asks nothing of its tuples: it cannot hold any.
        if self.field_count > 0 && count != self.field_count && !self.rules.is_empty() {
            return Err(errors::exact_field_count(count, self.field_count));
        }
        let given = count as usize;
        if self.asks_more {
            return self.check_more(tuple, reader, given);
        }
        for (field, rule) in self.rules.iter().enumerate().take(given) {
            if !rule.accepts(&reader) {
                return Err(rule.kind.refuse(&self.field_path(field), &reader));
            }
            reader
                .skip()
                .map_err(|_| Error::invalid_msgpack("packet body"))?;
        }
        if given < self.rules.len() {
            self.check_missing(given)?;
        }
        Ok(())
    }

    /// The same, where more is asked than types of fields.
    fn check_more(&self, tuple: &[u8], first: Reader<'_>, given: usize) -> Result<(), Error> {
        self.check_inside(first, given)?;
        self.check_collated(tuple)
    }

    /// Checks the fields, and what indexes ask of their inside.
    fn check_inside(&self, first: Reader<'_>, given: usize) -> Result<(), Error> {
        let malformed = |_| Error::invalid_msgpack("packet body");
        let (mut reader, mut roots) = (first, self.inside.iter().peekable());
        let mut found = Vec::with_capacity(self.inside.len());
        for (field, rule) in self.rules.iter().enumerate() {
            let root = roots.next_if(|(own, _)| *own == field);
            found.extend(root.map(|_| Some(reader).filter(|_| field < given)));
            if field >= given {
                continue;
            }
            if !rule.accepts(&reader) {
                return Err(rule.kind.refuse(&self.field_path(field), &reader));
            }
            match root {
                Some((_, root)) => root.check(&mut reader, &ValuePlace::Field(field))?,
                None => drop(reader.skip().map_err(malformed)?),
            }
        }
        if given < self.rules.len() {
            self.check_missing(given)?;
        }
        let mut all = self.inside.iter().zip(found);
        all.try_for_each(|((field, root), value)| {
            root.check_missing(value, &ValuePlace::Field(*field))
        })
    }

    fn check_missing(&self, given: usize) -> Result<(), Error> {
        match self.rules[given..]
            .iter()
            .position(|rule| !rule.is_nullable)
        {
            Some(ahead) => Err(errors::field_missing(&self.field_path(given + ahead))),
            None => Ok(()),
        }
    }

    /// Whether a tuple that fits this definition fits the other one, and the other way round.
    pub(crate) fn has_same_rules(&self, other: &Self) -> bool {
        (self.field_count, &self.rules, &self.inside)
            == (other.field_count, &other.rules, &other.inside)
            && self
                .collated()
                .map(|own| &own.parts)
                .eq(other.collated().map(|own| &own.parts))
    }

    /// The number of the field with this name, from 0.
    pub(crate) fn field_number(&self, name: &str) -> Option<u32> {
        let name_of = |field: &u32| &*self.format[*field as usize].name;
        let found = self.by_name.binary_search_by_key(&name, name_of);
        found.ok().map(|at| self.by_name[at])
    }

    fn field_path(&self, field: usize) -> String {
        errors::field_path(field, self.format.get(field).map(|field| &*field.name))
    }

    /// The index that a request names.
    ///
    /// # Errors
    ///
    /// `ErrorCode::NO_SUCH_INDEX_ID` or `ErrorCode::NO_SUCH_INDEX_NAME` if there is none.
    #[inline]
    pub(crate) fn index(&self, index: IdOrName<'_>) -> Result<&IndexDef, Error> {
        let found = self.indexes().find(|own| match index {
            IdOrName::Id(id) => id == own.id,
            IdOrName::Name(name) => *name == *own.name,
        });
        found.ok_or_else(|| match index {
            IdOrName::Id(id) => Error::no_such_index_id(u64::from(id), &self.name),
            IdOrName::Name(name) => errors::no_such_index_name(name, &self.name),
        })
    }

    /// The index that tuples are stored by.
    ///
    /// # Errors
    ///
    /// `ErrorCode::NO_SUCH_INDEX_ID` if there is none yet: nothing can be stored.
    #[inline]
    pub(crate) fn primary(&self) -> Result<&IndexDef, Error> {
        let none = || Error::no_such_index_id(u64::from(PRIMARY), &self.name);
        self.primary.as_ref().ok_or_else(none)
    }
}

fn check_defaults(format: &[Field]) -> Result<(), Error> {
    for (at, field) in format.iter().enumerate() {
        if let Some(default) = &field.default
            && !field.kind.accepts(&Reader::new(default))
        {
            let path = errors::field_path(at, Some(&field.name));
            return Err(errors::default_type(&path, field.kind, default));
        }
    }
    Ok(())
}

/// What is asked of fields, and of the inside of some of them.
type Rules = (Box<[Rule]>, Box<[(usize, Inside)]>);

/// What a format and indexes together ask: the narrowest type, and a null only if nobody minds.
fn rules(format: &[Field], indexes: &[IndexDef]) -> Result<Rules, Error> {
    let of_format = format.iter().map(|field| Rule {
        kind: field.kind,
        is_nullable: field.is_nullable,
        takes_nil: field.is_nullable || field.default.is_some(),
    });
    let mut rules: Vec<Rule> = of_format.collect();
    let mut is_key = vec![false; rules.len()];
    let mut inside = BTreeMap::new();
    let parts = indexes.iter().flat_map(|index| &index.parts);
    for (number, part) in parts.enumerate() {
        let field = part.field as usize;
        if rules.len() <= field {
            let free = Rule {
                kind: FieldType::Any,
                is_nullable: true,
                takes_nil: true,
            };
            rules.resize(field + 1, free);
            is_key.resize(field + 1, false);
        }
        let rule = &mut rules[field];
        let steps = part.path.as_ref().map_or(&[][..], |path| path.steps());
        let kind = steps.first().map_or(part.kind, PathStep::container);
        if rule.kind.includes(kind) {
            rule.kind = kind;
        } else if !kind.includes(rule.kind) {
            let path = errors::field_path(field, format.get(field).map(|field| &*field.name));
            return Err(if is_key[field] || !steps.is_empty() {
                part_errors::part_type_mismatch(&path, rule.kind, kind)
            } else {
                part_errors::format_mismatch(&path, rule.kind, kind)
            });
        }
        if steps.is_empty() {
            rule.is_nullable &= part.is_nullable;
            rule.takes_nil &= part.is_nullable;
        } else {
            rule.takes_nil = false;
            let root = inside.entry(field).or_insert_with(|| Inside::new(kind));
            let mut place = ValuePlace::Field(field).to_string();
            let asking = Asking {
                number,
                kind: part.kind,
                is_nullable: part.is_nullable,
            };
            root.add(steps, &asking, &mut place)?;
        }
        is_key[field] = true;
    }
    Ok((rules.into(), inside.into_iter().collect()))
}

impl Rule {
    #[inline]
    fn accepts(self, reader: &Reader<'_>) -> bool {
        self.kind.accepts(reader) || (self.takes_nil && reader.peek() == Ok(Kind::Nil))
    }
}
