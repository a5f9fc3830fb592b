//! Operations inside a field: down the path, then on what stands at its end.
//!
//! ```text
//!   a.b[2]     field a ─▶ key b ─▶ element 2       parent: b, an array; token: 2
//! ```
//!
//! What a path leads through is opened once and stays open, so that many operations on one field
//! do not read it again and again. What is nested is walked over once for each level above it, of
//! which a request has [`UPDATE_WALK_BYTES_MAX`] in all. The texts of errors are those of
//! Tarantool's first operation on a field; it refuses some later ones that are applied here, one
//! after another.

use super::fields::{Fields, Value};
use super::operation::{Action, Operation};
#[cfg(doc)]
use crate::limits::UPDATE_WALK_BYTES_MAX;
use crate::model::path::Token;
use vestibule_wire::Error;
use vestibule_wire::limits::NESTING_DEPTH_MAX;

/// The end of a path.
struct Place<'f, 'a> {
    parent: &'f mut Value<'a>,
    token: Token<'a>,
    /// Where the parent has it, if it does.
    at: Option<usize>,
}

impl<'a> Operation<'a> {
    /// Applies an operation whose path leads into a field.
    /// `budget` is how many bytes may be walked over still.
    pub(super) fn apply_inside(
        mut self,
        fields: &mut Fields<'a>,
        budget: &mut usize,
    ) -> Result<(), Error> {
        let root = self.existing(fields)?;
        let Place { parent, token, at } = self.locate(root, budget)?;
        match (&self.action, at) {
            (Action::Assign(value) | Action::Insert(value), None) => {
                self.append(parent, token, value)
            }
            (Action::Assign(value), Some(at)) => {
                *parent.child(at) = Value::Raw(value);
                Ok(())
            }
            (Action::Insert(value), Some(at)) => match parent {
                Value::Array(array) => {
                    array.insert(at, value);
                    Ok(())
                }
                _ => Err(self.field.refused("the key exists already")),
            },
            (Action::Delete(size), Some(at)) => self.delete_inside(parent, at, *size),
            (_, Some(at)) => self.change(parent.child(at)),
            (_, None) => Err(self.field.missing()),
        }
    }

    fn locate<'f>(
        &self,
        root: &'f mut Value<'a>,
        budget: &mut usize,
    ) -> Result<Place<'f, 'a>, Error> {
        let mut path = self.field.path;
        let mut next = || match path.next() {
            Ok(Token::Any) => Err(self.field.bad_path(path.any_position())),
            other => other.map_err(|position| self.field.bad_path(position)),
        };
        let may_be_new = matches!(self.action, Action::Assign(_) | Action::Insert(_));
        let (mut parent, mut token) = (root, next()?);
        // No tuple that is stored is deeper; what an operation before this one made may be.
        for _ in 0..NESTING_DEPTH_MAX {
            *budget = budget
                .checked_sub(parent.unopened())
                .ok_or_else(|| self.field.refused("the paths lead through too much data"))?;
            let at = parent.find(&token);
            if at.is_none() && !may_be_new {
                return Err(self.field.missing());
            }
            let (ahead, at) = match (next()?, at) {
                (Token::End, at) => return Ok(Place { parent, token, at }),
                (_, None) => return Err(self.field.missing()),
                (ahead, Some(at)) => (ahead, at),
            };
            (parent, token) = (parent.child(at), ahead);
        }
        Err(self.field.too_deep())
    }

    /// Adds what is not there: behind the last element, or under a new key, before the others.
    fn append(
        &self,
        parent: &mut Value<'a>,
        token: Token<'a>,
        value: &'a [u8],
    ) -> Result<(), Error> {
        match (parent, token) {
            (Value::Array(array), Token::Index(index)) => {
                if index != array.count() as u64 {
                    return Err(self.field.missing());
                }
                array.insert(array.count(), value);
            }
            (Value::Map(map), Token::Key(key)) => map.add(key, value),
            (_, Token::Index(_)) => {
                let why = "can not access by index a non-array field";
                return Err(self.field.refused(why));
            }
            _ => {
                let why = "can not access by key a non-map field";
                return Err(self.field.refused(why));
            }
        }
        Ok(())
    }

    fn delete_inside(&self, parent: &mut Value<'a>, at: usize, size: u64) -> Result<(), Error> {
        match parent {
            Value::Array(array) => {
                let rest = array.count() - at;
                array.delete(
                    at,
                    usize::try_from(size).map_or(rest, |size| size.min(rest)),
                );
            }
            Value::Map(map) if size == 1 => map.remove(at),
            _ => {
                let why = "can delete only 1 field from a map in a row";
                return Err(self.field.refused(why));
            }
        }
        Ok(())
    }
}

impl<'a> Value<'a> {
    /// Where an array or map has what a token names.
    fn find(&mut self, token: &Token<'a>) -> Option<usize> {
        self.open();
        match (self, token) {
            (Self::Array(array), Token::Index(index)) => {
                let at = usize::try_from(*index).ok();
                at.filter(|at| *at < array.count())
            }
            (Self::Map(map), token) => map.find(token),
            _ => None,
        }
    }

    /// What an open array or map has at a place that [`find`](Self::find) found.
    fn child(&mut self, at: usize) -> &mut Self {
        match self {
            Self::Array(array) => array.value(at),
            Self::Map(map) => map.value(at),
            _ => unreachable!("only arrays and maps have places"),
        }
    }
}
