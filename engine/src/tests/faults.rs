//! The engine on a disk that refuses: what clients are told, what they see, and what is left.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use vestibule_actors::engine::Engine;

use super::{NONE, Rig};
use crate::durability::storage::{Disk, LogFile, Storage};
use crate::options::JournalSync;

/// What the disk refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Every write, after half of it.
    Write,
    /// Every fsync.
    Sync,
}

/// The file system, but for one kind of call.
#[derive(Debug, Clone, Default)]
struct Broken(Arc<AtomicU8>);

struct BrokenFile(Broken, Arc<dyn LogFile>);

impl Broken {
    fn set(&self, fault: Fault) {
        self.0.store(fault as u8, Ordering::Relaxed);
    }

    fn is(&self, fault: Fault) -> bool {
        self.0.load(Ordering::Relaxed) == fault as u8
    }
}

impl Storage for Broken {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        Ok(Arc::new(BrokenFile(self.clone(), Disk.create(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        Ok(Arc::new(BrokenFile(self.clone(), Disk.open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        Disk.sync_directory(directory)
    }
}

impl LogFile for BrokenFile {
    fn append(&self, head: &[u8], body: &[u8]) -> io::Result<usize> {
        if self.0.is(Fault::Write) {
            let bytes = [head, body].concat();
            self.1.append(&bytes[..bytes.len() / 2], &[])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.1.append(head, body)
    }

    fn sync(&self) -> io::Result<()> {
        if self.0.is(Fault::Sync) {
            return Err(io::Error::other("broken platter"));
        }
        self.1.sync()
    }

    fn cut(&self, size: u64) -> io::Result<()> {
        self.1.cut(size)
    }
}

/// An engine with the row `[1]`, on a disk that can be told to refuse.
fn on_broken_disk() -> (Rig, Broken) {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    rig.insert(&(1,));
    rig.commit();
    let broken = Broken::default();
    rig.options.journal_sync = JournalSync::Turn;
    rig.storage = Arc::new(broken.clone());
    rig.reopen();
    (rig, broken)
}

#[test]
fn a_full_disk_and_a_failed_fsync_fail_the_turn_and_later_writes_until_it_is_resumed() {
    for (fault, reason) in [(Fault::Write, "write"), (Fault::Sync, "broken platter")] {
        let (mut rig, disk) = on_broken_disk();
        disk.set(fault);
        rig.insert(&(2,));
        rig.delete(&(1,));
        let error = rig.engine.commit().unwrap_err();
        let told = (error.code().0, error.message());
        assert_eq!(told, (40, "Failed to write to disk"), "{fault:?}");
        assert_eq!(
            rig.all(),
            "[[1]]",
            "{fault:?}: reads go on, on what there was"
        );

        let refused = rig.insert(&(3,));
        let read_only = "7: Can't modify data on a read-only instance - journal failed: ";
        assert!(refused.starts_with(read_only), "{refused}");
        assert!(
            refused.contains(reason) && refused.contains(".log"),
            "{refused}"
        );
        assert!(rig.call("box.space.s:truncate", &NONE).starts_with("7: "));
        assert!(rig.engine.fault().is_some_and(|text| text.contains(reason)));

        if fault == Fault::Sync {
            let resumed = rig.call("vestibule.journal.resume", &NONE);
            assert_eq!(resumed, "40: Failed to write to disk", "it is broken still");
            assert!(rig.insert(&(3,)).starts_with("7: "));
        }
        disk.set(Fault::None);
        assert_eq!(rig.call("vestibule.journal.resume", &NONE), "[true]");
        assert_eq!(rig.engine.fault(), None);
        assert_eq!(rig.insert(&(3,)), "[[3]]");
        rig.commit();
        assert_eq!(rig.all(), "[[1], [3]]");
        rig.reopen();
        assert_eq!(
            rig.all(),
            "[[1], [3]]",
            "{fault:?}: what failed did not come back"
        );
    }
}

#[test]
fn definitions_that_could_not_be_written_are_not_there() {
    for fault in [Fault::Write, Fault::Sync] {
        let (mut rig, disk) = on_broken_disk();
        let version = rig.engine.schema_version();
        disk.set(fault);
        for (procedure, args) in [
            ("box.schema.space.create", "more"),
            ("box.space.s:create_index", "more"),
        ] {
            rig.try_call(procedure, &super::pack(&(args,))).unwrap();
            assert_eq!(rig.engine.commit().unwrap_err().code().0, 40, "{fault:?}");
            disk.set(Fault::None);
            assert_eq!(rig.call("vestibule.journal.resume", &NONE), "[true]");
            disk.set(fault);
        }
        disk.set(Fault::None);
        assert_eq!(rig.engine.schema_version(), version);
        rig.reopen();
        assert_eq!(rig.engine.schema_version(), version);
        let made = rig.call("box.schema.space.create", &("more",));
        assert_eq!(made, "[{\"id\": 513, \"name\": \"more\"}]");
    }
}
