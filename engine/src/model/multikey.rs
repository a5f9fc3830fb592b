//! Keys of a multikey index: a path with `[*]` gives one for every element of an array.
//!
//! ```text
//!   parts  tags[*] string, id unsigned      [7, {"tags": ["x", "y", "x"]}] ─▶ ("x", 7), ("y", 7)
//! ```
//!
//! Elements of one tuple may be equal; they have one key then.

use vestibule_wire::Error;
use vestibule_wire::msgpack::{Kind, Reader, write_array_len};

use crate::errors::parts as part_errors;
use crate::limits::MULTIKEY_BYTES_MAX;
use crate::model::index::{IndexDef, NIL, Part, each_part, push};
use crate::model::key::{Key, KeyBuilder, KeyView, Mismatch};
use crate::model::part_path::{PartPath, PathStep, follow};

impl Part {
    /// The steps inside of an element, of a part that takes every element of an array.
    fn inside_element(&self) -> Option<&[PathStep]> {
        let path = self.path.as_deref().and_then(PartPath::around_any);
        path.map(|(_, inside)| inside)
    }

    /// Whether a tuple may have several values of it.
    pub(crate) fn is_multikey(&self) -> bool {
        self.inside_element().is_some()
    }
}

impl IndexDef {
    /// The keys that a tuple is stored by, in order, each once.
    ///
    /// # Errors
    ///
    /// `ErrorCode::INVALID_MSGPACK` if the tuple did not pass its space's check,
    /// `ErrorCode::UNSUPPORTED` if the keys take more than [`MULTIKEY_BYTES_MAX`].
    pub(crate) fn stored_keys(&self, tuple: &[u8]) -> Result<Vec<Key>, Error> {
        let malformed = |Mismatch| Error::invalid_msgpack("packet body");
        if !self.is_multikey {
            let key = self.stored_key(tuple).map_err(malformed)?;
            return Ok(key.into_iter().collect());
        }
        let (mut keys, mut bytes) = (Vec::new(), 0);
        let walked = self.each_element(tuple, |values| {
            let key = self.key_of_values(values)?;
            bytes += key.as_ref().map_or(0, Key::size);
            keys.extend(key);
            Ok(bytes <= MULTIKEY_BYTES_MAX)
        });
        walked.map_err(malformed)?;
        if bytes > MULTIKEY_BYTES_MAX {
            return Err(part_errors::multikey_too_large(MULTIKEY_BYTES_MAX));
        }
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    /// Appends the position of a tuple that stands under this key, as a MessagePack array.
    pub(crate) fn write_position(
        &self,
        tuple: &[u8],
        key: KeyView<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Mismatch> {
        if !self.is_multikey {
            return self.write_key_of(tuple, out);
        }
        self.each_element(tuple, |values| {
            let own = self.key_of_values(values)?;
            let is_it = own.is_some_and(|own| own.view() == key);
            if is_it {
                write_array_len(out, values.len() as u32);
                values.iter().for_each(|value| out.extend_from_slice(value));
            }
            Ok(!is_it)
        })
    }

    /// Visits the values of the parts and of the rest, element by element, until the visitor says
    /// that it has enough.
    pub(super) fn each_element<'t>(
        &self,
        tuple: &'t [u8],
        mut visit: impl FnMut(&[&'t [u8]]) -> Result<bool, Mismatch>,
    ) -> Result<(), Mismatch> {
        let mut values = Vec::with_capacity(self.parts.len() + self.rest.len());
        for parts in [&self.parts, &self.rest] {
            each_part(parts, tuple, |_, reader| {
                values.push(reader.skip()?);
                Ok(())
            })?;
        }
        let inside = self.parts.iter().map(Part::inside_element);
        let inside = inside.enumerate();
        let inside: Vec<_> = inside.filter_map(|(at, own)| Some((at, own?))).collect();
        let array = inside.first().map_or(NIL, |(at, _)| values[*at]);
        let mut elements = Reader::new(array);
        // An array that may be missing, and is.
        if elements.peek()? == Kind::Nil {
            return Ok(());
        }
        for _ in 0..elements.read_array_len()? {
            let element = Reader::new(elements.skip()?);
            for (at, steps) in &inside {
                let value = follow(steps, element);
                values[*at] = value.map_or(Ok(NIL), |mut value| value.skip())?;
            }
            if !visit(&values)? {
                break;
            }
        }
        Ok(())
    }

    /// The key of these values; `None` if the index leaves it out.
    fn key_of_values(&self, values: &[&[u8]]) -> Result<Option<Key>, Mismatch> {
        let (mut builder, mut has_null) = (KeyBuilder::default(), false);
        let (own, rest) = values.split_at(self.parts.len());
        for (part, value) in self.parts.iter().zip(own) {
            let is_null = push(part, &mut Reader::new(value), &mut builder)?;
            if is_null && part.exclude_null {
                return Ok(None);
            }
            has_null |= is_null;
        }
        if self.needs_rest(has_null) {
            for (part, value) in self.rest.iter().zip(rest) {
                push(part, &mut Reader::new(value), &mut builder)?;
            }
        }
        Ok(Some(builder.finish()))
    }
}
