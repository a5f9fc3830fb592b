//! Checkpoints of an engine under writes, and directories after a crash.

mod crash;
mod damage;
mod fuzzy;
mod thread;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use serde::Serialize;
use vestibule_wire::request::{Body, Delete, IdOrName, Store};

use super::task::Made;
use super::{CheckpointError, Task, list};
use crate::durability::journal::MARK;
use crate::durability::storage::{Disk, LogFile, Storage};
use crate::tests::{Rig, pack};

/// A disk without the wait for fsync, that does something at every write and breaks when told to.
#[derive(Clone, Default)]
struct Disturbed(Arc<Mutex<Plan>>);

#[derive(Default)]
struct Plan {
    /// Called before every append, without the plan.
    at_append: Option<Box<dyn FnMut() + Send>>,
    /// Calls that are left before every further one fails.
    left: Option<usize>,
    /// Whether only one call fails.
    fails_once: bool,
    /// Bytes that a failing append writes.
    torn: usize,
    refuses_removal: Option<fn(&Path) -> bool>,
    /// What was asked of the disk, with what is repeated told once.
    calls: Vec<&'static str>,
}

struct DisturbedFile(Disturbed, Arc<dyn LogFile>);

impl Disturbed {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap()
    }

    fn pass(&self, call: &'static str) -> io::Result<()> {
        let mut plan = self.plan();
        if plan.calls.last() != Some(&call) {
            plan.calls.push(call);
        }
        match &mut plan.left {
            None => return Ok(()),
            Some(0) => {}
            Some(left) => {
                *left -= 1;
                return Ok(());
            }
        }
        if plan.fails_once {
            plan.left = None;
        }
        Err(io::ErrorKind::StorageFull.into())
    }
}

impl Storage for Disturbed {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        self.pass("create")?;
        Ok(Arc::new(DisturbedFile(self.clone(), Disk.create(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        self.pass("open")?;
        Disk.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass("rename")?;
        Disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.pass("remove")?;
        if self
            .plan()
            .refuses_removal
            .is_some_and(|refuses| refuses(path))
        {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Disk.remove(path)
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        self.pass("sync directory")
    }
}

impl LogFile for DisturbedFile {
    fn append(&self, head: &[u8], body: &[u8]) -> io::Result<usize> {
        let disturb = self.0.plan().at_append.take();
        if let Some(mut disturb) = disturb {
            disturb();
            self.0.plan().at_append.get_or_insert(disturb);
        }
        if let Err(error) = self.0.pass("append") {
            let torn = self.0.plan().torn;
            let bytes = [head, body].concat();
            self.1.append(&bytes[..torn.min(bytes.len())], &[])?;
            return Err(error);
        }
        self.1.append(head, body)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.pass("sync")
    }

    fn cut(&self, size: u64) -> io::Result<()> {
        self.1.cut(size)
    }
}

/// A checkpoint of this engine, on the caller's thread, by steps of three rows.
fn task(rig: &Rig, storage: &Disturbed) -> Task {
    Task {
        image: rig.engine.shared_image(),
        journal: rig.engine.journal(),
        storage: Arc::new(storage.clone()),
        directory: rig.options.data_dir.clone(),
        step_rows_max: 3,
        count: 1,
        newest: None,
        obsolete_files: Vec::new(),
    }
}

/// One that nothing happens to.
fn checkpoint(rig: &Rig) -> Made {
    let made = task(rig, &Disturbed::default()).run(&|| false);
    made.unwrap().unwrap()
}

fn files(rig: &Rig) -> Vec<String> {
    let entries = fs::read_dir(&rig.options.data_dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names
        .filter(|name| name != "lock" && name != MARK)
        .collect();
    names.sort();
    names
}

/// The file of the newest checkpoint.
fn newest(rig: &Rig) -> PathBuf {
    let directory = &rig.options.data_dir;
    let newest = list(directory).unwrap().pop().unwrap();
    super::path(directory, newest)
}

/// Everything that an engine holds: by space and index, the definition and the rows.
type Everything = (u64, BTreeMap<(u32, u32), (String, Vec<Vec<u8>>)>);

fn everything(rig: &Rig) -> Everything {
    let image = rig.engine.image();
    let trees = image.spaces().flat_map(|space| {
        space.def.indexes().map(|index| {
            let rows = space.tree(index.id).unwrap().tuples();
            let definition = format!("{:?}", space.def);
            let rows = rows.map(|row| row.to_vec()).collect();
            ((space.def.id, index.id), (definition, rows))
        })
    });
    (image.schema_version, trees.collect())
}

/// Puts a row in the turn; whether it fits is not the point.
fn replace(rig: &mut Rig, space: u32, tuple: &impl Serialize) {
    let space = IdOrName::Id(space);
    rig.run(Body::Replace(Store {
        space,
        tuple: &pack(tuple),
    }));
}

fn delete(rig: &mut Rig, space: u32, key: &impl Serialize) {
    let (space, index) = (IdOrName::Id(space), IdOrName::Id(0));
    rig.run(Body::Delete(Delete {
        space,
        index,
        key: &pack(key),
    }));
}

/// An engine with `count` rows in space 512.
fn with_rows(count: u32) -> Rig {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    for key in 0..count {
        replace(&mut rig, 512, &(key, key % 7, "a row"));
        rig.commit();
    }
    rig
}
