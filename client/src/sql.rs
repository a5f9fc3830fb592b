//! Replies to statements of SQL.

use serde::de::DeserializeOwned;
use vestibule_wire::keys;
use vestibule_wire::msgpack::{DecodeError, Reader};

use crate::error::{Error, ErrorKind, Outcome};
use crate::incoming::Reply;
use crate::pack;

/// Keys of a column's description, and of what a statement without rows has done.
const COLUMN_NAME: u64 = 0;
const COLUMN_TYPE: u64 = 1;
const ROW_COUNT: u64 = 0;
const GENERATED_IDS: u64 = 1;

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Column {
    /// The name.
    pub name: String,
    /// The name of the type.
    pub type_name: String,
}

/// What a statement of SQL gives.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SqlReply<T> {
    /// Descriptions of the columns, if it gives rows.
    pub columns: Vec<Column>,
    /// The rows.
    pub rows: Vec<T>,
    /// How many rows it has changed.
    pub changed: u64,
    /// Numbers that it has generated for new rows.
    pub generated_ids: Vec<i64>,
}

/// A statement that is prepared.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prepared {
    /// The server's number for it.
    pub id: u64,
    /// How many values its placeholders take.
    pub placeholders: u64,
    /// Descriptions of the columns, if it gives rows.
    pub columns: Vec<Column>,
}

impl<T: DeserializeOwned> SqlReply<T> {
    pub(crate) fn read(reply: &Reply) -> Result<Self, Error> {
        let frame = reply.frame();
        let info = frame
            .field(keys::SQL_INFO)
            .map_or(Ok((0, Vec::new())), info);
        let (changed, generated_ids) = info.map_err(unreadable)?;
        Ok(Self {
            columns: columns_of(reply)?,
            rows: pack::data(&frame)?,
            changed,
            generated_ids,
        })
    }
}

impl Prepared {
    pub(crate) fn read(reply: &Reply) -> Result<Self, Error> {
        let frame = reply.frame();
        let number = |key| {
            let value = frame.field(key).ok_or(DecodeError::Truncated)?;
            Reader::new(value).read_uint()
        };
        Ok(Self {
            id: number(keys::STMT_ID).map_err(unreadable)?,
            placeholders: number(keys::BIND_COUNT).map_err(unreadable)?,
            columns: columns_of(reply)?,
        })
    }
}

fn columns_of(reply: &Reply) -> Result<Vec<Column>, Error> {
    let metadata = reply
        .frame()
        .field(keys::METADATA)
        .map_or(Ok(Vec::new()), columns);
    metadata.map_err(unreadable)
}

fn columns(metadata: &[u8]) -> Result<Vec<Column>, DecodeError> {
    let mut reader = Reader::new(metadata);
    (0..reader.read_array_len()?)
        .map(|_| {
            let (mut name, mut type_name) = (String::new(), String::new());
            for _ in 0..reader.read_map_len()? {
                match reader.read_uint()? {
                    COLUMN_NAME => reader.read_str()?.clone_into(&mut name),
                    COLUMN_TYPE => reader.read_str()?.clone_into(&mut type_name),
                    _ => drop(reader.skip()?),
                }
            }
            Ok(Column { name, type_name })
        })
        .collect()
}

fn info(info: &[u8]) -> Result<(u64, Vec<i64>), DecodeError> {
    let mut reader = Reader::new(info);
    let (mut changed, mut ids) = (0, Vec::new());
    for _ in 0..reader.read_map_len()? {
        match reader.read_uint()? {
            ROW_COUNT => changed = reader.read_uint()?,
            GENERATED_IDS => {
                for _ in 0..reader.read_array_len()? {
                    let id = i64::try_from(reader.read_integer()?.to_i128());
                    ids.push(id.map_err(|_| DecodeError::Type)?);
                }
            }
            _ => drop(reader.skip()?),
        }
    }
    Ok((changed, ids))
}

/// The error of a reply that does not say what one to SQL has to. The statement has run by then.
fn unreadable(fault: DecodeError) -> Error {
    let text = format!("the reply is no reply to SQL: {fault}");
    Error::new(ErrorKind::Decode, Outcome::Unknown, text).with_source(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_and_counts_are_read_by_their_keys() {
        let metadata = b"\x91\x83\x00\xa2ID\x01\xa7integer\x05\xc0";
        let column = Column {
            name: "ID".to_owned(),
            type_name: "integer".to_owned(),
        };
        assert_eq!(columns(metadata), Ok(vec![column]));
        assert_eq!(info(&[0x82, 0, 2, 1, 0x92, 7, 0xff]), Ok((2, vec![7, -1])));
        assert!(columns(&[0x91, 0xc0]).is_err() && info(&[0x81, 0]).is_err());
    }
}
