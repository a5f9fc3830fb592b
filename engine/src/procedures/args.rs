//! Arguments as Lua callers give them: scalars, lists, and tables with names and numbers mixed.
//!
//! ```text
//!   {{'id', type = 'unsigned'}}  travels as  [{1: "id", "type": "unsigned"}]
//! ```

use vestibule_wire::Error;
use vestibule_wire::msgpack::{
    DecodeError, Kind, Reader, write_array_len, write_bool, write_f64, write_int, write_map_len,
    write_nil, write_str, write_uint,
};

use crate::limits::{CALL_ARGUMENTS_MAX, CALL_VALUES_MAX};

/// A value of a call, borrowed from the request.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum LuaValue<'a> {
    Nil,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Str(&'a str),
    List(Vec<LuaValue<'a>>),
    Table(Vec<(LuaValue<'a>, LuaValue<'a>)>),
    /// Anything else, as it is.
    Other(&'a [u8]),
}

/// The arguments of one call.
#[derive(Debug)]
pub(super) struct Args<'a> {
    raw: Vec<&'a [u8]>,
}

/// 1, in Tarantool's words.
pub(super) fn illegal(what: impl std::fmt::Display) -> Error {
    Error::illegal_params(format!("Illegal parameters, {what}"))
}

impl<'a> Args<'a> {
    pub(super) fn read(args: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(args);
        let malformed = |_: DecodeError| illegal("malformed arguments");
        let count = reader.read_array_len().map_err(malformed)? as usize;
        if count > CALL_ARGUMENTS_MAX {
            return Err(illegal("too many arguments"));
        }
        let raw = (0..count).map(|_| reader.skip()).collect::<Result<_, _>>();
        let raw = raw.map_err(malformed)?;
        Ok(Self { raw })
    }

    /// An argument as MessagePack; `None` if it is missing or nil.
    pub(super) fn raw(&self, at: usize) -> Option<&'a [u8]> {
        self.raw.get(at).copied().filter(|raw| *raw != [0xc0])
    }

    /// An argument; nil if it is missing.
    pub(super) fn value(&self, at: usize) -> Result<LuaValue<'a>, Error> {
        let Some(raw) = self.raw(at) else {
            return Ok(LuaValue::Nil);
        };
        let mut room = CALL_VALUES_MAX;
        LuaValue::read(&mut Reader::new(raw), &mut room)
    }

    /// A name that has to be there.
    pub(super) fn name(&self, at: usize, what: &str) -> Result<&'a str, Error> {
        match self.value(at)? {
            LuaValue::Str(name) => Ok(name),
            _ => Err(illegal(format_args!("{what} should be a string"))),
        }
    }

    /// A table of options, each of which must be among the known ones.
    pub(super) fn options(&self, at: usize, known: &[&str]) -> Result<Options<'a>, Error> {
        let pairs = match self.value(at)? {
            LuaValue::Nil => Vec::new(),
            LuaValue::List(values) if values.is_empty() => Vec::new(),
            LuaValue::Table(pairs) => pairs,
            _ => return Err(illegal("options should be a table")),
        };
        for (name, _) in &pairs {
            match name {
                LuaValue::Str(name) if known.contains(name) => {}
                LuaValue::Str(name) => {
                    return Err(illegal(format_args!("unexpected option '{name}'")));
                }
                _ => return Err(illegal("options should be a table with names")),
            }
        }
        Ok(Options(pairs))
    }
}

impl<'a> LuaValue<'a> {
    /// Nesting is bounded: the request was checked for it when it was decoded.
    fn read(reader: &mut Reader<'a>, room: &mut usize) -> Result<Self, Error> {
        let malformed = |_: DecodeError| illegal("malformed arguments");
        // Checked before there is memory for any of them.
        let take = |room: &mut usize, count: u32| {
            let left = room.checked_sub(count as usize);
            *room = left.ok_or_else(|| illegal("too many values in an argument"))?;
            Ok::<_, Error>(())
        };
        match reader.peek().map_err(malformed)? {
            Kind::Array => {
                let count = reader.read_array_len().map_err(malformed)?;
                take(room, count)?;
                let values = (0..count).map(|_| Self::read(reader, room));
                Ok(Self::List(values.collect::<Result<_, _>>()?))
            }
            Kind::Map => {
                let count = reader.read_map_len().map_err(malformed)?;
                take(room, count.saturating_mul(2))?;
                let pair = |_| Ok((Self::read(reader, room)?, Self::read(reader, room)?));
                Ok(Self::Table(
                    (0..count).map(pair).collect::<Result<_, Error>>()?,
                ))
            }
            _ => Self::read_scalar(reader).map_err(malformed),
        }
    }

    fn read_scalar(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(match reader.peek()? {
            Kind::Nil => {
                reader.read_nil()?;
                Self::Nil
            }
            Kind::Bool => Self::Bool(reader.read_bool()?),
            Kind::Uint | Kind::Int => Self::Integer(reader.read_integer()?.to_i128()),
            Kind::Float | Kind::Double => Self::Float(reader.read_f64()?),
            Kind::Str => match reader.read_str() {
                Ok(text) => Self::Str(text),
                Err(_) => Self::Other(reader.skip()?),
            },
            _ => Self::Other(reader.skip()?),
        })
    }

    /// Appends the value as MessagePack.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Nil => write_nil(out),
            Self::Bool(flag) => write_bool(out, *flag),
            Self::Integer(number) => match u64::try_from(*number) {
                Ok(number) => write_uint(out, number),
                // It was read from 64 bits.
                Err(_) => write_int(out, i64::try_from(*number).unwrap_or(i64::MIN)),
            },
            Self::Float(number) => write_f64(out, *number),
            Self::Str(text) => write_str(out, text),
            Self::List(values) => {
                write_array_len(out, values.len() as u32);
                values.iter().for_each(|value| value.write(out));
            }
            Self::Table(pairs) => {
                write_map_len(out, pairs.len() as u32);
                for (key, value) in pairs {
                    key.write(out);
                    value.write(out);
                }
            }
            Self::Other(raw) => out.extend_from_slice(raw),
        }
    }

    /// What stands in a list or table under a number, from 1.
    pub(super) fn at(&self, number: usize) -> Option<&Self> {
        match self {
            Self::List(values) => values.get(number.checked_sub(1)?),
            Self::Table(pairs) => {
                let found = pairs
                    .iter()
                    .find(|(key, _)| key.as_uint() == Some(number as u64));
                found.map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// What stands in a table under a name.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let Self::Table(pairs) = self else {
            return None;
        };
        let found = pairs.iter().find(|(key, _)| *key == LuaValue::Str(name));
        found
            .map(|(_, value)| value)
            .filter(|value| **value != Self::Nil)
    }

    /// What stands in a table under names, numbers left out.
    pub(super) fn named(&self) -> impl Iterator<Item = (&'a str, &LuaValue<'a>)> {
        let pairs = if let Self::Table(pairs) = self {
            pairs.as_slice()
        } else {
            &[]
        };
        pairs.iter().filter_map(|(key, value)| {
            if let LuaValue::Str(name) = key {
                Some((*name, value))
            } else {
                None
            }
        })
    }

    /// Names that a table has, numbers left out.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.named().map(|(name, _)| name)
    }

    /// The text.
    pub(super) fn as_str(&self) -> Option<&'a str> {
        if let Self::Str(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// The number, if it is whole and not negative.
    pub(super) fn as_uint(&self) -> Option<u64> {
        match self {
            Self::Integer(number) => u64::try_from(*number).ok(),
            Self::Float(number) if *number >= 0.0 && number.fract() == 0.0 => Some(*number as u64),
            _ => None,
        }
    }

    /// The number, if it is whole and has 64 bits with a sign.
    pub(super) fn as_signed(&self) -> Option<i64> {
        const BEYOND: f64 = (1_u64 << 63) as f64;
        match self {
            Self::Integer(number) => i64::try_from(*number).ok(),
            Self::Float(number) => {
                let is_within = number.fract() == 0.0 && (-BEYOND..BEYOND).contains(number);
                is_within.then_some(*number as i64)
            }
            _ => None,
        }
    }

    /// The number, as Lua has it.
    pub(super) fn as_number(&self) -> Option<f64> {
        match self {
            Self::Integer(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }
}

/// Options by name.
#[derive(Debug, Default)]
pub(super) struct Options<'a>(Vec<(LuaValue<'a>, LuaValue<'a>)>);

impl<'a> Options<'a> {
    /// An option; `None` if it is missing or nil.
    pub(super) fn get(&self, name: &str) -> Option<&LuaValue<'a>> {
        let found = self.0.iter().find(|(key, _)| *key == LuaValue::Str(name));
        found
            .map(|(_, value)| value)
            .filter(|value| **value != LuaValue::Nil)
    }

    /// A flag, off if it is missing.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Error> {
        self.typed(name, "boolean", |value| match value {
            LuaValue::Bool(flag) => Some(*flag),
            _ => None,
        })
        .map(|flag| flag.unwrap_or(false))
    }

    /// A text.
    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, Error> {
        self.typed(name, "string", LuaValue::as_str)
    }

    /// A number of any kind.
    pub(super) fn number(&self, name: &str) -> Result<Option<LuaValue<'a>>, Error> {
        self.typed(name, "number", |value| {
            value.as_number().map(|_| value.clone())
        })
    }

    /// A number, whole and not negative.
    pub(super) fn uint(&self, name: &str) -> Result<Option<u64>, Error> {
        self.typed(name, "number", LuaValue::as_uint)
    }

    fn typed<T>(
        &self,
        name: &str,
        kind: &str,
        read: impl FnOnce(&LuaValue<'a>) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let wrong = || {
            illegal(format_args!(
                "options parameter '{name}' should be of type {kind}"
            ))
        };
        read(value).map(Some).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_of_a_table_are_both_found() {
        // [{1: "id", "type": "unsigned"}, nil, {"n": 2}]
        let bytes = b"\x93\x82\x01\xa2id\xa4type\xa8unsigned\xc0\x81\xa1n\x02";
        let args = Args::read(bytes).unwrap();
        let table = args.value(0).unwrap();
        assert_eq!(table.at(1).and_then(LuaValue::as_str), Some("id"));
        assert_eq!(
            table.get("type").and_then(LuaValue::as_str),
            Some("unsigned")
        );
        assert_eq!(table.names().collect::<Vec<_>>(), ["type"]);
        assert_eq!(args.value(1).unwrap(), LuaValue::Nil);
        assert_eq!(args.options(2, &["n"]).unwrap().uint("n").unwrap(), Some(2));
        assert_eq!(args.value(9).unwrap(), LuaValue::Nil);
    }

    #[test]
    fn a_flood_of_values_is_refused_before_it_takes_memory() {
        // An array of 16 Mi nils, a byte each.
        let mut flood = vec![0xdd, 0x01, 0x00, 0x00, 0x00];
        flood.resize(flood.len() + (1 << 24), 0xc0);
        let told = Args::read(&flood).unwrap_err();
        assert_eq!(told.message(), "Illegal parameters, too many arguments");
        let nested = [&[0x91][..], &flood].concat();
        let args = Args::read(&nested).unwrap();
        assert_eq!(args.raw(0).map(<[u8]>::len), Some(flood.len()));
        let told = args.value(0).unwrap_err();
        let expected = "Illegal parameters, too many values in an argument";
        assert_eq!(told.message(), expected);
        // Many small tables are no way around it.
        let mut tables = vec![0x91, 0xdd, 0x00, 0x02, 0x00, 0x00];
        (0..1 << 17).for_each(|_| tables.extend([0x93, 0xc0, 0xc0, 0xc0]));
        let told = Args::read(&tables).unwrap().value(0).unwrap_err();
        assert_eq!(told.message(), expected);
    }

    #[test]
    fn faults_of_options_are_told_in_tarantools_words() {
        let bytes = b"\x93\x81\xa3foo\x01\x81\xa2id\xa1x\x05";
        let args = Args::read(bytes).unwrap();
        let text = |error: Error| error.message().to_owned();
        assert_eq!(
            text(args.options(0, &["id"]).unwrap_err()),
            "Illegal parameters, unexpected option 'foo'"
        );
        assert_eq!(
            text(args.options(1, &["id"]).unwrap().uint("id").unwrap_err()),
            "Illegal parameters, options parameter 'id' should be of type number"
        );
        assert_eq!(
            text(args.name(2, "name").unwrap_err()),
            "Illegal parameters, name should be a string"
        );
    }
}
