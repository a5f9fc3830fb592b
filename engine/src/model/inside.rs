//! What paths of index parts ask of the inside of a field.
//!
//! ```text
//!   parts  a.b string, a.c[*] unsigned      ─▶   map ─ "a" map ┬ "b" string
//!                                                             └ "c" array ─ [*] unsigned
//! ```
//!
//! What a path leads through is a map or an array and never nil, as in Tarantool, even if what it
//! leads to may be missing.

use std::cmp::Ordering;
use std::fmt::{self, Write};
use std::slice;

use vestibule_wire::Error;
use vestibule_wire::msgpack::{DecodeError, Kind, Reader};

use crate::errors::{self, parts as part_errors};
use crate::limits::MULTIKEY_ELEMENTS_MAX;
use crate::model::field::FieldType;
use crate::model::part_path::{PathStep, follow, take_key};

/// What is asked of one value, and of what is inside of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inside {
    kind: FieldType,
    /// Whether nil may stand here: only where a path ends.
    is_nullable: bool,
    /// The number of the first part that has to find a value here or inside of it.
    wanted_by: Option<usize>,
    /// In the order of their steps.
    children: Vec<(PathStep, Inside)>,
}

/// What a part asks of the value that its path leads to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking {
    /// Among the parts of all indexes.
    pub(super) number: usize,
    pub(super) kind: FieldType,
    pub(super) is_nullable: bool,
}

/// Where a value stands, for errors: `[3]["a"][*]`.
#[derive(Debug, Clone, Copy)]
pub(super) enum ValuePlace<'p> {
    /// From 0.
    Field(usize),
    Inside(&'p ValuePlace<'p>, &'p PathStep),
}

impl Inside {
    /// What is asked of a field of this type that a path leads into.
    pub(super) fn new(kind: FieldType) -> Self {
        Self {
            kind,
            is_nullable: false,
            wanted_by: None,
            children: Vec::new(),
        }
    }

    /// Adds a path, which ends at a value of a part's type. `place` is how errors call this value.
    ///
    /// # Errors
    ///
    /// `ErrorCode::INDEX_PART_TYPE_MISMATCH` if it contradicts another one.
    pub(super) fn add(
        &mut self,
        steps: &[PathStep],
        part: &Asking,
        place: &mut String,
    ) -> Result<(), Error> {
        if !part.is_nullable && !steps.contains(&PathStep::Any) {
            self.wanted_by = self.wanted_by.or(Some(part.number));
        }
        let Some((step, rest)) = steps.split_first() else {
            return Ok(());
        };
        write!(place, "{step}").expect("a String takes everything");
        let wanted = rest.first().map_or(part.kind, PathStep::container);
        let at = match self.children.binary_search_by(|(own, _)| own.cmp(step)) {
            Ok(at) => at,
            Err(at) => {
                let free = Self {
                    kind: wanted,
                    is_nullable: rest.is_empty(),
                    wanted_by: None,
                    children: Vec::new(),
                };
                self.children.insert(at, (step.clone(), free));
                at
            }
        };
        let child = &mut self.children[at].1;
        if child.kind.includes(wanted) {
            child.kind = wanted;
        } else if !wanted.includes(child.kind) {
            return Err(part_errors::part_type_mismatch(place, child.kind, wanted));
        }
        child.is_nullable &= part.is_nullable && rest.is_empty();
        child.add(rest, part, place)
    }

    /// Takes a value and checks it. `place` is how errors call it.
    ///
    /// # Errors
    ///
    /// `ErrorCode::FIELD_TYPE` or `ErrorCode::FIELD_VALUE_OUT_OF_RANGE` for a value of another
    /// type, `ErrorCode::FIELD_MISSING` for one that is missing in an element of an array.
    pub(super) fn check(
        &self,
        reader: &mut Reader<'_>,
        place: &ValuePlace<'_>,
    ) -> Result<(), Error> {
        let is_null = self.is_nullable && reader.peek() == Ok(Kind::Nil);
        if !is_null && !self.kind.accepts(reader) {
            return Err(self.kind.refuse(&place.to_string(), reader));
        }
        if self.children.is_empty() {
            return reader.skip().map(drop).map_err(malformed);
        }
        match self.kind {
            FieldType::Array => self.check_elements(reader, place),
            _ => self.check_entries(reader, place),
        }
    }

    fn check_elements(&self, reader: &mut Reader<'_>, place: &ValuePlace<'_>) -> Result<(), Error> {
        let any = self
            .children
            .last()
            .filter(|(step, _)| *step == PathStep::Any);
        let count = reader.read_array_len().map_err(malformed)?;
        if any.is_some() && count > MULTIKEY_ELEMENTS_MAX {
            return Err(part_errors::too_many_elements(place, MULTIKEY_ELEMENTS_MAX));
        }
        for at in 0..count {
            let element = *reader;
            reader.skip().map_err(malformed)?;
            let step = PathStep::Index(u64::from(at));
            if let Ok(own) = self.children.binary_search_by(|(own, _)| own.cmp(&step)) {
                let child = &self.children[own].1;
                child.check(&mut { element }, &ValuePlace::Inside(place, &step))?;
            }
            if let Some((step, child)) = any {
                let place = ValuePlace::Inside(place, step);
                child.check(&mut { element }, &place)?;
                child.check_missing(Some(element), &place)?;
            }
        }
        Ok(())
    }

    fn check_entries(&self, reader: &mut Reader<'_>, place: &ValuePlace<'_>) -> Result<(), Error> {
        for _ in 0..reader.read_map_len().map_err(malformed)? {
            let key = take_key(reader).ok_or_else(|| Error::invalid_msgpack("packet body"))?;
            let order = |(step, _): &(PathStep, Self)| match (step, key) {
                (PathStep::Key(own), Some(key)) => own.as_bytes().cmp(key),
                _ => Ordering::Less,
            };
            match self.children.binary_search_by(order) {
                Ok(at) => {
                    let (step, child) = &self.children[at];
                    child.check(reader, &ValuePlace::Inside(place, step))?;
                }
                Err(_) => drop(reader.skip().map_err(malformed)?),
            }
        }
        Ok(())
    }

    /// Whether everything is there that has to be. `value` is what stands at `place`, if anything
    /// does.
    ///
    /// # Errors
    ///
    /// `ErrorCode::FIELD_MISSING` for what is not, the first by the parts that ask for it.
    pub(super) fn check_missing(
        &self,
        value: Option<Reader<'_>>,
        place: &ValuePlace<'_>,
    ) -> Result<(), Error> {
        let missing = self.missing(value, place);
        missing.map_or(Ok(()), |(_, place)| Err(errors::field_missing(&place)))
    }

    /// The first value that is missing, with the number of its part.
    fn missing(
        &self,
        value: Option<Reader<'_>>,
        place: &ValuePlace<'_>,
    ) -> Option<(usize, String)> {
        let wanted = self.wanted_by?;
        if self.children.is_empty() {
            return value.is_none().then(|| (wanted, place.to_string()));
        }
        let all = self.children.iter().filter_map(|(step, child)| {
            let inner = value.and_then(|value| follow(slice::from_ref(step), value));
            child.missing(inner, &ValuePlace::Inside(place, step))
        });
        all.min_by_key(|(number, _)| *number)
    }
}

fn malformed(_: DecodeError) -> Error {
    Error::invalid_msgpack("packet body")
}

impl fmt::Display for ValuePlace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(field) => write!(f, "[{}]", field + 1),
            Self::Inside(place, step) => write!(f, "{place}{step}"),
        }
    }
}
