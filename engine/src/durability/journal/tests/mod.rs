//! A journal on a scratch directory, and a disk that fails on demand.

mod directory;
mod faults;
mod recovery;
mod search;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::{Journal, JournalError, JournalOptions, RECORD_SIZE_MAX, format};
use crate::durability::storage::{Disk, LogFile, Storage};
use crate::options::JournalSync;

/// A directory that is gone when the test is.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("vestibule-journal-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn options(&self, sync: JournalSync) -> JournalOptions {
        JournalOptions {
            dir: self.0.clone(),
            sync,
            force_recovery: false,
            from: 1,
            required_until: 0,
        }
    }

    fn file(&self, first: u64) -> PathBuf {
        format::file_name(&self.0, first)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the disk is to do wrong, and what it was asked.
#[derive(Default)]
struct Plan {
    /// The next append writes this number of bytes and then reports this.
    append: Option<(usize, io::Result<usize>)>,
    fails_sync: bool,
    fails_cut: bool,
    fails_create: bool,
    syncs: u64,
    /// The part of `syncs` that the test's own thread waited for.
    own_syncs: u64,
    directory_syncs: u64,
}

/// The file system with faults, and without the wait for a real fsync.
#[derive(Clone, Default)]
struct Faulty(Arc<Mutex<Plan>>);

struct FaultyFile(Faulty, Arc<dyn LogFile>);

impl Faulty {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap()
    }

    fn open(&self, scratch: &Scratch, sync: JournalSync) -> Journal {
        self.replay(scratch.options(sync)).unwrap().0
    }

    fn replay(&self, options: JournalOptions) -> Result<(Journal, Records), JournalError> {
        let mut records = Vec::new();
        let mut receive = |sequence, payload: &[u8]| {
            records.push((sequence, payload.to_vec()));
            Ok(())
        };
        let lock = super::lock(self, &options.dir)?;
        let found = super::read(&options, &mut receive, &mut |_, _| ())?;
        let journal = Journal::open_found(Arc::new(self.clone()), lock, &options, found)?;
        Ok((journal, records))
    }
}

type Records = Vec<(u64, Vec<u8>)>;

fn broken() -> io::Error {
    io::Error::other("broken")
}

impl Storage for Faulty {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        if self.plan().fails_create {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(Arc::new(FaultyFile(self.clone(), Disk.create(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        Ok(Arc::new(FaultyFile(self.clone(), Disk.open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        self.plan().directory_syncs += 1;
        Ok(())
    }
}

impl LogFile for FaultyFile {
    fn append(&self, head: &[u8], body: &[u8]) -> io::Result<usize> {
        let Some((size, result)) = self.0.plan().append.take() else {
            return self.1.append(head, body);
        };
        let bytes = [head, body].concat();
        self.1.append(&bytes[..size], &[])?;
        result
    }

    fn sync(&self) -> io::Result<()> {
        let mut plan = self.0.plan();
        plan.syncs += 1;
        plan.own_syncs += u64::from(std::thread::current().name() != Some("journal-sync"));
        if plan.fails_sync {
            Err(broken())
        } else {
            Ok(())
        }
    }

    fn cut(&self, size: u64) -> io::Result<()> {
        if self.0.plan().fails_cut {
            Err(broken())
        } else {
            self.1.cut(size)
        }
    }
}

fn payloads() -> Vec<Vec<u8>> {
    [&b"one"[..], b"", b"three three", b"4", b"five five"]
        .iter()
        .map(|p| p.to_vec())
        .collect()
}

fn numbered(payloads: &[Vec<u8>]) -> Records {
    payloads
        .iter()
        .cloned()
        .enumerate()
        .map(|(at, payload)| (at as u64 + 1, payload))
        .collect()
}

/// The bytes of every file of a journal of five records, in two files.
fn sample(rotates: bool) -> BTreeMap<u64, Vec<u8>> {
    let scratch = Scratch::new();
    let mut journal = Faulty::default().open(&scratch, JournalSync::Never);
    let mut firsts = vec![1];
    for (at, payload) in payloads().iter().enumerate() {
        if rotates && at == 3 {
            firsts.push(journal.rotate().unwrap());
        }
        journal.append(payload).unwrap();
    }
    firsts
        .into_iter()
        .map(|first| (first, fs::read(scratch.file(first)).unwrap()))
        .collect()
}

fn written(files: &BTreeMap<u64, Vec<u8>>) -> Scratch {
    let scratch = Scratch::new();
    for (first, bytes) in files {
        fs::write(scratch.file(*first), bytes).unwrap();
    }
    scratch
}
