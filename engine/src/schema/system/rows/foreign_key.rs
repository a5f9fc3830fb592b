//! Foreign keys in a format's field, and in the options of a space.
//!
//! ```text
//!   of a field   {"name": {"space": 512, "field": "id"}}
//!   of a tuple   {"name": {"space": 512, "field": {"own": "id", 2: 1}}}
//! ```
//!
//! Without a space, what is meant is the tuple's own.

use vestibule_wire::msgpack::{Kind, Reader};

use super::common::check_name;
use crate::limits::{FOREIGN_KEYS_MAX, INDEX_PARTS_MAX, NAME_SIZE_MAX};
use crate::model::foreign_key::{FieldId, ForeignFields, ForeignKey};

/// The name of the option, in a field and in a space's options.
pub(crate) const FOREIGN_KEY: &str = "foreign_key";

const SHAPE: &str = "foreign key definition is expected to be {[space=..,] field=..}";

/// Reads foreign keys: of the field of this number, or of whole tuples.
///
/// # Errors
///
/// What is wrong with them, in words.
pub(super) fn read(
    reader: &mut Reader<'_>,
    own_field: Option<u32>,
) -> Result<Box<[ForeignKey]>, &'static str> {
    let map = "foreign key field is expected to be a MAP";
    let count = reader.read_map_len().map_err(|_| map)?;
    if count as usize > FOREIGN_KEYS_MAX {
        return Err("too many foreign keys");
    }
    (0..count).map(|_| read_one(reader, own_field)).collect()
}

fn read_one(reader: &mut Reader<'_>, own_field: Option<u32>) -> Result<ForeignKey, &'static str> {
    let text = "foreign key name is expected to be a string";
    let name = reader.read_str().map_err(|_| text)?;
    if name.len() > NAME_SIZE_MAX {
        return Err("foreign key name is too long");
    }
    check_name(name).map_err(|_| "foreign key name isn't a valid identifier")?;
    let map = "foreign key definition is expected to be a map";
    let (mut space, mut fields) = (None, None);
    for _ in 0..reader.read_map_len().map_err(|_| map)? {
        let text = "foreign key definition key is expected to be a string";
        match reader.read_str().map_err(|_| text)? {
            "space" => {
                let id = reader
                    .read_uint()
                    .ok()
                    .and_then(|id| u32::try_from(id).ok());
                space = Some(id.ok_or("foreign key: space must be a number")?);
            }
            "field" => {
                fields = Some(match own_field {
                    Some(own) => ForeignFields::Field(own, read_field(reader)?),
                    None => ForeignFields::Tuple(read_pairs(reader)?),
                });
            }
            _ => return Err(SHAPE),
        }
    }
    Ok(ForeignKey {
        name: name.into(),
        // Tarantool writes the space's own as none at all.
        space: space.filter(|space| *space != 0),
        fields: fields.ok_or(SHAPE)?,
    })
}

fn read_field(reader: &mut Reader<'_>) -> Result<FieldId, &'static str> {
    let wrong = "foreign key: field must be number or string";
    match reader.peek() {
        Ok(Kind::Uint) => {
            let number = reader
                .read_uint()
                .ok()
                .and_then(|id| u32::try_from(id).ok());
            number.map(FieldId::Number).ok_or(wrong)
        }
        _ => {
            let name = reader.read_str().map_err(|_| wrong)?;
            Ok(FieldId::Name(name.into()))
        }
    }
}

fn read_pairs(reader: &mut Reader<'_>) -> Result<Box<[(FieldId, FieldId)]>, &'static str> {
    let wrong = "field mapping is expected to be a map";
    let count = reader.read_map_len().map_err(|_| wrong)? as usize;
    if count == 0 {
        return Err(wrong);
    }
    if count > INDEX_PARTS_MAX {
        return Err("field mapping has more fields than an index can have parts");
    }
    let pair = |_| Ok((read_field(reader)?, read_field(reader)?));
    (0..count).map(pair).collect()
}
