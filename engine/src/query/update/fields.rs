//! The tuple while it is being changed: runs of old fields between new values.
//!
//! ```text
//!   tuple   [a b c d e f]        '=' 2, '!' 4, '#' 6
//!   pieces  Old 0..2 │ New │ Old 3..4 │ New │ Old 4..5
//! ```
//!
//! An operation splits at most one run, so the list grows with the number of operations and not
//! with that of fields, and the tuple is copied once, when the result is written.

use vestibule_wire::msgpack::{DecodeError, Kind, Reader, write_array_len, write_nil};

use super::entries::Entries;
use super::scalar::{Number, Text};

/// A tuple in pieces.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    tuple: &'a [u8],
    /// Where each old field starts, and at last where the tuple ends.
    starts: Vec<usize>,
    pieces: Vec<Piece<'a>>,
    count: usize,
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
            Self::Number(number) => Some(*number),
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
            Self::Array(array) => array.append_to(out),
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
        let mut fields = Self {
            tuple,
            starts,
            pieces: Vec::new(),
            count,
        };
        fields.put(0, Piece::Old { first: 0, count });
        Ok(fields)
    }

    /// How many fields there are now.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The field at this number, which must be there, as a value that can be changed.
    pub(super) fn value(&mut self, number: usize) -> &mut Value<'a> {
        let at = self.split(number);
        self.split(number + 1);
        let new = match &self.pieces[at] {
            Piece::Old { first, .. } => Some(Value::Raw(
                &self.tuple[self.starts[*first]..self.starts[*first + 1]],
            )),
            Piece::Nils(_) => Some(Value::Raw(&[0xc0])),
            Piece::New(_) => None,
        };
        if let Some(value) = new {
            self.pieces[at] = Piece::New(value);
        }
        match &mut self.pieces[at] {
            Piece::New(value) => value,
            _ => unreachable!("the piece was just made one"),
        }
    }

    /// Puts a field before the one with this number, filling a gap up to it with nils.
    pub(super) fn insert(&mut self, number: usize, value: &'a [u8]) {
        if number > self.count {
            let gap = number - self.count;
            self.pieces.push(Piece::Nils(gap));
            self.count += gap;
        }
        let at = self.split(number);
        self.pieces.insert(at, Piece::New(Value::Raw(value)));
        self.count += 1;
    }

    /// Removes `count` fields, all of which must be there.
    pub(super) fn delete(&mut self, number: usize, count: usize) {
        let from = self.split(number);
        let to = self.split(number + count);
        self.pieces.drain(from..to);
        self.count -= count;
    }

    /// The number of the piece that starts with this field, which one is cut in two for if need be.
    fn split(&mut self, number: usize) -> usize {
        let mut start = 0;
        for at in 0..self.pieces.len() {
            let size = self.pieces[at].count();
            if start == number {
                return at;
            }
            if number < start + size {
                let right = self.pieces[at].cut(number - start);
                self.put(at + 1, right);
                return at + 1;
            }
            start += size;
        }
        self.pieces.len()
    }

    fn put(&mut self, at: usize, piece: Piece<'a>) {
        if piece.count() > 0 {
            self.pieces.insert(at, piece);
        }
    }

    /// Writes the tuple.
    pub(super) fn write(&self, extra: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.tuple.len() + extra);
        self.append_to(&mut out);
        out
    }

    fn append_to(&self, out: &mut Vec<u8>) {
        write_array_len(out, u32::try_from(self.count).expect("the gap is bounded"));
        for piece in &self.pieces {
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

impl Piece<'_> {
    fn count(&self) -> usize {
        match self {
            Self::Old { count, .. } | Self::Nils(count) => *count,
            Self::New(_) => 1,
        }
    }

    /// Keeps the first fields and returns the rest.
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
