//! Keys, and which fields of a tuple they are made of.

use vestibule_wire::msgpack::{
    Integer, Kind, Reader, write_array_len, write_bin, write_bool, write_f64, write_integer,
    write_nil, write_str_bytes,
};
use vestibule_wire::{Error, ErrorCode};

use super::number::Number;

/// A key, or the beginning of one, in the order of an index: part by part, a beginning before what
/// it begins. Values of different kinds are in Tarantool's order: booleans, numbers, texts (by
/// their bytes), binary data.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Vec<KeyPart>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum KeyPart {
    Bool(bool),
    Number(Number),
    Str(Vec<u8>),
    Bin(Vec<u8>),
    /// Above every value, so that what begins with a key ends there.
    End,
}

/// Types of fields that a key may be made of, by the names that catalogs give them.
const TYPES: [&str; 8] = [
    "unsigned",
    "integer",
    "number",
    "double",
    "string",
    "boolean",
    "varbinary",
    "scalar",
];

/// Which fields of a tuple a key is made of, and of which types they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDef(Vec<(u32, &'static str)>);

impl Key {
    /// Whether it is the other one, or goes on after it.
    #[must_use]
    pub fn begins_with(&self, beginning: &Self) -> bool {
        self.0.starts_with(&beginning.0)
    }

    /// Whether it is the beginning of all keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Behind everything that begins with this key.
    pub(super) fn end(&self) -> Self {
        let mut end = self.clone();
        end.0.push(KeyPart::End);
        end
    }

    /// The key as a MessagePack array, which [`KeyDef::read`] reads.
    #[must_use]
    pub fn to_msgpack(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_array_len(&mut out, self.0.len() as u32);
        for part in &self.0 {
            match part {
                KeyPart::End => write_nil(&mut out),
                KeyPart::Bool(value) => write_bool(&mut out, *value),
                KeyPart::Number(Number::Integer(value)) => {
                    // It came from MessagePack, whose integers these are.
                    let value = match u64::try_from(*value) {
                        Ok(value) => Integer::Unsigned(value),
                        Err(_) => Integer::Negative(*value as i64),
                    };
                    write_integer(&mut out, value);
                }
                KeyPart::Number(Number::Float(value)) => write_f64(&mut out, *value),
                KeyPart::Str(value) => write_str_bytes(&mut out, value),
                KeyPart::Bin(value) => write_bin(&mut out, value),
            }
        }
        out
    }
}

impl KeyDef {
    /// Of fields, the first being 0, with the types of their values, as
    /// [`CatalogBuilder::index`](crate::catalog::CatalogBuilder::index) takes them: `unsigned`,
    /// `integer`, `number`, `double`, `string`, `boolean`, `varbinary`, `scalar`.
    ///
    /// # Panics
    ///
    /// For another type, and for no fields: that is a mistake of the program.
    #[must_use]
    pub fn new(parts: &[(u32, &str)]) -> Self {
        assert!(!parts.is_empty(), "a key has a part");
        let known = |(field, kind): &(u32, &str)| {
            let found = TYPES.into_iter().find(|own| own == kind);
            (
                *field,
                found.unwrap_or_else(|| panic!("no type of a key's part: '{kind}'")),
            )
        };
        Self(parts.iter().map(known).collect())
    }

    /// The key of a tuple.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::TUPLE_NOT_ARRAY`] for what is no tuple, [`ErrorCode::FIELD_MISSING`] if it has
    /// too few fields, [`ErrorCode::FIELD_TYPE`] if a field is of another type.
    pub fn of(&self, tuple: &[u8]) -> Result<Key, Error> {
        super::check_tuple(tuple)?;
        let mut reader = Reader::new(tuple);
        let count = reader.read_array_len().map_err(|_| broken())?;
        let mut fields = Vec::new();
        let last = self.0.iter().map(|(field, _)| *field).max().unwrap_or(0);
        for _ in 0..count.min(last + 1) {
            fields.push(reader.skip().map_err(|_| broken())?);
        }
        let part = |(field, kind): &(u32, &'static str)| {
            let raw = fields.get(*field as usize).ok_or_else(|| {
                let text = format!(
                    "Tuple field {} required by space format is missing",
                    field + 1
                );
                Error::new(ErrorCode::FIELD_MISSING, text)
            })?;
            read_part(&mut Reader::new(raw), kind).ok_or_else(|| {
                let text = format!(
                    "Tuple field {} type does not match one required by operation: expected {kind}",
                    field + 1
                );
                Error::new(ErrorCode::FIELD_TYPE, text)
            })
        };
        self.0.iter().map(part).collect::<Result<_, _>>().map(Key)
    }

    /// The key of a request, a MessagePack array, or the beginning of one.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::TUPLE_NOT_ARRAY`] for what is no array, [`ErrorCode::KEY_PART_COUNT`] if it has
    /// too many parts, [`ErrorCode::KEY_PART_TYPE`] if a part is of another type.
    pub fn read(&self, key: &[u8]) -> Result<Key, Error> {
        super::check_tuple(key)?;
        let mut reader = Reader::new(key);
        let count = reader.read_array_len().map_err(|_| broken())? as usize;
        if count > self.0.len() {
            let text = format!(
                "Invalid key part count (expected [0..{}], got {count})",
                self.0.len()
            );
            return Err(Error::new(ErrorCode::KEY_PART_COUNT, text));
        }
        let part = |(at, (_, kind)): (usize, &(u32, &'static str))| {
            read_part(&mut reader, kind).ok_or_else(|| {
                let text = format!(
                    "Supplied key type of part {at} does not match index part type: expected {kind}"
                );
                Error::new(ErrorCode::KEY_PART_TYPE, text)
            })
        };
        let parts = self.0.iter().take(count).enumerate().map(part);
        parts.collect::<Result<_, _>>().map(Key)
    }

    /// The whole key of a request that is about one row: UPDATE, DELETE.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read), and [`ErrorCode::EXACT_MATCH`] if it has too few parts.
    pub fn read_whole(&self, key: &[u8]) -> Result<Key, Error> {
        let read = self.read(key)?;
        if read.0.len() < self.0.len() {
            let text = format!(
                "Invalid key part count in an exact match (expected {}, got {})",
                self.0.len(),
                read.0.len()
            );
            return Err(Error::new(ErrorCode::EXACT_MATCH, text));
        }
        Ok(read)
    }
}

fn broken() -> Error {
    Error::invalid_msgpack("tuple")
}

/// The next value, if it is of the type.
fn read_part(reader: &mut Reader<'_>, kind: &str) -> Option<KeyPart> {
    let part = match reader.peek().ok()? {
        Kind::Bool => reader.read_bool().ok().map(KeyPart::Bool),
        Kind::Uint | Kind::Int => {
            let value = reader.read_integer().ok()?.to_i128();
            Some(KeyPart::Number(Number::Integer(value)))
        }
        Kind::Float | Kind::Double => {
            let value = reader.read_f64().ok()?;
            Some(KeyPart::Number(Number::Float(value)))
        }
        Kind::Str => reader
            .read_str_bytes()
            .ok()
            .map(|own| KeyPart::Str(own.to_vec())),
        Kind::Bin => reader.read_bin().ok().map(|own| KeyPart::Bin(own.to_vec())),
        _ => None,
    };
    part.filter(|part| {
        matches!(
            (kind, part),
            ("unsigned", KeyPart::Number(Number::Integer(0..)))
                | ("integer", KeyPart::Number(Number::Integer(_)))
                | ("number", KeyPart::Number(_))
                | ("double", KeyPart::Number(Number::Float(_)))
                | ("string", KeyPart::Str(_))
                | ("boolean", KeyPart::Bool(_))
                | ("varbinary", KeyPart::Bin(_))
                | ("scalar", _)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tuples::to_tuple;

    #[test]
    fn a_key_is_made_of_fields_and_read_back() {
        let def = KeyDef::new(&[(1, "string"), (0, "unsigned")]);
        let key = def.of(&to_tuple(&(7, "x", 1.5)).unwrap()).unwrap();
        assert_eq!(key, def.read(&to_tuple(&("x", 7)).unwrap()).unwrap());
        assert_eq!(key, def.read_whole(&key.to_msgpack()).unwrap());
        let beginning = def.read(&to_tuple(&("x",)).unwrap()).unwrap();
        assert!(key.begins_with(&beginning) && beginning < key && key < beginning.end());
        let next = def.read(&to_tuple(&("x\0",)).unwrap()).unwrap();
        assert!(!next.begins_with(&beginning) && beginning.end() < next);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_codes_that_connectors_know() {
        let def = KeyDef::new(&[(0, "unsigned"), (2, "string")]);
        let of = |tuple: &[u8]| def.of(tuple).map_err(|error| error.code());
        assert_eq!(of(&[7]), Err(ErrorCode::TUPLE_NOT_ARRAY));
        assert_eq!(of(&[0x92, 7, 7]), Err(ErrorCode::FIELD_MISSING));
        assert_eq!(of(&[0x93, 0xff, 7, 0xa0]), Err(ErrorCode::FIELD_TYPE));
        assert_eq!(of(&[0x93, 7, 7, 7]), Err(ErrorCode::FIELD_TYPE));
        let read = |key: &[u8]| def.read(key).map_err(|error| error.code());
        assert_eq!(read(&[0x93, 7, 0xa0, 7]), Err(ErrorCode::KEY_PART_COUNT));
        assert_eq!(read(&[0x91, 0xa0]), Err(ErrorCode::KEY_PART_TYPE));
        let whole = def.read_whole(&[0x91, 7]).map_err(|error| error.code());
        assert_eq!(whole, Err(ErrorCode::EXACT_MATCH));
    }

    #[test]
    fn values_of_different_kinds_have_an_order() {
        let def = KeyDef::new(&[(0, "scalar")]);
        let key = |raw: &[u8]| def.read(raw).unwrap();
        let keys = [
            key(&[0x91, 0xc3]),
            key(&[0x91, 0xff]),
            key(&[0x91, 7]),
            key(&[0x91, 0xa1, b'a']),
            key(&[0x91, 0xc4, 1, 0]),
        ];
        assert!(keys.is_sorted());
        assert!(def.read(&[0x91, 0xc0]).is_err());
    }

    #[test]
    #[should_panic(expected = "no type of a key's part: 'uuid'")]
    fn a_type_that_is_not_known_is_told_at_once() {
        let _ = KeyDef::new(&[(0, "uuid")]);
    }
}
