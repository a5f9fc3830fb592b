//! Rows of `_user` and `_collation`.

use vestibule_wire::Error;
use vestibule_wire::auth::PasswordHash;
use vestibule_wire::msgpack::{
    Kind, Reader, write_array_len, write_map_len, write_str, write_uint,
};

use super::common::malformed;
use crate::errors;
use crate::model::collation::KnownCollation;
use crate::schema::system::ADMIN;

/// A row of `_user`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserRow {
    pub(crate) id: u64,
    pub(crate) owner: u64,
    pub(crate) name: Box<str>,
    /// `user` or `role`.
    pub(crate) kind: Box<str>,
    pub(crate) password: Option<PasswordHash>,
}

/// The method whose hash a user's row keeps.
const CHAP_SHA1: &str = "chap-sha1";

impl UserRow {
    /// # Errors
    ///
    /// What is wrong with the row, as for a client that sent it.
    pub(crate) fn decode(tuple: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(tuple);
        let count = reader.read_array_len().map_err(malformed)?;
        let id = reader.read_uint().map_err(malformed)?;
        let owner = reader.read_uint().map_err(malformed)?;
        let name: Box<str> = reader.read_str().map_err(malformed)?.into();
        let kind: Box<str> = reader.read_str().map_err(malformed)?.into();
        let mut password = None;
        if count > 4 && reader.peek().map_err(malformed)? == Kind::Map {
            for _ in 0..reader.read_map_len().map_err(malformed)? {
                if reader.read_str().map_err(malformed)? == CHAP_SHA1 {
                    let hash = reader.read_str().map_err(malformed)?;
                    let wrong = || errors::cannot_create_user(&name, "invalid user password");
                    password = Some(PasswordHash::from_base64(hash).ok_or_else(wrong)?);
                } else {
                    reader.skip().map_err(malformed)?;
                }
            }
        }
        Ok(Self {
            id,
            owner,
            name,
            kind,
            password,
        })
    }

    /// Whether it is a role, which nobody logs in as.
    pub(crate) fn is_role(&self) -> bool {
        *self.kind == *"role"
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_array_len(&mut out, 5);
        write_uint(&mut out, self.id);
        write_uint(&mut out, self.owner);
        write_str(&mut out, &self.name);
        write_str(&mut out, &self.kind);
        write_map_len(&mut out, u32::from(self.password.is_some()));
        if let Some(password) = self.password {
            write_str(&mut out, CHAP_SHA1);
            write_str(&mut out, &password.to_base64());
        }
        out
    }
}

/// A row of `_collation`.
pub(crate) fn encode_collation(collation: KnownCollation) -> Vec<u8> {
    let strength = collation.strength();
    let mut out = Vec::new();
    write_array_len(&mut out, 6);
    write_uint(&mut out, collation.number().into());
    write_str(&mut out, &collation.name());
    write_uint(&mut out, ADMIN);
    write_str(&mut out, strength.map_or("BINARY", |_| "ICU"));
    write_str(&mut out, collation.locale());
    write_map_len(&mut out, u32::from(strength.is_some()));
    if let Some(strength) = strength {
        write_str(&mut out, "strength");
        write_str(&mut out, strength.name());
    }
    out
}
