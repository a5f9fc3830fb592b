//! Turns that go on while a checkpoint is made: whatever they do, recovery comes to the same.

use std::collections::BTreeMap;

use fastrand::Rng;
use serde_json::json;

use super::*;
use crate::tests::NONE;

/// A sequence gives the last one its keys.
const NAMES: [&str; 3] = ["a", "b", "c"];

/// Some turn, sometimes one that changes definitions.
fn disturb(rig: &mut Rig, random: &mut Rng) {
    let at = random.u64(..NAMES.len() as u64);
    let (space, id) = (NAMES[at as usize], 512 + at as u32);
    let rekey = random.u64(..40) == 0;
    match random.u64(..32) {
        0 => drop(rig.call(&format!("box.space.{space}:truncate"), &NONE)),
        1 => drop(rig.call(&format!("box.space.{space}:drop"), &NONE)),
        2 | 3 => create(rig, space, id),
        4 => {
            let parts = BTreeMap::from([("parts", [(2, "unsigned")])]);
            rig.call(
                &format!("box.space.{space}:create_index"),
                &("second", parts),
            );
        }
        5 => drop(rig.call(&format!("box.space.{space}.index.second:drop"), &NONE)),
        6 if rekey => {
            let part = [(1 + random.u64(..2) as u32, "unsigned")];
            let parts = BTreeMap::from([("parts", part)]);
            rig.call(&format!("box.space.{space}.index.pk:alter"), &(parts,));
        }
        7 => drop(rig.call(
            &format!("box.space.{space}:rename"),
            &(format!("{space}x"),),
        )),
        8 => drop(rig.call(&format!("box.space.{space}x:rename"), &(space,))),
        9 => {
            replace(rig, 514, &((), random.u64(..100), "generated"));
            rig.commit();
        }
        10 => drop(rig.call("box.sequence.c_seq:reset", &NONE)),
        11 => {
            // Only while it is empty, as it may be by now.
            let options = BTreeMap::from([("temporary", random.bool())]);
            rig.call(&format!("box.space.{space}:alter"), &(options,));
        }
        _ => {
            for _ in 0..=random.u64(..4) {
                let key = random.u64(..40);
                if random.u64(..3) == 0 {
                    delete(rig, id, &(key,));
                } else {
                    replace(
                        rig,
                        id,
                        &(key, key + 100 * random.u64(..4), random.u64(..1000)),
                    );
                }
            }
            rig.commit();
        }
    }
}

fn create(rig: &mut Rig, space: &str, id: u32) {
    rig.call(
        "box.schema.space.create",
        &(space, BTreeMap::from([("id", id)])),
    );
    let options = json!({"parts": [[1, "unsigned"]], "sequence": space == "c"});
    let name = format!("box.space.{space}:create_index");
    rig.call(&name, &("pk", options));
}

/// What a restart leaves of [`everything`]: temporary spaces are empty.
fn after_a_restart(rig: &Rig) -> Everything {
    let (version, mut trees) = everything(rig);
    let image = rig.engine.image();
    for ((space, _), (_, rows)) in &mut trees {
        if image.space(*space).unwrap().def.is_temporary {
            rows.clear();
        }
    }
    (version, trees)
}

/// How often the random test runs; `VESTIBULE_CHECKPOINTS=n` for a longer run.
fn rounds() -> u64 {
    let asked = std::env::var("VESTIBULE_CHECKPOINTS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(40)
}

/// One engine with random turns in the middle of a checkpoint; whether that one was made.
fn round(seed: u64) -> bool {
    let mut random = Rng::with_seed(seed);
    let mut rig = Rig::new();
    for (name, id) in NAMES.into_iter().zip(512..) {
        create(&mut rig, name, id);
        for key in 0..random.u64(..30) {
            replace(&mut rig, id, &(key, key, "before"));
        }
        rig.commit();
    }
    for _ in 0..20 {
        disturb(&mut rig, &mut random);
    }
    let storage = Disturbed::default();
    let mut task = task(&rig, &storage);
    let rig = Arc::new(Mutex::new(rig));
    let own = rig.clone();
    storage.plan().at_append = Some(Box::new(move || {
        disturb(&mut own.lock().unwrap(), &mut random)
    }));
    let made = task.run(&|| false);
    drop(task);
    storage.plan().at_append = None;
    let mut rig = Arc::into_inner(rig).unwrap().into_inner().unwrap();
    match made {
        Ok(made) => {
            assert!(made.is_some());
            let first = format!("journal-{:020}.log", 1);
            assert!(!files(&rig).contains(&first), "nothing needs it");
        }
        Err(CheckpointError::Redefined) => {
            rig.reopen();
            return false;
        }
        Err(error) => panic!("seed {seed}: {error}"),
    }
    let expected = after_a_restart(&rig);
    rig.reopen();
    assert_eq!(everything(&rig), expected, "seed {seed}");
    // And once more, with nothing but a second checkpoint.
    checkpoint(&rig);
    rig.reopen();
    assert_eq!(everything(&rig), expected, "seed {seed}, second checkpoint");
    true
}

#[test]
fn whatever_turns_do_during_a_checkpoint_recovery_comes_to_the_same() {
    let made = (1..=rounds()).filter(|seed| round(*seed)).count() as u64;
    assert!(made > rounds() / 2, "{made} of {}", rounds());
}

#[test]
fn rows_changed_behind_and_before_the_scan_come_from_the_journal() {
    let rig = with_rows(40);
    let storage = Disturbed::default();
    let mut task = task(&rig, &storage);
    let rig = Arc::new(Mutex::new(rig));
    let (own, mut next) = (rig.clone(), 0);
    storage.plan().at_append = Some(Box::new(move || {
        let rig = &mut own.lock().unwrap();
        delete(rig, 512, &(39 - next,));
        replace(rig, 512, &(next, 0, "changed"));
        replace(rig, 512, &(100 + next, 0, "new"));
        rig.commit();
        next += 1;
    }));
    task.run(&|| false).unwrap();
    drop(task);
    storage.plan().at_append = None;
    let mut rig = Arc::into_inner(rig).unwrap().into_inner().unwrap();
    let expected = everything(&rig);
    assert_eq!(files(&rig).len(), 2, "{:?}", files(&rig));
    rig.reopen();
    assert_eq!(everything(&rig), expected);
}

/// Every definition of a primary key in the middle of a scan makes it start over; if they do not
/// end, it gives up.
#[test]
fn a_new_primary_key_makes_the_checkpoint_begin_anew() {
    for (times, is_made) in [(1, true), (1000, false)] {
        let rig = with_rows(20);
        let storage = Disturbed::default();
        let mut task = task(&rig, &storage);
        let rig = Arc::new(Mutex::new(rig));
        let (own, mut left) = (rig.clone(), times);
        storage.plan().at_append = Some(Box::new(move || {
            if left > 0 {
                let part = [(1, ["unsigned", "integer"][left % 2])];
                let parts = BTreeMap::from([("parts", part)]);
                own.lock()
                    .unwrap()
                    .call("box.space.s.index.pk:alter", &(parts,));
                left -= 1;
            }
        }));
        let made = task.run(&|| false);
        drop(task);
        storage.plan().at_append = None;
        let mut rig = Arc::into_inner(rig).unwrap().into_inner().unwrap();
        assert_eq!(made.is_ok(), is_made, "{made:?}");
        assert_eq!(
            list(&rig.options.data_dir).unwrap().len(),
            usize::from(is_made)
        );
        assert!(files(&rig).iter().all(|name| !name.ends_with(".tmp")));
        let expected = everything(&rig);
        rig.reopen();
        assert_eq!(everything(&rig), expected);
    }
}

/// A checkpoint that waits for turns: if a turn waited for it, neither would ever end.
#[test]
fn turns_are_committed_while_a_checkpoint_is_being_written() {
    let mut rig = with_rows(10);
    let storage = Disturbed::default();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let (go_on, goes_on) = std::sync::mpsc::channel::<()>();
    storage.plan().at_append = Some(Box::new(move || {
        // Nobody there any more: it goes on alone.
        let _ = begun.send(());
        let _ = goes_on.recv();
    }));
    let mut task = task(&rig, &storage);
    let thread = std::thread::spawn(move || task.run(&|| false));
    for turn in 0..5 {
        has_begun.recv().unwrap();
        replace(&mut rig, 512, &(1000 + turn, 0, "meanwhile"));
        rig.commit();
        assert!(!thread.is_finished());
        go_on.send(()).unwrap();
    }
    drop((has_begun, go_on));
    thread.join().unwrap().unwrap();
    let expected = everything(&rig);
    rig.reopen();
    assert_eq!(everything(&rig), expected);
}
