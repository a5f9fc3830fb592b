//! What UPDATE and UPSERT change.

use serde::Serialize;
use vestibule_wire::msgpack::{write_array_len, write_int, write_str};

use crate::error::Error;
use crate::pack;

/// A field of a tuple: by its name in the space's format, or by its number from 0 on; −1 is the
/// last.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldRef {
    /// By number.
    At(i64),
    /// By name.
    Named(String),
}

impl From<&str> for FieldRef {
    fn from(name: &str) -> Self {
        Self::Named(name.to_owned())
    }
}

impl From<String> for FieldRef {
    fn from(name: String) -> Self {
        Self::Named(name)
    }
}

impl From<i32> for FieldRef {
    fn from(at: i32) -> Self {
        Self::At(at.into())
    }
}

/// Operations of an UPDATE or UPSERT, in their order.
///
/// ```
/// use vestibule_client::Update;
///
/// let birthday = Update::new().add("age", 1).set("greeted", true);
/// # assert_eq!(birthday.len(), 2);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Update {
    operations: Vec<u8>,
    count: u32,
    fault: Option<Error>,
}

impl Update {
    /// No operation yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many operations there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Sets a field.
    #[must_use]
    pub fn set(self, field: impl Into<FieldRef>, value: impl Serialize) -> Self {
        self.with("=", field.into(), &[&pack::value(&value)])
    }

    /// Adds to a number.
    #[must_use]
    pub fn add(self, field: impl Into<FieldRef>, value: impl Serialize) -> Self {
        self.with("+", field.into(), &[&pack::value(&value)])
    }

    /// Subtracts from a number.
    #[must_use]
    pub fn subtract(self, field: impl Into<FieldRef>, value: impl Serialize) -> Self {
        self.with("-", field.into(), &[&pack::value(&value)])
    }

    /// Bitwise AND of an unsigned number.
    #[must_use]
    pub fn and(self, field: impl Into<FieldRef>, value: u64) -> Self {
        self.with("&", field.into(), &[&pack::value(&value)])
    }

    /// Bitwise OR of an unsigned number.
    #[must_use]
    pub fn or(self, field: impl Into<FieldRef>, value: u64) -> Self {
        self.with("|", field.into(), &[&pack::value(&value)])
    }

    /// Bitwise XOR of an unsigned number.
    #[must_use]
    pub fn xor(self, field: impl Into<FieldRef>, value: u64) -> Self {
        self.with("^", field.into(), &[&pack::value(&value)])
    }

    /// Inserts a field before this one.
    #[must_use]
    pub fn insert(self, field: impl Into<FieldRef>, value: impl Serialize) -> Self {
        self.with("!", field.into(), &[&pack::value(&value)])
    }

    /// Deletes `count` fields from this one on.
    #[must_use]
    pub fn delete(self, field: impl Into<FieldRef>, count: u32) -> Self {
        self.with("#", field.into(), &[&pack::value(&count)])
    }

    /// Replaces `size` characters of a text by another text. They begin at `position` from 0 on;
    /// −1 is behind the last.
    #[must_use]
    pub fn splice(self, field: impl Into<FieldRef>, position: i64, size: i64, text: &str) -> Self {
        let values = [
            pack::value(&position),
            pack::value(&size),
            pack::value(text),
        ];
        self.with(":", field.into(), &values.each_ref())
    }

    fn with(mut self, name: &str, field: FieldRef, values: &[&Result<Vec<u8>, Error>]) -> Self {
        write_array_len(&mut self.operations, 2 + values.len() as u32);
        write_str(&mut self.operations, name);
        match field {
            FieldRef::At(at) => write_int(&mut self.operations, at),
            FieldRef::Named(name) => write_str(&mut self.operations, &name),
        }
        for value in values {
            match value {
                Ok(value) => self.operations.extend_from_slice(value),
                Err(fault) => self.fault = Some(fault.clone()),
            }
        }
        self.count += 1;
        self
    }

    /// All of it as the array of a request.
    pub(crate) fn into_bytes(self) -> Result<Vec<u8>, Error> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let mut bytes = Vec::with_capacity(self.operations.len() + 5);
        write_array_len(&mut bytes, self.count);
        bytes.extend_from_slice(&self.operations);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serializer;

    #[test]
    fn operations_are_arrays_of_a_name_a_field_and_values() {
        let update = Update::new()
            .set("a", 1u8)
            .delete(-1, 2)
            .splice(0, 1, 2, "x");
        let bytes = update.into_bytes().unwrap();
        let expected = [
            &[0x93][..],
            &[0x93, 0xa1, b'=', 0xa1, b'a', 1],
            &[0x93, 0xa1, b'#', 0xff, 2],
            &[0x95, 0xa1, b':', 0, 1, 2, 0xa1, b'x'],
        ];
        assert_eq!(bytes, expected.concat());
    }

    #[test]
    fn a_value_that_cannot_be_sent_is_told_when_the_request_is() {
        struct Unfit;
        impl Serialize for Unfit {
            fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("unfit"))
            }
        }
        let error = Update::new()
            .set(1, Unfit)
            .set(2, 1)
            .into_bytes()
            .unwrap_err();
        assert_eq!(error.outcome(), crate::Outcome::NotSent);
    }
}
