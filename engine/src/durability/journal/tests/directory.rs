//! Whose a directory is, and what becomes of one that is taken away.

use std::os::unix::fs::{MetadataExt, symlink};

use super::faults::eventually;
use super::*;
use crate::durability::journal::mark;
use crate::durability::storage::Disk;

fn open(scratch: &Scratch, sync: JournalSync) -> Result<Journal, JournalError> {
    Journal::open(scratch.options(sync), &mut |_, _| Ok(()), &mut |_, _| ())
}

#[test]
fn a_directory_is_locked_still_when_its_lock_file_is_removed() {
    let scratch = Scratch::new();
    let first = open(&scratch, JournalSync::Never).unwrap();
    fs::remove_file(scratch.0.join("lock")).unwrap();
    let told = open(&scratch, JournalSync::Never).unwrap_err();
    assert!(matches!(told, JournalError::Locked { .. }), "{told}");
    let told = crate::durability::journal::lock_shared(&scratch.0).unwrap_err();
    assert!(matches!(told, JournalError::Locked { .. }), "{told}");
    drop(first);
    open(&scratch, JournalSync::Never).unwrap();
}

#[test]
fn nothing_is_acknowledged_once_the_directory_is_removed() {
    let scratch = Scratch::new();
    let mut journal = open(&scratch, JournalSync::Turn).unwrap();
    journal.append(b"one").unwrap();
    fs::remove_dir_all(&scratch.0).unwrap();
    let told = journal.append(b"two").unwrap_err().to_string();
    assert!(
        told.contains("the file was removed while it is in use"),
        "{told}"
    );
    assert_eq!(journal.last_sequence(), 1);
    let told = journal.append(b"two").unwrap_err();
    assert!(matches!(told, JournalError::Failed { .. }), "{told}");
    assert!(journal.resume().is_err());
}

#[test]
fn a_removed_directory_is_found_behind_the_appends_as_well() {
    let period = Duration::from_millis(10);
    for sync in [JournalSync::Interval(period), JournalSync::Never] {
        let scratch = Scratch::new();
        let mut journal = open(&scratch, sync).unwrap();
        journal.append(b"one").unwrap();
        fs::remove_dir_all(&scratch.0).unwrap();
        eventually("the journal fails", || {
            journal.append(b"two").is_err() && journal.is_failed()
        });
    }
}

#[test]
fn no_file_is_made_in_a_directory_that_took_the_place_of_another() {
    let scratch = Scratch::new();
    let mut journal = open(&scratch, JournalSync::Turn).unwrap();
    journal.append(b"one").unwrap();
    let aside = Scratch::new();
    fs::rename(&scratch.0, &aside.0).unwrap();
    fs::create_dir(&scratch.0).unwrap();
    let told = journal.rotate().unwrap_err().to_string();
    assert!(
        told.contains("not the directory any more that was opened"),
        "{told}"
    );
    // What is open goes with the directory.
    journal.append(b"two").unwrap();
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 0);
}

#[test]
fn what_is_made_is_for_its_owner_only() {
    let scratch = Scratch::new();
    fs::remove_dir(&scratch.0).unwrap();
    let mut journal = open(&scratch, JournalSync::Turn).unwrap();
    journal.append(b"one").unwrap();
    let others = |path: &Path| fs::metadata(path).unwrap().mode() & 0o077;
    assert_eq!(others(&scratch.0), 0);
    let files: Vec<_> = fs::read_dir(&scratch.0).unwrap().collect();
    assert!(files.len() >= 3, "lock, journal, mark: {files:?}");
    for file in files {
        let path = file.unwrap().path();
        assert_eq!(others(&path), 0, "{}", path.display());
    }
}

#[test]
fn symbolic_links_among_the_files_are_not_followed() {
    for name in ["lock", "journal-00000000000000000001.log", "journal.begun"] {
        let scratch = Scratch::new();
        drop(open(&scratch, JournalSync::Turn).unwrap());
        let (link, elsewhere) = (scratch.0.join(name), scratch.0.join("elsewhere"));
        fs::rename(&link, &elsewhere).unwrap();
        symlink(&elsewhere, &link).unwrap();
        let told = open(&scratch, JournalSync::Turn).unwrap_err().to_string();
        assert!(
            told.contains("is a symbolic link") && told.contains(name),
            "{told}"
        );
    }
}

#[test]
fn a_mark_that_cannot_be_read_is_crossed_by_forced_recovery() {
    let scratch = Scratch::new();
    open(&scratch, JournalSync::Turn)
        .unwrap()
        .append(b"one")
        .unwrap();
    fs::write(scratch.0.join(mark::MARK), "no number\n").unwrap();
    let told = open(&scratch, JournalSync::Turn).unwrap_err().to_string();
    assert!(told.contains("not a number"), "{told}");
    let mut options = scratch.options(JournalSync::Turn);
    options.force_recovery = true;
    let (_, records) = Faulty::default().replay(options).unwrap();
    assert_eq!(records, [(1, b"one".to_vec())]);
}

/// A checkpoint and a journal that is resumed write it at the same time.
#[test]
fn a_mark_is_written_whole_while_another_one_is() {
    let scratch = Scratch::new();
    let path = scratch.0.join(mark::MARK);
    std::thread::scope(|scope| {
        for first in [1, 1_000_000] {
            let (directory, path) = (&scratch.0, &path);
            scope.spawn(move || {
                for number in first..first + 500_u64 {
                    mark::try_write(&Disk, directory, number).unwrap();
                    let text = fs::read_to_string(path).unwrap();
                    text.trim_ascii_end().parse::<u64>().unwrap();
                }
            });
        }
    });
}
