//! The bound on the memory of data: what it refuses, and what goes on.

use std::sync::Arc;

use vestibule_actors::engine::{DataMemory, Engine, TransactionId};
use vestibule_wire::request::Begin;

use super::{Rig, SPACE};
use crate::store::index_build::{BuildError, Room, build};

/// Of the text in a row.
const SIZE: usize = 1000;
const ROOM: usize = 200 * SIZE;

fn text(size: usize) -> String {
    "x".repeat(size)
}

/// `s` with this much room for rows, about.
fn bounded() -> (Rig, Arc<DataMemory>) {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    rig.options.settings.memory_max = rig.engine.data_bytes() + ROOM;
    rig.reopen();
    let memory = rig.engine.data_memory().unwrap();
    (rig, memory)
}

fn is_full(told: &str) -> bool {
    let is_refused = told.starts_with("2: Failed to allocate ");
    assert!(is_refused || told.starts_with('['), "{told}");
    is_refused
}

/// Inserts rows, one to a turn, until one is refused; returns how many there are.
fn fill(rig: &mut Rig) -> u64 {
    for key in 0..10_000 {
        if is_full(&rig.insert(&(key, text(SIZE)))) {
            return key;
        }
        rig.commit();
    }
    panic!("there is no bound");
}

#[test]
fn a_full_server_refuses_what_would_grow_it_and_goes_on_with_everything_else() {
    let (mut rig, memory) = bounded();
    let rows = fill(&mut rig);
    assert!((180..=200).contains(&rows), "{rows}");
    assert_eq!(memory.used(), rig.engine.data_bytes());
    assert!(memory.used() <= memory.max());
    assert!(memory.used() > memory.max() - 2 * SIZE);

    assert!(is_full(&rig.replace(&(1, text(SIZE + 1)))));
    assert!(is_full(&rig.update(&(1,), &(("=", 1, text(SIZE + 1)),))));
    assert!(is_full(&rig.upsert(&(rows, text(SIZE)), &(("=", 1, 1),))));
    // Smaller ones find room for longer.
    let refused = (rows + 1..10_000).find(|key| {
        rig.commit();
        is_full(&rig.insert(&(*key,)))
    });
    assert!(refused.is_some());
    assert!(is_full(&rig.call("box.schema.space.create", &("t",))));

    assert!(!is_full(&rig.select(0, &(1,))));
    assert!(!is_full(&rig.replace(&(1, text(SIZE)))));
    assert!(!is_full(&rig.update(&(2,), &(("=", 1, "short"),))));
    assert!(!is_full(&rig.upsert(&(3, 1), &(("=", 1, "short"),))));
    assert!(!is_full(&rig.delete(&(4,))));
    rig.commit();
    assert!(
        !is_full(&rig.insert(&(rows, text(SIZE)))),
        "there is room again"
    );
    rig.commit();
    assert_eq!(rig.call("box.space.s:truncate", &()), "[]");
    assert!(!is_full(&rig.insert(&(rows, text(SIZE)))));
}

#[test]
fn one_turn_gets_no_more_than_the_bound_either() {
    let (mut rig, memory) = bounded();
    let refused = (0..10_000).find(|key| is_full(&rig.insert(&(*key, text(SIZE)))));
    assert!((150..=200).contains(&refused.unwrap()), "{refused:?}");
    rig.commit();
    assert!(memory.used() <= memory.max());
}

#[test]
fn what_transactions_have_changed_counts_until_they_end() {
    let (mut rig, _) = bounded();
    let one = TransactionId(1);
    let options = Begin {
        timeout: None,
        isolation: 0,
    };
    rig.engine.begin(one, &options, &rig.caller).unwrap();
    rig.inside = Some(one);
    let refused = (0..10_000).find(|key| is_full(&rig.insert(&(*key, text(SIZE)))));
    assert!(refused.is_some_and(|key| key > 120), "{refused:?}");
    assert!(
        is_full(&rig.replace(&(1, text(SIZE)))),
        "it would take more until COMMIT"
    );
    rig.inside = None;
    assert!(is_full(&rig.insert(&(20_000, text(SIZE)))));
    rig.engine.rollback_transaction(one);
    assert!(!is_full(&rig.insert(&(20_000, text(SIZE)))));
}

#[test]
fn an_index_for_which_there_is_no_memory_is_not_there() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    for key in 0..1000 {
        rig.insert(&(key, key));
    }
    rig.commit();
    let create = (
        "box.space.s:create_index",
        &(
            "second",
            IndexOptions {
                parts: [(2, "unsigned")],
            },
        ),
    );
    rig.options.settings.memory_max = rig.engine.data_bytes() + 10_000;
    rig.reopen();
    assert!(is_full(&rig.call(create.0, create.1)));
    let before = rig.engine.data_bytes();
    rig.options.settings.memory_max = 2 * before;
    rig.reopen();
    assert!(!is_full(&rig.call(create.0, create.1)));
    assert!(rig.engine.data_bytes() > before + 10_000);
}

#[test]
fn the_keys_of_an_index_are_made_as_far_as_there_is_memory_for_them() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    for key in 0..1000 {
        rig.insert(&(key, key));
    }
    rig.commit();
    let image = rig.engine.image();
    let space = image.space(SPACE).unwrap();
    let primary = space.def.primary().unwrap();
    let mut taken = 0;
    let tuples = space.rows.tuples().inspect(|_| taken += 1);
    let room = Room {
        used: 1000,
        max: 5000,
    };
    let built = build(primary, tuples, room, &mut |_| true);
    let Err(BuildError::NoMemory(bytes, _)) = built else {
        panic!("{built:?}");
    };
    assert!((4001..4100).contains(&bytes), "{bytes}");
    assert_eq!(taken, 101, "40 bytes each");
}

/// Beside its keys a node has children, or tuples, and a head.
#[test]
fn an_index_whose_nodes_take_more_than_its_keys_is_held_to_its_nodes() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    for key in 0..1000 {
        rig.insert(&(key, format!("{key:020}")));
    }
    rig.commit();
    let options = IndexOptions {
        parts: [(2, "string")],
    };
    rig.call("box.space.s:create_index", &("second", options));
    rig.commit();
    let image = rig.engine.image();
    let space = image.space(SPACE).unwrap();
    let second = &space.def.secondaries[0];
    let nodes = space.tree(second.id).unwrap().tally().nodes;
    assert!(nodes > 40 * 1000, "{nodes}: 40 bytes for each key");
    let built = |max| {
        let room = Room { used: 0, max };
        build(second, space.rows.tuples(), room, &mut |_| true)
    };
    let refused = built(nodes - 1);
    assert!(
        matches!(refused, Err(BuildError::NoMemory(bytes, _)) if bytes == nodes),
        "{refused:?}"
    );
    assert!(built(nodes).is_ok());
}

#[derive(serde::Serialize)]
struct IndexOptions {
    parts: [(u32, &'static str); 1],
}

#[test]
fn a_directory_that_is_larger_than_the_bound_is_served_and_can_be_emptied() {
    let (mut rig, _) = bounded();
    let rows = fill(&mut rig);
    rig.options.settings.memory_max -= ROOM / 2;
    rig.reopen();
    let memory = rig.engine.data_memory().unwrap();
    assert!(memory.used() > memory.max());
    assert!(is_full(&rig.insert(&(rows, text(SIZE)))));
    assert!(!is_full(&rig.select(0, &(1,))));
    for key in 0..rows / 2 + 5 {
        assert!(!is_full(&rig.delete(&(key,))));
    }
    rig.commit();
    assert!(!is_full(&rig.insert(&(rows, text(SIZE)))));
}
