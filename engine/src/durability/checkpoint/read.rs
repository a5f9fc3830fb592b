//! Reading a checkpoint, block by block, every byte of it checked.
//!
//! ```text
//!   open ─▶ header ─▶ next ─▶ block of a space: its rows
//!                       └───▶ end: rows in all, and the record that the journal must reach
//! ```

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::CheckpointError;
use super::format::{
    self, BLOCK_HEAD_SIZE, BlockHead, END, END_SIZE, HEADER_SIZE, Header, PAYLOAD_SIZE_MAX,
};
use crate::durability::storage::open_to_read;

/// The checkpoints of a directory by the records that they are gone on from, oldest first.
///
/// # Errors
///
/// The directory cannot be read.
pub(crate) fn list(directory: &Path) -> Result<Vec<u64>, CheckpointError> {
    let mut all = names(directory)?;
    all.retain(|name| format::parse_file_name(name).is_some());
    let mut all: Vec<u64> = all
        .iter()
        .filter_map(|name| format::parse_file_name(name))
        .collect();
    all.sort_unstable();
    Ok(all)
}

/// Files that were never finished.
pub(super) fn list_unfinished(directory: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let mut all = names(directory)?;
    all.retain(|name| format::is_unfinished(name));
    Ok(all.iter().map(|name| directory.join(name)).collect())
}

fn names(directory: &Path) -> Result<Vec<String>, CheckpointError> {
    let read = || {
        let entries = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name()));
        entries.collect::<io::Result<Vec<_>>>()
    };
    let names = read().map_err(CheckpointError::io("read", directory))?;
    Ok(names
        .iter()
        .filter_map(|name| name.to_str().map(str::to_owned))
        .collect())
}

/// An open checkpoint.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) header: Header,
    file: File,
    path: PathBuf,
    /// Size of the file in bytes.
    pub(crate) size: u64,
    /// Where the next block begins.
    pub(crate) at: u64,
    blocks: u32,
    rows: u64,
    payload: Vec<u8>,
}

/// What stands next in a checkpoint.
#[derive(Debug)]
pub(crate) enum Next<'a> {
    /// Rows of one space.
    Block(Block<'a>),
    /// Nothing more. The journal must have every record up to this one.
    End {
        /// The record's number.
        required_until: u64,
    },
}

/// Rows of one space.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    pub(crate) space: u32,
    pub(crate) rows: u32,
    payload: &'a [u8],
}

impl<'a> Block<'a> {
    /// The rows; `None` in place of one whose length goes beyond the block.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        let mut rest = self.payload;
        (0..self.rows).map(move |_| {
            let size = format::u32_at(rest, 0)?;
            let row = rest.get(4..)?.get(..size as usize)?;
            rest = &rest[4 + row.len()..];
            Some(row)
        })
    }
}

impl Reader {
    /// Opens the checkpoint that is gone on from with this record.
    ///
    /// # Errors
    ///
    /// It cannot be read, is damaged, or was written by a later version of this program.
    pub(crate) fn open(directory: &Path, from: u64) -> Result<Self, CheckpointError> {
        let path = format::file_name(directory, from);
        let open = || {
            let mut file = open_to_read(&path)?;
            let size = file.metadata()?.len();
            let mut header = Vec::new();
            (&mut file)
                .take(HEADER_SIZE as u64)
                .read_to_end(&mut header)?;
            Ok((file, size, header))
        };
        let (file, size, header) = open().map_err(CheckpointError::io("read", &path))?;
        if let Some(version) = format::version(&header).filter(|own| *own > format::VERSION) {
            return Err(CheckpointError::NewerVersion {
                file: path,
                version,
            });
        }
        let Some(header) = Header::decode(&header).filter(|header| header.from == from) else {
            return Err(CheckpointError::Damaged {
                file: path,
                offset: 0,
            });
        };
        Ok(Self {
            header,
            file,
            path,
            size,
            at: HEADER_SIZE as u64,
            blocks: 0,
            rows: 0,
            payload: Vec::new(),
        })
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Rows so far.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Reads what stands next. Not to be called again after the end.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is damaged.
    pub(crate) fn next(&mut self) -> Result<Next<'_>, CheckpointError> {
        let head = self.read_block()?.filter(|head| head.number == self.blocks);
        let Some(head) = head else {
            return Err(self.damaged());
        };
        let size = (BLOCK_HEAD_SIZE + self.payload.len()) as u64;
        if head.space == END {
            let end = self.end(self.at + size).ok_or_else(|| self.damaged())?;
            return Ok(Next::End {
                required_until: end,
            });
        }
        self.blocks += 1;
        self.rows += u64::from(head.rows);
        self.at += size;
        Ok(Next::Block(Block {
            space: head.space,
            rows: head.rows,
            payload: &self.payload,
        }))
    }

    /// Checks the end mark, with the file ending at this offset; returns how far the journal goes.
    fn end(&self, end: u64) -> Option<u64> {
        let rows = format::u64_at(&self.payload, 0)?;
        let required_until = format::u64_at(&self.payload, 8)?;
        let is_whole = end == self.size && self.payload.len() == END_SIZE && rows == self.rows;
        is_whole.then_some(required_until)
    }

    /// Reads the next block's payload and returns its head; `None` if it is not whole.
    fn read_block(&mut self) -> Result<Option<BlockHead>, CheckpointError> {
        let rest = self.size.saturating_sub(self.at);
        if rest < BLOCK_HEAD_SIZE as u64 {
            return Ok(None);
        }
        let mut head = [0; BLOCK_HEAD_SIZE];
        self.fill(&mut head)?;
        let size = format::payload_size(&head);
        if size > PAYLOAD_SIZE_MAX || (BLOCK_HEAD_SIZE + size) as u64 > rest {
            return Ok(None);
        }
        let mut payload = std::mem::take(&mut self.payload);
        payload.resize(size, 0);
        self.fill(&mut payload)?;
        self.payload = payload;
        Ok(BlockHead::decode(&head, self.header.salt, &self.payload))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), CheckpointError> {
        let filled = self.file.read_exact(bytes);
        filled.map_err(CheckpointError::io("read", &self.path))
    }

    fn damaged(&self) -> CheckpointError {
        CheckpointError::Damaged {
            file: self.path.clone(),
            offset: self.at,
        }
    }
}
