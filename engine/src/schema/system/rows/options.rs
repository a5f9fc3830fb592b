//! Options of spaces and indexes, kept as they were given.
//!
//! ```text
//!   {"unique": true, "hint": false}  ─▶ check, by a table ─▶ what means something is read
//!                                    └▶ written back byte by byte
//! ```

use vestibule_wire::Error;
use vestibule_wire::msgpack::{Kind, Reader, write_map_len, write_str};

use super::common::malformed;

/// The map of options in a row of `_space` or `_index`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RowOptions(Vec<(Box<str>, Box<[u8]>)>);

/// What the value of an option has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OptionType {
    Boolean,
    Unsigned,
    Integer,
    Float,
    Str,
    Array,
    Map,
}

impl OptionType {
    fn accepts(self, kind: Kind) -> bool {
        match self {
            Self::Boolean => kind == Kind::Bool,
            Self::Unsigned => kind == Kind::Uint,
            Self::Integer => matches!(kind, Kind::Uint | Kind::Int),
            Self::Float => matches!(kind, Kind::Uint | Kind::Int | Kind::Float | Kind::Double),
            Self::Str => kind == Kind::Str,
            Self::Array => kind == Kind::Array,
            Self::Map => kind == Kind::Map,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Unsigned => "unsigned",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Str => "string",
            Self::Array => "array",
            Self::Map => "map",
        }
    }
}

impl RowOptions {
    /// The options of an index of which nothing else is said.
    pub(crate) fn unique(is_unique: bool) -> Self {
        let mut options = Self::default();
        options.set_flag("unique", is_unique);
        options
    }

    /// Sets an option that is true or false.
    pub(super) fn set_flag(&mut self, name: &str, is_on: bool) {
        self.set(name, &[if is_on { 0xc3 } else { 0xc2 }]);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let mut options = Vec::new();
        for _ in 0..reader.read_map_len().map_err(malformed)? {
            let name = reader.read_str().map_err(malformed)?.into();
            options.push((name, reader.skip().map_err(malformed)?.into()));
        }
        Ok(Self(options))
    }

    /// Whether each option is one of the known ones, and of its type.
    pub(super) fn check(
        &self,
        known: &[(&str, OptionType)],
        wrong: impl Fn(&str) -> Error,
    ) -> Result<(), Error> {
        for (name, value) in &self.0 {
            let Some((_, kind)) = known.iter().find(|(own, _)| **own == **name) else {
                return Err(wrong(&format!("unexpected option '{name}'")));
            };
            if !Reader::new(value)
                .peek()
                .is_ok_and(|found| kind.accepts(found))
            {
                return Err(wrong(&format!("'{name}' must be {}", kind.name())));
            }
        }
        Ok(())
    }

    /// The value of an option, MessagePack. Of several with one name, the last counts.
    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        let mut all = self.0.iter().rev();
        all.find(|(own, _)| **own == *name)
            .map(|(_, value)| &**value)
    }

    /// A flag; off if it is not there, or is none.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.get(name) == Some(&[0xc3])
    }

    /// A number, if it is one.
    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        let mut reader = Reader::new(self.get(name)?);
        match reader.peek().ok()? {
            Kind::Uint | Kind::Int => Some(reader.read_integer().ok()?.to_i128() as f64),
            Kind::Float | Kind::Double => reader.read_f64().ok(),
            _ => None,
        }
    }

    /// A text, if it is one.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        Reader::new(self.get(name)?).read_str().ok()
    }

    /// Sets an option, where it stood if it was there.
    pub(crate) fn set(&mut self, name: &str, value: &[u8]) {
        match self.0.iter_mut().find(|(own, _)| **own == *name) {
            Some((_, own)) => *own = value.into(),
            None => self.0.push((name.into(), value.into())),
        }
    }

    /// Takes an option away.
    pub(crate) fn remove(&mut self, name: &str) {
        self.0.retain(|(own, _)| **own != *name);
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        write_map_len(out, self.0.len() as u32);
        for (name, value) in &self.0 {
            write_str(out, name);
            out.extend_from_slice(value);
        }
    }
}
