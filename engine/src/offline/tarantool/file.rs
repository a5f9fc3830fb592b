//! A snapshot or log of Tarantool's, block by block, every byte of it checked.
//!
//! ```text
//!   head    SNAP or XLOG │ 0.12 or 0.13 │ Version: … │ Instance: … │ VClock: {1: 8} │ empty
//!   block   magic 4 │ size │ CRC32C of the block before │ CRC32C │ filler     19 bytes in all
//!             │ rows, as they are (d5ba0bab) or compressed by zstd (d5ba0bba)
//!   end     d510aded
//! ```
//!
//! The numbers behind the magic are MessagePack, the filler is a text that is skipped. A file that
//! a killed server left has no end, and its last block may be cut short.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use ruzstd::decoding::StreamingDecoder;
use vestibule_wire::msgpack::Reader;

use super::error::TarantoolError;

/// What a block begins with whose rows are as they are.
const PLAIN: [u8; 4] = [0xd5, 0xba, 0x0b, 0xab];

/// What a block begins with whose rows are compressed.
const COMPRESSED: [u8; 4] = [0xd5, 0xba, 0x0b, 0xba];

/// What a file ends with that was closed.
const END: [u8; 4] = [0xd5, 0x10, 0xad, 0xed];

/// Size of what stands before the rows of a block, in bytes.
const BLOCK_HEAD_SIZE: usize = 19;

/// Largest block, in bytes, once it is decompressed (1 GiB). Tarantool's have some 128 KiB, or one
/// transaction.
const BLOCK_SIZE_MAX: u64 = 1 << 30;

/// Longest head of a file, in bytes.
const HEAD_SIZE_MAX: u64 = 1 << 16;

/// How far each instance of a replica set got: the number of its last row, by its own number.
pub(super) type VectorClock = BTreeMap<u32, u64>;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// All rows, as of some moment.
    Snapshot,
    /// What changed since.
    Log,
}

/// An open file.
#[derive(Debug)]
pub(super) struct TarantoolFile {
    pub(super) kind: Kind,
    /// What came before the file.
    pub(super) clock: VectorClock,
    pub(super) path: PathBuf,
    /// Size of the file in bytes, and how many of them were read.
    pub(super) size: u64,
    pub(super) at: u64,
    input: BufReader<File>,
}

/// What stands next in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NextBlock {
    /// Rows, one after the other.
    Rows(Vec<u8>),
    /// The end of a file that was closed.
    End,
    /// The end of one that was not; a block may have begun that was not finished.
    Torn,
}

/// Whether a file begins like one of Tarantool's.
pub(super) fn is_log(path: &Path) -> bool {
    let mut head = [0; 5];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && (head == *b"SNAP\n" || head == *b"XLOG\n")
}

impl TarantoolFile {
    /// Opens a file and reads its head.
    pub(super) fn open(path: &Path) -> Result<Self, TarantoolError> {
        let open = || {
            let file = File::open(path)?;
            Ok((
                file.metadata()?.len(),
                BufReader::with_capacity(1 << 18, file),
            ))
        };
        let (size, mut input) = open().map_err(TarantoolError::io(path))?;
        let mut lines = Vec::new();
        let mut head = (&mut input).take(HEAD_SIZE_MAX);
        loop {
            let mut line = Vec::new();
            let read = head.read_until(b'\n', &mut line);
            read.map_err(TarantoolError::io(path))?;
            match line.pop() {
                Some(b'\n') if line.is_empty() => break,
                Some(b'\n') => lines.push(String::from_utf8_lossy(&line).into_owned()),
                _ => return Err(foreign(path, "its head does not end".to_owned())),
            }
        }
        let at = HEAD_SIZE_MAX - head.limit();
        let (kind, clock) = parse_head(&lines).map_err(|reason| foreign(path, reason))?;
        Ok(Self {
            kind,
            clock,
            path: path.to_path_buf(),
            size,
            at,
            input,
        })
    }

    /// Reads what stands next. Not to be called again after the end.
    pub(super) fn next(&mut self) -> Result<NextBlock, TarantoolError> {
        let rest = self.size.saturating_sub(self.at);
        if rest < 4 {
            return Ok(NextBlock::Torn);
        }
        let mut head = [0; BLOCK_HEAD_SIZE];
        self.fill(&mut head[..4])?;
        let magic = [head[0], head[1], head[2], head[3]];
        match magic {
            END if rest == 4 => return Ok(NextBlock::End),
            END => return Err(self.damaged("there is more behind the end of the file")),
            PLAIN | COMPRESSED if rest < BLOCK_HEAD_SIZE as u64 => return Ok(NextBlock::Torn),
            PLAIN | COMPRESSED => {}
            _ => return Err(self.damaged("neither a block nor the end of the file")),
        }
        self.fill(&mut head[4..])?;
        let Some((size, sum)) = parse_block_head(&head[4..]) else {
            return Err(self.damaged("the head of a block that cannot be read"));
        };
        if size > rest - BLOCK_HEAD_SIZE as u64 {
            return Ok(NextBlock::Torn);
        }
        if size > BLOCK_SIZE_MAX {
            return Err(self.damaged("a block of more than 1 GiB"));
        }
        let mut bytes = vec![0; size as usize];
        self.fill(&mut bytes)?;
        if raw_crc32c(&bytes) != sum {
            return Err(self.damaged("a block whose checksum is wrong"));
        }
        if magic == COMPRESSED {
            bytes = decompress(&bytes).map_err(|reason| self.damaged(&reason))?;
        }
        self.at += BLOCK_HEAD_SIZE as u64 + size;
        Ok(NextBlock::Rows(bytes))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), TarantoolError> {
        let filled = self.input.read_exact(bytes);
        filled.map_err(TarantoolError::io(&self.path))
    }

    pub(super) fn damaged(&self, reason: &str) -> TarantoolError {
        TarantoolError::Damaged {
            path: self.path.clone(),
            offset: self.at,
            reason: reason.to_owned(),
        }
    }
}

fn foreign(path: &Path, reason: String) -> TarantoolError {
    TarantoolError::Foreign {
        path: path.to_path_buf(),
        reason,
    }
}

fn parse_head(lines: &[String]) -> Result<(Kind, VectorClock), String> {
    let kind = match lines.first().map_or("", |line| line) {
        "SNAP" => Kind::Snapshot,
        "XLOG" => Kind::Log,
        other => return Err(format!("it is of the kind '{other}', not SNAP or XLOG")),
    };
    match lines.get(1).map_or("", |line| line) {
        "0.12" | "0.13" => {}
        other => return Err(format!("its format is '{other}', not 0.12 or 0.13")),
    }
    let clock = lines.iter().find_map(|line| line.strip_prefix("VClock:"));
    let clock = parse_clock(clock.unwrap_or(""));
    let clock = clock.ok_or("its vector clock cannot be read")?;
    Ok((kind, clock))
}

/// Reads `{1: 8, 2: 3}`.
fn parse_clock(text: &str) -> Option<VectorClock> {
    let inside = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let parts = inside.split(',').filter(|part| !part.trim().is_empty());
    let parse = |part: &str| {
        let (instance, lsn) = part.split_once(':')?;
        Some((instance.trim().parse().ok()?, lsn.trim().parse().ok()?))
    };
    parts.map(parse).collect()
}

/// The size of a block and its checksum.
fn parse_block_head(head: &[u8]) -> Option<(u64, u32)> {
    let mut reader = Reader::new(head);
    let size = reader.read_uint().ok()?;
    reader.read_uint().ok()?;
    let sum = u32::try_from(reader.read_uint().ok()?).ok()?;
    Some((size, sum))
}

/// CRC32C without the inversions at both ends, as Tarantool has it.
fn raw_crc32c(bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(u32::MAX, bytes)
}

fn decompress(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let decoder = StreamingDecoder::new(bytes).map_err(|error| error.to_string())?;
    let mut plain = Vec::new();
    let read = decoder.take(BLOCK_SIZE_MAX + 1).read_to_end(&mut plain);
    read.map_err(|error| format!("a block that cannot be decompressed: {error}"))?;
    if plain.len() as u64 > BLOCK_SIZE_MAX {
        return Err("a block of more than 1 GiB".to_owned());
    }
    Ok(plain)
}

/// A block of rows, which are compressed already if it is said so.
#[cfg(any(test, fuzzing))]
pub(crate) fn block_of(rows: &[u8], is_compressed: bool) -> Vec<u8> {
    use vestibule_wire::msgpack::write_uint;

    let mut block = if is_compressed { COMPRESSED } else { PLAIN }.to_vec();
    write_uint(&mut block, rows.len() as u64);
    write_uint(&mut block, 0);
    write_uint(&mut block, raw_crc32c(rows).into());
    let filler = BLOCK_HEAD_SIZE - block.len() - 1;
    block.push(0xa0 | filler as u8);
    block.resize(BLOCK_HEAD_SIZE, 0);
    block.extend_from_slice(rows);
    block
}
