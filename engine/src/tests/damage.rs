//! Every file of a small directory, cut at every offset and with every byte flipped: what a start
//! makes of it, what a forced one does, and whether `check` says the same. That every single byte
//! of a checkpoint is checked is shown beside it; here a sample of them is enough.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use vestibule_actors::engine::{Engine, Fault};
use vestibule_wire::request::{Body, IdOrName, Select};

use super::{NONE, Rig, SPACE, by, new_directory, pack};
use crate::EngineOptions;
use crate::durability::journal::{Journal, JournalOptions, MARK};
use crate::durability::{record, recovery};
use crate::engine::EmbeddedEngine;
use crate::model::key::Key;
use crate::offline::{Contents, Findings};
use crate::options::JournalSync;
use crate::store::layer::Layer;
use crate::testing::test_disk::TestDisk;

/// A directory, and what it held after each turn.
struct Sample {
    files: Vec<(String, Vec<u8>)>,
    states: Vec<String>,
    /// The turns that its checkpoint has; 0 without one.
    turns_in_checkpoint: usize,
    /// Every row that there ever was.
    rows: HashSet<Vec<u8>>,
}

impl Rig {
    /// What can be seen: rows by both indexes, and the version of the definitions.
    fn state(&mut self) -> String {
        let version = self.engine.schema_version();
        let second = Select {
            index: IdOrName::Id(1),
            ..by(&[0x90])
        };
        let (rows, by_second) = (self.all(), self.run(Body::Select(second)));
        format!("{version}: {rows} {by_second}")
    }

    pub(super) fn checkpoint(&self) {
        assert!(self.try_checkpoint());
    }

    /// Makes a checkpoint, if one can be made.
    pub(super) fn try_checkpoint(&self) -> bool {
        let (answer, answered) = mpsc::channel();
        let made = self.engine.snapshot(Box::new(move |result| {
            answer.send(result.is_ok()).expect("the test waits");
        }));
        made.unwrap();
        answered.recv().expect("it is answered")
    }

    /// Ends the engine, and journals rows that it might never have written, each in a turn.
    pub(super) fn close_and_journal(&mut self, space: u32, rows: &[Vec<u8>]) {
        self.close();
        let options = JournalOptions {
            dir: self.options.data_dir.clone(),
            sync: JournalSync::Never,
            force_recovery: false,
            from: 1,
            required_until: 0,
        };
        let mut journal = Journal::open(options, &mut |_, _| Ok(()), &mut |_, _| ()).unwrap();
        for row in rows {
            let (mut turn, mut record) = (Layer::default(), Vec::new());
            turn.set(space, Key::from_bytes(row), Some(row[..].into()));
            record::encode(&turn, |_| true, &mut record);
            journal.append(&record).unwrap();
        }
    }
}

fn sample(with_checkpoint: bool) -> Sample {
    let mut rig = Rig::new();
    let mut states = vec![rig.state()];
    let mut rows = HashSet::new();
    let mut turns_in_checkpoint = 0;
    for turn in 0..9u32 {
        let mut insert = |rig: &mut Rig, key: u32, value: &str| {
            rows.insert(pack(&(key, value)));
            assert!(rig.replace(&(key, value)).starts_with('['));
        };
        let told = match turn {
            0 => rig.call("box.schema.space.create", &("s",)),
            1 => rig.call("box.space.s:create_index", &("pk",)),
            2 => {
                let parts = std::collections::BTreeMap::from([("parts", [(2, "string")])]);
                rig.call("box.space.s:create_index", &("by", parts))
            }
            6 => rig.call("box.space.s:truncate", &NONE),
            _ => {
                insert(&mut rig, turn, "a");
                insert(&mut rig, 7 * turn, &format!("b{turn}"));
                if turn == 4 {
                    rig.delete(&(3,));
                }
                rig.replace(&(turn, format!("c{turn}")));
                rows.insert(pack(&(turn, format!("c{turn}"))));
                rig.commit();
                String::new()
            }
        };
        assert!(told.is_empty() || told.starts_with('['), "{told}");
        states.push(rig.state());
        if with_checkpoint && turn == 4 {
            rig.checkpoint();
            turns_in_checkpoint = 5;
        }
    }
    let files = files(&rig.options.data_dir);
    Sample {
        files,
        states,
        turns_in_checkpoint,
        rows,
    }
}

/// The files of a directory that hold data, by their names.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = all_files(directory);
    files.retain(|(name, _)| name != "lock" && name != MARK);
    files
}

/// All files of a directory, by their names.
pub(super) fn all_files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// A directory that is gone in the end.
struct Place(PathBuf);

impl Place {
    fn with(files: &[(String, Vec<u8>)]) -> Self {
        let directory = new_directory();
        fs::create_dir_all(&directory).unwrap();
        for (name, bytes) in files {
            fs::write(directory.join(name), bytes).unwrap();
        }
        Self(directory)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a start finds, as far as it gets; `rig` looks at it.
fn start(place: &Place, force: bool, rig: &mut Rig) -> Result<(String, Vec<Vec<u8>>), Fault> {
    let options = EngineOptions {
        force_recovery: force,
        ..EngineOptions::new(&place.0)
    };
    let recovered = recovery::recover(Arc::new(TestDisk::default()), &options, &mut |_| ())?;
    let mut engine = EmbeddedEngine::new(options);
    engine.adopt(recovered.image)?;
    let rows = engine.look(|snapshot| {
        let space = snapshot.image.space(SPACE).into_iter();
        let tuples = space.flat_map(|space| space.rows.tuples());
        tuples.map(|tuple| tuple.to_vec()).collect()
    });
    rig.engine = engine;
    Ok((rig.state(), rows))
}

/// What is read without changing anything.
struct Looked {
    damages: usize,
    rows: Vec<Vec<u8>>,
}

/// Reads as `check` and a forced `dump` do; `None` if that cannot be.
fn look(place: &Place, is_thorough: bool) -> Option<Looked> {
    let before = files(&place.0);
    let mut damages = 0;
    let mut findings = Findings {
        is_thorough,
        on_damage: &mut |_| {
            damages += 1;
            true
        },
        on_file: &mut |_| (),
        progress: &mut |_| (),
    };
    let read = Contents::read(&place.0, &mut findings);
    assert!(files(&place.0) == before, "nothing is changed");
    let rows = read.ok()?.rows(SPACE).map(<[u8]>::to_vec).collect();
    Some(Looked { damages, rows })
}

/// What was done to a file.
struct Harm<'a> {
    name: &'a str,
    is_last: bool,
    /// Whether a start is tried.
    is_started: bool,
    /// Whether a forced start is tried, and a forced dump.
    is_forced: bool,
    what: String,
}

fn judge(sample: &Sample, files: &[(String, Vec<u8>)], harm: &Harm<'_>, rig: &mut Rig) {
    let place = Place::with(files);
    let looked = look(&place, true);
    let damages = looked.as_ref().map(|looked| looked.damages);
    let mut rows = looked.map_or(Vec::new(), |looked| looked.rows);
    if harm.is_started {
        judge_start(sample, &place, harm, damages, rig);
    }
    if harm.is_forced {
        // Written again: a start may have cut a tail.
        let place = Place::with(files);
        rows.extend(look(&place, false).map_or(Vec::new(), |looked| looked.rows));
        let started = start(&place, true, rig);
        rows.extend(started.map_or(Vec::new(), |(_, found)| found));
    }
    let is_known = rows.iter().all(|row| sample.rows.contains(row));
    assert!(
        is_known,
        "{}, {}: a row that never was there",
        harm.name, harm.what
    );
}

/// Starts, and holds against what should come of it.
fn judge_start(
    sample: &Sample,
    place: &Place,
    harm: &Harm<'_>,
    damages: Option<usize>,
    rig: &mut Rig,
) {
    let what = format!("{}, {}", harm.name, harm.what);
    match start(place, false, rig) {
        Ok((state, _)) => {
            // A file that a start does not need is checked nevertheless.
            let is_needed = harm.is_last || !harm.name.ends_with(".log");
            assert_eq!(damages == Some(0), is_needed, "{what}: {damages:?}");
            let turns = sample.states.iter().rposition(|own| *own == state);
            let turns = turns.unwrap_or_else(|| panic!("{what}: never was there: {state}"));
            assert!(turns >= sample.turns_in_checkpoint, "{what}");
            let is_all = turns + 1 == sample.states.len();
            assert!(is_all || harm.is_last, "{what}: only a tail may be lost");
        }
        Err(error) => {
            let text = error.to_string();
            assert_ne!(damages, Some(0), "{what}: check does not find {text}");
            assert!(text.contains(harm.name), "{what}: {text}");
            let is_placed = text.contains(" at offset ") || text.contains("format version");
            assert!(is_placed, "{what}: {text}");
            if harm.name.ends_with(".log") {
                assert!(
                    text.contains("record") || text.contains("version"),
                    "{text}"
                );
            }
        }
    }
}

/// Harms the newest file at every offset, others at every so manieth. Starts that wait for the disk
/// are fewer: that of a cut journal at every offset is a test of its own.
fn harm_everywhere(sample: &Sample) {
    let rig = &mut Rig::new();
    for at in 0..sample.files.len() {
        let is_last = at + 1 == sample.files.len();
        let name = &*sample.files[at].0;
        let stride = match (name.ends_with(".ckpt"), is_last) {
            (true, _) => 29,
            (false, true) => 1,
            (false, false) => 5,
        };
        for offset in (0..sample.files[at].1.len()).step_by(stride) {
            let harm = |what: &str, is_started| Harm {
                name,
                is_last,
                is_started,
                is_forced: offset % 16 == 0,
                what: format!("{what} at {offset}"),
            };
            let mut files = sample.files.clone();
            files[at].1.truncate(offset);
            judge(
                sample,
                &files,
                &harm("cut", !is_last || offset % 8 == 0),
                rig,
            );
            let mut files = sample.files.clone();
            files[at].1[offset] ^= 1 << (offset % 8);
            judge(sample, &files, &harm("flipped", true), rig);
        }
    }
}

#[test]
fn a_journal_harmed_anywhere_loses_its_tail_or_is_refused_by_name() {
    let sample = sample(false);
    assert_eq!(sample.files.len(), 1);
    harm_everywhere(&sample);
}

#[test]
fn a_checkpoint_or_its_journal_harmed_anywhere_is_not_read_wrongly() {
    let sample = sample(true);
    assert!(sample.files.len() >= 2);
    harm_everywhere(&sample);
}

#[test]
fn a_cut_journal_has_exactly_the_turns_before_the_cut() {
    let sample = sample(false);
    let (name, bytes) = &sample.files[0];
    let (mut turns, mut rig) = (0, Rig::new());
    for size in 0..=bytes.len() {
        let place = Place::with(&[(name.clone(), bytes[..size].to_vec())]);
        let (state, _) = start(&place, false, &mut rig).unwrap();
        if state != sample.states[turns] {
            turns += 1;
            assert_eq!(state, sample.states[turns], "cut at {size}");
        }
    }
    assert_eq!(turns + 1, sample.states.len());
}

/// What no server would have written, with the checksums of one that did.
#[test]
fn rows_that_do_not_belong_there_are_told_with_their_record() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    let parts = std::collections::BTreeMap::from([("parts", [(2, "unsigned")])]);
    let made = rig.call("box.space.s:create_index", &("by", parts));
    assert!(made.starts_with('['), "{made}");
    rig.insert(&(1, 7));
    rig.commit();
    let rows = [pack(&(2, "no number")), pack(&("x", 1)), pack(&(3, 7))];
    rig.close_and_journal(SPACE, &rows);

    let mut told = Vec::new();
    let mut findings = Findings {
        is_thorough: true,
        on_damage: &mut |damage| {
            told.push(damage.to_string());
            true
        },
        on_file: &mut |_| (),
        progress: &mut |_| (),
    };
    let contents = Contents::read(&rig.options.data_dir, &mut findings).unwrap();
    contents.check_unique(&mut |duplicate| told.push(duplicate), &mut |_| ());
    let expected = [
        (
            "record 5 of",
            "row [2, \"no number\"] of space 's': Tuple field 2 type does not match",
        ),
        ("record 6 of", "a tuple does not fit the key of space 's'"),
        (
            "index \"by\"",
            "with old tuple - [1, 7] and new tuple - [3, 7]",
        ),
    ];
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for (place, reason) in expected {
        let mut all = told.iter();
        assert!(
            all.any(|text| text.contains(place) && text.contains(reason)),
            "{told:?}"
        );
    }
}
