//! What targets with files share.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::{env, fs, process};

/// A directory for each process, in memory where the system has such a place.
pub(crate) fn directory() -> &'static PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() {
            memory
        } else {
            env::temp_dir()
        };
        let own = parent.join(format!("vestibule-fuzz-{}", process::id()));
        fs::create_dir_all(&own).expect("a directory can be made");
        own
    })
}
