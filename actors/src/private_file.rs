//! Files that hold secrets: nobody but their owner and group may use them.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Rights of those who are neither the owner of a file nor in its group.
const OTHERS: u32 = 0o007;

/// Opens a file for reading.
///
/// # Errors
///
/// It cannot be read, or others may use it.
pub fn open_private(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    let mode = file.metadata()?.mode();
    if mode & OTHERS != 0 {
        let mode = mode & 0o777;
        let text = format!("others may use it (mode {mode:03o}): take that away with chmod o=");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    Ok(file)
}
