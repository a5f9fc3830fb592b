//! Rows of `_priv` and `_func`, from and to MessagePack.

use vestibule_wire::Error;
use vestibule_wire::msgpack::{Kind, Reader, write_array_len, write_bool, write_str, write_uint};

use crate::errors::access as access_errors;
use crate::privileges::{Object, ObjectKind, Privileges};

fn malformed(_: impl std::error::Error) -> Error {
    Error::invalid_msgpack("system row")
}

/// What rows of `_space`, `_user`, `_func` and `_sequence` begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    pub(crate) id: u64,
    pub(crate) owner: u64,
    pub(crate) name: &'a str,
}

impl<'a> Head<'a> {
    /// # Errors
    ///
    /// `ErrorCode::INVALID_MSGPACK` if the row begins otherwise.
    pub(crate) fn decode(row: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(row);
        reader.read_array_len().map_err(malformed)?;
        Ok(Self {
            id: reader.read_uint().map_err(malformed)?,
            owner: reader.read_uint().map_err(malformed)?,
            name: reader.read_str().map_err(malformed)?,
        })
    }
}

/// A row of `_priv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PrivRow {
    pub(crate) grantor: u64,
    pub(crate) grantee: u64,
    pub(crate) object: Object,
    pub(crate) privileges: Privileges,
}

impl PrivRow {
    /// # Errors
    ///
    /// `ErrorCode::UNKNOWN_SCHEMA_OBJECT` for a kind of object that does not exist,
    /// `ErrorCode::INVALID_MSGPACK` for anything else that is wrong.
    pub(crate) fn decode(row: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(row);
        reader.read_array_len().map_err(malformed)?;
        let grantor = reader.read_uint().map_err(malformed)?;
        let grantee = reader.read_uint().map_err(malformed)?;
        let name = reader.read_str().map_err(malformed)?;
        let kind =
            ObjectKind::from_name(name).ok_or_else(|| access_errors::unknown_object_type(name))?;
        // The empty text stands for all objects of the kind.
        let id = match reader.peek().map_err(malformed)? {
            Kind::Str if reader.read_str() == Ok("") => None,
            _ => Some(reader.read_uint().map_err(malformed)?),
        };
        let privileges = reader.read_uint().map_err(malformed)?;
        Ok(Self {
            grantor,
            grantee,
            object: (kind, id),
            privileges: Privileges(u32::try_from(privileges).map_err(malformed)?),
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_array_len(&mut out, 5);
        write_uint(&mut out, self.grantor);
        write_uint(&mut out, self.grantee);
        write_str(&mut out, self.object.0.name());
        match self.object.1 {
            Some(id) => write_uint(&mut out, id),
            None => write_str(&mut out, ""),
        }
        write_uint(&mut out, u64::from(self.privileges.0));
        out
    }
}

/// A row of `_func`: a name that rights can be granted on. What it does is a procedure's affair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FuncRow {
    pub(crate) id: u64,
    pub(crate) owner: u64,
    pub(crate) name: Box<str>,
    /// Runs with the rights of its owner.
    pub(crate) is_setuid: bool,
    /// In capitals.
    pub(crate) language: Box<str>,
    /// What it would do in that language, which nothing here runs.
    pub(crate) body: Box<str>,
}

/// What else is said of a function: kept, and of no effect here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FuncTraits {
    pub(crate) is_deterministic: bool,
    pub(crate) is_sandboxed: bool,
    pub(crate) is_null_call: bool,
    pub(crate) returns: Box<str>,
    pub(crate) aggregate: Box<str>,
    pub(crate) comment: Box<str>,
    /// An array, MessagePack.
    pub(crate) param_list: Box<[u8]>,
    /// An array.
    pub(crate) exports: Box<[u8]>,
    /// A map.
    pub(crate) opts: Box<[u8]>,
}

impl Default for FuncTraits {
    fn default() -> Self {
        Self {
            is_deterministic: false,
            is_sandboxed: false,
            is_null_call: true,
            returns: "any".into(),
            aggregate: "none".into(),
            comment: "".into(),
            param_list: [0x90].into(),
            exports: (*b"\x91\xa3LUA").into(),
            opts: [0x80].into(),
        }
    }
}

impl FuncRow {
    /// # Errors
    ///
    /// `ErrorCode::INVALID_MSGPACK` for a malformed row.
    pub(crate) fn decode(row: &[u8]) -> Result<Self, Error> {
        let head = Head::decode(row)?;
        let mut reader = Reader::new(row);
        let count = reader.read_array_len().map_err(malformed)?;
        for _ in 0..3 {
            reader.skip().map_err(malformed)?;
        }
        let is_setuid = reader.read_uint().map_err(malformed)? != 0;
        let mut text = |at: u32, default: &'static str| {
            if count <= at {
                return Ok(default);
            }
            reader.read_str().map_err(malformed)
        };
        let (language, body) = (text(4, "LUA")?, text(5, "")?);
        Ok(Self {
            id: head.id,
            owner: head.owner,
            name: head.name.into(),
            is_setuid,
            language: language.to_ascii_uppercase().into(),
            body: body.into(),
        })
    }

    /// Whether it is no more than a name.
    pub(crate) fn is_name(&self) -> bool {
        self.body.is_empty() && *self.language == *"LUA"
    }

    /// As Tarantool writes it; `created` is a date and time.
    pub(crate) fn encode(&self, traits: &FuncTraits, created: &str) -> Vec<u8> {
        let mut out = Vec::new();
        write_array_len(&mut out, 19);
        write_uint(&mut out, self.id);
        write_uint(&mut out, self.owner);
        write_str(&mut out, &self.name);
        write_uint(&mut out, u64::from(self.is_setuid));
        write_str(&mut out, &self.language);
        write_str(&mut out, &self.body);
        // routine_type
        write_str(&mut out, "function");
        out.extend_from_slice(&traits.param_list);
        write_str(&mut out, &traits.returns);
        write_str(&mut out, &traits.aggregate);
        // sql_data_access
        write_str(&mut out, "none");
        write_bool(&mut out, traits.is_deterministic);
        write_bool(&mut out, traits.is_sandboxed);
        write_bool(&mut out, traits.is_null_call);
        out.extend_from_slice(&traits.exports);
        out.extend_from_slice(&traits.opts);
        for text in [&*traits.comment, created, created] {
            // comment, created, last_altered
            write_str(&mut out, text);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_went() {
        for object in [
            (ObjectKind::Universe, Some(0)),
            (ObjectKind::Space, None),
            (ObjectKind::Function, Some(7)),
        ] {
            let row = PrivRow {
                grantor: 1,
                grantee: 32,
                object,
                privileges: Privileges::ALL,
            };
            assert_eq!(PrivRow::decode(&row.encode()), Ok(row));
        }
        let row = FuncRow {
            id: 2,
            owner: 1,
            name: "f".into(),
            is_setuid: true,
            language: "LUA".into(),
            body: "function() end".into(),
        };
        let bytes = row.encode(&FuncTraits::default(), "2019-12-29 17:52:51");
        assert_eq!(FuncRow::decode(&bytes), Ok(row));
    }

    #[test]
    fn a_kind_that_does_not_exist_is_named() {
        // [1, 0, "foo", 9, 1]
        let told = PrivRow::decode(b"\x95\x01\x00\xa3foo\x09\x01").unwrap_err();
        assert_eq!(
            (told.code().0, told.message()),
            (49, "Unknown object type 'foo'")
        );
    }
}
