//! Checkpoints and journals that are not what was written.

use super::*;
use crate::durability::checkpoint::read::{Next, Reader};

/// Reads a checkpoint to its end; tells the rows.
fn verify(directory: &Path, from: u64) -> Result<u64, CheckpointError> {
    let mut reader = Reader::open(directory, from)?;
    while let Next::Block(block) = reader.next()? {
        assert!(block.rows().all(|row| row.is_some()));
    }
    Ok(reader.rows())
}

#[test]
fn a_flipped_bit_or_a_cut_is_seen_wherever_it_is() {
    let rig = with_rows(10);
    let made = checkpoint(&rig);
    let (directory, file) = (&rig.options.data_dir, newest(&rig));
    let whole = fs::read(&file).unwrap();
    assert_eq!(verify(directory, made.from).unwrap(), made.rows);
    assert_eq!(whole.len() as u64, made.size_bytes);
    // Every byte of the header, of the first block and of the end, and some of those in between.
    let ends = [0..200, whole.len() - 200..whole.len()];
    let middle = (200..whole.len() - 200).step_by(11);
    for at in ends.into_iter().flatten().chain(middle) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&file, &bytes).unwrap();
        match verify(directory, made.from) {
            Err(CheckpointError::Damaged { offset, .. }) => assert!(offset <= at as u64),
            Err(CheckpointError::NewerVersion { .. }) => assert!((8..12).contains(&at)),
            other => panic!("byte {at}: {other:?}"),
        }
        fs::write(&file, &whole[..at]).unwrap();
        let cut = verify(directory, made.from);
        assert!(
            matches!(cut, Err(CheckpointError::Damaged { .. })),
            "cut at {at}: {cut:?}"
        );
    }
    fs::write(&file, [&whole[..], b"more"].concat()).unwrap();
    assert!(verify(directory, made.from).is_err());
}

/// Two checkpoints with something between them, and after them.
fn two_checkpoints() -> Rig {
    let mut rig = with_rows(10);
    for key in [50, 51] {
        let mut task = task(&rig, &Disturbed::default());
        task.count = 2;
        task.run(&|| false).unwrap().unwrap();
        replace(&mut rig, 512, &(key, 0, "later"));
        rig.commit();
    }
    rig
}

#[test]
fn a_damaged_checkpoint_is_named_and_only_forced_recovery_takes_the_one_before() {
    let mut rig = two_checkpoints();
    let expected = everything(&rig);
    rig.close();
    let file = newest(&rig);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let told = rig.try_reopen().unwrap_err().to_string();
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(
        told.contains(name) && told.contains("is damaged at offset"),
        "{told}"
    );
    assert_eq!(fs::read(&file).unwrap(), bytes, "a refusal changes nothing");

    rig.options.force_recovery = true;
    rig.reopen();
    assert_eq!(everything(&rig), expected);
    thread::wait_for_checkpoint(&rig);
    rig.options.force_recovery = false;
    rig.reopen();
    assert_eq!(everything(&rig), expected);
    let aside = format!("{name}.damaged");
    assert!(files(&rig).contains(&aside), "{:?}", files(&rig));
}

#[test]
fn without_any_checkpoint_that_can_be_read_the_journal_from_its_beginning_will_do() {
    let mut rig = with_rows(10);
    let mut task = task(&rig, &Disturbed::default());
    task.count = 2;
    task.run(&|| false).unwrap().unwrap();
    drop(task);
    let expected = everything(&rig);
    rig.close();
    fs::write(newest(&rig), "nothing").unwrap();
    rig.options.force_recovery = true;
    rig.reopen();
    assert_eq!(everything(&rig), expected);
}

#[test]
fn a_checkpoint_of_a_later_version_is_refused_by_name_even_if_recovery_is_forced() {
    let mut rig = two_checkpoints();
    rig.close();
    let file = newest(&rig);
    let mut bytes = fs::read(&file).unwrap();
    bytes[8] = 2;
    fs::write(&file, &bytes).unwrap();
    for force in [false, true] {
        rig.options.force_recovery = force;
        let told = rig.try_reopen().unwrap_err().to_string();
        assert!(told.contains(".ckpt has format version 2, newer"), "{told}");
    }
}

#[test]
fn a_journal_that_does_not_follow_the_checkpoint_is_refused_by_name() {
    let mut rig = two_checkpoints();
    rig.close();
    let logs: Vec<_> = files(&rig)
        .into_iter()
        .filter(|name| name.ends_with(".log"))
        .collect();
    let last = rig.options.data_dir.join(logs.last().unwrap());
    let aside = last.with_extension("aside");
    fs::rename(&last, &aside).unwrap();
    // The file before it ends where the checkpoint begins: without the mark, what followed cannot
    // be known.
    fs::remove_file(rig.options.data_dir.join(MARK)).unwrap();
    for log in &logs[..logs.len() - 1] {
        fs::remove_file(rig.options.data_dir.join(log)).unwrap();
    }
    let told = rig.try_reopen().unwrap_err().to_string();
    assert!(
        told.contains("but the checkpoint needs the records up to"),
        "{told}"
    );
    let later = rig
        .options
        .data_dir
        .join("journal-00000000000000009999.log");
    fs::rename(&aside, &later).unwrap();
    let told = rig.try_reopen().unwrap_err().to_string();
    assert!(
        told.contains("9999.log has record 9999 at offset 0, where record"),
        "{told}"
    );
}

/// The file before it is whole and reaches up to the checkpoint, so nothing else tells of it.
#[test]
fn a_newest_journal_file_that_is_missing_is_refused_by_name() {
    let mut rig = with_rows(20);
    let storage = Disturbed::default();
    let mut task = task(&rig, &storage);
    task.count = 2;
    task.run(&|| false).unwrap();
    drop(task);
    let before = everything(&rig);
    replace(&mut rig, 512, &(99, 0, "lost"));
    rig.commit();
    rig.close();
    let mut logs = files(&rig);
    logs.retain(|name| name.ends_with(".log"));
    let last = logs.pop().unwrap();
    fs::remove_file(rig.options.data_dir.join(&last)).unwrap();
    let told = rig.try_reopen().unwrap_err().to_string();
    assert!(told.contains(&format!("{last} is missing")), "{told}");
    // Without the mark nobody can know.
    fs::remove_file(rig.options.data_dir.join(MARK)).unwrap();
    rig.reopen();
    assert_eq!(everything(&rig), before);
}

/// What the scan saw must be in the journal, or the checkpoint is a mixture of two states.
#[test]
fn a_journal_that_ends_before_the_checkpoint_does_is_refused() {
    let rig = with_rows(20);
    let storage = Disturbed::default();
    let mut task = task(&rig, &storage);
    let rig = Arc::new(Mutex::new(rig));
    let (own, mut next) = (rig.clone(), 0);
    storage.plan().at_append = Some(Box::new(move || {
        let rig = &mut own.lock().unwrap();
        replace(rig, 512, &(30 + next, 0, "meanwhile"));
        rig.commit();
        next += 1;
    }));
    task.run(&|| false).unwrap();
    drop(task);
    storage.plan().at_append = None;
    let mut rig = Arc::into_inner(rig).unwrap().into_inner().unwrap();
    rig.close();
    let logs: Vec<_> = files(&rig)
        .into_iter()
        .filter(|name| name.ends_with(".log"))
        .collect();
    assert_eq!(logs.len(), 1, "{logs:?}");
    let log = rig.options.data_dir.join(&logs[0]);
    let bytes = fs::read(&log).unwrap();
    // Cut in the middle of some record: a torn tail, were it not for the checkpoint.
    fs::write(&log, &bytes[..bytes.len() / 2]).unwrap();
    let told = rig.try_reopen().unwrap_err().to_string();
    assert!(
        told.contains(&logs[0]) && told.contains("but the checkpoint needs"),
        "{told}"
    );
    rig.options.force_recovery = true;
    rig.reopen();
    thread::wait_for_checkpoint(&rig);
    let expected = everything(&rig);
    rig.options.force_recovery = false;
    rig.reopen();
    assert_eq!(everything(&rig), expected);
}

#[test]
fn a_journal_damaged_in_the_middle_starts_without_force_once_a_forced_start_made_a_checkpoint() {
    let mut rig = with_rows(20);
    rig.close();
    let log = rig.options.data_dir.join(&files(&rig)[0]);
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&log, &bytes).unwrap();
    assert!(rig.try_reopen().is_err());
    rig.options.force_recovery = true;
    rig.reopen();
    thread::wait_for_checkpoint(&rig);
    let expected = everything(&rig);
    rig.options.force_recovery = false;
    rig.reopen();
    assert_eq!(everything(&rig), expected);
    replace(&mut rig, 512, &(900, 0, "goes on"));
    rig.commit();
    let expected = everything(&rig);
    rig.reopen();
    assert_eq!(everything(&rig), expected);
}
