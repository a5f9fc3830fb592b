//! Random rows with indexes inside of fields and over arrays, against plain filtering and sorting.

use std::cmp::Reverse;

use proptest::prelude::*;
use serde_json::{Value, json};
use vestibule_actors::engine::{Engine, ReplyBody, Scan};
use vestibule_wire::request::{Body, IdOrName, Select};

use super::paging::{decoded, pages, read};
use super::part_paths::define;
use super::{Rig, SPACE, by, cases, pack};

/// A number, one inside of a map if it is there, and those of an array's elements.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    id: u64,
    inner: Option<u64>,
    elements: Vec<Option<u64>>,
}

impl Row {
    fn json(&self) -> Value {
        let inner = match self.inner {
            Some(inner) => json!({"x": 1, "a": {"b": inner}}),
            None => json!({"a": {}}),
        };
        let element = |own: &Option<u64>| own.map_or(json!({"z": 0}), |own| json!({"k": own}));
        let elements: Vec<_> = self.elements.iter().map(element).collect();
        json!([self.id, inner, elements])
    }
}

/// `a.b`, all elements, all elements in descending order, all of them once in the space.
const INDEXES: [u32; 4] = [1, 2, 3, 4];

fn keys(index: u32, row: &Row) -> Vec<Option<u64>> {
    let mut keys = match index {
        1 => vec![row.inner],
        _ => row.elements.clone(),
    };
    keys.sort();
    keys.dedup();
    if index == 4 {
        keys.retain(Option::is_some);
    }
    keys
}

#[derive(Debug, Clone)]
enum Step {
    Replace(Row),
    Delete(u64),
    Update(u64, Option<u64>),
    Select(u32, u64, Option<Option<u64>>),
    Commit,
    Reopen,
    Rebuild(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = || prop::option::of(0u64..6);
    let elements = prop::collection::vec(number(), 0..4);
    let row = (0u64..5, number(), elements).prop_map(|(id, inner, elements)| Row {
        id,
        inner,
        elements,
    });
    let step = prop_oneof![
        6 => row.prop_map(Step::Replace),
        2 => (0u64..5).prop_map(Step::Delete),
        2 => (0u64..5, number()).prop_map(|(id, to)| Step::Update(id, to)),
        8 => (prop::sample::select(&INDEXES[..]), 0u64..7, prop::option::of(number()))
            .prop_map(|(index, iterator, key)| Step::Select(index, iterator, key)),
        2 => Just(Step::Commit),
        1 => Just(Step::Reopen),
        1 => prop::sample::select(&INDEXES[..]).prop_map(Step::Rebuild),
    ];
    prop::collection::vec(step, 1..50)
}

struct Model {
    rig: Rig,
    seen: Vec<Row>,
    durable: Vec<Row>,
}

fn index_row(index: u32) -> Value {
    let element = json!({"field": 2, "type": "unsigned", "path": "[*].k", "is_nullable": true});
    let with = |more: Value| {
        let mut part = element.clone();
        let more = more.as_object().unwrap().clone();
        part.as_object_mut().unwrap().extend(more);
        part
    };
    let part = match index {
        1 => json!({"field": 1, "type": "unsigned", "path": "a.b", "is_nullable": true}),
        2 => element,
        3 => with(json!({"sort_order": "desc"})),
        _ => with(json!({"exclude_null": true})),
    };
    let options = json!({"unique": index == 4});
    json!([SPACE, index, format!("i{index}"), "tree", options, [part]])
}

impl Model {
    fn new() -> Self {
        let mut rig = Rig::with_space(&[(1, "unsigned")]);
        for index in INDEXES {
            assert!(define(&mut rig, &index_row(index)).starts_with("[["));
        }
        let (seen, durable) = (Vec::new(), Vec::new());
        Self { rig, seen, durable }
    }

    fn store(&mut self, row: Row) -> bool {
        let own = keys(4, &row);
        let mut others = self.seen.iter().filter(|other| other.id != row.id);
        if others.any(|other| keys(4, other).iter().any(|key| own.contains(key))) {
            return false;
        }
        self.seen.retain(|other| other.id != row.id);
        self.seen.push(row);
        true
    }

    fn expected(&self, index: u32, iterator: u64, key: Option<Option<u64>>) -> Vec<Value> {
        let rows = self.seen.iter();
        let mut all: Vec<_> = rows
            .flat_map(|row| keys(index, row).into_iter().map(move |key| (key, row)))
            .collect();
        all.sort_by_key(|(key, row)| (*key, row.id));
        if index == 3 {
            all.sort_by_key(|(key, row)| (Reverse(*key), row.id));
        }
        all.retain(|(own, _)| {
            let Some(key) = key else { return true };
            let order = own.cmp(&key);
            let order = if index == 3 { order.reverse() } else { order };
            match iterator {
                0 | 1 => order.is_eq(),
                2 | 5 => order.is_ge(),
                3 => order.is_lt(),
                4 => order.is_le(),
                _ => order.is_gt(),
            }
        });
        if matches!(iterator, 1 | 3 | 4) {
            all.reverse();
        }
        all.into_iter().map(|(_, row)| row.json()).collect()
    }

    fn select(&mut self, index: u32, iterator: u64, key: Option<Option<u64>>) {
        let expected = self.expected(index, iterator, key);
        let key = key.map_or(pack(&[0; 0]), |key| pack(&[key]));
        let select = Select {
            index: IdOrName::Id(index),
            iterator,
            ..by(&key)
        };
        let (whole, _) = read(&self.rig.raw(Body::Select(select)).unwrap());
        assert_eq!(decoded::<Value>(&whole), expected);
        assert_eq!(self.rig.engine.count(&select), Ok(expected.len()));
        let view = self.rig.engine.view().unwrap();
        let is_durable = self.seen == self.durable;
        let paged = pages(&mut self.rig, &select, 2, |rig, page, body| {
            if is_durable {
                let (mut out, scan) = (Vec::new(), &mut Scan::default());
                let mut told = ReplyBody::in_buffer(&mut out);
                view.select(page, &rig.caller, scan, &mut told).unwrap();
                assert_eq!(out, body);
            }
        });
        assert_eq!(paged, whole);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Replace(row) => {
                let told = self.rig.replace(&row.json());
                assert_eq!(!told.starts_with("3: "), self.store(row), "{told}");
            }
            Step::Delete(id) => {
                self.rig.delete(&(id,));
                self.seen.retain(|row| row.id != id);
            }
            Step::Update(id, to) => {
                let to_json = to.map_or(json!([]), |to| json!([{"k": to}]));
                let told = self.rig.update(&(id,), &(("=", 2, to_json),));
                if let Some(old) = self.seen.iter().find(|row| row.id == id).cloned() {
                    let elements = to.map_or(vec![], |to| vec![Some(to)]);
                    let new = Row { elements, ..old };
                    assert_eq!(!told.starts_with("3: "), self.store(new), "{told}");
                }
            }
            Step::Select(index, iterator, key) => self.select(index, iterator, key),
            Step::Commit => {
                self.rig.commit();
                self.durable.clone_from(&self.seen);
            }
            Step::Reopen => {
                self.rig.reopen();
                self.seen.clone_from(&self.durable);
            }
            Step::Rebuild(index) => {
                let drop = format!("box.space.s.index.i{index}:drop");
                assert!(!self.rig.call(&drop, &[0; 0]).contains(": "));
                assert!(define(&mut self.rig, &index_row(index)).starts_with("[["));
                self.durable.clone_from(&self.seen);
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn indexes_inside_of_fields_do_as_sorting_does(steps in steps()) {
        let mut model = Model::new();
        for step in steps {
            model.step(step);
        }
        for index in INDEXES {
            model.select(index, 2, None);
        }
    }
}
