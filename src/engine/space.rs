//! Definition of a space: its name, what its tuples must look like, its indexes.

use vestibule_wire::Error;
use vestibule_wire::msgpack::{Kind, Reader};
use vestibule_wire::request::Target;

use super::errors;
use super::field::FieldType;
use super::index::{IndexDef, PRIMARY};

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
    /// What format and index together ask of the first fields.
    rules: Box<[Rule]>,
}

/// A field of a format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: Box<str>,
    pub(crate) kind: FieldType,
    pub(crate) is_nullable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rule {
    kind: FieldType,
    /// Also: may be missing at the tuple's end.
    is_nullable: bool,
    /// Extension values have no place in keys yet.
    is_key: bool,
}

impl SpaceDef {
    /// Puts a space together.
    ///
    /// # Errors
    ///
    /// 27 if an index part's type contradicts the format's, 152 if it may be null there.
    pub(crate) fn new(
        id: u32,
        name: &str,
        field_count: u32,
        format: Vec<Field>,
        primary: Option<IndexDef>,
    ) -> Result<Self, Error> {
        let mut rules: Vec<Rule> = format
            .iter()
            .map(|field| Rule {
                kind: field.kind,
                is_nullable: field.is_nullable || field.kind == FieldType::Any,
                is_key: false,
            })
            .collect();
        for part in primary.iter().flat_map(|index| &index.parts) {
            let field = part.field as usize;
            if rules.len() <= field {
                let free = Rule {
                    kind: FieldType::Any,
                    is_nullable: true,
                    is_key: false,
                };
                rules.resize(field + 1, free);
            }
            let rule = &mut rules[field];
            if rule.kind.includes(part.kind) {
                rule.kind = part.kind;
            } else if !part.kind.includes(rule.kind) {
                let path = errors::field_path(field, format.get(field).map(|field| &*field.name));
                return Err(errors::format_mismatch(&path, rule.kind, part.kind));
            }
            if format.get(field).is_some_and(|field| field.is_nullable) {
                return Err(errors::nullable_primary(name));
            }
            (rule.is_nullable, rule.is_key) = (false, true);
        }
        let rules = rules.into_boxed_slice();
        Ok(Self {
            id,
            name: name.into(),
            field_count,
            format,
            primary,
            rules,
        })
    }

    /// Whether a tuple, a MessagePack array, may be stored here.
    ///
    /// # Errors
    ///
    /// 38, 23 or 39, in this order.
    #[inline]
    pub(crate) fn check(&self, tuple: &[u8]) -> Result<(), Error> {
        let mut reader = Reader::new(tuple);
        let count = reader
            .read_array_len()
            .map_err(|_| Error::invalid_msgpack("packet body"))?;
        if self.field_count > 0 && count != self.field_count {
            return Err(errors::exact_field_count(count, self.field_count));
        }
        let given = count as usize;
        for (field, rule) in self.rules.iter().enumerate().take(given) {
            if !rule.accepts(&reader) {
                return Err(errors::field_type(
                    &self.field_path(field),
                    rule.kind,
                    &reader,
                ));
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
        self.field_count == other.field_count && self.rules == other.rules
    }

    /// The number of the field with this name, from 0.
    pub(crate) fn field_number(&self, name: &str) -> Option<u32> {
        self.format
            .iter()
            .position(|field| *field.name == *name)
            .map(|at| at as u32)
    }

    fn field_path(&self, field: usize) -> String {
        errors::field_path(field, self.format.get(field).map(|field| &*field.name))
    }

    /// The index that a request names.
    ///
    /// # Errors
    ///
    /// 35 or 148 if there is none.
    #[inline]
    pub(crate) fn index(&self, index: Target<'_>) -> Result<&IndexDef, Error> {
        let found = self.primary.as_ref().filter(|primary| match index {
            Target::Id(id) => id == primary.id,
            Target::Name(name) => *name == *primary.name,
        });
        found.ok_or_else(|| match index {
            Target::Id(id) => Error::no_such_index_id(u64::from(id), &self.name),
            Target::Name(name) => errors::no_such_index_name(name, &self.name),
        })
    }

    /// The index that tuples are stored by.
    ///
    /// # Errors
    ///
    /// 35 if there is none yet: nothing can be stored.
    #[inline]
    pub(crate) fn primary(&self) -> Result<&IndexDef, Error> {
        self.index(Target::Id(PRIMARY))
    }
}

impl Rule {
    #[inline]
    fn accepts(self, reader: &Reader<'_>) -> bool {
        if self.kind.accepts(reader) {
            return !self.is_key || reader.peek() != Ok(Kind::Ext);
        }
        self.is_nullable && reader.peek() == Ok(Kind::Nil)
    }
}
