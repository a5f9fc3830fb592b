//! The seam to the disk: the few calls that write, so that tests can make each of them fail.
//!
//! ```text
//!   journal ────┐
//!               ├─▶ Storage: create, open, rename, remove ─▶ LogFile: append, sync, cut
//!   checkpoint ─┘
//! ```

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::OFlags;
use rustix::io::Errno;

/// Permissions of a file that is made: hashes of passwords are in it.
const FILE_MODE: u32 = 0o600;

/// Permissions of a directory that is made.
const DIRECTORY_MODE: u32 = 0o700;

/// The flag of `open` that refuses a symbolic link.
const NO_FOLLOW: i32 = OFlags::NOFOLLOW.bits() as i32;

/// A file open for appending.
pub(crate) trait LogFile: Send + Sync {
    /// Appends both slices with one call; returns how many bytes of them were written.
    fn append(&self, head: &[u8], body: &[u8]) -> io::Result<usize>;

    /// Returns once the file's data and size are on the disk. Fails for a file that was removed:
    /// what is written to it is gone with the process.
    fn sync(&self) -> io::Result<()>;

    /// Fails for a file that was removed.
    fn check_linked(&self) -> io::Result<()> {
        Ok(())
    }

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
        Ok(Arc::new(create_private(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        Ok(Arc::new(open(OpenOptions::new().append(true), path)?))
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
        self.sync_data()?;
        self.check_linked()
    }

    fn check_linked(&self) -> io::Result<()> {
        if self.metadata()?.nlink() > 0 {
            return Ok(());
        }
        Err(io::Error::other("the file was removed while it is in use"))
    }

    fn cut(&self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }
}

/// Makes a file that nobody else may read, in place of one that an attempt before may have left,
/// or that somebody laid there: a link, for example.
///
/// # Errors
///
/// The operating system refused.
pub fn private_file(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => create_private(path),
    }
}

/// Makes a file that nobody else may read, and that is not there yet, to append to it.
fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create_new(true).mode(FILE_MODE);
    options.open(path)
}

/// Opens a file of the data directory to read it.
///
/// # Errors
///
/// It cannot be opened, or is a symbolic link: nobody makes those here, so one leads to what is
/// somebody else's.
pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
    open(OpenOptions::new().read(true), path)
}

/// Opens a file with these options, but follows no symbolic link.
pub(crate) fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let options = options.mode(FILE_MODE).custom_flags(NO_FOLLOW);
    options.open(path).map_err(|error| {
        if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) {
            io::Error::other("it is a symbolic link, which is not followed")
        } else {
            error
        }
    })
}

/// Makes a directory that nobody else may enter, and those above it that are missing.
///
/// # Errors
///
/// The operating system refused.
pub(crate) fn create_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(path)
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
