//! Entrances for the fuzz targets, which see the package from outside. Compiled for them alone
//! (`--cfg fuzzing`).

use std::path::Path;
use std::{fs, io};

use vestibule_actors::engine::Fault;
use vestibule_wire::msgpack::Reader;

use crate::durability::journal;
use crate::model::field::FieldType;
use crate::model::key::{KeyBuilder, encode_part};
use crate::offline::{Contents, Findings, TarantoolData, tarantool_block};
use crate::print::Printed;

/// Kinds of key parts that have an order.
const KINDS: [FieldType; 21] = [
    FieldType::Unsigned,
    FieldType::String,
    FieldType::Number,
    FieldType::Double,
    FieldType::Integer,
    FieldType::Boolean,
    FieldType::Varbinary,
    FieldType::Scalar,
    FieldType::Decimal,
    FieldType::Uuid,
    FieldType::Datetime,
    FieldType::Int8,
    FieldType::Uint8,
    FieldType::Int16,
    FieldType::Uint16,
    FieldType::Int32,
    FieldType::Uint32,
    FieldType::Int64,
    FieldType::Uint64,
    FieldType::Float32,
    FieldType::Float64,
];

/// Whether keys of this kind compare integers as doubles, which are fewer.
#[must_use]
pub fn compares_as_double(kind: u8) -> bool {
    KINDS[usize::from(kind) % KINDS.len()] == FieldType::Double
}

/// The encoded key of one part, and how many bytes of the value it took; `None` if the value is of
/// another type.
#[must_use]
pub fn key(kind: u8, value: &[u8]) -> Option<(Vec<u8>, usize)> {
    let kind = KINDS[usize::from(kind) % KINDS.len()];
    let mut reader = Reader::new(value);
    let mut builder = KeyBuilder::default();
    encode_part(kind, &mut reader, &mut builder).ok()?;
    let mut bytes = Vec::new();
    builder.finish().write(&mut bytes);
    Some((bytes, value.len() - reader.rest().len()))
}

/// A value as errors show it.
#[must_use]
pub fn printed(value: &[u8]) -> String {
    Printed(value).to_string()
}

/// A whole journal file of records with these payloads, in their order.
pub fn journal_of<'a>(payloads: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    journal::file_of(payloads)
}

/// Makes these bytes the only file of a data directory.
///
/// # Errors
///
/// The file cannot be written.
pub fn put_journal(directory: &Path, file: &[u8]) -> io::Result<()> {
    fs::write(journal::first_file(directory), file)
}

/// Reads a data directory as `vestibule check` does; how many rows there are.
///
/// # Errors
///
/// What makes the directory unreadable.
pub fn replay(directory: &Path, goes_on: bool) -> Result<u64, Fault> {
    let contents = Contents::read(
        directory,
        &mut Findings {
            is_thorough: true,
            on_damage: &mut |_| goes_on,
            on_file: &mut |_| {},
            progress: &mut |_| {},
        },
    )?;
    let spaces = contents.spaces();
    Ok(spaces.iter().map(|(_, _, rows)| rows).sum())
}

/// Reads bytes as a snapshot of Tarantool's that a log follows; how many files could be read.
///
/// # Errors
///
/// The files cannot be written.
pub fn read_tarantool(directory: &Path, snapshot: &[u8], log: &[u8]) -> io::Result<usize> {
    let files = [directory.join("0.snap"), directory.join("0.xlog")];
    fs::write(&files[0], snapshot)?;
    fs::write(&files[1], log)?;
    Ok(TarantoolData::read(&files, &mut |_| ()).map_or(0, |data| data.files.len()))
}

/// A file of Tarantool's, by its kind, with a block for each of these runs of rows. Those of a
/// compressed block are taken for compressed already.
#[must_use]
pub fn tarantool_file(kind: &str, blocks: &[Vec<u8>], is_compressed: bool) -> Vec<u8> {
    let mut file = format!("{kind}\n0.13\nVClock: {{}}\n\n").into_bytes();
    for block in blocks {
        file.extend_from_slice(&tarantool_block(block, is_compressed));
    }
    file.extend_from_slice(&[0xd5, 0x10, 0xad, 0xed]);
    file
}
