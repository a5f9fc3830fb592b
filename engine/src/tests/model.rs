//! Random requests and turns, some of which fail to commit, against a plain map.

use std::collections::BTreeMap;

use proptest::prelude::*;
use vestibule_actors::engine::Engine;
use vestibule_wire::request::{Body, Select};

use super::{Rig, by, cases, pack, told};

/// Keys come from few values, so that requests meet.
#[derive(Debug, Clone)]
enum Step {
    Insert(u64, String, u64),
    Replace(u64, String, u64),
    Add(u64, String, u64),
    Upsert(u64, String, u64),
    Delete(u64, String),
    Select {
        iterator: u64,
        id: Option<u64>,
        name: Option<String>,
        offset: u64,
        limit: u64,
    },
    Commit,
    FailToCommit,
    Reopen,
}

type Model = BTreeMap<(u64, String), u64>;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = || 0u64..6;
    let name = || "[a-b\0]{0,2}";
    let value = || 0u64..100;
    let step = prop_oneof![
        4 => (id(), name(), value()).prop_map(|(id, name, value)| Step::Insert(id, name, value)),
        4 => (id(), name(), value()).prop_map(|(id, name, value)| Step::Replace(id, name, value)),
        2 => (id(), name(), value()).prop_map(|(id, name, value)| Step::Add(id, name, value)),
        2 => (id(), name(), value()).prop_map(|(id, name, value)| Step::Upsert(id, name, value)),
        4 => (id(), name()).prop_map(|(id, name)| Step::Delete(id, name)),
        8 => (0u64..7, prop::option::of(id()), prop::option::of(name()), 0u64..3, 0u64..9)
            .prop_map(|(iterator, id, name, offset, limit)| Step::Select {
                iterator, id, name, offset, limit,
            }),
        3 => Just(Step::Commit),
        1 => Just(Step::FailToCommit),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..80)
}

/// What a SELECT finds, by filtering everything.
fn expected(
    model: &Model,
    iterator: u64,
    id: Option<u64>,
    name: Option<&String>,
    offset: u64,
    limit: u64,
) -> String {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let order = |own: &(u64, String)| match (id, name) {
        (None, _) => None,
        (Some(id), None) => Some(own.0.cmp(&id)),
        (Some(id), Some(name)) => Some(own.0.cmp(&id).then_with(|| own.1.cmp(name))),
    };
    let fits = |own: &(u64, String)| match (order(own), iterator) {
        (None, _) => true,
        (Some(order), 0 | 1) => order == Equal,
        (Some(order), 2 | 5) => order != Less,
        (Some(order), 3) => order == Less,
        (Some(order), 4) => order != Greater,
        (Some(order), _) => order == Greater,
    };
    let mut found: Vec<_> = model.iter().filter(|(key, _)| fits(key)).collect();
    if matches!(iterator, 1 | 3 | 4) {
        found.reverse();
    }
    let found = found.into_iter().skip(offset as usize).take(limit as usize);
    let rows: Vec<_> = found.map(|((id, name), value)| (id, name, value)).collect();
    super::Printed(&pack(&rows)).to_string()
}

/// Selects, and counts without bounds.
fn select(
    rig: &mut Rig,
    seen: &Model,
    iterator: u64,
    (id, name): (Option<u64>, Option<String>),
    (offset, limit): (u64, u64),
) {
    let key = match (id, &name) {
        (None, _) => pack(&[(); 0]),
        (Some(id), None) => pack(&(id,)),
        (Some(id), Some(name)) => pack(&(id, name)),
    };
    let select = Select {
        iterator,
        offset,
        limit,
        ..by(&key)
    };
    let reply = rig.run(Body::Select(select));
    assert_eq!(
        reply,
        expected(seen, iterator, id, name.as_ref(), offset, limit)
    );
    let select = Select {
        iterator,
        ..by(&key)
    };
    let count = rig.engine.count(&select).map_err(|error| told(&error));
    let all = expected(seen, iterator, id, name.as_ref(), 0, 1000);
    assert_eq!(count.map(|count| count == 0), Ok(all == "[]"));
}

fn run(steps: &[Step]) {
    let mut rig = Rig::with_space(&[(1, "unsigned"), (2, "string")]);
    let (mut durable, mut seen) = (Model::new(), Model::new());
    for step in steps {
        match step.clone() {
            Step::Insert(id, name, value) => {
                let reply = rig.insert(&(id, &name, value));
                let key = (id, name);
                assert_eq!(reply.starts_with("3: "), seen.contains_key(&key), "{reply}");
                seen.entry(key).or_insert(value);
            }
            Step::Replace(id, name, value) => {
                rig.replace(&(id, &name, value));
                seen.insert((id, name), value);
            }
            Step::Add(id, name, value) => {
                let reply = rig.update(&(id, &name), &[("+", 2, value)]);
                let found = seen.get_mut(&(id, name));
                assert_eq!(reply == "[]", found.is_none());
                found.into_iter().for_each(|own| *own += value);
            }
            Step::Upsert(id, name, value) => {
                assert_eq!(rig.upsert(&(id, &name, value), &[("+", 2, 1)]), "[]");
                seen.entry((id, name))
                    .and_modify(|own| *own += 1)
                    .or_insert(value);
            }
            Step::Delete(id, name) => {
                let reply = rig.delete(&(id, &name));
                assert_eq!(reply == "[]", seen.remove(&(id, name)).is_none());
            }
            Step::Select {
                iterator,
                id,
                name,
                offset,
                limit,
            } => select(&mut rig, &seen, iterator, (id, name), (offset, limit)),
            Step::Commit => {
                rig.commit();
                durable = seen.clone();
            }
            Step::FailToCommit => {
                rig.disk.set_fails_next_append(true);
                let is_changed = rig.engine.commit().is_err();
                assert!(is_changed || durable == seen);
                rig.disk.set_fails_next_append(false);
                rig.engine.resume().unwrap();
                seen = durable.clone();
            }
            Step::Reopen => {
                rig.reopen();
                seen = durable.clone();
            }
        }
        assert_eq!(rig.engine.count(&by(&[0x90])), Ok(seen.len()));
    }
    assert_eq!(rig.all(), expected(&seen, 2, None, None, 0, 1000));
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn the_engine_does_as_a_map_does(steps in steps()) {
        run(&steps);
    }
}
