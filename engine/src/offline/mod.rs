//! The engine without clients: a directory's data looked at, and rows put into it.
//!
//! ```text
//!   read:    files ─▶ records ─▶ every row against its definition ─▶ image ─▶ unique keys
//!   import:  row ─▶ checks of definitions and of data ─▶ turn ─▶ staged journal ─▶ adopt
//! ```
//!
//! | module | what |
//! |---|---|
//! | `import` | rows put into a directory |
//! | `tarantool` | Tarantool's own files, loaded: with the feature `tarantool-files` |
//! | `references` | definitions held against each other |

mod import;
mod references;
#[cfg(feature = "tarantool-files")]
mod tarantool;

use std::fmt::Display;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use crate::durability::checkpoint::{self, Loaded};
use crate::durability::journal::{self, FileReport, JournalError, JournalOptions};
use crate::durability::record;
use crate::errors;
use crate::model::space::SpaceDef;
use crate::options::JournalSync;
use crate::print::Printed;
use crate::schema::system::{self, system_key};
use crate::store::image::{Image, Replayed};
use crate::store::index_build::{self, BuildError, Room};
use vestibule_actors::engine::{Fault, Progress};
use vestibule_wire::msgpack::Reader;

pub use import::{Import, Put};
#[cfg(all(fuzzing, feature = "tarantool-files"))]
pub(crate) use tarantool::block_of as tarantool_block;
#[cfg(feature = "tarantool-files")]
pub use tarantool::{Converted, TarantoolData, TarantoolError, is_tarantool};

/// Definitions in the order in which they can be made again: what others need comes first.
const DEFINITIONS: [u32; 10] = [
    system::SCHEMA,
    system::USER,
    system::COLLATION,
    system::FUNC,
    system::SPACE,
    system::SEQUENCE,
    system::SEQUENCE_DATA,
    system::INDEX,
    system::SPACE_SEQUENCE,
    system::PRIV,
];

/// What a directory holds, read without changing anything there.
#[derive(Debug)]
pub struct Contents {
    image: Image,
    /// The last sequence number; 0 if nothing was ever written.
    pub last_sequence: u64,
}

/// Receives what reading finds.
pub struct Findings<'a> {
    /// Whether files that a start does not need are read as well.
    pub is_thorough: bool,
    /// Each damage; returns whether to go on.
    pub on_damage: &'a mut dyn FnMut(&dyn Display) -> bool,
    /// Each file, once it is read.
    pub on_file: &'a mut dyn FnMut(FileFound),
    /// How far it is with a file or with several, in bytes.
    pub progress: &'a mut dyn FnMut(Progress),
}

/// A file that was read.
#[derive(Debug)]
pub enum FileFound {
    /// Part of the journal.
    Journal(FileReport),
    /// A whole checkpoint.
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// How many rows it has.
        rows: u64,
        /// The journal record that is gone on from.
        from: u64,
    },
}

/// Whether there is anything to read in a directory.
pub fn has_data(directory: &Path) -> bool {
    journal::has_journal(directory)
        || checkpoint::list(directory).is_ok_and(|checkpoints| !checkpoints.is_empty())
}

/// Whether a file of this name is read.
pub fn is_data(name: &str) -> bool {
    journal::is_file_name(name) || checkpoint::is_file_name(name)
}

impl Contents {
    /// Reads a directory as a start would, and changes nothing there. Rows are checked against
    /// their definitions.
    ///
    /// # Errors
    ///
    /// A server has the directory, a file is of another version or cannot be read, or a damage
    /// after which `on_damage` did not want to go on.
    pub fn read(directory: &Path, findings: &mut Findings<'_>) -> Result<Self, Fault> {
        let _lock = journal::lock_shared(directory)?;
        let checkpoint = read_checkpoints(directory, findings)?;
        let mut options = JournalOptions {
            dir: directory.to_path_buf(),
            sync: JournalSync::Never,
            force_recovery: false,
            from: 1,
            required_until: 0,
        };
        let mut contents = Self {
            image: Image::new(),
            last_sequence: 0,
        };
        if let Some((from, loaded)) = checkpoint {
            if findings.is_thorough {
                let (on_damage, on_file) = (&mut *findings.on_damage, &mut *findings.on_file);
                let progress = &mut *findings.progress;
                journal::check_before(
                    directory,
                    from,
                    &mut |error| go_on(on_damage, error),
                    &mut |file| on_file(FileFound::Journal(file)),
                    &mut |done, total| progress(Progress::of(done, total)),
                )?;
            }
            (options.from, options.required_until) = (from, loaded.required_until);
            contents.image = loaded.image;
        }
        contents.read_journal(&options, findings)?;
        if options.from > 1 {
            // Rows of a checkpoint may be newer than the definitions that it begins with.
            contents.check_rows(findings)?;
        }
        Ok(contents)
    }

    fn read_journal(
        &mut self,
        options: &JournalOptions,
        findings: &mut Findings<'_>,
    ) -> Result<(), JournalError> {
        let image = &mut self.image;
        let mut receive = |sequence, payload: &[u8]| -> Result<(), Fault> {
            let turn = record::decode(payload)?;
            let violation = turn.iter().find_map(|(space, change)| {
                let Replayed::Put(tuple) = change else {
                    return None;
                };
                violation(image.space(*space).map(|space| &*space.def), tuple)
            });
            image.replay(sequence, turn.into_iter())?;
            violation.map_or(Ok(()), |text| Err(text.into()))
        };
        let (on_damage, on_file) = (&mut *findings.on_damage, &mut *findings.on_file);
        let progress = &mut *findings.progress;
        let found = journal::read_with(
            options,
            &mut receive,
            &mut |error| go_on(on_damage, error),
            &mut |file| on_file(FileFound::Journal(file)),
            &mut |done, total| progress(Progress::of(done, total)),
        )?;
        self.last_sequence = found.last_sequence;
        Ok(())
    }

    fn check_rows(&self, findings: &mut Findings<'_>) -> Result<(), Fault> {
        for space in self.image.spaces() {
            for tuple in space.rows.tuples() {
                if let Some(text) = violation(Some(&space.def), tuple)
                    && !(findings.on_damage)(&text)
                {
                    return Err(text.into());
                }
            }
        }
        Ok(())
    }

    /// Builds every secondary index, as a start does, and tells each pair of rows that share a key.
    pub fn check_unique(
        &self,
        on_duplicate: &mut dyn FnMut(String),
        progress: &mut dyn FnMut(Progress),
    ) {
        let (mut done, total) = (0, self.image.secondaries_work());
        for space in self.image.spaces() {
            for index in &space.def.secondaries {
                // A row that does not fit is told already.
                let tuples = space.rows.tuples();
                let fit = tuples.filter(|tuple| space.def.check(tuple).is_ok());
                let built = index_build::build(index, fit, Room::UNBOUNDED, &mut |step| {
                    done = total.min(done + step);
                    progress(Progress::of(done, total));
                    true
                });
                let name = (&space.def.name, &index.name);
                match built {
                    // Nobody cancels it here, and nothing bounds it.
                    Ok(_) | Err(BuildError::Cancelled | BuildError::NoMemory(..)) => {}
                    Err(BuildError::NoKey(error)) => on_duplicate(format!(
                        "space '{}': a row has no key in index '{}': {}",
                        name.0,
                        name.1,
                        error.message()
                    )),
                    Err(BuildError::Duplicates(pairs)) => pairs.iter().for_each(|(old, new)| {
                        let error = errors::duplicate(name.1, name.0, old, new);
                        on_duplicate(error.message().to_owned());
                    }),
                }
            }
        }
    }

    /// The users' spaces, by number: number, name, rows.
    pub fn spaces(&self) -> Vec<(u32, &str, u64)> {
        let spaces = self.image.spaces();
        let own = spaces.filter(|space| !system::is_system(space.def.id));
        let mut own: Vec<_> = own
            .map(|space| (space.def.id, &*space.def.name, space.rows.len() as u64))
            .collect();
        own.sort_unstable();
        own
    }

    /// The rows of a space in the order of its primary key.
    pub fn rows(&self, space: u32) -> impl Iterator<Item = &[u8]> {
        let space = self.image.space(space);
        space
            .into_iter()
            .flat_map(|space| space.rows.tuples())
            .map(|tuple| &**tuple)
    }

    /// The rows that define spaces, users and so on, each with the name of its space, in the order
    /// in which they can be made again. Without those that every directory is born with, and, if a
    /// space is given, without what is not about it.
    pub fn definitions(&self, only: Option<u32>) -> Vec<(&str, &[u8])> {
        let born = Image::new();
        let sequences: Vec<u64> =
            match only.and_then(|id| self.definition(system::SPACE_SEQUENCE, id)) {
                Some(row) => system::second_number(row).into_iter().collect(),
                None => Vec::new(),
            };
        let mut rows = Vec::new();
        for id in DEFINITIONS {
            let Some(space) = self.image.space(id) else {
                continue;
            };
            let all = space
                .rows
                .range((Bound::Unbounded, Bound::Unbounded), false);
            for (key, tuple) in all {
                let key = key.to_key();
                let is_wanted = only.is_none_or(|only| match id {
                    system::SPACE | system::INDEX | system::SPACE_SEQUENCE => {
                        key.first_number() == u64::from(only)
                    }
                    system::SEQUENCE | system::SEQUENCE_DATA => {
                        sequences.contains(&key.first_number())
                    }
                    _ => false,
                });
                let own = born.space(id).and_then(|space| space.rows.get(&key));
                if is_wanted && own != Some(tuple) {
                    rows.push((&*space.def.name, &**tuple));
                }
            }
        }
        rows
    }

    /// The rows that every directory is born with and this one has no more, rights that were taken
    /// back for example, each with the name of its space, in an order in which they can be taken
    /// away.
    pub fn deleted(&self) -> Vec<(String, Vec<u8>)> {
        let born = Image::new();
        let mut rows = Vec::new();
        for id in DEFINITIONS.into_iter().rev() {
            let (Some(born), Some(own)) = (born.space(id), self.image.space(id)) else {
                continue;
            };
            let all = born.rows.range((Bound::Unbounded, Bound::Unbounded), false);
            for (key, tuple) in all {
                if own.rows.get(&key.to_key()).is_none() {
                    rows.push((own.def.name.to_string(), tuple.to_vec()));
                }
            }
        }
        rows
    }

    fn definition(&self, space: u32, about: u32) -> Option<&[u8]> {
        let rows = &self.image.space(space)?.rows;
        rows.get(&system_key(&[about])).map(|row| &**row)
    }
}

fn go_on(
    on_damage: &mut dyn FnMut(&dyn Display) -> bool,
    error: JournalError,
) -> Result<(), JournalError> {
    if on_damage(&error) {
        Ok(())
    } else {
        Err(error)
    }
}

/// Reads the newest checkpoint that is not damaged, or all of them, and returns that with the
/// record that it is gone on from.
fn read_checkpoints(
    directory: &Path,
    findings: &mut Findings<'_>,
) -> Result<Option<(u64, Loaded)>, Fault> {
    let mut newest = None;
    for from in checkpoint::list(directory)?.into_iter().rev() {
        let path = checkpoint::path(directory, from);
        let total = path.metadata().map_or(0, |file| file.len());
        let mut count = 0;
        let loaded = checkpoint::load(directory, from, &mut |done, rows| {
            count = rows;
            (findings.progress)(Progress { done, total, rows });
        });
        match loaded {
            Ok(loaded) => {
                (findings.on_file)(FileFound::Checkpoint {
                    path,
                    rows: count,
                    from,
                });
                newest.get_or_insert((from, loaded));
                if !findings.is_thorough {
                    break;
                }
            }
            Err(error) if error.is_damage() && (findings.on_damage)(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(newest)
}

/// Why a row does not belong into a space; `None` if it does.
fn violation(space: Option<&SpaceDef>, tuple: &[u8]) -> Option<String> {
    let mut reader = Reader::new(tuple);
    if reader.skip().is_err() || !reader.is_empty() {
        return Some("a row is not one MessagePack value".to_owned());
    }
    let space = space?;
    let why = match Reader::new(tuple).skip_checked() {
        Ok(_) => space.check(tuple).err()?.message().to_owned(),
        Err(error) => error.to_string(),
    };
    let row = Printed(tuple);
    Some(format!("row {row} of space '{}': {why}", space.name))
}
