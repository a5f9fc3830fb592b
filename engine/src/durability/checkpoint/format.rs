//! The bytes of a checkpoint file, all numbers little-endian.
//!
//! ```text
//!   header   magic 8 │ version u32 │ salt u32 │ from u64 │ schema version u64
//!              │ CRC32C of these u32
//!   block    length u32 │ CRC32C of salt and the rest u32 │ number u32 │ space u32 │ rows u32
//!              │ payload
//!   payload    tuple's length u32 │ tuple               again for every row
//!   end      a block of space ffffffff: rows in all u64 │ required_until u64
//! ```
//!
//! Blocks are numbered from 0, so that none can be missing or stand elsewhere. The rows of a space
//! follow one another in the order of its primary keys.

use std::path::{Path, PathBuf};

use crate::durability::journal::RECORD_SIZE_MAX;
use crate::limits::CHECKPOINT_STEP_BYTES_MAX;

/// First bytes of every checkpoint file.
const MAGIC: [u8; 8] = *b"vstbchkp";

/// Version of the format, and of the order of keys. A file of a later version is refused.
pub(super) const VERSION: u32 = 1;

/// Size of a file's header in bytes.
pub(super) const HEADER_SIZE: usize = 36;

/// Size of what stands before each payload, in bytes.
pub(super) const BLOCK_HEAD_SIZE: usize = 20;

/// Largest payload of one block in bytes: what recovery may have to hold at once. A tuple that the
/// journal took fits behind all that one step collects before it.
pub(super) const PAYLOAD_SIZE_MAX: usize =
    CHECKPOINT_STEP_BYTES_MAX + size_of::<u32>() + RECORD_SIZE_MAX;

/// Size of the payload of the block that ends a file.
pub(super) const END_SIZE: usize = 16;

/// What stands where the number of a space should, in the block that ends a file.
pub(super) const END: u32 = u32::MAX;

/// What the name of a file that is being written ends with.
const UNFINISHED: &str = ".tmp";

/// What a header tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(super) salt: u32,
    /// The first journal record that is not certainly in the checkpoint.
    pub(crate) from: u64,
    /// The schema version before that record.
    pub(crate) schema_version: u64,
}

/// The name of the checkpoint that is gone on from with this record.
pub(super) fn file_name(directory: &Path, from: u64) -> PathBuf {
    directory.join(format!("checkpoint-{from:020}.ckpt"))
}

/// The checkpoint's name while it is being written.
pub(super) fn unfinished_name(directory: &Path, from: u64) -> PathBuf {
    let mut name = file_name(directory, from).into_os_string();
    name.push(UNFINISHED);
    name.into()
}

/// The inverse of [`file_name`]; `None` for other files.
pub(super) fn parse_file_name(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("checkpoint-")?.strip_suffix(".ckpt")?;
    let from = (digits.len() == 20).then(|| digits.parse().ok()).flatten();
    // Records are counted from 1.
    from.filter(|from| *from > 0)
}

/// Whether it is the name of a file that was never finished.
pub(super) fn is_unfinished(name: &str) -> bool {
    let finished = name.strip_suffix(UNFINISHED);
    finished.is_some_and(|name| parse_file_name(name).is_some())
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.salt.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.from.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.schema_version.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..32]);
        bytes[32..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` for bytes that [`encode`](Self::encode) did not write.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let header = Self {
            salt: u32_at(bytes, 12)?,
            from: u64_at(bytes, 16)?,
            schema_version: u64_at(bytes, 24)?,
        };
        (bytes == header.encode()).then_some(header)
    }
}

/// The version that a header claims, if it is one of a checkpoint file at all.
pub(super) fn version(header: &[u8]) -> Option<u32> {
    header.strip_prefix(&MAGIC).and_then(|rest| u32_at(rest, 0))
}

/// What stands before a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockHead {
    pub(super) number: u32,
    pub(super) space: u32,
    pub(super) rows: u32,
}

impl BlockHead {
    pub(super) fn encode(self, salt: u32, payload: &[u8]) -> [u8; BLOCK_HEAD_SIZE] {
        let mut bytes = [0; BLOCK_HEAD_SIZE];
        bytes[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        bytes[8..12].copy_from_slice(&self.number.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.space.to_le_bytes());
        bytes[16..].copy_from_slice(&self.rows.to_le_bytes());
        let crc = checksum(salt, &bytes[8..], payload);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// What the head says, if it is the head of this payload.
    pub(super) fn decode(head: &[u8; BLOCK_HEAD_SIZE], salt: u32, payload: &[u8]) -> Option<Self> {
        let found = Self {
            number: u32_at(head, 8)?,
            space: u32_at(head, 12)?,
            rows: u32_at(head, 16)?,
        };
        (found.encode(salt, payload) == *head).then_some(found)
    }
}

/// The length of the payload that a head claims.
pub(super) fn payload_size(head: &[u8; BLOCK_HEAD_SIZE]) -> usize {
    u32_at(head, 0).map_or(0, |size| size as usize)
}

fn checksum(salt: u32, head: &[u8], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(salt, head), payload)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    bytes.try_into().ok().map(u32::from_le_bytes)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + 8)?;
    bytes.try_into().ok().map(u64::from_le_bytes)
}
