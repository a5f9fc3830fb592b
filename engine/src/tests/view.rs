//! The read view: the same answers as Tx gives, step by step, and never half a turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use vestibule_actors::engine::{Engine, ReadView, ReplyBody, Scan, ViewStep};
use vestibule_wire::msgpack::Reader;
use vestibule_wire::request::{Body, IdOrName, Select};

use super::{Rig, by, pack, printed};
use crate::limits::VERSIONS_KEPT_BYTES_MAX;
use crate::query::view::ImageView;

fn rig() -> Rig {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    for id in 0..5000 {
        rig.insert(&(id, "text"));
    }
    rig.commit();
    rig
}

/// Runs a SELECT to its end, and tells in how many steps.
fn view(rig: &Rig, select: &Select<'_>) -> (Vec<u8>, usize) {
    let view = rig.engine.view().unwrap();
    let (mut scan, mut out, mut steps) = (Scan::default(), Vec::new(), 1);
    while view
        .select(
            select,
            &rig.caller,
            &mut scan,
            &mut ReplyBody::in_buffer(&mut out),
        )
        .unwrap()
        == ViewStep::More
    {
        steps += 1;
    }
    (out, steps)
}

#[test]
fn it_answers_as_tx_does() {
    let mut rig = rig();
    let (none, one, middle) = (pack(&[(); 0]), pack(&(17,)), pack(&(2500,)));
    for key in [&none, &one, &middle, &pack(&(9999,))] {
        for iterator in 0..7 {
            for (offset, limit) in [
                (0, 10),
                (0, u64::MAX),
                (1500, 2),
                (1, 2000),
                (4999, 5),
                (0, 1000),
            ] {
                for fetch_position in [false, true] {
                    let select = Select {
                        iterator,
                        offset,
                        limit,
                        fetch_position,
                        ..by(key)
                    };
                    let expected = rig.raw(Body::Select(select)).unwrap();
                    assert!(view(&rig, &select).0 == expected, "{select:?}");
                }
            }
        }
    }
}

#[test]
fn it_takes_bounded_steps() {
    let rig = rig();
    assert_eq!(view(&rig, &by(&pack(&(17,)))).1, 1);
    assert_eq!(view(&rig, &by(&[0x90])).1, 5);
    assert_eq!(
        view(
            &rig,
            &Select {
                offset: 4000,
                limit: 1,
                ..by(&[0x90])
            }
        )
        .1,
        5
    );
}

/// The whole space in one go, then step by step while every row changes, and the definition too.
#[test]
fn a_scan_shows_what_it_began_with_whatever_is_committed_meanwhile() {
    let mut rig = rig();
    let whole = view(&rig, &by(&[0x90])).0;
    let view = rig.engine.view().unwrap();
    let (mut scan, mut out, mut steps) = (Scan::default(), Vec::new(), 0);
    let caller = rig.caller.clone();
    while view
        .select(
            &by(&[0x90]),
            &caller,
            &mut scan,
            &mut ReplyBody::in_buffer(&mut out),
        )
        .unwrap()
        == ViewStep::More
    {
        for id in (steps..5000).step_by(7) {
            rig.replace(&(id, "changed"));
            rig.delete(&(id + 1,));
            rig.insert(&(id + 10_000, "new"));
        }
        rig.commit();
        steps += 1;
        if steps == 3 {
            rig.call("box.space.s:truncate", &super::NONE);
        }
    }
    assert_eq!(steps, 4);
    assert!(out == whole);
    assert_eq!(rig.engine.versions_kept(), 1);
    drop(scan);
    assert_eq!(rig.engine.versions_kept(), 0);
}

#[test]
fn a_version_that_keeps_too_much_is_taken_back() {
    let rig = rig();
    let view = rig.engine.view().unwrap();
    let caller = rig.caller.clone();
    let begin = || {
        let (mut scan, mut out) = (Scan::default(), Vec::new());
        let step = view.select(
            &by(&[0x90]),
            &caller,
            &mut scan,
            &mut ReplyBody::in_buffer(&mut out),
        );
        assert_eq!(step, Ok(ViewStep::More));
        (scan, out)
    };
    let go_on = |(scan, out): &mut (Scan, Vec<u8>)| {
        view.select(&by(&[0x90]), &caller, scan, &mut ReplyBody::in_buffer(out))
    };
    let image = rig.engine.shared_image();
    let leave_behind = |bytes| image.change(1, |image| image.leave_behind(bytes));
    let most = VERSIONS_KEPT_BYTES_MAX as usize;
    let mut old = begin();
    leave_behind(most / 2);
    let mut young = begin();
    leave_behind(most / 2);
    assert_eq!(go_on(&mut old), Ok(ViewStep::More));
    leave_behind(1);
    assert_eq!(go_on(&mut old), Ok(ViewStep::Changed));
    assert_eq!(go_on(&mut young), Ok(ViewStep::More));
    assert_eq!(rig.engine.versions_kept(), 1);
    leave_behind(most);
    assert_eq!(go_on(&mut young), Ok(ViewStep::Changed));
    assert_eq!(rig.engine.versions_kept(), 0);
}

/// A tuple that came after a version began is replaced again and again, then one that it has.
#[test]
fn only_what_a_version_has_counts_as_left_behind() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    let options = std::collections::BTreeMap::from([("parts", [(3, "unsigned")])]);
    rig.call("box.space.s:create_index", &("by_value", options));
    let large = |first: u64| format!("{first}{}", "x".repeat(100_000));
    rig.insert(&(1, large(1), 1));
    rig.commit();
    let left_behind = |rig: &Rig| rig.engine.image().left_behind();
    let before = left_behind(&rig);
    let version = rig.engine.image().clone();
    for value in 10..30 {
        rig.replace(&(2, large(value), value));
        rig.commit();
    }
    let copied = left_behind(&rig) - before;
    assert!((1..50_000).contains(&copied), "{copied}");
    rig.replace(&(1, large(3), 3));
    rig.commit();
    let with_tuple = left_behind(&rig) - before - copied;
    assert!((100_000..110_000).contains(&with_tuple), "{with_tuple}");
    drop(version);
    let before = left_behind(&rig);
    rig.replace(&(1, large(4), 4));
    rig.commit();
    assert_eq!(left_behind(&rig), before);
}

/// What is counted as turns come is what there is, also after truncations and new definitions.
#[test]
fn bytes_are_counted_as_turns_come() {
    let mut rig = rig();
    let check = |rig: &Rig| {
        let mut counted = rig.engine.image().clone();
        counted.recount();
        assert_eq!(rig.engine.data_bytes(), counted.bytes());
        counted.bytes()
    };
    let few = check(&rig);
    let options = std::collections::BTreeMap::from([("parts", [(2, "string")])]);
    let index = ("by_text", options, ("unique", false));
    rig.call("box.space.s:create_index", &index);
    for id in 0..3000 {
        rig.replace(&(
            id * 3,
            "a long text with many words".repeat(1 + id as usize % 4),
        ));
    }
    rig.commit();
    let many = check(&rig);
    assert!(many > few + 3000 * 60, "{many} {few}");
    for id in 0..5000 {
        rig.delete(&(id,));
    }
    rig.commit();
    assert!(check(&rig) < many);
    rig.reopen();
    check(&rig);
    rig.call("box.space.s:truncate", &super::NONE);
    check(&rig);
    rig.call("box.space.s:drop", &super::NONE);
    check(&rig);
}

#[test]
fn it_shows_only_what_is_durable_and_errors_as_tx_would() {
    let mut rig = rig();
    let key = pack(&(1,));
    rig.replace(&(1, "new"));
    assert_eq!(printed(&view(&rig, &by(&key)).0), r#"[[1, "text"]]"#);
    rig.commit();
    assert_eq!(printed(&view(&rig, &by(&key)).0), r#"[[1, "new"]]"#);
    let text = pack(&("x",));
    for select in [
        Select {
            space: IdOrName::Id(9),
            ..by(&key)
        },
        Select {
            index: IdOrName::Id(9),
            ..by(&key)
        },
        Select {
            iterator: 99,
            ..by(&key)
        },
        Select {
            iterator: 7,
            ..by(&key)
        },
        by(&text),
    ] {
        let expected = rig.raw(Body::Select(select)).unwrap_err();
        let view = rig.engine.view().unwrap();
        let mut out = Vec::new();
        let mut scan = Scan::default();
        let told = view.select(
            &select,
            &rig.caller,
            &mut scan,
            &mut ReplyBody::in_buffer(&mut out),
        );
        assert_eq!(told, Err(expected));
    }
}

#[test]
fn readers_on_other_threads_never_see_half_a_turn() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    let write = |rig: &mut Rig, value: u64| {
        for id in 0..50 {
            rig.replace(&(id, value));
        }
        rig.commit();
    };
    write(&mut rig, 0);
    let (view, stop) = (rig.engine.view().unwrap(), Arc::new(AtomicBool::new(false)));
    let reader = {
        let (stop, caller) = (stop.clone(), rig.caller.clone());
        thread::spawn(move || {
            let mut seen = 0;
            while !stop.load(Ordering::Relaxed) {
                let (mut scan, mut out) = (Scan::default(), Vec::new());
                let step = ReadView::select(
                    &*view,
                    &by(&[0x90]),
                    &caller,
                    &mut scan,
                    &mut ReplyBody::in_buffer(&mut out),
                );
                assert_eq!(step, Ok(ViewStep::Done));
                let mut reader = Reader::new(&out[2..]);
                assert_eq!(reader.read_array_len(), Ok(50));
                let values: Vec<u64> = (0..50)
                    .map(|_| {
                        reader.read_array_len().unwrap();
                        reader.read_uint().unwrap();
                        reader.read_uint().unwrap()
                    })
                    .collect();
                assert!(values.iter().all(|value| *value == values[0]) && values[0] >= seen);
                seen = values[0];
            }
        })
    };
    for value in 1..300 {
        write(&mut rig, value);
    }
    stop.store(true, Ordering::Relaxed);
    reader.join().unwrap();
}

#[test]
fn it_tells_the_number_of_the_last_record_of_what_it_shows() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    rig.commit();
    let last = |rig: &Rig| rig.engine.view().unwrap().last_record();
    let before = last(&rig).unwrap();
    rig.insert(&(1, "text"));
    assert_eq!(last(&rig), Some(before), "nothing is written yet");
    rig.commit();
    assert_eq!(last(&rig), Some(before + 1));
    // What changes nothing has no record.
    rig.commit();
    rig.reopen();
    assert_eq!(last(&rig), Some(before + 1), "after a restart as before");
}

#[test]
fn look_ups_of_a_burst_go_down_together_where_the_index_is_large() {
    let rig = rig();
    let view = ImageView(rig.engine.shared_image());
    let keys: Vec<_> = (4990..5010).map(|id| pack(&(id,))).collect();
    let selects = |iterator| {
        let of = move |key| Select {
            iterator,
            ..by(key)
        };
        keys.iter().map(Vec::as_slice).map(of)
    };
    let together = |selects: &mut dyn Iterator<Item = Select<'_>>, tuples_min| {
        view.look_up_together(selects, tuples_min)
    };
    const EQ: u64 = 0;
    const GE: u64 = 5;
    const LT: u64 = 3;
    assert_eq!(
        together(&mut selects(EQ), 5000),
        10,
        "ten of sixteen are there"
    );
    assert_eq!(together(&mut selects(GE), 5000), 10);
    assert_eq!(together(&mut selects(LT), 5000), 10);
    assert_eq!(together(&mut selects(EQ), 5001), 0, "it is too small");
    assert_eq!(
        together(&mut selects(EQ).take(1), 5000),
        0,
        "one alone waits as ever"
    );
    let all = || std::iter::repeat_n(by(&[0x90]), 3);
    assert_eq!(together(&mut all(), 5000), 0, "it begins at no key");
    let elsewhere = Select {
        space: IdOrName::Id(999),
        ..by(&keys[0])
    };
    let mut mixed = selects(EQ).chain([elsewhere]);
    assert_eq!(together(&mut mixed, 5000), 10);
    let mut mixed = [elsewhere].into_iter().chain(selects(EQ));
    assert_eq!(
        together(&mut mixed, 5000),
        0,
        "those behind it are most often like it"
    );
    assert!(!view.foresee(&mut selects(EQ)), "no use for so few tuples");
}
