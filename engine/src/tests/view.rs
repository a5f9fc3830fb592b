//! The read view: the same answers as Tx gives, step by step, and never half a turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use vestibule_actors::engine::{Engine, ReadView, Scan, ViewStep};
use vestibule_wire::msgpack::Reader;
use vestibule_wire::request::{Body, IdOrName, Select};

use super::{Rig, by, pack, printed};

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
    // What stands in the buffer already is another reply.
    let (mut scan, mut out, mut steps) = (Scan::at(3), vec![1, 2, 3], 1);
    while view
        .select(select, &rig.caller, &mut scan, &mut out)
        .unwrap()
        == ViewStep::More
    {
        // A body that is not complete may be moved to another buffer.
        let body = out.split_off(scan.body_start);
        out = vec![7; steps];
        scan.body_start = out.len();
        out.extend_from_slice(&body);
        steps += 1;
    }
    (out.split_off(scan.body_start), steps)
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

#[test]
fn a_change_between_steps_is_told() {
    let mut rig = rig();
    let view = rig.engine.view().unwrap();
    let (mut scan, mut out) = (Scan::default(), Vec::new());
    let select = by(&[0x90]);
    assert_eq!(
        view.select(&select, &rig.caller, &mut scan, &mut out),
        Ok(ViewStep::More)
    );
    rig.replace(&(1, "changed"));
    assert_eq!(
        view.select(&select, &rig.caller, &mut scan, &mut out),
        Ok(ViewStep::More)
    );
    rig.commit();
    assert_eq!(
        view.select(&select, &rig.caller, &mut scan, &mut out),
        Ok(ViewStep::Changed)
    );
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
        let told = view.select(&select, &rig.caller, &mut Scan::default(), &mut Vec::new());
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
                let step = ReadView::select(&*view, &by(&[0x90]), &caller, &mut scan, &mut out);
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
