//! The power goes at every single step, and disks that are full.

use super::*;
use crate::durability::journal::{self, Journal, JournalOptions};
use crate::options::JournalSync;

/// Breaks at the n-th call to the disk, for every n; `check` gets the engine after a new start.
fn at_every_step(torn: usize, fails_once: bool, check: impl Fn(usize, &mut Rig, &Everything)) {
    for step in 0.. {
        let mut rig = with_rows(8);
        checkpoint(&rig);
        replace(&mut rig, 512, &(100, 0, "between"));
        rig.commit();
        checkpoint(&rig);
        delete(&mut rig, 512, &(3,));
        rig.commit();
        let expected = everything(&rig);
        let storage = Disturbed::default();
        {
            let mut plan = storage.plan();
            (plan.left, plan.torn, plan.fails_once) = (Some(step), torn, fails_once);
        }
        let result = task(&rig, &storage).run(&|| false);
        let is_through = storage.plan().left.is_some_and(|left| left > 0);
        check(step, &mut rig, &expected);
        if is_through {
            assert!(result.is_ok());
            assert!(step > 10, "there are more steps than that");
            return;
        }
    }
}

#[test]
fn a_crash_at_any_step_loses_nothing() {
    for torn in [0, 17] {
        at_every_step(torn, false, |step, rig, expected| {
            rig.reopen();
            assert_eq!(everything(rig), *expected, "step {step}");
            let left = files(rig);
            assert!(left.iter().all(|name| !name.ends_with(".tmp")), "{left:?}");
            checkpoint(rig);
            rig.reopen();
            assert_eq!(everything(rig), *expected, "step {step}, next checkpoint");
            assert_eq!(files(rig).len(), 2, "one checkpoint, one journal file");
        });
    }
}

#[test]
fn a_disk_that_is_full_for_a_moment_costs_one_attempt_and_no_turn() {
    at_every_step(5, true, |step, rig, _| {
        replace(rig, 512, &(200, 0, "after"));
        rig.commit();
        let expected = everything(rig);
        // What could not be removed is found again at the next start.
        rig.reopen();
        assert_eq!(everything(rig), expected, "step {step}");
        checkpoint(rig);
        rig.reopen();
        assert_eq!(everything(rig), expected, "step {step}, next checkpoint");
        assert_eq!(files(rig).len(), 2, "{:?}", files(rig));
    });
}

/// A power failure may lose whatever was not synced.
#[test]
fn every_step_is_on_the_disk_before_the_next_one_builds_on_it() {
    let mut rig = with_rows(3);
    checkpoint(&rig);
    replace(&mut rig, 512, &(10, 0, ""));
    rig.commit();
    let storage = Disturbed::default();
    task(&rig, &storage).run(&|| false).unwrap().unwrap();
    let expected = [
        "remove", // Which file of the journal is the newest.
        "create",
        "append",
        "sync",
        "rename",
        "remove", // What an attempt before may have left.
        "create",
        "append",
        "sync",
        "rename",
        "sync directory",
        "remove", // The old checkpoint, and then its journal.
        "sync directory",
        "remove",
        "sync directory",
    ];
    assert_eq!(storage.plan().calls, expected);
}

#[test]
fn so_many_checkpoints_are_kept_as_asked_for_with_the_journal_they_need() {
    let mut rig = with_rows(3);
    for round in 0..5u32 {
        replace(&mut rig, 512, &(10 + round, 0, "round"));
        rig.commit();
        let mut task = task(&rig, &Disturbed::default());
        task.count = 3;
        task.run(&|| false).unwrap().unwrap();
        // Until there are three, the journal from its beginning stays.
        let kept = (round as usize + 1).min(3);
        let logs = (round as usize + 2).min(3 + usize::from(round == 1));
        let count = |end: &str| {
            files(&rig)
                .iter()
                .filter(|name| name.ends_with(end))
                .count()
        };
        assert_eq!(
            (count(".ckpt"), count(".log")),
            (kept, logs),
            "round {round}"
        );
    }
}

#[test]
fn nothing_new_makes_no_new_checkpoint() {
    let mut rig = with_rows(3);
    let mut task = task(&rig, &Disturbed::default());
    let made = task.run(&|| false).unwrap().unwrap();
    assert_eq!(task.run(&|| false).unwrap(), None);
    assert_eq!(task.newest, Some(made.from));
    replace(&mut rig, 512, &(10, 0, ""));
    rig.commit();
    assert_eq!(task.run(&|| false).unwrap().unwrap().from, made.from + 1);
}

#[test]
fn a_stop_ends_a_checkpoint_and_leaves_nothing_of_it() {
    let rig = with_rows(30);
    let before = files(&rig).len();
    let stopped = task(&rig, &Disturbed::default()).run(&|| true);
    assert!(matches!(stopped, Err(CheckpointError::Stopped)));
    assert_eq!(
        files(&rig).len(),
        before + 1,
        "a journal file was begun, no more"
    );
}

#[test]
fn an_old_file_that_cannot_be_removed_is_removed_the_next_time() {
    let mut rig = with_rows(5);
    checkpoint(&rig);
    replace(&mut rig, 512, &(10, 0, ""));
    rig.commit();
    let storage = Disturbed::default();
    let mut task = task(&rig, &storage);
    let refused = |path: &Path| path.extension().is_some_and(|own| own == "log");
    storage.plan().refuses_removal = Some(refused);
    assert!(task.run(&|| false).unwrap().is_some());
    let count = |rig: &Rig| {
        files(rig)
            .iter()
            .filter(|name| name.ends_with(".log"))
            .count()
    };
    assert_eq!(count(&rig), 2);
    storage.plan().refuses_removal = None;
    replace(&mut rig, 512, &(11, 0, ""));
    rig.commit();
    assert_eq!(task.run(&|| false).unwrap().unwrap().removed, 3);
    assert_eq!(count(&rig), 1);
}

/// A journal of its own on a disk of its own, which is not synced after every record.
fn unsynced_journal(rig: &Rig, storage: &Disturbed) -> Arc<Mutex<Journal>> {
    let options = JournalOptions {
        dir: rig.options.data_dir.join("other"),
        sync: JournalSync::Never,
        force_recovery: false,
        from: 1,
        required_until: 0,
    };
    let lock = journal::lock(storage, &options.dir).unwrap();
    let found = journal::read(&options, &mut |_, _| Ok(()), &mut |_, _| ()).unwrap();
    let storage = Arc::new(storage.clone());
    Arc::new(Mutex::new(
        Journal::open_found(storage, lock, &options, found).unwrap(),
    ))
}

#[test]
fn what_the_scan_saw_is_on_the_disk_before_the_checkpoint_counts() {
    for breaks in [false, true] {
        let rig = with_rows(10);
        let (own, disk) = (Disturbed::default(), Disturbed::default());
        let mut task = task(&rig, &own);
        task.journal = unsynced_journal(&rig, &disk);
        let journal = task.journal.clone();
        let mut is_first = true;
        own.plan().at_append = Some(Box::new(move || {
            if std::mem::take(&mut is_first) {
                // The image holds it, and the disk does not yet, or never.
                journal.lock().unwrap().append(b"meanwhile").unwrap();
                disk.plan().left = breaks.then_some(0);
            }
        }));
        let made = task.run(&|| false);
        own.plan().at_append = None;
        assert_eq!(made.is_ok(), !breaks, "{made:?}");
        assert_eq!(list(&rig.options.data_dir).unwrap().is_empty(), breaks);
        if let Err(error) = made {
            assert!(error.to_string().contains("cannot sync it"), "{error}");
        }
    }
}
