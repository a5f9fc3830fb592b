//! What the search for records behind damage costs, whatever the bytes there look like.

use super::*;

/// Most bytes hashed for each byte of a file: twice for the whole, and a range's ends for each of
/// its words.
const HASHED_PER_BYTE_MAX: u64 = 12;

/// Bytes of which every 16 look like the head of the next record, which goes on to the byte
/// before their end.
fn heads(size: usize, sequence: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < size {
        let rest = size.saturating_sub(bytes.len() + format::RECORD_HEAD_SIZE + 1);
        bytes.extend_from_slice(&(rest as u32).to_le_bytes());
        bytes.extend_from_slice(&[7; 4]);
        bytes.extend_from_slice(&sequence.to_le_bytes());
    }
    bytes
}

fn hashed(scratch: &Scratch, is_forced: bool) -> (u64, Records) {
    let mut options = scratch.options(JournalSync::Never);
    options.force_recovery = is_forced;
    let mut records = Vec::new();
    let mut receive = |sequence, payload: &[u8]| {
        records.push((sequence, payload.to_vec()));
        Ok(())
    };
    let found = crate::durability::journal::read(&options, &mut receive, &mut |_, _| ());
    (found.unwrap().hashed, records)
}

#[test]
fn a_torn_tail_full_of_heads_is_hashed_in_proportion_to_its_size() {
    let scratch = Scratch::new();
    let mut journal = Faulty::default().open(&scratch, JournalSync::Never);
    journal.append(b"one").unwrap();
    journal.append(&heads(1 << 18, 2)).unwrap();
    drop(journal);
    let mut bytes = fs::read(scratch.file(1)).unwrap();
    bytes.pop();
    fs::write(scratch.file(1), &bytes).unwrap();
    let (hashed, records) = hashed(&scratch, false);
    assert_eq!(records, [(1, b"one".to_vec())]);
    let most = bytes.len() as u64 * HASHED_PER_BYTE_MAX;
    assert!(hashed <= most, "{hashed} bytes hashed, {most} are enough");
}

/// Each damage begins a search of its own, and all of them together are as cheap.
#[test]
fn many_damages_are_hashed_in_proportion_to_the_file() {
    let scratch = Scratch::new();
    let mut journal = Faulty::default().open(&scratch, JournalSync::Never);
    let (count, size) = (400, 1000);
    for number in 0..count {
        let rest = (count - number) * (size + format::RECORD_HEAD_SIZE);
        let mut payload = heads(rest, number as u64 + 1);
        payload.truncate(size);
        journal.append(&payload).unwrap();
    }
    drop(journal);
    let mut bytes = fs::read(scratch.file(1)).unwrap();
    let stride = format::RECORD_HEAD_SIZE + size;
    for number in (0..count).step_by(2) {
        let start = format::HEADER_SIZE + number * stride;
        // The head of what is damaged reaches far, too.
        bytes[start + 2] = 1;
    }
    fs::write(scratch.file(1), &bytes).unwrap();
    let (hashed, records) = hashed(&scratch, true);
    let kept: Vec<_> = records.iter().map(|(sequence, _)| *sequence).collect();
    let right: Vec<_> = (1..=count as u64).filter(|it| it % 2 == 0).collect();
    assert_eq!(kept, right);
    let most = bytes.len() as u64 * HASHED_PER_BYTE_MAX;
    assert!(hashed <= most, "{hashed} bytes hashed, {most} are enough");
}
