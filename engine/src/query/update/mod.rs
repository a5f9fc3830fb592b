//! UPDATE and UPSERT: a list of operations applied to one tuple, as bytes to bytes.
//!
//! ```text
//!   ops ──▶ operation: every one is decoded and checked before the first is applied
//!             │
//!             ├ in_order: whole fields that are there, one after the other ─▶ written in one walk
//!             ▼ anything else
//!   tuple ─▶ fields: runs of old fields between new values
//!             │        ├ nested: down a path, through arrays and maps (entries)
//!             │        └ scalar: sums, bits, splices      └ decimal
//!             ▼
//!           the new tuple, written once
//! ```
//!
//! Operations see what those before them did. Codes and texts of errors are Tarantool's own, in
//! which fields are counted from 1 whatever the request counts from. Neither formats nor keys are
//! known here: the engine checks the result.
//!
//! | module | what |
//! |---|---|
//! | `operation` | operations, decoded and checked |
//! | `in_order` | the usual ones, applied in one walk over the tuple |
//! | `fields` | a tuple as fields that change |
//! | `runs` | a sequence that is cut at any place |
//! | `entries` | the entries of a map inside a field |
//! | `nested` | operations inside a field |
//! | `scalar` | numbers and texts that operations work on |
//! | `decimal` | sums of decimals |
//! | `steps` | steps of work, counted in tests |

mod decimal;
mod entries;
mod fields;
mod in_order;
mod nested;
#[cfg(test)]
mod nested_model;
#[cfg(test)]
mod nested_tests;
mod operation;
mod runs;
mod scalar;
mod steps;
#[cfg(test)]
mod tests;

use smallvec::SmallVec;
use vestibule_wire::limits::UPDATE_OPERATIONS_MAX;
use vestibule_wire::msgpack::{Integer, Reader};
use vestibule_wire::{Error, ErrorCode};

use crate::limits::UPDATE_WALK_BYTES_MAX;
use fields::{Fields, Value};
use operation::{Action, FieldNames, Operation};
use scalar::{ArithmeticError, Number};

/// Most fields of a tuple that an operation beyond its end may lead to: what a tuple of Tarantool's
/// usual largest size, 1 MiB, could hold.
pub(crate) const GAP_FIELDS_MAX: usize = 1 << 20;

/// Operations of a request that need no allocation.
const OPERATIONS_INLINE: usize = 2;

/// The operations of a request.
type Operations<'a> = SmallVec<[Operation<'a>; OPERATIONS_INLINE]>;

/// How often the paths of a request may lead over all of the tuple, however large it is.
const WALKS_AT_LEAST: usize = 4;

/// What becomes of an operation that cannot be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The whole request fails with its error.
    Update,
    /// The operation is skipped and logged, and the others are applied. Errors that can be told
    /// without the tuple still fail the request.
    Upsert,
}

/// Applies the operations of an UPDATE, a MessagePack array, to a tuple, and returns the new one.
/// `index_base` is that of the request. Fields are named by their numbers; whether the new tuple
/// has the key of the old one is for the caller to check.
///
/// ```
/// use vestibule_engine::update::update_tuple;
///
/// // [7, 'x'] with 1 added to field 0 and field 1 set to 'y'.
/// let operations = b"\x92\x93\xa1+\x00\x01\x93\xa1=\x01\xa1y";
/// assert_eq!(update_tuple(b"\x92\x07\xa1x", operations, 0)?, b"\x92\x08\xa1y");
/// # Ok::<(), vestibule_wire::Error>(())
/// ```
///
/// # Errors
///
/// [`ErrorCode::INVALID_MSGPACK`] for bytes that are no MessagePack arrays, and the codes of
/// Tarantool for operations that make no sense or that this tuple does not allow.
pub fn update_tuple(tuple: &[u8], operations: &[u8], index_base: u64) -> Result<Vec<u8>, Error> {
    apply(tuple, operations, index_base, &|_: &str| None, Mode::Update)
}

/// The same for an UPSERT of a tuple that is there: operations that it does not allow are skipped.
///
/// # Errors
///
/// [`ErrorCode::INVALID_MSGPACK`] for bytes that are no MessagePack arrays, and the codes of
/// Tarantool for operations that make no sense for any tuple.
pub fn upsert_tuple(tuple: &[u8], operations: &[u8], index_base: u64) -> Result<Vec<u8>, Error> {
    apply(tuple, operations, index_base, &|_: &str| None, Mode::Upsert)
}

/// Applies `ops`, a MessagePack array of operations, to `tuple`, a MessagePack array, and returns
/// the new tuple, as [`apply_to`] does.
///
/// # Errors
///
/// Those of [`apply_to`].
pub(crate) fn apply(
    tuple: &[u8],
    ops: &[u8],
    index_base: u64,
    names: &dyn FieldNames,
    mode: Mode,
) -> Result<Vec<u8>, Error> {
    let mut new = Vec::with_capacity(tuple.len() + ops.len());
    apply_to(tuple, ops, index_base, names, mode, &mut new)?;
    Ok(new)
}

/// Applies `ops`, a MessagePack array of operations, to `tuple`, a MessagePack array, and writes
/// the new tuple into `new`, which is empty. `index_base` is the number that the request gives the
/// first field and the first byte of a text, 0 or 1. After an error, `new` is of no meaning.
///
/// # Errors
///
/// `ErrorCode::INVALID_MSGPACK` for bytes that are not MessagePack arrays;
/// `ErrorCode::ILLEGAL_PARAMS`, `ErrorCode::SPLICE`, `ErrorCode::UPDATE_ARG_TYPE`,
/// `ErrorCode::UNKNOWN_UPDATE_OP`, `ErrorCode::UPDATE_FIELD`, `ErrorCode::NO_SUCH_FIELD_NO` and
/// `ErrorCode::NO_SUCH_FIELD_NAME` for operations that make no sense; `ErrorCode::UPDATE_FIELD` for
/// a path that cannot be read, paths that lead through more than [`UPDATE_WALK_BYTES_MAX`] or a
/// result that is nested too deep; `ErrorCode::TUPLE_TOO_LARGE` for
/// a result that is too large; and in [`Mode::Update`] also `ErrorCode::SPLICE`,
/// `ErrorCode::UPDATE_ARG_TYPE`, `ErrorCode::NO_SUCH_FIELD_NO`,
/// `ErrorCode::UPDATE_INTEGER_OVERFLOW`, `ErrorCode::UPDATE_FIELD`,
/// `ErrorCode::UPDATE_DECIMAL_OVERFLOW` and `ErrorCode::NO_SUCH_FIELD_NAME` for operations that
/// this tuple does not allow.
pub(crate) fn apply_to(
    tuple: &[u8],
    ops: &[u8],
    index_base: u64,
    names: &dyn FieldNames,
    mode: Mode,
    new: &mut Vec<u8>,
) -> Result<(), Error> {
    let operations = decode(ops, index_base, names)?;
    if in_order::apply(tuple, &operations, new).is_some() {
        return Ok(());
    }
    new.clear();
    apply_in_any_order(tuple, operations, mode, new)
}

/// The same of operations that are decoded, whatever they are.
fn apply_in_any_order(
    tuple: &[u8],
    operations: Operations<'_>,
    mode: Mode,
    new: &mut Vec<u8>,
) -> Result<(), Error> {
    let mut fields = Fields::read(tuple).map_err(|_| Error::invalid_msgpack("tuple"))?;
    let inside = operations.iter().find(|own| !own.field.path.is_end());
    let inside = inside.map(|own| own.field);
    let mut budget = UPDATE_WALK_BYTES_MAX.max(WALKS_AT_LEAST * tuple.len());
    for operation in operations {
        match operation.apply(&mut fields, &mut budget) {
            Err(error) if mode == Mode::Upsert && error.code() != ErrorCode::TUPLE_TOO_LARGE => {
                log::debug!("an operation of UPSERT is skipped: {error}");
            }
            applied => applied?,
        }
    }
    fields.write(new);
    match inside {
        // A path leads deeper than the request that carries it.
        Some(field) if Reader::new(new).skip().is_err() => Err(field.too_deep()),
        _ => Ok(()),
    }
}

/// Checks operations as far as it can be done without a tuple: for an UPSERT that inserts.
///
/// # Errors
///
/// As [`apply_to`] in [`Mode::Upsert`], except `ErrorCode::TUPLE_TOO_LARGE`.
pub(crate) fn check(ops: &[u8], index_base: u64, names: &dyn FieldNames) -> Result<(), Error> {
    decode(ops, index_base, names).map(drop)
}

fn decode<'a>(
    ops: &'a [u8],
    index_base: u64,
    names: &dyn FieldNames,
) -> Result<Operations<'a>, Error> {
    let mut reader = Reader::new(ops);
    let count = reader.read_array_len().map_err(operation::malformed)?;
    if count > UPDATE_OPERATIONS_MAX {
        return Err(Error::illegal_params("too many operations for update"));
    }
    let mut operations = Operations::new();
    for ordinal in 1..=count {
        operations.push(operation::decode(&mut reader, ordinal, index_base, names)?);
    }
    Ok(operations)
}

impl<'a> Operation<'a> {
    fn apply(mut self, fields: &mut Fields<'a>, budget: &mut usize) -> Result<(), Error> {
        if !self.field.path.is_end() {
            return self.apply_inside(fields, budget);
        }
        let count = fields.count();
        match self.action {
            Action::Assign(value) => {
                if self.field.number >= count as i64 {
                    return self.insert(value, fields);
                }
                *self.existing(fields)? = Value::Raw(value);
            }
            Action::Insert(value) => self.insert(value, fields)?,
            Action::Delete(size) => {
                if self.field.number < count as i64 {
                    let number = self.position(count)?;
                    let rest = count - number;
                    fields.delete(number, usize::try_from(size).map_or(rest, |n| n.min(rest)));
                }
            }
            _ => {
                let value = self.existing(fields)?;
                self.change(value)?;
            }
        }
        Ok(())
    }

    /// Changes a value that is there into another one of its kind.
    fn change(&self, value: &mut Value<'a>) -> Result<(), Error> {
        match self.action {
            Action::Add(ref number) => self.calculate(value, |old| old.plus(number)),
            Action::Subtract(ref number) => self.calculate(value, |old| old.minus(number)),
            Action::And(bits) => self.combine_bits(value, |old| old & bits),
            Action::Xor(bits) => self.combine_bits(value, |old| old ^ bits),
            Action::Or(bits) => self.combine_bits(value, |old| old | bits),
            Action::Splice { offset, cut, paste } => self.splice(value, offset, cut, paste),
            Action::Assign(_) | Action::Insert(_) | Action::Delete(_) => {
                unreachable!("these put fields in or take them out")
            }
        }
    }

    /// Resolves the field's number among `count` places. From then on errors print it resolved.
    fn position(&mut self, count: usize) -> Result<usize, Error> {
        let position = self
            .field
            .position(count)
            .ok_or_else(|| self.field.missing())?;
        self.field.number = position as i64;
        Ok(position)
    }

    fn existing<'f>(&mut self, fields: &'f mut Fields<'a>) -> Result<&'f mut Value<'a>, Error> {
        let number = self.position(fields.count())?;
        Ok(fields.value(number))
    }

    fn insert(&mut self, value: &'a [u8], fields: &mut Fields<'a>) -> Result<(), Error> {
        let count = fields.count();
        let number = match usize::try_from(self.field.number) {
            // Beyond the end: the gap is filled.
            Ok(number) if number > count => {
                if number >= GAP_FIELDS_MAX {
                    return Err(too_large(number));
                }
                number
            }
            _ => self.position(count + 1)?,
        };
        fields.insert(number, value);
        Ok(())
    }

    fn calculate(
        &self,
        value: &mut Value<'a>,
        calculate: impl FnOnce(Number) -> Result<Number, ArithmeticError>,
    ) -> Result<(), Error> {
        let old = value
            .to_number()
            .ok_or_else(|| self.field.wrong_type(self.symbol, "a number"))?;
        let new = calculate(old).map_err(|error| match error {
            ArithmeticError::IntegerOverflow => self.field.integer_overflow(self.symbol),
            ArithmeticError::DecimalOverflow => self.field.decimal_overflow(self.symbol),
            ArithmeticError::NotDecimal => self
                .field
                .wrong_type(self.symbol, "a number convertible to decimal"),
        })?;
        *value = Value::Number(new);
        Ok(())
    }

    fn combine_bits(
        &self,
        value: &mut Value<'a>,
        combine: impl FnOnce(u64) -> u64,
    ) -> Result<(), Error> {
        let Some(Number::Integer(Integer::Unsigned(old))) = value.to_number() else {
            return Err(self.field.wrong_type(self.symbol, "a positive integer"));
        };
        *value = Value::Number(Number::Integer(Integer::Unsigned(combine(old))));
        Ok(())
    }

    fn splice(
        &self,
        value: &mut Value<'a>,
        offset: i32,
        cut: i32,
        paste: &'a [u8],
    ) -> Result<(), Error> {
        let Some(text) = value.as_text() else {
            return Err(self.field.wrong_type(':', "a string or varbinary"));
        };
        let size = text.size() as i64;
        let offset = match i64::from(offset) {
            offset @ 0.. => offset.min(size),
            // −1 is behind the last byte.
            offset => size + 1 + offset,
        };
        if offset < 0 {
            return Err(self.field.out_of_bound());
        }
        let rest = size - offset;
        let cut = match i64::from(cut) {
            cut @ 0.. => cut.min(rest),
            // That number of bytes is left at the end.
            cut => (rest + cut).max(0),
        };
        let result = size - cut + paste.len() as i64;
        if u32::try_from(result).is_err() {
            return Err(too_large(result as usize));
        }
        text.splice(offset as usize, cut as usize, paste);
        Ok(())
    }
}

/// `ErrorCode::TUPLE_TOO_LARGE`, for at least `size` bytes.
fn too_large(size: usize) -> Error {
    let message = format!(
        "Failed to allocate {size} bytes for tuple: tuple is too large. Check \
         'memtx_max_tuple_size' configuration option."
    );
    Error::new(ErrorCode::TUPLE_TOO_LARGE, message)
}
