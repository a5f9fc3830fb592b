//! The embedded engine in tests: data in a directory that is removed in the end, on a disk that
//! nobody waits for and that fails when it is told to.
//!
//! ```
//! use vestibule_actors::testing::{RequestBuilder, TestServer};
//! use vestibule_engine::procedures;
//! use vestibule_engine::testing::TestData;
//!
//! let data = TestData::new();
//! let server = TestServer::of(data.engine(), procedures::standard());
//! let mut peer = server.connect();
//! assert_eq!(peer.call_with("box.schema.space.create", &("rows",)).code, 0);
//! assert_eq!(peer.call_with("box.space.rows:create_index", &("pk",)).code, 0);
//!
//! // The disk is full: what is written is refused, and forgotten.
//! data.fail_writes(true);
//! assert_eq!(peer.ask(&RequestBuilder::replace(1, 7)).error_code(), Some(40));
//! data.fail_writes(false);
//! assert_eq!(peer.call_with("vestibule.journal.resume", &()).code, 0);
//! assert_eq!(peer.ask(&RequestBuilder::replace(2, 8)).code, 0);
//! drop(server);
//!
//! // What was acknowledged is there again, and nothing else.
//! let server = TestServer::of(data.engine(), procedures::standard());
//! let mut peer = server.connect();
//! let mut rows = |key| peer.ask(&RequestBuilder::select(3, key)).data::<Vec<(u64, u64)>>();
//! assert_eq!((rows(7), rows(8)), (vec![], vec![(8, 8)]));
//! ```
//!
//! | module | what |
//! |---|---|
//! | `test_disk` | a disk that nobody waits for |

pub(crate) mod test_disk;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vestibule_actors::engine::Fault;

use self::test_disk::TestDisk;
use crate::access::generations::UserGenerations;
use crate::{EmbeddedEngine, EngineOptions, JournalSync};

/// The data of one test, in a directory of its own, which is removed when this is dropped. What is
/// written survives the engine, but not a power failure: nothing is ever synced.
pub struct TestData {
    directory: PathBuf,
    disk: TestDisk,
}

impl std::fmt::Debug for TestData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestData")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

impl Default for TestData {
    fn default() -> Self {
        Self::new()
    }
}

impl TestData {
    /// A new directory without data, below that for temporary files.
    #[must_use]
    pub fn new() -> Self {
        Self {
            directory: new_directory(),
            disk: TestDisk::default(),
        }
    }

    /// Where the files are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The options that its engines have, to change some of them for
    /// [`engine_with`](Self::engine_with).
    #[must_use]
    pub fn options(&self) -> EngineOptions {
        EngineOptions {
            journal_sync: JournalSync::Never,
            ..EngineOptions::new(&self.directory)
        }
    }

    /// What makes engines on this data, one after the other: for
    /// [`TestServer::of`](vestibule_actors::testing::TestServer::of).
    pub fn engine(&self) -> impl Fn() -> Result<EmbeddedEngine, Fault> + Send + Sync + 'static {
        self.engine_with(self.options())
    }

    /// The same with other options. Their directory is the one where the files are.
    pub fn engine_with(
        &self,
        options: EngineOptions,
    ) -> impl Fn() -> Result<EmbeddedEngine, Fault> + Send + Sync + 'static {
        let (disk, generations) = (self.disk.clone(), UserGenerations::default());
        move || {
            let (options, storage) = (options.clone(), Arc::new(disk.clone()));
            Ok(EmbeddedEngine::with_users(
                options,
                storage,
                generations.clone(),
            ))
        }
    }

    /// Whether what is written to the journal fails from now on, as on a full disk: requests that
    /// change data get error 40, and what they changed is forgotten. After the first of them the
    /// engine takes no changes, until `vestibule.journal.resume`.
    pub fn fail_writes(&self, fails: bool) {
        self.disk.set_fails_appends(fails);
    }
}

impl Drop for TestData {
    fn drop(&mut self) {
        // It is not there if no engine was made.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A directory that no other test has.
pub(crate) fn new_directory() -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("vestibule-engine-{}-{number}", std::process::id());
    std::env::temp_dir().join(name)
}
