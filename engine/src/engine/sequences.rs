//! Sequences: numbers handed out one by one, by call or into a field of a space.
//!
//! ```text
//!   INSERT [nil, …] ─▶ the space's generator ─▶ _sequence: step, bounds ─┐
//!   box.sequence.s:next() ──────────────────────────────────────────────┴─▶ next value
//!                        turn ◀── row of _sequence_data: the last value ◀──────┘
//! ```
//!
//! The last value goes into the turn even inside a transaction, so that a rollback does not give a
//! number back and two transactions never wait for each other. As in Tarantool.

use vestibule_wire::Error;
use vestibule_wire::msgpack::{Kind, Reader};

use crate::engine::EmbeddedEngine;
use crate::errors;
use crate::model::space::Generator;
use crate::model::tuple::Tuple;
use crate::privileges::Privileges;
use crate::schema::system::sequence_rows::{SequenceRow, decode_value, encode_value, write_signed};
use crate::schema::system::{self, system_key};

impl EmbeddedEngine {
    /// Whether the request may take values of a space's generator, or pass by it.
    ///
    /// # Errors
    ///
    /// `ErrorCode::ACCESS_DENIED` without the right, `ErrorCode::NO_SUCH_USER` if the user is gone.
    pub(crate) fn check_generator(&self, generator: Generator) -> Result<(), Error> {
        let needed = Privileges::WRITE;
        if generator.is_own
            || self
                .effective_user()
                .universe
                .contain(needed | Privileges::USAGE)
        {
            return Ok(());
        }
        let row = self.sequence_row(generator.sequence)?;
        let name = SequenceRow::decode(&row)?.name;
        let found = Some(generator.sequence);
        self.effective_user().check_sequence(needed, name, found)
    }

    /// The row of a sequence.
    ///
    /// # Errors
    ///
    /// `ErrorCode::NO_SUCH_SEQUENCE` if there is none.
    pub(crate) fn sequence_row(&self, sequence: u32) -> Result<Tuple, Error> {
        let row = self.look_at_present(|snapshot| {
            let row = snapshot.get(system::SEQUENCE, &system_key(&[sequence]));
            row.cloned()
        });
        row.ok_or_else(|| errors::no_such_sequence(sequence))
    }

    /// The last value of a sequence; `None` before its first.
    ///
    /// # Errors
    ///
    /// None, while the system's rows are whole.
    pub(crate) fn last_value(&self, sequence: u32) -> Result<Option<i64>, Error> {
        self.look_at_present(|snapshot| {
            let row = snapshot.get(system::SEQUENCE_DATA, &system_key(&[sequence]));
            row.map(|row| decode_value(row)).transpose()
        })
    }

    /// Takes the next value of a sequence.
    ///
    /// # Errors
    ///
    /// `ErrorCode::READONLY` if nothing can be written, `ErrorCode::NO_SUCH_SEQUENCE`,
    /// `ErrorCode::SEQUENCE_OVERFLOW` if there is no next value.
    pub(crate) fn next_value(&mut self, sequence: u32) -> Result<i64, Error> {
        let row = self.sequence_row(sequence)?;
        let row = SequenceRow::decode(&row)?;
        let next = row.next(self.last_value(sequence)?);
        let next = next.ok_or_else(|| errors::sequence_overflow(row.name))?;
        self.set_value(sequence, Some(next))?;
        Ok(next)
    }

    /// Sets the last value of a sequence, or forgets it.
    ///
    /// # Errors
    ///
    /// `ErrorCode::READONLY` if nothing can be written.
    pub(crate) fn set_value(&mut self, sequence: u32, value: Option<i64>) -> Result<(), Error> {
        self.check_writable()?;
        let space = system::SEQUENCE_DATA;
        let key = system_key(&[sequence]);
        let row = value.map(|value| encode_value(sequence, value).into());
        self.workspace.put_in_turn(space, key, row);
        Ok(())
    }

    /// Puts the next value in place of a nil in a tuple's field, and returns the new tuple. Another
    /// number there is remembered, so that it does not come again.
    ///
    /// # Errors
    ///
    /// Those of [`next_value`](Self::next_value).
    pub(crate) fn generate(
        &mut self,
        generator: Generator,
        tuple: &[u8],
    ) -> Result<Option<Vec<u8>>, Error> {
        let malformed = |_| Error::invalid_msgpack("packet body");
        let mut reader = Reader::new(tuple);
        if reader.read_array_len().map_err(malformed)? <= generator.field {
            return Ok(None);
        }
        for _ in 0..generator.field {
            reader.skip().map_err(malformed)?;
        }
        if reader.peek() != Ok(Kind::Nil) {
            let given = reader.read_integer().map(|given| given.to_i128());
            if let Some(Ok(given)) = given.ok().map(i64::try_from) {
                self.take_note(generator.sequence, given)?;
            }
            return Ok(None);
        }
        let before = &tuple[..reader.position()];
        reader.skip().map_err(malformed)?;
        let next = self.next_value(generator.sequence)?;
        let mut filled = Vec::with_capacity(tuple.len() + size_of::<i64>());
        filled.extend_from_slice(before);
        write_signed(&mut filled, next);
        filled.extend_from_slice(reader.rest());
        Ok(Some(filled))
    }

    /// A value of the sequence's field came from outside.
    fn take_note(&mut self, sequence: u32, value: i64) -> Result<(), Error> {
        let row = self.sequence_row(sequence)?;
        let last = self.last_value(sequence)?;
        if SequenceRow::decode(&row)?.is_ahead(value, last) {
            self.set_value(sequence, Some(value))?;
        }
        Ok(())
    }
}
