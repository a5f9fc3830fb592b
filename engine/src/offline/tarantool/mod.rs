//! Tarantool's own files, snapshots and logs, loaded into a directory.
//!
//! ```text
//!   newest *.snap ─▶ model ◀─ rows of *.xlog behind it, whole transactions only
//!                      └─▶ definitions, rights, rows ─▶ import: all of it, or nothing
//! ```
//!
//! Files are those of one instance, of Tarantool 2.x and 3.x. The snapshot tells how far it got;
//! rows that came before are passed over. What a file does not end with is a transaction that was
//! never acknowledged: it is left out. A file that is missing between others is an error.
//!
//! Everything is in memory before the first row is loaded, so that all that cannot be held is told
//! at once.
//!
//! | module | what |
//! |---|---|
//! | `error` | why files cannot be read |
//! | `file` | a file, block by block |
//! | `row` | a request in a block |
//! | `model` | the data that requests come to |
//! | `foreign_keys` | foreign keys of SQL |
//! | `convert` | the data put into a directory |

mod convert;
mod error;
mod file;
mod foreign_keys;
mod model;
mod row;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use vestibule_actors::engine::Progress;
use vestibule_wire::msgpack::Reader;

pub use convert::Converted;
pub use error::TarantoolError;
#[cfg(fuzzing)]
pub(crate) use file::block_of;
use file::{Kind, NextBlock, TarantoolFile, VectorClock};
use model::Model;
use row::Row;

/// What Tarantool's files hold.
#[derive(Debug)]
pub struct TarantoolData {
    model: Model,
    /// The files that were read, in order.
    pub files: Vec<PathBuf>,
    /// What was left out, with the file: a transaction at the end that is not whole.
    pub left_out: Vec<String>,
}

/// Whether a path is that of a snapshot or a log of Tarantool's, or of a directory with some.
#[must_use]
pub fn is_tarantool(path: &Path) -> bool {
    file::is_log(path) || (path.is_dir() && has_logs(path))
}

fn has_logs(directory: &Path) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .any(|path| is_named(&path))
}

fn is_named(path: &Path) -> bool {
    let end = path.extension().and_then(|end| end.to_str());
    matches!(end, Some("snap" | "xlog"))
}

impl TarantoolData {
    /// Reads files, and those of directories: the newest snapshot, and the logs behind it.
    /// `progress` is told bytes read and in all.
    ///
    /// # Errors
    ///
    /// Everything in [`TarantoolError`] but `Unheld`.
    pub fn read(
        paths: &[PathBuf],
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, TarantoolError> {
        let (snapshot, logs) = choose(paths)?;
        let sizes = logs.iter().map(|log| log.size).sum::<u64>();
        let mut reading = Reading {
            data: Self {
                model: Model::default(),
                files: Vec::new(),
                left_out: Vec::new(),
            },
            clock: snapshot.clock.clone(),
            done: 0,
            total: snapshot.size + sizes,
            progress,
        };
        reading.file(snapshot, true)?;
        let count = logs.len();
        for (at, log) in logs.into_iter().enumerate() {
            reading.log(log, at + 1 == count)?;
        }
        Ok(reading.data)
    }
}

/// The newest snapshot, and the logs in the order in which they were written, but for those that
/// end before it.
fn choose(paths: &[PathBuf]) -> Result<(TarantoolFile, Vec<TarantoolFile>), TarantoolError> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(TarantoolFile::open(path)?);
            continue;
        }
        for entry in fs::read_dir(path).map_err(TarantoolError::io(path))? {
            let path = entry.map_err(TarantoolError::io(path))?.path();
            if is_named(&path) {
                files.push(TarantoolFile::open(&path)?);
            }
        }
    }
    files.sort_by_key(|file| file.clock.values().sum::<u64>());
    let (mut snapshots, mut logs): (Vec<_>, Vec<_>) = files
        .into_iter()
        .partition(|file| file.kind == Kind::Snapshot);
    let Some(snapshot) = snapshots.pop() else {
        let paths: Vec<_> = paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let paths = paths.join(", ");
        return Err(TarantoolError::NoSnapshot { paths });
    };
    // The last log that begins at or before the snapshot may have rows behind it.
    let first = logs
        .iter()
        .rposition(|log| is_reached(&log.clock, &snapshot.clock));
    logs.drain(..first.unwrap_or(0));
    Ok((snapshot, logs))
}

/// Whether everything that came before `needed` came before `clock`, too.
fn is_reached(needed: &VectorClock, clock: &VectorClock) -> bool {
    let mut needed = needed.iter();
    needed.all(|(instance, lsn)| clock.get(instance).copied().unwrap_or(0) >= *lsn)
}

struct Reading<'p> {
    data: TarantoolData,
    /// How far the rows so far go.
    clock: VectorClock,
    /// Bytes of the files before this one, and in all.
    done: u64,
    total: u64,
    progress: &'p mut dyn FnMut(Progress),
}

impl Reading<'_> {
    fn log(&mut self, log: TarantoolFile, is_last: bool) -> Result<(), TarantoolError> {
        if !is_reached(&log.clock, &self.clock) {
            return Err(TarantoolError::Gap {
                path: log.path,
                needed: format!("{:?}", log.clock),
                found: format!("{:?}", self.clock),
            });
        }
        self.file(log, is_last)
    }

    /// Reads a file to its end. One that was not closed is told, unless it is a snapshot: such a
    /// one was never finished.
    fn file(&mut self, mut file: TarantoolFile, is_last: bool) -> Result<(), TarantoolError> {
        self.data.model.moves_sequences = file.kind == Kind::Log;
        // Blocks of a transaction that has not ended.
        let mut open: Vec<Vec<u8>> = Vec::new();
        loop {
            let bytes = match file.next()? {
                NextBlock::Rows(bytes) => bytes,
                NextBlock::End => break,
                NextBlock::Torn if file.kind == Kind::Snapshot => {
                    return Err(file.damaged("the snapshot is cut short"));
                }
                NextBlock::Torn => {
                    if is_last || file.at < file.size {
                        let (path, at, size) = (file.path.display(), file.at, file.size);
                        let torn = size - at;
                        let text = format!("{path} was not closed: {torn} bytes from {at} on");
                        self.data.left_out.push(text);
                    }
                    break;
                }
            };
            open.push(bytes);
            if self.is_whole(&file, &open)? {
                for bytes in open.drain(..) {
                    self.rows(&file, &bytes)?;
                }
            }
            let (done, total) = (self.done + file.at, self.total);
            (self.progress)(Progress::of(done, total));
        }
        if !open.is_empty() {
            let path = file.path.display();
            let text = format!("{path} ends with a transaction that was not committed");
            self.data.left_out.push(text);
        }
        self.done += file.size;
        self.data.files.push(file.path);
        Ok(())
    }

    /// Whether the last row of these blocks ends its transaction.
    fn is_whole(&self, file: &TarantoolFile, blocks: &[Vec<u8>]) -> Result<bool, TarantoolError> {
        let mut is_commit = true;
        let mut reader = Reader::new(blocks.last().map_or(&[][..], |block| block));
        while !reader.is_empty() {
            let row = Row::read(&mut reader);
            is_commit = row
                .map_err(|_| file.damaged("a row that cannot be read"))?
                .is_commit;
        }
        Ok(is_commit)
    }

    fn rows(&mut self, file: &TarantoolFile, bytes: &[u8]) -> Result<(), TarantoolError> {
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let row = Row::read(&mut reader);
            let row = row.map_err(|_| file.damaged("a row that cannot be read"))?;
            if file.kind == Kind::Log {
                let reached = self.clock.entry(row.instance).or_insert(0);
                if row.lsn <= *reached {
                    continue;
                }
                *reached = row.lsn;
            }
            let applied = self.data.model.apply(&row);
            applied.map_err(|reason| TarantoolError::Row {
                path: file.path.clone(),
                offset: file.at,
                lsn: row.lsn,
                reason,
            })?;
        }
        Ok(())
    }
}
