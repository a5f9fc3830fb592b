//! Whether a directory holds data, and whose it is.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use vestibule_engine::{journal, offline};

use super::error::ToolError;
use crate::identity::{INSTANCE_UUID, INSTANCE_UUID_NEW};

/// Refuses a directory that is not there or has no data: most likely another one was meant.
pub(super) fn require_data(directory: &Path) -> Result<(), ToolError> {
    match fs::read_dir(directory) {
        Ok(_) if offline::has_data(directory) => Ok(()),
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

/// Files beside the data that a start makes.
const OWN_FILES: [&str; 4] = ["lock", INSTANCE_UUID, INSTANCE_UUID_NEW, journal::STAGING];

/// What a new file system is born with.
const LOST_AND_FOUND: &str = "lost+found";

/// Refuses a directory with Tarantool's files and no data of ours: they were meant to be served, an
/// empty database would be made among them. Other files may be there, a log for example: they
/// are told to the log. Hidden files count for nothing.
///
/// # Errors
///
/// [`ToolError::Tarantools`]; the directory cannot be read.
pub(crate) fn refuse_tarantools(directory: &Path) -> Result<(), ToolError> {
    let unreadable = |source| ToolError::Io {
        action: "read",
        name: directory.display().to_string(),
        source,
    };
    let entries = match fs::read_dir(directory) {
        Err(source) if source.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(unreadable)?,
    };
    if offline::has_data(directory) {
        return Ok(());
    }
    let mut foreign = None;
    for entry in entries {
        let name = entry.map_err(unreadable)?.file_name();
        let name = name.to_string_lossy();
        let directory = directory.to_path_buf();
        if is_tarantool(Path::new(&*name)) {
            let file = name.into_owned();
            return Err(ToolError::Tarantools { directory, file });
        }
        let is_ours = OWN_FILES.contains(&&*name) || offline::is_data(&name);
        if !is_ours && !name.starts_with('.') && name != LOST_AND_FOUND {
            foreign.get_or_insert(name.into_owned());
        }
    }
    if let Some(file) = foreign {
        let path = directory.display();
        log::warn!("data are made in {path}, where files are that are not vestibule's ({file})");
    }
    Ok(())
}

/// Whether a file of this name is a snapshot or a log of Tarantool's.
fn is_tarantool(name: &Path) -> bool {
    name.extension()
        .is_some_and(|end| end == "snap" || end == "xlog")
}

#[cfg(test)]
mod tests {
    use vestibule_engine::EngineOptions;

    use super::*;

    #[test]
    fn a_directory_becomes_ours_unless_tarantools_files_are_there() {
        let directory = std::env::temp_dir().join(format!("vestibule-own-{}", std::process::id()));
        assert!(refuse_tarantools(&directory).is_ok(), "it is not there");
        fs::create_dir_all(directory.join(LOST_AND_FOUND)).unwrap();
        for other in ["lock", INSTANCE_UUID, ".gitkeep", "server.output"] {
            fs::write(directory.join(other), "").unwrap();
        }
        assert!(refuse_tarantools(&directory).is_ok());
        fs::write(directory.join("00000000000000000000.xlog"), "").unwrap();
        let told = refuse_tarantools(&directory).unwrap_err().to_string();
        assert!(told.contains("vestibule load"), "{told}");
        // Data make it ours, whatever else is there.
        let options = EngineOptions::new(&directory);
        let import = offline::Import::begin(options, false, &mut |_| ()).unwrap();
        import.finish().unwrap();
        assert!(refuse_tarantools(&directory).is_ok());
        fs::remove_dir_all(&directory).unwrap();
    }
}
