//! Arguments of a procedure, as the types that it takes; and what is told if they do not fit.
//!
//! ```text
//!   ['x', 2] ─▶ one argument after the other ─▶ (f64, Option<u64>)
//!                 │
//!                 └▶ "argument 1 should be a number, got 'x'"
//! ```

use std::fmt;

use rmp_serde::decode::Error as Fault;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde::{Serialize, forward_to_deserialize_any};
use vestibule_wire::msgpack::{Kind, Reader};
use vestibule_wire::reply::write_serialized;
use vestibule_wire::{Error, ErrorCode};

/// Most characters of an argument that an error tells.
const ARGUMENT_TEXT_MAX: usize = 64;
const NIL: [u8; 1] = [0xc0];

/// The arguments of the procedure of this name as a tuple, a struct, a sequence or nothing.
///
/// # Errors
///
/// [`ErrorCode::ILLEGAL_PARAMS`](vestibule_wire::ErrorCode::ILLEGAL_PARAMS), naming the procedure
/// and the argument, if they do not fit.
pub(crate) fn parse_args<T: DeserializeOwned>(procedure: &str, args: &[u8]) -> Result<T, Error> {
    parse("argument", args).map_err(|told| bad_arguments(procedure, told))
}

/// The results of the procedure of this name, as [`parse_args`] its arguments.
///
/// # Errors
///
/// [`ErrorCode::PROC`](vestibule_wire::ErrorCode::PROC), naming the procedure and the result, if
/// they do not fit.
pub(crate) fn parse_results<T: DeserializeOwned>(
    procedure: &str,
    results: &[u8],
) -> Result<T, Error> {
    let bad = |told| {
        let message = format!("Bad results of {procedure}: {told}");
        Error::new(ErrorCode::PROC, message)
    };
    parse("result", results).map_err(bad)
}

/// The arguments of a call as an array: those of a tuple or another sequence, none of a unit.
///
/// # Errors
///
/// [`ErrorCode::PROC`](vestibule_wire::ErrorCode::PROC) for what MessagePack cannot hold.
pub(crate) fn args_array<T: Serialize + ?Sized>(args: &T) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    write_serialized(&mut bytes, args)?;
    Ok(if bytes == NIL { vec![0x90] } else { bytes })
}

/// A key as an array: the parts of a tuple or another sequence, one part by itself, none of a unit.
///
/// # Errors
///
/// [`ErrorCode::ILLEGAL_PARAMS`](vestibule_wire::ErrorCode::ILLEGAL_PARAMS) for what MessagePack
/// cannot hold.
pub fn key_array<T: Serialize + ?Sized>(key: &T) -> Result<Vec<u8>, Error> {
    let bytes = rmp_serde::to_vec(key);
    let bytes = bytes.map_err(|fault| Error::illegal_params(fault.to_string()))?;
    Ok(match Reader::new(&bytes).read_array_len() {
        Ok(_) => bytes,
        Err(_) if bytes == NIL => vec![0x90],
        Err(_) => [&[0x91], &*bytes].concat(),
    })
}

/// A tuple of a space as the type that its tuples are read as.
///
/// # Errors
///
/// [`ErrorCode::PROC`](vestibule_wire::ErrorCode::PROC) for a tuple of another type.
pub fn tuple_as<T: DeserializeOwned>(tuple: &[u8]) -> Result<T, Error> {
    rmp_serde::from_slice(tuple).map_err(|fault| {
        let text = format!("A tuple is not as its type says: {fault}");
        Error::new(ErrorCode::PROC, text)
    })
}

/// Values of an array, each of which is a `noun` to people; or what is told if they do not fit.
fn parse<T: DeserializeOwned>(noun: &'static str, array: &[u8]) -> Result<T, String> {
    let mut reader = Reader::new(array);
    let count = reader.read_array_len().unwrap_or(0) as usize;
    let mut arguments = Arguments {
        reader,
        count,
        asked: 0,
        wanted: 0,
        names: &[],
        noun,
        fault: None,
    };
    match T::deserialize(&mut arguments) {
        Ok(_) if arguments.asked < count => {
            let taken = match arguments.asked {
                0 => "none are".to_owned(),
                1 => "1 is".to_owned(),
                taken => format!("{taken} are"),
            };
            Err(format!("{taken} taken, got {count}"))
        }
        Ok(value) => Ok(value),
        Err(fault) => {
            let told = arguments.fault.take();
            Err(told.unwrap_or_else(|| bounded(&fault.to_string())))
        }
    }
}

/// The error for an argument (from 1) that is another than expected; `None`: it is missing.
pub(crate) fn bad_argument(
    procedure: &str,
    number: usize,
    expected: &str,
    got: Option<&[u8]>,
) -> Error {
    let what = should_be(expected, got);
    bad_arguments(procedure, format_args!("argument {number} {what}"))
}

fn should_be(expected: &str, got: Option<&[u8]>) -> String {
    let got = got.map_or("nothing".to_owned(), describe);
    format!("should be {expected}, got {got}")
}

fn bad_arguments(procedure: &str, what: impl fmt::Display) -> Error {
    Error::illegal_params(format!("Bad arguments of {procedure}: {what}"))
}

/// As much of a text as is told.
fn bounded(text: &str) -> String {
    match text.char_indices().nth(ARGUMENT_TEXT_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// One value for people.
fn describe(raw: &[u8]) -> String {
    let mut reader = Reader::new(raw);
    let number = |reader: &mut Reader<'_>| reader.read_integer().map(|own| own.to_i128());
    match reader.peek() {
        Ok(Kind::Nil) => "nil".to_owned(),
        Ok(Kind::Bool) => reader.read_bool().unwrap_or(false).to_string(),
        Ok(Kind::Uint | Kind::Int) => number(&mut reader).unwrap_or(0).to_string(),
        Ok(Kind::Float | Kind::Double) => reader.read_f64().unwrap_or(f64::NAN).to_string(),
        Ok(Kind::Str) => match reader.read_str() {
            Ok(text) => format!("'{}'", bounded(text)),
            Err(_) => "a string that is not UTF-8".to_owned(),
        },
        Ok(Kind::Array) => "an array".to_owned(),
        Ok(Kind::Map) => "a table".to_owned(),
        Ok(Kind::Bin) => "binary data".to_owned(),
        _ => "a value of another type".to_owned(),
    }
}

/// All arguments, of which one after the other is taken.
struct Arguments<'de> {
    reader: Reader<'de>,
    count: usize,
    /// How many were asked for.
    asked: usize,
    /// How many will be, if that is known: those that are not given are as if nil was.
    wanted: usize,
    names: &'static [&'static str],
    /// What one of them is called.
    noun: &'static str,
    /// What is told, once one does not fit.
    fault: Option<String>,
}

impl<'de> Arguments<'de> {
    fn take<V: Visitor<'de>>(
        &mut self,
        wanted: usize,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        (self.wanted, self.names) = (wanted, names);
        visitor.visit_seq(self)
    }
}

impl<'de> SeqAccess<'de> for &mut Arguments<'de> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        let is_given = self.asked < self.count;
        if !is_given && self.asked >= self.wanted {
            return Ok(None);
        }
        let raw = match is_given {
            true => self.reader.skip().map_err(Fault::custom)?,
            false => &NIL,
        };
        self.asked += 1;
        let mut expected = String::new();
        let argument = Argument {
            raw,
            expected: &mut expected,
        };
        seed.deserialize(argument).map(Some).inspect_err(|fault| {
            let name = self.names.get(self.asked - 1);
            let name = name.map_or(String::new(), |name| format!(" ({name})"));
            let text = fault.to_string();
            let got = is_given.then_some(raw);
            let what = match is_of_another_type(fault, &text, raw) {
                true => should_be(&expected, got),
                false => format!("does not fit: {}", bounded(&text)),
            };
            self.fault = Some(format!("{} {}{name} {what}", self.noun, self.asked));
        })
    }
}

/// Whether an argument as a whole is of another type, and not a part of it, or something that its
/// type says of the value.
fn is_of_another_type(fault: &Fault, text: &str, raw: &[u8]) -> bool {
    let has_parts = matches!(Reader::new(raw).peek(), Ok(Kind::Array | Kind::Map));
    let is_plain = !has_parts || raw.len() == 1 && matches!(raw[0], 0x80 | 0x90);
    let is_typed = match fault {
        Fault::TypeMismatch(_) | Fault::OutOfRange => true,
        Fault::Syntax(_) => text.starts_with("invalid type") || text.starts_with("invalid value"),
        _ => false,
    };
    is_typed && is_plain
}

impl<'de> Deserializer<'de> for &mut Arguments<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.take(0, &[], visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.take(count, &[], visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.take(count, &[], visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.take(fields.len(), fields, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf seq map
        enum identifier ignored_any
    }
}

/// One argument; it keeps what its type expects.
struct Argument<'de, 'a> {
    raw: &'de [u8],
    expected: &'a mut String,
}

/// What a type says that it expects.
struct Expecting<'a, V>(&'a V);

impl<'de, V: Visitor<'de>> fmt::Display for Expecting<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }
}

/// Methods that keep what is expected, and leave the rest to MessagePack.
macro_rules! expect {
    ($($method:ident($($name:ident: $type:ty),*): $expected:expr;)+) => {
        $(fn $method<V: Visitor<'de>>(
            self,
            $($name: $type,)*
            visitor: V,
        ) -> Result<V::Value, Fault> {
            *self.expected = $expected.to_string();
            rmp_serde::Deserializer::from_read_ref(self.raw).$method($($name,)* visitor)
        })+
    };
}

impl<'de> Deserializer<'de> for Argument<'de, '_> {
    type Error = Fault;

    expect! {
        deserialize_bool(): "a boolean";
        deserialize_i8(): "an integer from -128 to 127";
        deserialize_i16(): "an integer from -32768 to 32767";
        deserialize_i32(): "an integer of 32 bits";
        deserialize_i64(): "an integer of 64 bits";
        deserialize_i128(): "an integer of 128 bits";
        deserialize_u8(): "an integer from 0 to 255";
        deserialize_u16(): "an integer from 0 to 65535";
        deserialize_u32(): "an integer from 0 to 4294967295";
        deserialize_u64(): "an integer from 0 to 18446744073709551615";
        deserialize_u128(): "an integer from 0 on";
        deserialize_f32(): "a number";
        deserialize_f64(): "a number";
        deserialize_char(): "one character";
        deserialize_str(): "a string";
        deserialize_string(): "a string";
        deserialize_bytes(): "binary data";
        deserialize_byte_buf(): "binary data";
        deserialize_unit(): "nil";
        deserialize_unit_struct(name: &'static str): "nil";
        deserialize_seq(): "an array";
        deserialize_tuple(count: usize): format_args!("an array of {count}");
        deserialize_tuple_struct(name: &'static str, count: usize):
            format_args!("an array of {count}");
        deserialize_map(): "a table";
        deserialize_struct(name: &'static str, fields: &'static [&'static str]): "a table";
        deserialize_enum(name: &'static str, variants: &'static [&'static str]):
            format_args!("one of {}", bounded(&variants.join(", ")));
        deserialize_identifier(): "a string";
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        *self.expected = bounded(&Expecting(&visitor).to_string());
        rmp_serde::Deserializer::from_read_ref(self.raw).deserialize_any(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.raw == NIL {
            true => visitor.visit_none(),
            false => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if name == rmp_serde::MSGPACK_EXT_STRUCT_NAME {
            let mut whole = rmp_serde::Deserializer::from_read_ref(self.raw);
            return whole.deserialize_newtype_struct(name, visitor);
        }
        visitor.visit_newtype_struct(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    fn told<T: DeserializeOwned>(args: &[u8]) -> String {
        match parse_args::<T>("f", args) {
            Ok(_) => "fits".to_owned(),
            Err(error) => {
                let prefix = "Bad arguments of f: ";
                error.message().strip_prefix(prefix).unwrap().to_owned()
            }
        }
    }

    #[test]
    fn what_is_missing_is_nil() {
        let parse = parse_args::<(u64, Option<u64>, Option<String>)>;
        assert_eq!(parse("f", &[0x91, 7]), Ok((7, None, None)));
        assert_eq!(parse("f", &[0x92, 7, 8]), Ok((7, Some(8), None)));
        assert_eq!(parse("f", &[0x93, 7, 0xc0, 0xc0]), Ok((7, None, None)));
        assert_eq!(parse_args::<()>("f", &[0x90]), Ok(()));
        assert_eq!(parse_args("f", &[0x92, 7, 8]), Ok(vec![7, 8]));
        assert_eq!(parse_args("f", &[0x90]), Ok(Vec::<u64>::new()));
        assert_eq!(parse_args("f", &[0x91, 0x92, 1, 2]), Ok(((1, 2),)));
    }

    #[test]
    fn what_does_not_fit_is_told_by_its_number_with_what_is_expected_and_what_came() {
        type Pair = (f64, Option<u8>);
        assert_eq!(
            told::<Pair>(&[0x91, 0xa1, b'x']),
            "argument 1 should be a number, got 'x'"
        );
        assert_eq!(
            told::<Pair>(&[0x90]),
            "argument 1 should be a number, got nothing"
        );
        assert_eq!(
            told::<Pair>(&[0x92, 1, 0xcd, 1, 0]),
            "argument 2 should be an integer from 0 to 255, got 256"
        );
        assert_eq!(
            told::<Pair>(&[0x92, 1, 0xc3]),
            "argument 2 should be an integer from 0 to 255, got true"
        );
        assert_eq!(
            told::<(String,)>(&[0x91, 0x90]),
            "argument 1 should be a string, got an array"
        );
        assert_eq!(told::<(u64,)>(&[0x92, 1, 2]), "1 is taken, got 2");
        assert_eq!(told::<()>(&[0x91, 1]), "none are taken, got 1");
    }

    #[test]
    fn results_are_told_of_as_such() {
        let parse = |results: &[u8]| parse_results::<(u64, Option<u64>)>("f", results);
        assert_eq!(parse(&[0x91, 7]), Ok((7, None)));
        let told = |results: &[u8]| parse(results).unwrap_err().to_string();
        let text = "Bad results of f: result 1 should be an integer from 0 to \
                    18446744073709551615, got true (error 32)";
        assert_eq!(told(&[0x91, 0xc3]), text);
        let text = "Bad results of f: 2 are taken, got 3 (error 32)";
        assert_eq!(told(&[0x93, 1, 2, 3]), text);
    }

    #[test]
    fn fields_of_a_struct_are_told_by_name() {
        #[derive(Debug, Deserialize)]
        struct Wanted {
            seconds: u64,
        }
        assert_eq!(
            told::<Wanted>(&[0x91, 0xc2]),
            "argument 1 (seconds) should be an integer from 0 to 18446744073709551615, got false"
        );
        assert_eq!(told::<Wanted>(&[0x91, 1]), "fits");
        let parsed = parse_args::<Wanted>("f", &[0x91, 1]);
        assert_eq!(parsed.map(|own| own.seconds), Ok(1));
    }

    #[test]
    fn what_is_told_is_bounded() {
        let mut args = vec![0x91, 0xdb, 0, 1, 0, 0];
        args.extend_from_slice(&[b'x'; 1 << 16]);
        assert!(told::<(u64,)>(&args).len() < 200);
    }
}
