//! The thread: asked, by size, and after a forced recovery.

use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use super::*;

/// Longer than any checkpoint of a test takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for one that the engine makes by itself.
#[expect(clippy::disallowed_methods, reason = "there is no event to wait for")]
pub(super) fn wait_for_checkpoint(rig: &Rig) {
    let start = Instant::now();
    while rig.engine.checkpoint_status().made.is_none() {
        assert!(
            start.elapsed() < PATIENCE,
            "{:?}",
            rig.engine.checkpoint_status()
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn ask(rig: &Rig) -> Result<Receiver<Result<(), String>>, String> {
    let (send, receive) = mpsc::channel();
    let answer = move |result: Result<(), CheckpointError>| {
        let _ = send.send(result.map_err(|error| error.to_string()));
    };
    let asked = rig.engine.snapshot(Box::new(answer));
    asked
        .map(|()| receive)
        .map_err(|error| format!("{}: {}", error.code().0, error.message()))
}

#[test]
fn a_second_request_while_one_is_under_way_is_refused() {
    let mut rig = with_rows(5);
    // With the image locked, as by a turn that is being applied, no checkpoint gets ahead.
    let image = rig.engine.shared_image();
    let lock = image.write();
    let first = ask(&rig).unwrap();
    assert_eq!(
        ask(&rig).unwrap_err(),
        "120: Snapshot is already in progress"
    );
    assert!(first.try_recv().is_err());
    drop(lock);
    assert_eq!(first.recv_timeout(PATIENCE), Ok(Ok(())));
    assert_eq!(ask(&rig).unwrap().recv_timeout(PATIENCE), Ok(Ok(())));
    let expected = everything(&rig);
    rig.reopen();
    assert_eq!(everything(&rig), expected);
}

#[test]
fn a_journal_that_has_grown_enough_makes_a_checkpoint_due() {
    let mut rig = with_rows(5);
    rig.options.settings.checkpoints.journal_size_bytes = Some(2000);
    rig.options.settings.checkpoints.interval = None;
    rig.reopen();
    assert!(rig.engine.checkpoint_status().made.is_none());
    for key in 0..100 {
        replace(&mut rig, 512, &(key, 0, "twenty bytes of text"));
        rig.commit();
    }
    wait_for_checkpoint(&rig);
    assert!(rig.engine.checkpoint_status().journal_bytes < 4000);
    // A journal that is large enough already at the start is so, too.
    rig.options.settings.checkpoints.journal_size_bytes = None;
    rig.reopen();
    replace(&mut rig, 512, &(1000, 0, ""));
    rig.commit();
    rig.options.settings.checkpoints.journal_size_bytes = Some(1);
    rig.reopen();
    wait_for_checkpoint(&rig);
}

#[test]
fn an_engine_that_goes_away_takes_its_checkpoint_with_it() {
    let mut rig = with_rows(500);
    let answer = ask(&rig).unwrap();
    rig.reopen();
    // Done in time, or given up: but told, and the directory is free.
    let told = answer.recv_timeout(PATIENCE);
    assert!(
        !matches!(told, Err(mpsc::RecvTimeoutError::Timeout)),
        "{told:?}"
    );
    assert!(files(&rig).iter().all(|name| !name.ends_with(".tmp")));
}

#[test]
fn a_failure_is_told_and_does_not_stop_turns() {
    let mut rig = with_rows(5);
    // A directory where the file should be.
    let from = rig.engine.image().sequence + 1;
    let name = format!("checkpoint-{from:020}.ckpt.tmp");
    fs::create_dir(rig.options.data_dir.join(&name)).unwrap();
    let told = ask(&rig)
        .unwrap()
        .recv_timeout(PATIENCE)
        .unwrap()
        .unwrap_err();
    assert!(
        told.contains("cannot create") && told.contains(&name),
        "{told}"
    );
    assert_eq!(rig.engine.checkpoint_status().failure, Some(told));
    replace(&mut rig, 512, &(9, 0, "goes on"));
    rig.commit();
    fs::remove_dir(rig.options.data_dir.join(&name)).unwrap();
    assert_eq!(ask(&rig).unwrap().recv_timeout(PATIENCE), Ok(Ok(())));
    assert_eq!(rig.engine.checkpoint_status().failure, None);
}

#[test]
fn a_panic_fails_one_checkpoint_and_not_the_next() {
    let mut rig = with_rows(5);
    let storage = Disturbed::default();
    rig.storage = Arc::new(storage.clone());
    rig.reopen();
    storage.plan().at_append = Some(Box::new(|| panic!("as the test wants it")));
    let told = ask(&rig).unwrap().recv_timeout(PATIENCE).unwrap();
    assert_eq!(told.unwrap_err(), "the thread that made it has panicked",);
    assert!(!rig.engine.checkpoint_status().is_running);
    storage.plan().at_append = None;
    replace(&mut rig, 512, &(9, 0, "goes on"));
    rig.commit();
    assert_eq!(ask(&rig).unwrap().recv_timeout(PATIENCE), Ok(Ok(())));
    let expected = everything(&rig);
    rig.reopen();
    assert_eq!(everything(&rig), expected);
}
