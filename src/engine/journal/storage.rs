//! The seam to the disk: the few calls that write, so that tests can make each of them fail.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::path::Path;
use std::sync::Arc;

/// A journal file open for appending.
pub(super) trait LogFile: Send + Sync {
    /// Appends both slices with one call; returns how many bytes of them were written.
    fn append(&self, head: &[u8], body: &[u8]) -> io::Result<usize>;

    /// Returns once the file's data and size are on the disk.
    fn sync(&self) -> io::Result<()>;

    /// Cuts the file, and with it the place of the next append.
    fn cut(&self, size: u64) -> io::Result<()>;
}

/// Where journal files are made.
pub(super) trait Storage: Send {
    /// Makes a file that must not exist yet.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn LogFile>>;

    /// Opens an existing file.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn LogFile>>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Returns once the names of the directory's files are on the disk.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
}

/// The file system.
pub(super) struct Disk;

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
