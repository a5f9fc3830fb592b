//! What goes in comes out, however it is cut, and is charged meanwhile.

use super::*;

fn content(chain: &Chain) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 64];
    let (count, _) = chain.slices(&mut slices, usize::MAX);
    let bytes: Vec<u8> = slices[..count]
        .iter()
        .flat_map(|own| own.to_vec())
        .collect();
    assert!(bytes == chain.content());
    bytes
}

#[test]
fn bytes_come_out_as_they_went_in_however_they_are_cut() {
    let pool = Arc::new(Segments::default());
    let bytes: Vec<u8> = (0..=250).cycle().take(5 * SEGMENT_SIZE + 17).collect();
    for (add, take) in [
        (1000, 77_777),
        (SEGMENT_SIZE, SEGMENT_SIZE),
        (100_001, 13_000),
    ] {
        let mut chain = Chain::default();
        bytes.chunks(add).for_each(|piece| chain.push(&pool, piece));
        assert_eq!(chain.allocated(), 6 * SEGMENT_SIZE);
        assert_eq!(pool.used(), chain.allocated());
        let mut at = 0;
        while !chain.is_empty() {
            assert_eq!(content(&chain), bytes[at..]);
            let taken = take.min(chain.len());
            assert_eq!(chain.advance(taken), 0);
            at += taken;
        }
        assert_eq!((at, chain.allocated(), pool.used()), (bytes.len(), 0, 0));
        assert_eq!(chain.advance(3), 3, "they are somebody else's");
    }
}

#[test]
fn a_chain_is_appended_without_a_copy_and_what_follows_fills_its_last_segment() {
    let pool = Arc::new(Segments::default());
    let (mut chain, mut other) = (Chain::default(), Chain::default());
    chain.push(&pool, b"before");
    other.push(&pool, b"large");
    other.patch(1, b"AR");
    chain.append(other);
    chain.push(&pool, b"after");
    assert_eq!(content(&chain), b"beforelARgeafter");
    assert_eq!(chain.allocated(), 2 * SEGMENT_SIZE);
}

#[test]
fn pieces_are_split_off_without_a_copy_and_keep_their_segments() {
    let pool = Arc::new(Segments::default());
    let bytes: Vec<u8> = (0..=250).cycle().take(3 * SEGMENT_SIZE + 17).collect();
    let mut chain = Chain::default();
    chain.push_buffer(b"0123456789".to_vec());
    chain.push(&pool, &bytes);
    let all = [b"0123456789", &bytes[..]].concat();
    let mut pieces = Vec::new();
    while !chain.is_empty() {
        pieces.push(chain.split_to(10_000));
        let counted: usize = pieces.iter().map(|own| own.segments).sum();
        assert_eq!(counted + chain.segments, pool.used());
    }
    assert_eq!(pool.used(), 4 * SEGMENT_SIZE);
    let content: Vec<u8> = pieces.iter().flat_map(Chain::content).collect();
    assert!(content == all);
    assert!(pieces.iter().all(|own| own.len() <= 10_000));
    // What is added to a piece does not overwrite what follows it.
    let mut first = pieces.remove(0);
    first.push(&pool, b"more");
    assert!(content[10_000..20_000] == pieces[0].content());
    drop((first, pieces));
    assert_eq!(pool.used(), 0);
}

#[test]
fn what_others_have_is_cut_and_sent_without_a_copy_and_charged_until_the_last_byte() {
    let pool = Arc::new(Segments::default());
    let row: Arc<[u8]> = (0..=250).cycle().take(5 * SEGMENT_SIZE).collect();
    let mut chain = Chain::default();
    chain.push(&pool, b"before");
    chain.push_shared(&pool, &row);
    chain.push(&pool, b"after");
    let all = [b"before", &row[..], b"after"].concat();
    assert!(content(&chain) == all);
    assert_eq!(chain.allocated(), 2 * SEGMENT_SIZE + row.len());
    assert_eq!(
        (chain.segments(), pool.used()),
        (chain.allocated(), chain.allocated())
    );
    // Others drop theirs, or put something else in its place.
    let (at, only) = (row.as_ptr(), Arc::downgrade(&row));
    drop(row);
    let mut pieces = vec![chain.split_to(1000)];
    assert_eq!(pieces[0].parts[1].bytes().as_ptr(), at);
    assert_eq!(
        pieces[0].allocated(),
        SEGMENT_SIZE,
        "its end pays for the row"
    );
    while chain.len() > 5 {
        pieces.push(chain.split_to((chain.len() - 5).min(77_777)));
        let counted: usize = pieces.iter().map(Chain::allocated).sum();
        assert_eq!(counted + chain.allocated(), pool.used());
    }
    assert_eq!(pool.used(), 7 * SEGMENT_SIZE);
    // All but its last piece are sent.
    let last = pieces.len() - 1;
    let sent: Vec<u8> = pieces.iter().flat_map(Chain::content).collect();
    assert!(sent == all[..all.len() - 5]);
    pieces.drain(..last);
    assert_eq!((pool.used(), only.strong_count()), (6 * SEGMENT_SIZE, 1));
    drop(pieces);
    assert_eq!((pool.used(), only.strong_count()), (SEGMENT_SIZE, 0));
    assert_eq!(chain.content(), b"after");
}

#[test]
fn one_write_takes_no_more_of_a_large_part_than_it_is_to() {
    let pool = Arc::new(Segments::default());
    let row: Arc<[u8]> = (0..=250).cycle().take(5 * SEGMENT_SIZE).collect();
    let mut chain = Chain::default();
    chain.push(&pool, b"before");
    chain.push_shared(&pool, &row);
    let mut sent = Vec::new();
    while !chain.is_empty() {
        let mut slices = [IoSlice::new(&[]); 4];
        let (count, are_all) = chain.slices(&mut slices, SEGMENT_SIZE);
        let bytes: Vec<u8> = slices[..count]
            .iter()
            .flat_map(|own| own.to_vec())
            .collect();
        assert_eq!(bytes.len(), chain.len().min(SEGMENT_SIZE));
        assert_eq!(are_all, chain.len() <= SEGMENT_SIZE);
        assert_eq!(chain.advance(bytes.len()), 0);
        sent.extend(bytes);
    }
    assert!(sent == [b"before", &row[..]].concat());
    assert_eq!((pool.used(), Arc::strong_count(&row)), (0, 1));
}

#[test]
fn a_buffer_takes_more_up_to_a_bound_and_a_head_takes_no_memory() {
    let mut chain = Chain::default();
    chain.push_buffer(b"one".to_vec());
    assert!(chain.extend_buffer(b"two", 6));
    assert!(!chain.extend_buffer(b"!", 6));
    assert_eq!((chain.content(), chain.len()), (b"onetwo".to_vec(), 6));
    assert!(chain.buffers() >= 6 && chain.allocated() == chain.buffers());
    let rest = chain.split_to(2);
    assert_eq!(
        (rest.content(), chain.content()),
        (b"on".to_vec(), b"etwo".to_vec())
    );
    let mut chain = Chain::default();
    chain.push_head(vestibule_wire::groups::chunk::credit(1, 2));
    assert_eq!((chain.len(), chain.allocated()), (25, 0));
    assert!(!chain.extend_buffer(b"!", 100));
}

#[test]
fn a_chain_that_begins_again_keeps_its_head_alone() {
    let pool = Arc::new(Segments::default());
    let mut chain = Chain::default();
    chain.push(&pool, b"head");
    chain.push(&pool, &vec![1; 3 * SEGMENT_SIZE]);
    chain.cut_to_head(4, &pool);
    chain.push(&pool, b"!");
    assert_eq!(content(&chain), b"head!");
    assert_eq!(pool.used(), SEGMENT_SIZE);
}
