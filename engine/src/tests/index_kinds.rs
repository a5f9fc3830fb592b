//! HASH indexes, extension values as keys, prefixes, and reading while an index is built.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use vestibule_actors::engine::{Engine, Scan, ViewStep};
use vestibule_wire::request::{Body, IdOrName, Select, Store};

use super::secondary::{Wanted, find, nullable, part, put, rig, tree};
use super::{NONE, Rig, SPACE, by, pack, store};
use crate::model::field::FieldType::{Datetime, Number, String, Unsigned};
use crate::model::index::Part;
use crate::schema::system;
use crate::schema::system::rows::IndexRow;

#[test]
fn a_hash_index_knows_whole_keys_only() {
    let mut rig = rig();
    let hash = |id, is_unique, parts: &[Part]| Wanted {
        kind: "hash",
        ..tree(id, is_unique, parts)
    };
    let both = [part(2, Unsigned), part(1, String)];
    assert_eq!(put(&mut rig, hash(5, true, &both)), None);
    assert_eq!(
        put(&mut rig, hash(6, false, &both)),
        Some(
            "14: Can't create or modify index 'i6' in space 's': HASH index must be unique".into()
        )
    );
    assert_eq!(
        put(&mut rig, hash(6, false, &[nullable(2, Unsigned)])),
        Some("5: HASH does not support nullable parts".into())
    );
    let whole = (7, "a");
    assert_eq!(find(&mut rig, 5, 0, &whole), r#"[[1, "a", 7]]"#);
    assert_eq!(find(&mut rig, 5, 2, &NONE), find(&mut rig, 5, 6, &NONE));
    assert_eq!(find(&mut rig, 5, 2, &NONE), find(&mut rig, 5, 2, &whole));
    assert_eq!(find(&mut rig, 5, 6, &whole), r#"[[3, "c", 7]]"#);
    for iterator in [1, 3, 4, 5, 7] {
        assert_eq!(
            find(&mut rig, 5, iterator, &whole),
            "112: Index 'i5' (HASH) of space 's' (memtx) does not support requested iterator type"
        );
    }
    for (iterator, given) in [(0, 0), (3, 0), (0, 1), (2, 1), (6, 1)] {
        let told = match given {
            0 => find(&mut rig, 5, iterator, &NONE),
            _ => find(&mut rig, 5, iterator, &(7,)),
        };
        assert_eq!(
            told,
            format!(
                "136: HASH index  does not support selects via a partial key (expected 2 parts, \
                 got {given}). Please Consider changing index type to TREE."
            )
        );
    }
    let key = pack(&NONE);
    let paged = Select {
        index: IdOrName::Id(5),
        iterator: 2,
        fetch_position: true,
        ..by(&key)
    };
    assert_eq!(
        rig.run(Body::Select(paged)),
        "112: Index 'i5' (HASH) of space 's' (memtx) does not support pagination"
    );
    assert!(rig.insert(&(9, "a", 7)).contains("index \"i1\""));
}

/// `[uuid, decimal or number, datetime]`, as clients write them.
fn extended(uuid: u8, number: &[u8], seconds: u8) -> Vec<u8> {
    let mut tuple = vec![0x93, 0xd8, 2, uuid];
    tuple.extend([0; 15]);
    tuple.extend_from_slice(number);
    tuple.extend([0xd7, 4, seconds]);
    tuple.extend([0; 7]);
    tuple
}

#[test]
fn extension_values_are_keys_and_keep_their_bytes() {
    let mut rig = Rig::with_space(&[(1, "uuid")]);
    assert_eq!(put(&mut rig, tree(1, true, &[part(1, Number)])), None);
    assert_eq!(put(&mut rig, tree(2, false, &[part(2, Datetime)])), None);
    // 1.50, 1.5, 2, -1.
    let (long, short) = ([0xc7, 3, 1, 2, 0x15, 0x0c], [0xc7, 3, 1, 1, 0x01, 0x5c]);
    let (two, below) = ([2], [0xff]);
    let rows = [
        extended(9, &long, 1),
        extended(7, &two, 1),
        extended(8, &below, 0),
    ];
    for row in &rows {
        rig.raw(Body::Insert(store(row))).unwrap();
    }
    // A decimal of the same value, and a float.
    let float = [0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0];
    for same in [&short[..], &float[..]] {
        let told = rig.raw(Body::Insert(store(&extended(1, same, 1))));
        assert_eq!(told.unwrap_err().code().0, 3);
    }
    for index in [0, 1, 2] {
        let order = [[1, 2, 0], [2, 0, 1], [2, 1, 0]][index as usize];
        let expected = order.map(|row: usize| rows[row].clone()).concat();
        for _ in 0..2 {
            let body = rig.raw(Body::Select(Select {
                index: IdOrName::Id(index),
                ..by(&[0x90])
            }));
            assert!(body.unwrap().ends_with(&expected), "index {index}");
            rig.commit();
            rig.reopen();
        }
    }
    let wrong = extended(1, &[0xa1, b'x'], 1);
    assert_eq!(
        rig.run(Body::Insert(store(&wrong))),
        "23: Tuple field 2 type does not match one required by operation: \
         expected number, got string"
    );
}

#[test]
fn prefixes_are_skipped_in_both_directions() {
    let mut rig = Rig::with_space(&[(1, "string"), (2, "unsigned")]);
    for text in ["", "a", "aa", "ab", "b", "ba", "\u{7f}"] {
        rig.insert(&(text, 1));
    }
    let (next, previous) = (12, 13);
    for (iterator, prefix, expected) in [
        (next, "a", "b ba \u{7f}"),
        (next, "aa", "ab b ba \u{7f}"),
        (next, "", ""),
        (next, "\u{7f}", ""),
        (next, "0", "a aa ab b ba \u{7f}"),
        (previous, "b", "ab aa a "),
        (previous, "ab", "aa a "),
    ] {
        let told = find(&mut rig, 0, iterator, &(prefix,));
        let rows = expected.split(' ').filter(|_| !expected.is_empty());
        let rows: Vec<_> = rows.map(|text| (text, 1)).collect();
        assert_eq!(told, super::Printed(&pack(&rows)).to_string(), "{prefix}");
    }
    assert_eq!(
        find(&mut rig, 0, next, &("b", 1)),
        r#"[["ba", 1], ["\u007f", 1]]"#
    );
    assert_eq!(find(&mut rig, 0, next, &NONE), rig.all());
}

#[test]
fn the_view_answers_while_an_index_is_built() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    for id in 0..30_000u32 {
        rig.insert(&(id, format!("{:08}", id.wrapping_mul(2_654_435_761))));
    }
    rig.commit();
    let view = rig.engine.view().unwrap();
    let (started, start) = std::sync::mpsc::channel();
    let (is_built, caller) = (Arc::new(AtomicBool::new(false)), rig.caller.clone());
    let reader = {
        let is_built = is_built.clone();
        thread::spawn(move || {
            let key = pack(&(17,));
            let mut answered = 0;
            while !is_built.load(Ordering::Acquire) {
                let (mut scan, mut out) = (Scan::default(), Vec::new());
                let step = view.select(&by(&key), &caller, &mut scan, &mut out);
                assert_eq!(step, Ok(ViewStep::Done));
                answered += 1;
                let _ = started.send(());
            }
            answered
        })
    };
    start.recv().unwrap();
    let row = IndexRow {
        space: SPACE,
        id: 1,
        name: "i1".into(),
        kind: "tree".into(),
        is_unique: true,
        parts: vec![part(1, String)],
    };
    // Built before the commit, so that the view is read from all the while.
    rig.raw(Body::Insert(Store {
        space: IdOrName::Id(system::INDEX),
        tuple: &row.encode(),
    }))
    .unwrap();
    is_built.store(true, Ordering::Release);
    assert!(reader.join().unwrap() > 0);
    rig.commit();
    let key = pack(&NONE);
    let all = Select {
        index: IdOrName::Id(1),
        ..by(&key)
    };
    assert_eq!(rig.engine.count(&all), Ok(30_000));
}
