//! The seam to the disk: the few calls that write, so that tests can make each of them fail.
//!
//! ```text
//!   journal ────┐
//!               ├─▶ Storage: create, open, rename, remove ─▶ LogFile: append, sync, cut
//!   checkpoint ─┘
//! ```

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::path::Path;
use std::sync::Arc;

/// A file open for appending.
pub(crate) trait LogFile: Send + Sync {
    /// Appends both slices with one call; returns how many bytes of them were written.
    fn append(&self, head: &[u8], body: &[u8]) -> io::Result<usize>;

    /// Returns once the file's data and size are on the disk.
    fn sync(&self) -> io::Result<()>;

    /// Cuts the file, and with it the place of the next append.
    fn cut(&self, size: u64) -> io::Result<()>;
}

/// Where files are made.
pub(crate) trait Storage: Send + Sync {
    /// Makes a file that must not exist yet.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn LogFile>>;

    /// Opens an existing file.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn LogFile>>;

    /// Gives a file another name, in place of a file that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Returns once the names of the directory's files are on the disk.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
}

impl fmt::Debug for dyn Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Storage")
    }
}

/// The file system.
pub(crate) struct Disk;

impl Storage for Disk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        Ok(Arc::new(
            OpenOptions::new()
                .append(true)
                .create_new(true)
                .open(path)?,
        ))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        Ok(Arc::new(OpenOptions::new().append(true).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }
}

impl LogFile for File {
    fn append(&self, head: &[u8], body: &[u8]) -> io::Result<usize> {
        let mut file: &Self = self;
        file.write_vectored(&[IoSlice::new(head), IoSlice::new(body)])
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }
}

/// Appends all bytes, with as many calls as it takes.
pub(crate) fn append_all(file: &dyn LogFile, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.append(&[], bytes)? {
            0 => return Err(short(0, bytes.len())),
            written => bytes = &bytes[written..],
        }
    }
    Ok(())
}

pub(super) fn short(written: usize, size: usize) -> io::Error {
    let message = format!("only {written} of {size} bytes could be written; is the disk full?");
    io::Error::new(io::ErrorKind::WriteZero, message)
}
