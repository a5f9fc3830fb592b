//! What is replayed from files that are whole, torn, damaged or missing.

use super::*;

#[test]
fn what_was_appended_is_replayed_in_order() {
    for sync in [
        JournalSync::Turn,
        JournalSync::Never,
        JournalSync::Interval(Duration::from_millis(1)),
    ] {
        let scratch = Scratch::new();
        let nothing = &mut |_, _: &[u8]| panic!("a new journal is empty");
        let mut journal = Journal::open(scratch.options(sync), nothing, &mut |_, _| ()).unwrap();
        assert_eq!(journal.last_sequence(), 0);
        for (at, payload) in payloads().iter().enumerate() {
            assert_eq!(journal.append(payload).unwrap(), at as u64 + 1);
        }
        let size = fs::metadata(scratch.file(1)).unwrap().len();
        assert_eq!(journal.size_bytes(), size);
        drop(journal);

        let (mut records, mut progress) = (Vec::new(), Vec::new());
        let mut receive = |sequence, payload: &[u8]| {
            records.push((sequence, payload.to_vec()));
            Ok(())
        };
        let journal = Journal::open(scratch.options(sync), &mut receive, &mut |done, total| {
            progress.push((done, total));
        });
        assert_eq!(journal.unwrap().last_sequence(), 5);
        assert_eq!(records, numbered(&payloads()));
        assert_eq!(progress.last(), Some(&(size, size)));
    }
}

#[test]
fn records_larger_than_the_window_are_replayed_and_progress_is_told_along_the_way() {
    let scratch = Scratch::new();
    let disk = Faulty::default();
    let payloads: Vec<Vec<u8>> = (0..9u8)
        .map(|n| vec![n; 3 * 300_007 * usize::from(n)])
        .collect();
    let mut journal = disk.open(&scratch, JournalSync::Never);
    for payload in &payloads {
        journal.append(payload).unwrap();
    }
    drop(journal);
    let (mut count, mut told) = (0, 0);
    let mut receive = |sequence: u64, payload: &[u8]| {
        assert_eq!(payload, payloads[sequence as usize - 1]);
        count += 1;
        Ok(())
    };
    let options = scratch.options(JournalSync::Never);
    Journal::open(options, &mut receive, &mut |_, _| told += 1).unwrap();
    assert_eq!(count, 9);
    assert!((3..=9).contains(&told), "{told}");
}

#[test]
fn a_torn_tail_is_cut_at_whatever_byte_it_was_torn() {
    let whole = sample(false).remove(&1).unwrap();
    let all = numbered(&payloads());
    for size in 0..=whole.len() {
        let scratch = written(&BTreeMap::from([(1, whole[..size].to_vec())]));
        let disk = Faulty::default();
        let (mut journal, records) = disk.replay(scratch.options(JournalSync::Turn)).unwrap();
        let mut end = format::HEADER_SIZE;
        let ends = payloads().into_iter().map(|payload| {
            end += format::RECORD_HEAD_SIZE + payload.len();
            end
        });
        let count = ends.filter(|end| *end <= size).count();
        assert_eq!(records, all[..count], "torn at {size}");
        // What is appended then does not end up behind the torn bytes.
        assert_eq!(journal.append(b"next").unwrap(), count as u64 + 1);
        drop(journal);
        let (_, records) = disk.replay(scratch.options(JournalSync::Turn)).unwrap();
        assert_eq!(records.len(), count + 1);
        assert_eq!(records[count].1, b"next");
    }
}

#[test]
fn zeros_or_noise_behind_the_last_record_are_a_torn_tail() {
    for noise in [
        vec![0; 5000],
        vec![0xff; 5000],
        (0..5000).map(|n| (n * 7) as u8).collect(),
    ] {
        let mut files = sample(false);
        files.get_mut(&1).unwrap().extend_from_slice(&noise);
        let scratch = written(&files);
        let opened = Faulty::default()
            .replay(scratch.options(JournalSync::Turn))
            .unwrap();
        assert_eq!(opened.1, numbered(&payloads()));
        assert_eq!(opened.0.size_bytes(), sample(false)[&1].len() as u64);
    }
}

/// A bad block takes the header and both of its salts, and with them all records.
#[test]
fn a_last_file_that_lost_its_header_is_damage_and_no_torn_tail() {
    for rotates in [false, true] {
        let mut files = sample(rotates);
        let (first, bytes) = files.last_entry().map(|last| (*last.key(), last)).unwrap();
        bytes.into_mut()[..format::HEADER_SIZE].fill(0);
        let scratch = written(&files);
        let mut options = scratch.options(JournalSync::Turn);
        let disk = Faulty::default();
        match disk.replay(options.clone()).unwrap_err() {
            JournalError::Damaged {
                file,
                offset: 0,
                sequence,
            } => assert_eq!((file, sequence), (scratch.file(first), first)),
            error => panic!("{error}"),
        }
        options.force_recovery = true;
        let (mut journal, records) = disk.replay(options).unwrap();
        assert_eq!(records.len() as u64, first - 1);
        assert_eq!(journal.append(b"next").unwrap(), first);
        drop(journal);
        let options = scratch.options(JournalSync::Turn);
        assert_eq!(disk.replay(options).unwrap().1.len() as u64, first);
    }
}

/// Flips every bit in turn; `check` gets the file, the offset and what became of the opening.
fn flip_every_bit(force: bool, check: impl Fn(u64, usize, Result<Records, JournalError>)) {
    for rotates in [false, true] {
        let files = sample(rotates);
        for (first, bytes) in &files {
            for bit in 0..bytes.len() * 8 {
                let mut files = files.clone();
                files.get_mut(first).unwrap()[bit / 8] ^= 1 << (bit % 8);
                let scratch = written(&files);
                let mut options = scratch.options(JournalSync::Turn);
                options.force_recovery = force;
                let opened = Faulty::default()
                    .replay(options)
                    .map(|(_, records)| records);
                check(*first, bit / 8, opened);
            }
        }
    }
}

#[test]
fn a_flipped_bit_is_refused_unless_it_hits_the_last_record() {
    let all = numbered(&payloads());
    flip_every_bit(false, |first, offset, opened| match opened {
        Ok(records) => assert_eq!(records, all[..4], "bit of byte {offset} in file {first}"),
        Err(JournalError::Damaged { sequence, .. }) => assert!((first..=5).contains(&sequence)),
        Err(JournalError::NewerVersion { .. } | JournalError::OlderVersion { .. }) => {
            assert!((8..12).contains(&offset));
        }
        Err(error) => panic!("{error}"),
    });
}

#[test]
fn forced_recovery_loses_only_the_record_with_the_flipped_bit() {
    let all = numbered(&payloads());
    flip_every_bit(true, |_, offset, opened| match opened {
        Ok(records) => {
            assert!(records.len() >= 4, "byte {offset}");
            assert!(records.iter().all(|record| all.contains(record)));
            assert!(records.is_sorted_by_key(|record| record.0));
        }
        Err(JournalError::NewerVersion { .. } | JournalError::OlderVersion { .. }) => {
            assert!((8..12).contains(&offset));
        }
        Err(error) => panic!("{error}"),
    });
}

#[test]
fn damage_is_named_by_file_offset_and_sequence() {
    let mut files = sample(false);
    let third = format::HEADER_SIZE + 2 * format::RECORD_HEAD_SIZE + 3;
    files.get_mut(&1).unwrap()[third + 20] ^= 0x40;
    let scratch = written(&files);
    let options = scratch.options(JournalSync::Turn);
    let text = Faulty::default().replay(options).unwrap_err().to_string();
    let expected = format!(
        "journal-{:020}.log is damaged at offset {third}, where record 3",
        1
    );
    assert!(text.contains(&expected), "{text}");
}

#[test]
fn a_missing_file_is_a_gap_that_only_forced_recovery_crosses() {
    let scratch = Scratch::new();
    let disk = Faulty::default();
    let mut journal = disk.open(&scratch, JournalSync::Turn);
    for payload in payloads() {
        journal.append(&payload).unwrap();
        journal.rotate().unwrap();
    }
    drop(journal);
    fs::remove_file(scratch.file(3)).unwrap();
    let mut options = scratch.options(JournalSync::Turn);
    match disk.replay(options.clone()).unwrap_err() {
        JournalError::Gap {
            file,
            offset: 0,
            expected: 3,
            found: 4,
        } => {
            assert_eq!(file, scratch.file(4));
        }
        error => panic!("{error}"),
    }
    options.force_recovery = true;
    let (mut journal, records) = disk.replay(options).unwrap();
    assert_eq!(
        records.iter().map(|record| record.0).collect::<Vec<_>>(),
        [1, 2, 4, 5]
    );
    assert_eq!(journal.append(b"").unwrap(), 6);
}

#[test]
fn a_directory_belongs_to_one_journal_at_a_time() {
    let scratch = Scratch::new();
    let disk = Faulty::default();
    let first = disk.open(&scratch, JournalSync::Turn);
    let error = disk.replay(scratch.options(JournalSync::Turn)).unwrap_err();
    assert!(matches!(error, JournalError::Locked { .. }));
    let told = error.to_string();
    assert!(told.contains(scratch.0.to_str().unwrap()), "{told}");
    assert!(told.ends_with("another engine of this process"), "{told}");
    drop(first);
    disk.open(&scratch, JournalSync::Turn);
}

#[test]
fn a_file_of_a_later_version_is_refused_by_name_even_if_recovery_is_forced() {
    let mut files = sample(false);
    files.get_mut(&1).unwrap()[8] = 3;
    let scratch = written(&files);
    let mut options = scratch.options(JournalSync::Turn);
    options.force_recovery = true;
    let text = Faulty::default().replay(options).unwrap_err().to_string();
    assert!(text.contains(".log has format version 3, newer"), "{text}");
}

#[test]
fn a_refused_record_ends_recovery() {
    let scratch = written(&sample(false));
    let receive = &mut |sequence, _: &[u8]| match sequence {
        3 => Err("does not fit".into()),
        _ => Ok(()),
    };
    let options = scratch.options(JournalSync::Turn);
    let error = Journal::open(options, receive, &mut |_, _| ()).unwrap_err();
    assert!(matches!(error, JournalError::Replay { sequence: 3, .. }));
    assert!(
        error
            .to_string()
            .ends_with("cannot be applied: does not fit")
    );
}

/// Removes the files before a record, which should be these.
fn remove(journal: &mut Journal, before: u64, expected: &[u64]) {
    let paths = journal.forget_before(before);
    let firsts = paths.iter().map(|path| format::parse_file_name(path));
    assert!(firsts.eq(expected.iter().copied().map(Some)), "{paths:?}");
    paths.iter().for_each(|path| fs::remove_file(path).unwrap());
}

#[test]
fn files_are_rotated_and_removed_once_all_their_records_are_old() {
    let scratch = Scratch::new();
    let disk = Faulty::default();
    let mut journal = disk.open(&scratch, JournalSync::Turn);
    assert_eq!(
        journal.rotate().unwrap(),
        1,
        "an empty file is not left behind"
    );
    for pair in payloads().chunks(2) {
        for payload in pair {
            journal.append(payload).unwrap();
        }
        journal.rotate().unwrap();
    }
    // Files 1..=2, 3..=4, 5, and an empty one from 6 on.
    remove(&mut journal, 4, &[1]);
    remove(&mut journal, 5, &[3]);
    drop(journal);
    let from = |from| JournalOptions {
        from,
        ..scratch.options(JournalSync::Turn)
    };
    let (mut journal, records) = disk.replay(from(5)).unwrap();
    assert_eq!(records, [(5, b"five five".to_vec())]);
    remove(&mut journal, 1000, &[5]);
    assert_eq!(journal.size_bytes(), format::HEADER_SIZE as u64);
    drop(journal);
    let (mut journal, records) = disk.replay(from(6)).unwrap();
    assert!(records.is_empty());
    assert_eq!(journal.append(b"six").unwrap(), 6);
}

#[test]
fn other_files_in_the_directory_are_left_alone() {
    let scratch = written(&sample(true));
    for name in [
        "journal-1.log",
        "journal-00000000000000000000.log",
        "journal-00000000000000000009.log.bak",
        "notes",
    ] {
        fs::write(scratch.0.join(name), "not a journal").unwrap();
    }
    let opened = Faulty::default()
        .replay(scratch.options(JournalSync::Turn))
        .unwrap();
    assert_eq!(opened.1, numbered(&payloads()));
}

#[test]
fn records_before_the_wanted_one_are_not_handed_on_and_files_before_it_not_read() {
    for from in 1..=6u64 {
        let mut files = sample(true);
        if from > 4 {
            // Needless, so nobody minds what it looks like.
            files.get_mut(&1).unwrap()[40] ^= 1;
        }
        let scratch = written(&files);
        let mut options = scratch.options(JournalSync::Turn);
        options.from = from;
        let (journal, records) = Faulty::default().replay(options).unwrap();
        assert_eq!(records, numbered(&payloads())[from as usize - 1..]);
        assert_eq!(journal.last_sequence(), 5);
    }
}

#[test]
fn records_that_a_checkpoint_needs_must_be_there() {
    let without_first = BTreeMap::from([(4, sample(true)[&4].clone())]);
    for (files, from, required_until) in [
        (sample(true), 2, 6),
        (sample(true), 8, 7),
        (without_first, 2, 5),
        (BTreeMap::new(), 2, 0),
    ] {
        let scratch = written(&files);
        let mut options = scratch.options(JournalSync::Turn);
        (options.from, options.required_until) = (from, required_until);
        match Faulty::default().replay(options.clone()).unwrap_err() {
            JournalError::Short { needed, .. } => assert_eq!(needed, required_until.max(from - 1)),
            JournalError::Gap {
                expected: 2,
                found: 4,
                ..
            } => {}
            error => panic!("{error}"),
        }
        // Forced, it goes on beyond what the checkpoint has seen: no number is given twice.
        options.force_recovery = true;
        let (mut journal, _) = Faulty::default().replay(options).unwrap();
        assert_eq!(
            journal.append(b"").unwrap(),
            required_until.max(from - 1).max(5.min(required_until)) + 1
        );
    }
}

/// A payload that holds a whole record, made by somebody who knows everything but the salt.
#[test]
fn a_payload_that_looks_like_a_record_is_not_taken_for_one() {
    let scratch = Scratch::new();
    let mut journal = Faulty::default().open(&scratch, JournalSync::Never);
    let salt = journal.salt;
    let forged = |salt: u32| {
        let head = format::record_head(salt, 2, b"forged");
        [&b"...."[..], &head, b"forged"].concat()
    };
    journal.append(&forged(salt.wrapping_add(1))).unwrap();
    journal.append(b"two").unwrap();
    drop(journal);
    let mut bytes = fs::read(scratch.file(1)).unwrap();
    bytes[format::HEADER_SIZE] ^= 1;
    fs::write(scratch.file(1), &bytes).unwrap();
    let mut options = scratch.options(JournalSync::Never);
    options.force_recovery = true;
    let (_, records) = Faulty::default().replay(options.clone()).unwrap();
    assert_eq!(records, [(2, b"two".to_vec())]);
    // With the salt it would have been: the test can fail.
    let start = format::HEADER_SIZE + format::RECORD_HEAD_SIZE;
    bytes[start..start + forged(salt).len()].copy_from_slice(&forged(salt));
    fs::write(scratch.file(1), &bytes).unwrap();
    let (_, records) = Faulty::default().replay(options).unwrap();
    assert_eq!(records, [(2, b"forged".to_vec())]);
}

#[test]
fn a_file_of_a_development_version_is_refused_by_name() {
    let mut files = sample(false);
    files.get_mut(&1).unwrap()[8] = 1;
    for force in [false, true] {
        let scratch = written(&files);
        let mut options = scratch.options(JournalSync::Turn);
        options.force_recovery = force;
        let text = Faulty::default().replay(options).unwrap_err().to_string();
        assert!(
            text.contains(".log has format version 1, of a development"),
            "{text}"
        );
    }
}
