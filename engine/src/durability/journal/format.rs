//! The bytes of a journal file, all numbers little-endian.
//!
//! ```text
//!   header   magic 8 │ version u32 │ salt u32 │ first sequence u64 │ salt u32
//!              │ CRC32C of these u32
//!   record   length u32 │ CRC32C of salt and the rest u32 │ sequence u64 │ payload
//! ```
//!
//! The salt is random, and nobody but the file knows it: bytes inside a payload that were made to
//! look like a record do not match it, so they are not taken for one behind damage. It stands
//! twice, so that damage to the header costs no record.

use std::io;
use std::path::{Path, PathBuf};

/// First bytes of every journal file.
const MAGIC: [u8; 8] = *b"vstbjrnl";

/// Version of the format. A file of another version is refused; 1 had no salt.
pub(super) const VERSION: u32 = 2;

/// Size of a file's header in bytes.
pub(super) const HEADER_SIZE: usize = 32;

/// Size of what stands before each payload, in bytes.
pub(super) const RECORD_HEAD_SIZE: usize = 16;

/// Where in a record the bytes begin that its checksum is of.
pub(super) const RECORD_SUMMED_FROM: usize = 8;

/// Largest payload of one record in bytes (1 GiB): what recovery may have to hold at once.
pub(crate) const RECORD_SIZE_MAX: usize = 1 << 30;

/// The name of the file whose first record has this sequence number.
pub(super) fn file_name(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("journal-{first:020}.log"))
}

/// The inverse of [`file_name`]; `None` for other files.
pub(super) fn parse_file_name(path: &Path) -> Option<u64> {
    let digits = path
        .file_name()?
        .to_str()?
        .strip_prefix("journal-")?
        .strip_suffix(".log")?;
    let first = (digits.len() == 20).then(|| digits.parse().ok()).flatten();
    // Records are counted from 1.
    first.filter(|first| *first > 0)
}

/// A salt for a new file.
///
/// # Errors
///
/// The operating system has no random bytes.
pub(crate) fn new_salt() -> io::Result<u32> {
    let mut salt = [0; 4];
    getrandom::fill(&mut salt).map_err(|fault| io::Error::other(fault.to_string()))?;
    Ok(u32::from_le_bytes(salt))
}

pub(super) fn header(first: u64, salt: u32) -> [u8; HEADER_SIZE] {
    let mut header = [0; HEADER_SIZE];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..16].copy_from_slice(&salt.to_le_bytes());
    header[16..24].copy_from_slice(&first.to_le_bytes());
    header[24..28].copy_from_slice(&salt.to_le_bytes());
    let crc = crc32c::crc32c(&header[..28]);
    header[28..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// The salt of a header, if it is the header of the file that begins with this record.
pub(super) fn salt(bytes: &[u8], first: u64) -> Option<u32> {
    let [salt, _] = claimed_salts(bytes)?;
    (bytes == header(first, salt)).then_some(salt)
}

/// What stands where the salt should, both times, whatever the rest of the header looks like.
pub(super) fn claimed_salts(bytes: &[u8]) -> Option<[u32; 2]> {
    (bytes.len() >= HEADER_SIZE).then(|| [u32_at(bytes, 12), u32_at(bytes, 24)])
}

/// The version that a header claims, if it is one of a journal file at all.
pub(super) fn version(header: &[u8]) -> Option<u32> {
    (header.len() >= 12 && header[..8] == MAGIC).then(|| u32_at(header, 8))
}

pub(super) fn record_head(salt: u32, sequence: u64, payload: &[u8]) -> [u8; RECORD_HEAD_SIZE] {
    let mut head = [0; RECORD_HEAD_SIZE];
    let crc = checksum(salt, &sequence.to_le_bytes(), payload);
    head[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    head[4..8].copy_from_slice(&crc.to_le_bytes());
    head[8..].copy_from_slice(&sequence.to_le_bytes());
    head
}

/// What a record's head says, unchecked.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordHead {
    pub(super) size: usize,
    crc: u32,
    pub(super) sequence: u64,
}

impl RecordHead {
    /// Takes [`RECORD_HEAD_SIZE`] bytes.
    pub(super) fn parse(head: &[u8]) -> Self {
        let sequence = u64::from(u32_at(head, 8)) | u64::from(u32_at(head, 12)) << 32;
        Self {
            size: u32_at(head, 0) as usize,
            crc: u32_at(head, 4),
            sequence,
        }
    }

    /// Whether the record has this checksum: that of its file's salt and of everything behind
    /// [`RECORD_SUMMED_FROM`].
    pub(super) fn has_sum(&self, sum: u32) -> bool {
        self.crc == sum
    }
}

fn checksum(salt: u32, sequence: &[u8; 8], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(salt, sequence), payload)
}

/// The first file of a journal.
#[cfg(fuzzing)]
pub(crate) fn first_file(directory: &Path) -> PathBuf {
    file_name(directory, 1)
}

/// A whole file of records with these payloads, in order from the first sequence number on.
#[cfg(fuzzing)]
pub(crate) fn file_of<'a>(payloads: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    const SALT: u32 = 0x5a17;
    let mut file = header(1, SALT).to_vec();
    for (payload, sequence) in payloads.zip(1..) {
        file.extend_from_slice(&record_head(SALT, sequence, payload));
        file.extend_from_slice(payload);
    }
    file
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
