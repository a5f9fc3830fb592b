//! HASH indexes, extension values as keys, prefixes, and reading while an index is built.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use vestibule_actors::engine::{Engine, ReplyBody, Scan, ViewStep};
use vestibule_wire::request::{Body, IdOrName, Select, Store};

use super::secondary::{Wanted, find, nullable, part, put, rig, tree};
use super::{NONE, Rig, SPACE, by, pack, store};
use crate::model::field::FieldType::{Datetime, Number, String, Unsigned};
use crate::model::index::Part;
use crate::schema::system;
use crate::schema::system::rows::{IndexRow, RowOptions};

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
                let step = view.select(
                    &by(&key),
                    &caller,
                    &mut scan,
                    &mut ReplyBody::in_buffer(&mut out),
                );
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
        options: RowOptions::unique(true),
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

/// JavaScript and PHP send 2.0 as 2.
#[test]
fn a_double_holds_any_number_but_a_decimal_and_orders_them_together() {
    let mut rig = Rig::with_space(&[(1, "double")]);
    let raw = |rig: &mut Rig, value: &[u8]| {
        let tuple = [&[0x91], value].concat();
        rig.run(Body::Insert(store(&tuple)))
    };
    assert_eq!(rig.insert(&(2,)), "[[2]]");
    assert_eq!(rig.insert(&(-3,)), "[[-3]]");
    assert_eq!(rig.insert(&(1.5,)), "[[1.5]]");
    assert_eq!(raw(&mut rig, &[0xca, 0x40, 0x20, 0, 0]), "[[2.5]]");
    assert_eq!(rig.all(), "[[-3], [1.5], [2], [2.5]]");
    // One value in several encodings is one key; beyond 2^53 neighbors are too.
    for same in [&[0xcb, 0x40, 0, 0, 0, 0, 0, 0, 0][..], &[0xcc, 2]] {
        assert!(raw(&mut rig, same).starts_with("3: "), "{same:?}");
    }
    assert!(rig.insert(&(1u64 << 53,)).starts_with("[["));
    assert!(rig.insert(&((1u64 << 53) + 1,)).starts_with("3: "));
    let ge = 5;
    assert_eq!(rig.select(0, &(2.0,)), "[[2]]");
    assert_eq!(rig.select(ge, &(2,)), "[[2], [2.5], [9007199254740992]]");
    assert_eq!(rig.update(&(2,), &[("=", 1, 7)]), "[[2, 7]]");
    rig.commit();
    rig.reopen();
    assert_eq!(
        rig.all(),
        "[[-3], [1.5], [2, 7], [2.5], [9007199254740992]]"
    );
    let decimal = [0xc7, 3, 1, 2, 0x15, 0x0c];
    assert_eq!(
        raw(&mut rig, &decimal),
        "23: Tuple field 1 type does not match one required by operation: expected double, got \
         extension"
    );
    assert_eq!(
        rig.select(0, &("2",)),
        "18: Supplied key type of part 0 does not match index part type: expected double"
    );
}

#[test]
fn a_format_with_a_double_takes_integers_in_every_request() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    let format = [("k", "unsigned"), ("d", "double")];
    assert_eq!(rig.call("box.space.s:format", &(format,)), "[]");
    assert_eq!(rig.insert(&(1, 2)), "[[1, 2]]");
    assert_eq!(rig.update(&(1,), &[("+", 1, 1)]), "[[1, 3]]");
    assert_eq!(rig.update(&(1,), &[("+", 1, 0.5)]), "[[1, 3.5]]");
    assert_eq!(rig.upsert(&(1, 0), &[("=", 1, -4)]), "[]");
    assert_eq!(rig.all(), "[[1, -4]]");
}

#[test]
fn integers_of_a_fixed_size_have_their_bounds_and_floats_their_encoding() {
    for (kind, least, greatest) in [
        ("int8", -128i64, 127u64),
        ("uint8", 0, 255),
        ("int16", -32_768, 32_767),
        ("uint16", 0, 65_535),
        ("int32", i32::MIN.into(), i32::MAX as u64),
        ("uint32", 0, u32::MAX.into()),
        ("int64", i64::MIN, i64::MAX as u64),
    ] {
        let mut rig = Rig::with_space(&[(1, kind)]);
        assert_eq!(rig.insert(&(least,)), format!("[[{least}]]"), "{kind}");
        assert_eq!(rig.insert(&(greatest,)), format!("[[{greatest}]]"));
        assert_eq!(rig.insert(&(7,)), "[[7]]");
        assert_eq!(rig.all(), format!("[[{least}], [7], [{greatest}]]"));
        assert_eq!(
            rig.insert(&(greatest + 1,)),
            format!(
                "280: The value of field 1 exceeds the supported range for type '{kind}': \
                 expected [{least}..{greatest}], got {}",
                greatest + 1
            )
        );
        assert!(rig.insert(&(0.5,)).starts_with("23: "));
    }
    let mut rig = Rig::with_space(&[(1, "uint8")]);
    assert_eq!(
        rig.insert(&(-1,)),
        "23: Tuple field 1 type does not match one required by operation: expected uint8, got \
         integer"
    );
    for (kind, own, other) in [
        (
            "float32",
            &[0xca, 0x40, 0x20, 0, 0][..],
            &[0xcb, 0, 0, 0, 0, 0, 0, 0, 0][..],
        ),
        (
            "float64",
            &[0xcb, 0x40, 4, 0, 0, 0, 0, 0, 0],
            &[0xca, 0, 0, 0, 0],
        ),
    ] {
        let mut rig = Rig::with_space(&[(1, kind)]);
        let mut insert = |value: &[u8]| {
            let tuple = [&[0x91], value].concat();
            rig.run(Body::Insert(store(&tuple)))
        };
        assert_eq!(insert(own), "[[2.5]]");
        assert!(insert(other).starts_with("23: "));
        assert!(insert(&[2]).starts_with("23: "));
    }
}
