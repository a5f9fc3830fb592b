//! How much text collations order: of one key, and of all keys of one tuple.
//!
//! To order a text by a collation takes some 20 ns a byte, and at worst 140, where its bytes as
//! they are take less than one. So there is a bound on what one request may ask for.

use vestibule_wire::Error;
use vestibule_wire::msgpack::Reader;

use crate::errors::parts as part_errors;
use crate::limits::{COLLATED_KEY_BYTES_MAX, COLLATED_TUPLE_BYTES_MAX};
use crate::model::index::{IndexDef, Part, each_part};
use crate::model::key::Mismatch;
use crate::model::space::SpaceDef;

impl IndexDef {
    /// Checks a key that a client gave: the reader stands before the values of this number of
    /// parts. What is malformed is for others to find.
    ///
    /// # Errors
    ///
    /// `ErrorCode::UNSUPPORTED` for more than [`COLLATED_KEY_BYTES_MAX`].
    pub(super) fn check_collated_key(
        &self,
        mut reader: Reader<'_>,
        parts: usize,
    ) -> Result<(), Error> {
        let mut bytes = 0;
        for part in self.parts.iter().take(parts) {
            let Ok(value) = reader.skip() else { break };
            bytes += bytes_of(part, value);
        }
        check_key(bytes)
    }

    /// What collations order of a tuple in this index, in bytes.
    fn collated_bytes(&self, tuple: &[u8]) -> Result<usize, Error> {
        let malformed = |Mismatch| Error::invalid_msgpack("packet body");
        let mut bytes = 0;
        if !self.is_multikey {
            let walked = each_part(&self.parts, tuple, |part, reader| {
                bytes += bytes_of(part, reader.skip()?);
                Ok(())
            });
            walked.map_err(malformed)?;
            return check_key(bytes).map(|()| bytes);
        }
        let mut checked = Ok(());
        let walked = self.each_element(tuple, |values| {
            let parts = self.parts.iter().zip(values);
            let own = parts.map(|(part, value)| bytes_of(part, value)).sum();
            bytes += own;
            checked = check_key(own);
            Ok(checked.is_ok())
        });
        walked.map_err(malformed)?;
        checked.map(|()| bytes)
    }
}

impl SpaceDef {
    /// Checks a tuple that has the fields that it has to have.
    ///
    /// # Errors
    ///
    /// `ErrorCode::UNSUPPORTED` for more than [`COLLATED_KEY_BYTES_MAX`] of one key, or
    /// [`COLLATED_TUPLE_BYTES_MAX`] of all.
    pub(super) fn check_collated(&self, tuple: &[u8]) -> Result<(), Error> {
        let mut bytes = 0;
        for index in self.collated() {
            bytes += index.collated_bytes(tuple)?;
        }
        if bytes > COLLATED_TUPLE_BYTES_MAX {
            return Err(part_errors::collated_too_long(
                "tuple",
                COLLATED_TUPLE_BYTES_MAX,
            ));
        }
        Ok(())
    }

    /// The indexes with collations.
    pub(super) fn collated(&self) -> impl Iterator<Item = &IndexDef> {
        self.indexes().filter(|index| index.is_collated)
    }
}

/// What a collation orders of a part's value, MessagePack.
fn bytes_of(part: &Part, value: &[u8]) -> usize {
    part.collation.map_or(0, |_| value.len())
}

fn check_key(bytes: usize) -> Result<(), Error> {
    if bytes > COLLATED_KEY_BYTES_MAX {
        return Err(part_errors::collated_too_long(
            "key",
            COLLATED_KEY_BYTES_MAX,
        ));
    }
    Ok(())
}
