//! One operation: decoded and checked as far as it can be without the tuple, and its errors.

use std::borrow::Cow;

use vestibule_wire::msgpack::{DecodeError, Integer, Kind, Reader};
use vestibule_wire::{Error, ErrorCode};

use super::scalar::{Number, read_text};
use crate::model::path::{Path, Token};

/// Names of a space's fields.
pub(crate) trait FieldNames {
    /// The number of the field with this name, from 0.
    fn number(&self, name: &str) -> Option<u32>;
}

impl<F: Fn(&str) -> Option<u32>> FieldNames for F {
    fn number(&self, name: &str) -> Option<u32> {
        self(name)
    }
}

/// An operation as it stands in the request, checked.
#[derive(Debug, Clone)]
pub(super) struct Operation<'a> {
    /// The operation's character, for error texts.
    pub(super) symbol: char,
    pub(super) field: UpdatedField<'a>,
    pub(super) action: Action<'a>,
}

/// Which field, and how errors call it.
#[derive(Debug, Clone, Copy)]
pub(super) struct UpdatedField<'a> {
    /// From 0; negative counts from the end.
    pub(super) number: i64,
    /// The name that the request gave instead of a number.
    pub(super) name: Option<&'a str>,
    /// Where it goes on inside the field.
    pub(super) path: Path<'a>,
}

/// What is done to the field.
#[derive(Debug, Clone)]
pub(super) enum Action<'a> {
    Assign(&'a [u8]),
    Insert(&'a [u8]),
    Delete(u64),
    Add(Number),
    Subtract(Number),
    And(u64),
    Xor(u64),
    Or(u64),
    Splice {
        offset: i32,
        cut: i32,
        paste: &'a [u8],
    },
}

/// Decodes the operation at the reader, the `ordinal`-th from 1.
///
/// # Errors
///
/// `ErrorCode::ILLEGAL_PARAMS` and `ErrorCode::UNKNOWN_UPDATE_OP` for its shape,
/// `ErrorCode::NO_SUCH_FIELD_NO` and `ErrorCode::NO_SUCH_FIELD_NAME` for its field,
/// `ErrorCode::INVALID_MSGPACK` for bytes that are not MessagePack, and `ErrorCode::SPLICE`,
/// `ErrorCode::UPDATE_ARG_TYPE` or `ErrorCode::UPDATE_FIELD` for its arguments.
#[inline]
pub(super) fn decode<'a>(
    reader: &mut Reader<'a>,
    ordinal: u32,
    index_base: u64,
    names: &dyn FieldNames,
) -> Result<Operation<'a>, Error> {
    if reader.peek().map_err(malformed)? != Kind::Array {
        return Err(Error::illegal_params(
            "update operation must be an array {op,..}",
        ));
    }
    let size = reader.read_array_len().map_err(malformed)?;
    if size == 0 {
        return Err(Error::illegal_params(
            "update operation must be an array {op,..}, got empty array",
        ));
    }
    if reader.peek().map_err(malformed)? != Kind::Str {
        return Err(Error::illegal_params(
            "update operation name must be a string",
        ));
    }
    let opcode = reader.read_str_bytes().map_err(malformed)?;
    let symbol = symbol(opcode, ordinal)?;
    let expected = if symbol == ':' { 5 } else { 3 };
    if size != expected {
        return Err(unknown_operation(
            ordinal,
            &format!("wrong number of arguments, expected {expected}, got {size}"),
        ));
    }
    let field = UpdatedField::decode(reader, symbol, index_base, names)?;
    let action = Action::decode(reader, symbol, &field, index_base)?;
    Ok(Operation {
        symbol,
        field,
        action,
    })
}

fn symbol(opcode: &[u8], ordinal: u32) -> Result<char, Error> {
    match opcode {
        [byte @ (b'=' | b'!' | b'#' | b'+' | b'-' | b'&' | b'^' | b'|' | b':')] => {
            Ok(char::from(*byte))
        }
        _ => {
            let quoted = format!("\"{}\"", String::from_utf8_lossy(opcode));
            Err(unknown_operation(ordinal, &quoted))
        }
    }
}

impl<'a> UpdatedField<'a> {
    #[inline]
    fn decode(
        reader: &mut Reader<'a>,
        symbol: char,
        index_base: u64,
        names: &dyn FieldNames,
    ) -> Result<Self, Error> {
        match reader.peek().map_err(malformed)? {
            Kind::Uint | Kind::Int => {
                let given = reader.read_integer().map_err(malformed)?.to_i128();
                let Ok(number) = i32::try_from(given) else {
                    // Tarantool has not looked at the number yet and calls it the first field.
                    return Err(Self::numbered(0).wrong_type(symbol, "an integer"));
                };
                let number = i64::from(number);
                let base = i64::try_from(index_base).unwrap_or(i64::MAX);
                match number {
                    ..0 => Ok(Self::numbered(number)),
                    _ if number >= base => Ok(Self::numbered(number - base)),
                    _ => Err(no_such_number(number)),
                }
            }
            Kind::Str => {
                let bytes = reader.read_str_bytes().map_err(malformed)?;
                match std::str::from_utf8(bytes) {
                    Ok(name) => Self::named(name, names),
                    Err(_) => Err(no_such_name(&String::from_utf8_lossy(bytes))),
                }
            }
            _ => Err(Error::illegal_params(
                "field id must be a number or a string",
            )),
        }
    }

    fn numbered(number: i64) -> Self {
        Self {
            number,
            name: None,
            path: Path::end(),
        }
    }

    /// A field by its name, or by a path that begins with its name or number. A name comes first,
    /// whatever is in it.
    fn named(name: &'a str, names: &dyn FieldNames) -> Result<Self, Error> {
        let mut field = Self {
            name: Some(name),
            ..Self::numbered(0)
        };
        if let Some(number) = names.number(name) {
            field.number = number.into();
            return Ok(field);
        }
        field.path = Path::new(name);
        let first = field.path.next();
        let number = match first.map_err(|position| field.bad_path(position))? {
            // No tuple has that number of fields.
            Token::Index(index) => Some(i64::try_from(index).unwrap_or(i64::MAX)),
            Token::Key(key) => names.number(key).map(i64::from),
            Token::Any | Token::End => None,
        };
        field.number = number.ok_or_else(|| no_such_name(name))?;
        Ok(field)
    }

    /// Which of `count` places it is, if it is one of them.
    #[inline]
    pub(super) fn position(&self, count: usize) -> Option<usize> {
        let resolved = match self.number {
            number @ ..0 => number + count as i64,
            number => number,
        };
        usize::try_from(resolved).ok().filter(|at| *at < count)
    }

    /// As error texts print it: numbers from 1 whatever the request counts from, names quoted.
    fn text(&self) -> Cow<'a, str> {
        match self.name {
            Some(name) => format!("'{name}'").into(),
            None if self.number >= 0 => (self.number + 1).to_string().into(),
            None => self.number.to_string().into(),
        }
    }

    /// 26: the argument, or what is in the field, has the wrong type.
    pub(super) fn wrong_type(&self, symbol: char, expected: &str) -> Error {
        let field = self.text();
        Error::new(
            ErrorCode::UPDATE_ARG_TYPE,
            format!(
                "Argument type in operation '{symbol}' on field {field} does not match field \
                 type: expected {expected}"
            ),
        )
    }

    /// 37, or 201 with the name quoted once more, as Tarantool does.
    pub(super) fn missing(&self) -> Error {
        match self.name {
            Some(_) => no_such_name(&self.text()),
            None => no_such_number(self.number + i64::from(self.number >= 0)),
        }
    }

    /// 29: what the path leads to does not allow it.
    pub(super) fn refused(&self, why: &str) -> Error {
        let message = format!("Field {} UPDATE error: {why}", self.text());
        Error::new(ErrorCode::UPDATE_FIELD, message)
    }

    /// 29: nobody could read the result.
    pub(super) fn too_deep(&self) -> Error {
        self.refused("the tuple would be nested too deep")
    }

    /// 29: the path cannot be read from this character on.
    pub(super) fn bad_path(&self, position: usize) -> Error {
        self.refused(&format!("invalid JSON in position {position}"))
    }

    /// 25: a splice starts before the text.
    pub(super) fn out_of_bound(&self) -> Error {
        let message = format!(
            "SPLICE error on field {}: offset is out of bound",
            self.text()
        );
        Error::new(ErrorCode::SPLICE, message)
    }

    /// 95: the sum is beyond −2^63 … 2^64−1.
    pub(super) fn integer_overflow(&self, symbol: char) -> Error {
        let message = format!(
            "Integer overflow when performing '{symbol}' operation on field {}",
            self.text()
        );
        Error::new(ErrorCode::UPDATE_INTEGER_OVERFLOW, message)
    }

    /// 160: the sum has more than 38 digits before the point.
    pub(super) fn decimal_overflow(&self, symbol: char) -> Error {
        let message = format!(
            "Decimal overflow when performing operation '{symbol}' on field {}",
            self.text()
        );
        Error::new(ErrorCode::UPDATE_DECIMAL_OVERFLOW, message)
    }
}

impl<'a> Action<'a> {
    #[inline]
    fn decode(
        reader: &mut Reader<'a>,
        symbol: char,
        field: &UpdatedField<'_>,
        index_base: u64,
    ) -> Result<Self, Error> {
        let argument = reader.skip().map_err(malformed)?;
        let number = || Number::read(argument).ok_or_else(|| field.wrong_type(symbol, "a number"));
        let bits = || {
            let read = Reader::new(argument).read_uint();
            read.map_err(|_| field.wrong_type(symbol, "a positive integer"))
        };
        Ok(match symbol {
            '=' => Self::Assign(argument),
            '!' => Self::Insert(argument),
            '#' => match bits()? {
                0 => return Err(field.refused("cannot delete 0 fields")),
                count => Self::Delete(count),
            },
            '+' => Self::Add(number()?),
            '-' => Self::Subtract(number()?),
            '&' => Self::And(bits()?),
            '^' => Self::Xor(bits()?),
            '|' => Self::Or(bits()?),
            _ => Self::decode_splice(reader, argument, field, index_base)?,
        })
    }

    fn decode_splice(
        reader: &mut Reader<'a>,
        offset: &'a [u8],
        field: &UpdatedField<'_>,
        index_base: u64,
    ) -> Result<Self, Error> {
        let small = |value| {
            let read = Reader::new(value).read_integer();
            read.ok()
                .and_then(|value: Integer| i32::try_from(value.to_i128()).ok())
                .ok_or_else(|| field.wrong_type(':', "an integer"))
        };
        let mut offset = small(offset)?;
        if offset >= 0 {
            let base = i32::try_from(index_base).unwrap_or(i32::MAX);
            offset -= base;
            if offset < 0 {
                return Err(field.out_of_bound());
            }
        }
        let cut = small(reader.skip().map_err(malformed)?)?;
        let mut paste = Reader::new(reader.skip().map_err(malformed)?);
        let paste =
            read_text(&mut paste).map_err(|_| field.wrong_type(':', "a string or varbinary"))?;
        Ok(Self::Splice { offset, cut, paste })
    }
}

fn unknown_operation(ordinal: u32, what: &str) -> Error {
    let message = format!("Unknown UPDATE operation #{ordinal}: {what}");
    Error::new(ErrorCode::UNKNOWN_UPDATE_OP, message)
}

fn no_such_number(number: i64) -> Error {
    let message = format!("Field {number} was not found in the tuple");
    Error::new(ErrorCode::NO_SUCH_FIELD_NO, message)
}

fn no_such_name(name: &str) -> Error {
    let message = format!("Field '{name}' was not found in the tuple");
    Error::new(ErrorCode::NO_SUCH_FIELD_NAME, message)
}

pub(super) fn malformed(_: DecodeError) -> Error {
    Error::invalid_msgpack("update operations")
}
