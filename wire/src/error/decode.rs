//! Error stacks as clients read them.

use super::{Error, ErrorCode, Field};
use crate::keys::{ERROR_STACK, error_entry as entry};
use crate::limits::ERROR_STACK_DEPTH_MAX;
use crate::msgpack::{DecodeError, Integer, Kind, Reader};

impl Error {
    /// Reads an error stack: the value of the key ERROR of a reply, or the payload of an MP_ERROR
    /// extension value. The error is the first element; the others are its causes, of which those
    /// beyond [`ERROR_STACK_DEPTH_MAX`] are left out.
    ///
    /// Source files, lines and fields of other types than [`Field`] has are skipped. A number that
    /// is no code of any server counts as [`ErrorCode::UNKNOWN`].
    ///
    /// # Errors
    ///
    /// The bytes are not a stack, or the stack is empty.
    pub fn read_stack(stack: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(stack);
        let mut found = None;
        for _ in 0..reader.read_map_len()? {
            match reader.read_uint()? {
                ERROR_STACK => found = read_chain(&mut reader)?,
                _ => drop(reader.skip()?),
            }
        }
        found.ok_or(DecodeError::Truncated)
    }
}

/// The elements of a stack, each the cause of the one before it; `None` if there are none.
fn read_chain(reader: &mut Reader<'_>) -> Result<Option<Error>, DecodeError> {
    let mut errors = Vec::new();
    for _ in 0..reader.read_array_len()? {
        if errors.len() < ERROR_STACK_DEPTH_MAX {
            errors.push(read_entry(reader)?);
        } else {
            reader.skip()?;
        }
    }
    let chain = errors.into_iter().rev();
    Ok(chain.reduce(|cause, error| error.caused_by(cause)))
}

fn read_entry(reader: &mut Reader<'_>) -> Result<Error, DecodeError> {
    let (mut code, mut kind, mut message) = (ErrorCode::UNKNOWN, "ClientError", "");
    let mut fields = Vec::new();
    for _ in 0..reader.read_map_len()? {
        match reader.read_uint()? {
            entry::KIND => kind = reader.read_str()?,
            entry::MESSAGE => message = reader.read_str()?,
            entry::CODE => {
                code = u16::try_from(reader.read_uint()?).map_or(ErrorCode::UNKNOWN, ErrorCode);
            }
            entry::FIELDS => {
                for _ in 0..reader.read_map_len()? {
                    let name = reader.read_str()?;
                    if let Some(value) = read_field(reader)? {
                        fields.push((name, value));
                    }
                }
            }
            _ => drop(reader.skip()?),
        }
    }
    let error = Error::new(code, message.to_owned()).with_kind(kind.to_owned());
    Ok(fields.into_iter().fold(error, |error, (name, value)| {
        error.with_field(name.to_owned(), value)
    }))
}

/// The value of a field; `None` for one of another type, which is skipped.
fn read_field(reader: &mut Reader<'_>) -> Result<Option<Field>, DecodeError> {
    Ok(match reader.peek()? {
        Kind::Str => Some(Field::Str(reader.read_str()?.to_owned().into())),
        Kind::Bool => Some(Field::Bool(reader.read_bool()?)),
        Kind::Float | Kind::Double => Some(Field::Float(reader.read_f64()?)),
        Kind::Uint | Kind::Int => match reader.read_integer()? {
            Integer::Unsigned(number) => Some(Field::Uint(number)),
            Integer::Negative(_) => None,
        },
        Kind::Nil | Kind::Bin | Kind::Array | Kind::Map | Kind::Ext => {
            reader.skip()?;
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(error: &Error) -> Vec<u8> {
        let mut stack = Vec::new();
        error.write_stack(&mut stack);
        stack
    }

    #[test]
    fn a_stack_is_read_as_it_was_written() {
        let cause = Error::access_denied("Read", "space", "s", "guest");
        let error = Error::new(ErrorCode::LOADING, "busy")
            .with_field("retry_after", Field::Float(0.25))
            .with_field("epoch", Field::Uint(7))
            .with_field("is_new", Field::Bool(true))
            .caused_by(cause);
        let read = Error::read_stack(&written(&error)).unwrap();
        assert_eq!(read, error);
        assert_eq!(read.cause().unwrap().kind(), "AccessDeniedError");
    }

    #[test]
    fn fields_of_other_types_are_skipped() {
        // {0: [{3: "no", 5: 1, 6: {"a": nil, "b": -1, "c": [1], "d": 1.5 as float 32}}]}
        let stack = b"\x81\x00\x91\x83\x03\xa2no\x05\x01\x06\x84\xa1a\xc0\xa1b\xff\xa1c\x91\x01\
            \xa1d\xca\x3f\xc0\x00\x00";
        let read = Error::read_stack(stack).unwrap();
        assert_eq!(
            (read.code(), read.message()),
            (ErrorCode::ILLEGAL_PARAMS, "no")
        );
        assert_eq!(read.fields(), [("d".into(), Field::Float(1.5))]);
    }

    #[test]
    fn a_long_stack_is_cut_and_a_cut_one_is_refused() {
        let mut long = vec![0x81, 0, 0xdc, 0, 100];
        (0..100).for_each(|_| long.extend_from_slice(&[0x81, 5, 9]));
        let error = Error::read_stack(&long).unwrap();
        let chain = std::iter::successors(Some(&error), |error| error.cause());
        assert_eq!(chain.count(), ERROR_STACK_DEPTH_MAX);
        for cut in 0..long.len() {
            assert!(Error::read_stack(&long[..cut]).is_err(), "{cut}");
        }
        assert!(Error::read_stack(&[0x81, 0, 0x90]).is_err());
        assert!(Error::read_stack(&[0x80]).is_err());
    }
}
