//! A checkpoint file on its way to the disk.
//!
//! ```text
//!   checkpoint-….ckpt.tmp   header, block, block, … end ─▶ fsync ─▶ rename ─▶ fsync of directory
//! ```
//!
//! Whatever goes wrong before the rename leaves the directory as it was, but for the unfinished
//! file, which is removed at once or at the next start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::CheckpointError;
use super::format::{self, BlockHead, END, Header};
use crate::durability::storage::{LogFile, Storage, append_all};
use crate::limits::CHECKPOINT_UNSYNCED_MAX;

/// Appends rows to a payload.
#[derive(Debug, Default)]
pub(super) struct Payload {
    pub(super) rows: u32,
    pub(super) bytes: Vec<u8>,
}

impl Payload {
    pub(super) fn clear(&mut self) {
        self.rows = 0;
        self.bytes.clear();
    }

    pub(super) fn push(&mut self, tuple: &[u8]) {
        self.rows += 1;
        self.bytes
            .extend_from_slice(&(tuple.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(tuple);
    }
}

/// A file that does not count until it is finished.
pub(super) struct Writer<'a> {
    storage: &'a dyn Storage,
    directory: &'a Path,
    header: Header,
    path: PathBuf,
    file: Arc<dyn LogFile>,
    blocks: u32,
    pub(super) rows: u64,
    pub(super) size: u64,
    /// Bytes since the last sync.
    unsynced: u64,
    is_finished: bool,
}

impl<'a> Writer<'a> {
    /// Begins a file.
    pub(super) fn begin(
        storage: &'a dyn Storage,
        directory: &'a Path,
        header: Header,
    ) -> Result<Self, CheckpointError> {
        let path = format::unfinished_name(directory, header.from);
        // What an earlier attempt could not remove.
        let _ = storage.remove(&path);
        let file = storage.create(&path);
        let file = file.map_err(CheckpointError::io("create", &path))?;
        let mut writer = Self {
            storage,
            directory,
            header,
            path,
            file,
            blocks: 0,
            rows: 0,
            size: 0,
            unsynced: 0,
            is_finished: false,
        };
        writer.append(&header.encode(), &[])?;
        Ok(writer)
    }

    /// Writes one block.
    pub(super) fn block(&mut self, space: u32, payload: &Payload) -> Result<(), CheckpointError> {
        let head = BlockHead {
            number: self.blocks,
            space,
            rows: payload.rows,
        };
        let head = head.encode(self.header.salt, &payload.bytes);
        self.append(&head, &payload.bytes)?;
        self.blocks += 1;
        self.rows += u64::from(payload.rows);
        // Little by little, so that no turn's sync has to wait for all of it.
        if self.unsynced >= CHECKPOINT_UNSYNCED_MAX {
            self.sync()?;
        }
        Ok(())
    }

    /// Ends the file, which counts from now on; tells its size in bytes.
    pub(super) fn finish(mut self, required_until: u64) -> Result<u64, CheckpointError> {
        let mut end = Payload::default();
        end.bytes.extend_from_slice(&self.rows.to_le_bytes());
        end.bytes.extend_from_slice(&required_until.to_le_bytes());
        self.block(END, &end)?;
        self.sync()?;
        let path = format::file_name(self.directory, self.header.from);
        let renamed = self.storage.rename(&self.path, &path);
        renamed.map_err(CheckpointError::io("rename", &self.path))?;
        self.is_finished = true;
        let synced = self.storage.sync_directory(self.directory);
        synced.map_err(CheckpointError::io("sync", self.directory))?;
        Ok(self.size)
    }

    fn append(&mut self, head: &[u8], body: &[u8]) -> Result<(), CheckpointError> {
        let size = (head.len() + body.len()) as u64;
        let append = || match self.file.append(head, body)? {
            written if written < head.len() => {
                append_all(self.file.as_ref(), &head[written..])?;
                append_all(self.file.as_ref(), body)
            }
            written => append_all(self.file.as_ref(), &body[written - head.len()..]),
        };
        append().map_err(CheckpointError::io("write to", &self.path))?;
        self.size += size;
        self.unsynced += size;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), CheckpointError> {
        self.unsynced = 0;
        let synced = self.file.sync();
        synced.map_err(CheckpointError::io("sync", &self.path))
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        if !self.is_finished
            && let Err(error) = self.storage.remove(&self.path)
        {
            log::warn!("{} is left behind: {error}", self.path.display());
        }
    }
}
