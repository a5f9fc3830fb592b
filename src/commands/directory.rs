//! Whether a directory holds data.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::error::ToolError;

/// Refuses a directory that is not there or has no data: most likely another one was meant.
pub(super) fn require_data(directory: &Path) -> Result<(), ToolError> {
    match fs::read_dir(directory) {
        Ok(_) if vestibule_engine::offline::has_data(directory) => Ok(()),
        Err(source)
            if !matches!(
                source.kind(),
                ErrorKind::NotFound | ErrorKind::NotADirectory
            ) =>
        {
            Err(ToolError::Io {
                action: "read",
                name: directory.display().to_string(),
                source,
            })
        }
        _ => Err(ToolError::NoData {
            directory: directory.to_path_buf(),
        }),
    }
}
