//! What is left when the disk says no, and when the sync comes later.

use super::*;

#[test]
fn a_failed_or_short_write_leaves_no_trace() {
    type Fault = fn() -> (usize, io::Result<usize>);
    let faults: [Fault; 4] = [
        || (0, Err(io::ErrorKind::StorageFull.into())),
        || (10, Ok(10)),
        || (18, Ok(18)),
        || (20, Err(broken())),
    ];
    for fault in faults {
        let scratch = Scratch::new();
        let disk = Faulty::default();
        let mut journal = disk.open(&scratch, JournalSync::Turn);
        journal.append(b"kept").unwrap();
        let size = journal.size_bytes();
        disk.plan().append = Some(fault());
        let error = journal.append(b"lost").unwrap_err();
        let place = format!(".log at offset {size}: ");
        assert!(error.to_string().contains(&place), "{error}");
        assert!(!journal.is_failed());
        assert_eq!(fs::metadata(scratch.file(1)).unwrap().len(), size);
        assert_eq!(journal.append(b"next").unwrap(), 2);
        drop(journal);
        let (_, records) = disk.replay(scratch.options(JournalSync::Turn)).unwrap();
        assert_eq!(records, [(1, b"kept".to_vec()), (2, b"next".to_vec())]);
    }
}

#[test]
fn a_write_that_cannot_be_undone_fails_the_journal_until_it_is_resumed() {
    let scratch = Scratch::new();
    let disk = Faulty::default();
    let mut journal = disk.open(&scratch, JournalSync::Turn);
    journal.append(b"kept").unwrap();
    disk.plan().append = Some((18, Err(broken())));
    disk.plan().fails_cut = true;
    assert!(matches!(
        journal.append(b"lost"),
        Err(JournalError::Io { .. })
    ));
    assert!(journal.is_failed());
    match journal.append(b"refused").unwrap_err() {
        JournalError::Failed { reason } => assert!(reason.contains("cannot cut it back")),
        error => panic!("{error}"),
    }
    assert!(journal.resume().is_err());
    assert!(journal.is_failed());
    disk.plan().fails_cut = false;
    journal.resume().unwrap();
    assert_eq!(journal.append(b"next").unwrap(), 2);
    drop(journal);
    let (_, records) = disk.replay(scratch.options(JournalSync::Turn)).unwrap();
    assert_eq!(records, [(1, b"kept".to_vec()), (2, b"next".to_vec())]);
}

#[test]
fn a_failed_fsync_is_not_tried_again_and_its_record_is_gone() {
    let scratch = Scratch::new();
    let disk = Faulty::default();
    let mut journal = disk.open(&scratch, JournalSync::Turn);
    journal.append(b"kept").unwrap();
    disk.plan().fails_sync = true;
    assert!(matches!(
        journal.append(b"lost"),
        Err(JournalError::Io { action: "sync", .. })
    ));
    let syncs = disk.plan().syncs;
    for _ in 0..3 {
        assert!(matches!(
            journal.append(b"refused"),
            Err(JournalError::Failed { .. })
        ));
        assert!(matches!(journal.rotate(), Err(JournalError::Failed { .. })));
    }
    assert_eq!(disk.plan().syncs, syncs);
    assert!(journal.resume().is_err());
    disk.plan().fails_sync = false;
    journal.resume().unwrap();
    assert!(!journal.is_failed());
    assert_eq!(journal.last_sequence(), 1);
    assert_eq!(journal.append(b"next").unwrap(), 2);
    assert!(scratch.file(2).exists());
    drop(journal);
    let (_, records) = disk.replay(scratch.options(JournalSync::Turn)).unwrap();
    assert_eq!(records, [(1, b"kept".to_vec()), (2, b"next".to_vec())]);
}

#[test]
fn a_record_beyond_the_bound_is_refused_without_a_write() {
    let scratch = Scratch::new();
    let mut journal = Faulty::default().open(&scratch, JournalSync::Never);
    let error = journal.append(&vec![0; RECORD_SIZE_MAX + 1]).unwrap_err();
    assert!(matches!(error, JournalError::TooLarge { .. }));
    assert!(!journal.is_failed());
}

pub(super) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        a_while(1);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "time in which something must not happen"
)]
fn a_while(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

#[test]
fn an_interval_journal_syncs_behind_the_appends_and_only_if_there_is_something_new() {
    let scratch = Scratch::new();
    let disk = Faulty::default();
    let mut journal = disk.open(&scratch, JournalSync::Interval(Duration::from_millis(2)));
    let before = disk.plan().syncs;
    a_while(20);
    assert_eq!(disk.plan().syncs, before);
    journal.append(b"one").unwrap();
    eventually("the append is synced", || disk.plan().syncs == before + 1);
    a_while(20);
    assert_eq!(disk.plan().syncs, before + 1);
}

#[test]
fn an_interval_journal_syncs_what_is_left_when_it_is_dropped() {
    let scratch = Scratch::new();
    let disk = Faulty::default();
    let mut journal = disk.open(&scratch, JournalSync::Interval(Duration::from_secs(3600)));
    let before = disk.plan().syncs;
    journal.append(b"one").unwrap();
    drop(journal);
    assert_eq!(disk.plan().syncs, before + 1);
}

#[test]
fn a_failed_interval_sync_is_told_by_the_next_append_and_resume_keeps_what_was_acknowledged() {
    let scratch = Scratch::new();
    let disk = Faulty::default();
    let mut journal = disk.open(&scratch, JournalSync::Interval(Duration::from_millis(1)));
    journal.append(b"synced").unwrap();
    let synced = journal.sync_thread.as_ref().map(|s| s.synced());
    eventually("the first is synced", || {
        journal.sync_thread.as_ref().map(|s| s.synced()) > synced
    });
    disk.plan().fails_sync = true;
    journal.append(b"acknowledged").unwrap();
    eventually("the sync fails", || journal.is_failed());
    assert!(matches!(
        journal.append(b"refused"),
        Err(JournalError::Failed { .. })
    ));
    // The second attempt has to know what the first one took out of the file.
    assert!(journal.resume().is_err());
    assert!(journal.resume().is_err());
    disk.plan().fails_sync = false;
    journal.resume().unwrap();
    assert_eq!(journal.append(b"next").unwrap(), 3);
    drop(journal);
    let (_, records) = disk.replay(scratch.options(JournalSync::Turn)).unwrap();
    let payloads: Vec<_> = records.iter().map(|record| record.1.as_slice()).collect();
    assert_eq!(payloads, [&b"synced"[..], b"acknowledged", b"next"]);
}

/// A record that is synced in a file without a name is lost with the power.
#[test]
fn a_new_file_and_its_name_are_on_the_disk_before_records_are() {
    let scratch = Scratch::new();
    let disk = Faulty::default();
    let mut journal = disk.open(&scratch, JournalSync::Turn);
    let told = || {
        let plan = disk.plan();
        (plan.syncs, plan.directory_syncs)
    };
    // The file, its name, and that of the directory; and the mark.
    assert_eq!(told(), (2, 2));
    journal.append(b"one").unwrap();
    assert_eq!(told(), (3, 2));
    journal.rotate().unwrap();
    assert_eq!(told(), (5, 3), "the old file, the new one and its name");
}

#[test]
fn a_rotation_that_finds_no_space_changes_nothing() {
    let scratch = Scratch::new();
    let disk = Faulty::default();
    let mut journal = disk.open(&scratch, JournalSync::Turn);
    journal.append(b"one").unwrap();
    disk.plan().fails_create = true;
    assert!(journal.rotate().is_err());
    disk.plan().fails_create = false;
    disk.plan().append = Some((5, Err(io::ErrorKind::StorageFull.into())));
    assert!(journal.rotate().is_err());
    assert!(!scratch.file(2).exists());
    assert_eq!(journal.append(b"two").unwrap(), 2);
    assert_eq!(journal.rotate().unwrap(), 3);
    drop(journal);
    assert_eq!(
        disk.replay(scratch.options(JournalSync::Turn))
            .unwrap()
            .1
            .len(),
        2
    );
}

#[test]
fn a_flush_returns_once_everything_before_it_is_synced_in_whatever_mode() {
    for sync in [
        JournalSync::Never,
        JournalSync::Interval(Duration::from_secs(3600)),
    ] {
        let scratch = Scratch::new();
        let disk = Faulty::default();
        let mut journal = disk.open(&scratch, sync);
        let flush_handle = journal.flush_handle().unwrap();
        let before = disk.plan().syncs;
        flush_handle.flush().unwrap();
        assert_eq!(disk.plan().syncs, before, "there was nothing to sync");
        journal.append(b"one").unwrap();
        flush_handle.flush().unwrap();
        assert_eq!(disk.plan().syncs, before + 1);
        journal.append(b"two").unwrap();
        journal.rotate().unwrap();
        let rotated = disk.plan().syncs;
        flush_handle.flush().unwrap();
        assert_eq!(disk.plan().syncs, rotated, "a file that was left is synced");
    }
    assert!(
        Faulty::default()
            .open(&Scratch::new(), JournalSync::Turn)
            .flush_handle()
            .is_none()
    );
}

/// Of two that sync a file at once, the kernel tells one of a failure. It has to be the one that
/// remembers it.
#[test]
fn a_file_that_a_thread_syncs_is_synced_by_nobody_else() {
    for sync in [
        JournalSync::Never,
        JournalSync::Interval(Duration::from_secs(3600)),
    ] {
        let scratch = Scratch::new();
        let disk = Faulty::default();
        let mut journal = disk.open(&scratch, sync);
        let headers = disk.plan().own_syncs;
        journal.append(b"one").unwrap();
        journal.rotate().unwrap();
        assert_eq!(disk.plan().own_syncs, headers + 1, "the new file's header");
        journal.append(b"two").unwrap();
        disk.plan().fails_sync = true;
        assert!(matches!(journal.rotate(), Err(JournalError::Failed { .. })));
        assert!(journal.is_failed());
        disk.plan().fails_sync = false;
        journal.resume().unwrap();
        drop(journal);
        let (_, records) = disk.replay(scratch.options(JournalSync::Turn)).unwrap();
        assert_eq!(records, [(1, b"one".to_vec()), (2, b"two".to_vec())]);
    }
}

#[test]
fn a_flush_that_fails_fails_the_journal() {
    let scratch = Scratch::new();
    let disk = Faulty::default();
    let mut journal = disk.open(&scratch, JournalSync::Never);
    let flush_handle = journal.flush_handle().unwrap();
    journal.append(b"one").unwrap();
    disk.plan().fails_sync = true;
    assert!(flush_handle.flush().unwrap_err().contains("cannot sync it"));
    assert!(matches!(
        journal.append(b"two"),
        Err(JournalError::Failed { .. })
    ));
    disk.plan().fails_sync = false;
    assert!(
        flush_handle.flush().is_err(),
        "a failed sync is not just tried again"
    );
    journal.resume().unwrap();
    assert_eq!(journal.append(b"two").unwrap(), 2);
    flush_handle.flush().unwrap();
}

#[test]
fn a_journal_that_is_never_synced_is_not_synced_when_it_is_dropped() {
    let scratch = Scratch::new();
    let disk = Faulty::default();
    let mut journal = disk.open(&scratch, JournalSync::Never);
    let before = disk.plan().syncs;
    journal.append(b"one").unwrap();
    drop(journal);
    assert_eq!(disk.plan().syncs, before);
}
