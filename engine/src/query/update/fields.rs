//! The tuple while it is being changed: runs of old fields between new values.
//!
//! ```text
//!   tuple   [a b c d e f]        '=' 2, '!' 4, '#' 6
//!   pieces  Old 0..2 │ New │ Old 3..4 │ New │ Old 4..5
//! ```
//!
//! An operation splits at most two runs, so the list grows with the number of operations and not
//! with that of fields, and the tuple is copied once, when the result is written.

use vestibule_wire::msgpack::{DecodeError, Kind, Reader, write_array_len, write_nil};

use super::entries::Entries;
use super::runs::{Run, Runs};
use super::scalar::{Number, Text};

/// A tuple in pieces.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    tuple: &'a [u8],
    /// Where each old field starts, and at last where the tuple ends.
    starts: Vec<usize>,
    pieces: Runs<Piece<'a>>,
}

#[derive(Debug, Clone)]
enum Piece<'a> {
    /// A number of old fields from this one on.
    Old { first: usize, count: usize },
    /// Fillers of a gap.
    Nils(usize),
    /// One field.
    New(Value<'a>),
}

/// One field's value.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    /// MessagePack of the old tuple or of the request.
    Raw(&'a [u8]),
    Number(Number),
    Text(Text<'a>),
    /// An array or map that a path led into.
    Array(Box<Fields<'a>>),
    Map(Entries<'a>),
}

impl<'a> Value<'a> {
    pub(super) fn to_number(&self) -> Option<Number> {
        match self {
            Self::Raw(bytes) => Number::read(bytes),
            Self::Number(number) => Some(number.clone()),
            Self::Text(_) | Self::Array(_) | Self::Map(_) => None,
        }
    }

    /// Makes a text of it in place; `None`, and no change, if it is none.
    pub(super) fn as_text(&mut self) -> Option<&mut Text<'a>> {
        if let Self::Raw(bytes) = self {
            *self = Self::Text(Text::read(bytes)?);
        }
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// How many bytes [`open`](Self::open) would walk over.
    pub(super) fn unopened(&self) -> usize {
        match self {
            Self::Raw(bytes) => bytes.len(),
            _ => 0,
        }
    }

    /// Opens an array or map, so that what is in it can be changed.
    pub(super) fn open(&mut self) {
        let Self::Raw(bytes) = self else { return };
        let opened = match Reader::new(bytes).peek() {
            Ok(Kind::Array) => Fields::read(bytes).map(|array| Self::Array(Box::new(array))),
            Ok(Kind::Map) => Entries::read(bytes).map(Self::Map),
            _ => return,
        };
        // Requests and stored tuples were checked: nothing in them is malformed.
        if let Ok(opened) = opened {
            *self = opened;
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Raw(bytes) => out.extend_from_slice(bytes),
            Self::Number(number) => number.write(out),
            Self::Text(text) => text.write(out),
            Self::Array(array) => array.write(out),
            Self::Map(map) => map.write(out),
        }
    }
}

impl<'a> Fields<'a> {
    /// Finds the fields of a tuple.
    pub(super) fn read(tuple: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(tuple);
        let count = reader.read_array_len()? as usize;
        // A field takes a byte at least: a false length allocates no more than the tuple.
        let mut starts = Vec::with_capacity(count.min(tuple.len()) + 1);
        starts.push(reader.position());
        for _ in 0..count {
            reader.skip()?;
            starts.push(reader.position());
        }
        let mut pieces = Runs::new();
        if count > 0 {
            pieces.insert(0, Piece::Old { first: 0, count });
        }
        Ok(Self {
            tuple,
            starts,
            pieces,
        })
    }

    /// How many fields there are now.
    pub(super) fn count(&self) -> usize {
        self.pieces.size()
    }

    /// The field at this number, which must be there, as a value that can be changed.
    pub(super) fn value(&mut self, number: usize) -> &mut Value<'a> {
        let piece = self.pieces.only(number);
        let new = match piece {
            Piece::Old { first, .. } => Some(Value::Raw(
                &self.tuple[self.starts[*first]..self.starts[*first + 1]],
            )),
            Piece::Nils(_) => Some(Value::Raw(&[0xc0])),
            Piece::New(_) => None,
        };
        if let Some(value) = new {
            *piece = Piece::New(value);
        }
        match piece {
            Piece::New(value) => value,
            _ => unreachable!("the piece was just made one"),
        }
    }

    /// Puts a field before the one with this number, filling a gap up to it with nils.
    pub(super) fn insert(&mut self, number: usize, value: &'a [u8]) {
        let count = self.count();
        if number > count {
            self.pieces.insert(count, Piece::Nils(number - count));
        }
        self.pieces.insert(number, Piece::New(Value::Raw(value)));
    }

    /// Removes `count` fields, all of which must be there.
    pub(super) fn delete(&mut self, number: usize, count: usize) {
        self.pieces.remove(number, count);
    }

    /// Appends the tuple.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        write_array_len(
            out,
            u32::try_from(self.count()).expect("the gap is bounded"),
        );
        for piece in self.pieces.iter() {
            match piece {
                Piece::Old { first, count } => out.extend_from_slice(
                    &self.tuple[self.starts[*first]..self.starts[*first + *count]],
                ),
                Piece::Nils(count) => (0..*count).for_each(|_| write_nil(out)),
                Piece::New(value) => value.write(out),
            }
        }
    }
}

impl Run for Piece<'_> {
    fn size(&self) -> usize {
        match self {
            Self::Old { count, .. } | Self::Nils(count) => *count,
            Self::New(_) => 1,
        }
    }

    fn cut(&mut self, keep: usize) -> Self {
        match self {
            Self::Old { first, count } => {
                let rest = Self::Old {
                    first: *first + keep,
                    count: *count - keep,
                };
                *count = keep;
                rest
            }
            Self::Nils(count) => {
                let rest = Self::Nils(*count - keep);
                *count = keep;
                rest
            }
            Self::New(_) => unreachable!("a single field is not cut"),
        }
    }
}
