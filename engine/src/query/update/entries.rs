//! A map inside a field while it is being changed.

use vestibule_wire::msgpack::{DecodeError, Kind, Reader, write_map_len, write_str};

use super::fields::Value;
use super::path::Token;

/// Keys with their values: those of the old map in its order, new ones before them.
#[derive(Debug, Clone)]
pub(super) struct Entries<'a>(Vec<(EntryKey<'a>, Value<'a>)>);

#[derive(Debug, Clone, Copy)]
enum EntryKey<'a> {
    /// MessagePack of the old tuple.
    Raw(&'a [u8]),
    New(&'a str),
}

impl EntryKey<'_> {
    fn is(&self, token: &Token<'_>) -> bool {
        let mut reader = match (self, token) {
            (Self::New(own), Token::Key(name)) => return own == name,
            (Self::New(_), _) => return false,
            (Self::Raw(bytes), _) => Reader::new(bytes),
        };
        match token {
            Token::Key(name) => reader.read_str_bytes() == Ok(name.as_bytes()),
            // Maps with numbers as keys are looked into as lists are.
            Token::Index(index) => {
                reader.peek() == Ok(Kind::Uint) && reader.read_uint().ok() == index.checked_add(1)
            }
            Token::Any | Token::End => false,
        }
    }
}

impl<'a> Entries<'a> {
    /// Reads a map.
    pub(super) fn read(map: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(map);
        let count = reader.read_map_len()?;
        let entry = |_| Ok((EntryKey::Raw(reader.skip()?), Value::Raw(reader.skip()?)));
        (0..count).map(entry).collect::<Result<_, _>>().map(Self)
    }

    /// Where a key stands.
    pub(super) fn find(&self, token: &Token<'_>) -> Option<usize> {
        self.0.iter().position(|(key, _)| key.is(token))
    }

    pub(super) fn value(&mut self, at: usize) -> &mut Value<'a> {
        &mut self.0[at].1
    }

    /// Adds a key that is not there, before all others, as Tarantool does.
    pub(super) fn add(&mut self, key: &'a str, value: &'a [u8]) {
        self.0.insert(0, (EntryKey::New(key), Value::Raw(value)));
    }

    pub(super) fn remove(&mut self, at: usize) {
        self.0.remove(at);
    }

    /// Appends the map.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let count = u32::try_from(self.0.len());
        write_map_len(
            out,
            count.expect("a request adds few keys to those of a map"),
        );
        for (key, value) in &self.0 {
            match key {
                EntryKey::Raw(bytes) => out.extend_from_slice(bytes),
                EntryKey::New(name) => write_str(out, name),
            }
            value.write(out);
        }
    }
}
