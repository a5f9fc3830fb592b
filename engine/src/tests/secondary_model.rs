//! Random requests on a space with several indexes, against plain filtering and sorting. With the
//! feature `collations`, some of them order texts as ICU4X compares them.

use std::cmp::Ordering::{self, Equal, Greater, Less};

use proptest::prelude::*;
use vestibule_actors::engine::{Engine, ReplyBody, Scan, ViewStep};
use vestibule_wire::request::{Body, Delete, IdOrName, Select, Update};

use super::paging::{decoded, pages, read};
use super::secondary::{Wanted, collation, nullable, part, put, tree};
use super::{Rig, SPACE, by, cases, pack};
use crate::model::field::FieldType::{String as Text, Unsigned};
use crate::model::index::Part;

/// `[id, text, number or null]`
type Row = (u64, String, Option<u64>);

/// By number: what an index orders by, what of it in descending order, whether it is unique,
/// whether it leaves nulls out.
struct Index {
    id: u32,
    fields: &'static [usize],
    descending: &'static [usize],
    is_unique: bool,
    excludes: bool,
    is_hash: bool,
    /// The number of the collation that texts are ordered by; 0 for none.
    collation: u16,
}

const fn index(id: u32, fields: &'static [usize], is_unique: bool) -> Index {
    Index {
        id,
        fields,
        descending: &[],
        is_unique,
        excludes: false,
        is_hash: false,
        collation: 0,
    }
}

#[cfg(feature = "collations")]
const UNICODE: u16 = 1;
#[cfg(feature = "collations")]
const UNICODE_CI: u16 = 2;

const INDEXES: &[Index] = &[
    index(0, &[0], true),
    index(1, &[1, 2], true),
    index(2, &[2], false),
    index(3, &[1], false),
    Index {
        excludes: true,
        ..index(4, &[2, 0], true)
    },
    Index {
        is_hash: true,
        ..index(5, &[1, 0], true)
    },
    Index {
        descending: &[1],
        ..index(6, &[1, 2], false)
    },
    Index {
        descending: &[2, 0],
        ..index(7, &[2, 1, 0], true)
    },
    #[cfg(feature = "collations")]
    Index {
        collation: UNICODE_CI,
        ..index(8, &[1, 2], true)
    },
    #[cfg(feature = "collations")]
    Index {
        collation: UNICODE_CI,
        descending: &[1],
        ..index(9, &[1], false)
    },
    #[cfg(feature = "collations")]
    Index {
        collation: UNICODE,
        is_hash: true,
        ..index(10, &[1, 0], true)
    },
    #[cfg(feature = "collations")]
    Index {
        collation: UNICODE,
        excludes: true,
        ..index(11, &[2, 1], false)
    },
];

/// The order of two texts by a collation.
#[cfg(feature = "collations")]
fn compare_texts(collation: u16, left: &str, right: &str) -> Ordering {
    use icu_collator::Collator;
    use icu_collator::options::{CollatorOptions, Strength};
    let mut options = CollatorOptions::default();
    options.strength = match collation {
        0 => return left.cmp(right),
        UNICODE_CI => Some(Strength::Primary),
        _ => Some(Strength::Tertiary),
    };
    let collator = Collator::try_new(Default::default(), options).unwrap();
    collator.compare(left, right)
}

#[cfg(not(feature = "collations"))]
fn compare_texts(_: u16, left: &str, right: &str) -> Ordering {
    left.cmp(right)
}

impl Index {
    fn wanted(&self) -> Wanted {
        let parts = self.fields.iter().map(|field| Part {
            is_descending: self.descending.contains(field),
            ..match field {
                0 => part(0, Unsigned),
                1 => Part {
                    collation: collation(self.collation),
                    ..part(1, Text)
                },
                _ => Part {
                    exclude_null: self.excludes,
                    ..nullable(2, Unsigned)
                },
            }
        });
        let parts: Vec<_> = parts.collect();
        Wanted {
            kind: if self.is_hash { "hash" } else { "tree" },
            ..tree(self.id, self.is_unique, &parts)
        }
    }

    fn compare(&self, left: &Row, right: &Row, parts: usize) -> Ordering {
        let fields = self.fields.iter().take(parts);
        let mut orders = fields.map(|field| {
            let order = match field {
                0 => left.0.cmp(&right.0),
                1 => compare_texts(self.collation, &left.1, &right.1),
                _ => left.2.cmp(&right.2),
            };
            if self.descending.contains(field) {
                return order.reverse();
            }
            order
        });
        orders.find(|order| *order != Equal).unwrap_or(Equal)
    }

    fn holds(&self, row: &Row) -> bool {
        !self.excludes || row.2.is_some()
    }

    /// Whether two tuples may not be there together.
    fn clashes(&self, left: &Row, right: &Row) -> bool {
        let has_null = self.fields.contains(&2) && left.2.is_none();
        self.is_unique && !has_null && self.compare(left, right, 9) == Equal
    }

    fn key(&self, row: &Row, parts: usize) -> Vec<u8> {
        let mut key = vec![0x90 + parts as u8];
        for field in self.fields.iter().take(parts) {
            key.extend(match field {
                0 => pack(&row.0),
                1 => pack(&row.1),
                _ => pack(&row.2),
            });
        }
        key
    }
}

#[derive(Debug, Clone)]
enum Step {
    Insert(Row),
    Replace(Row),
    Upsert(Row),
    Update(usize, Row, Row),
    Delete(usize, Row),
    Select(usize, u64, Row, usize),
    Commit,
    FailToCommit,
    Reopen,
    Rebuild(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let text = if cfg!(feature = "collations") {
        "[abAá\u{301}\u{0}]{0,2}"
    } else {
        "[a-b]{0,2}"
    };
    let row = move || (0u64..6, text, prop::option::of(0u64..4));
    let any = || 0..INDEXES.len();
    let step = prop_oneof![
        5 => row().prop_map(Step::Insert),
        5 => row().prop_map(Step::Replace),
        2 => row().prop_map(Step::Upsert),
        4 => (any(), row(), row()).prop_map(|(index, by, to)| Step::Update(index, by, to)),
        3 => (any(), row()).prop_map(|(index, by)| Step::Delete(index, by)),
        8 => (any(), 0u64..7, row(), 0usize..3)
            .prop_map(|(index, iterator, by, parts)| Step::Select(index, iterator, by, parts)),
        3 => Just(Step::Commit),
        1 => Just(Step::FailToCommit),
        1 => Just(Step::Reopen),
        1 => (1..INDEXES.len()).prop_map(Step::Rebuild),
    ];
    prop::collection::vec(step, 1..60)
}

struct Model {
    rig: Rig,
    durable: Vec<Row>,
    /// What the turn sees, by primary key.
    seen: Vec<Row>,
}

impl Model {
    fn new() -> Self {
        let mut rig = Rig::with_space(&[(1, "unsigned")]);
        for index in &INDEXES[1..] {
            assert_eq!(put(&mut rig, index.wanted()), None);
        }
        let (durable, seen) = (Vec::new(), Vec::new());
        Self { rig, durable, seen }
    }

    /// Stores a row in place of another one, unless that makes a duplicate.
    fn store(&mut self, own: Option<u64>, row: &Row) -> bool {
        let others = || self.seen.iter().filter(|other| Some(other.0) != own);
        let is_taken = others().any(|other| INDEXES.iter().any(|index| index.clashes(row, other)));
        if !is_taken {
            self.seen.retain(|other| Some(other.0) != own);
            self.seen.push(row.clone());
            self.seen.sort();
        }
        !is_taken
    }

    /// The row that a whole key leads to; an error if the index does not lead to one row.
    fn locate(&self, index: &Index, by: &Row) -> Result<Option<Row>, &'static str> {
        if !index.is_unique {
            return Err("41: ");
        }
        if index.fields.contains(&2) && by.2.is_none() {
            return Err("18: ");
        }
        let found = self
            .seen
            .iter()
            .find(|row| index.compare(row, by, 9) == Equal);
        Ok(found.cloned())
    }

    fn expected(&self, index: &Index, iterator: u64, by: &Row, parts: usize) -> Vec<Row> {
        let mut rows: Vec<_> = self
            .seen
            .iter()
            .filter(|row| index.holds(row))
            .cloned()
            .collect();
        rows.sort_by(|left, right| index.compare(left, right, 9).then(left.0.cmp(&right.0)));
        rows.retain(|row| match (index.compare(row, by, parts), iterator) {
            _ if parts == 0 => true,
            (order, 0 | 1) => order == Equal,
            (order, 2 | 5) => order != Less,
            (order, 3) => order == Less,
            (order, 4) => order != Greater,
            (order, _) => order == Greater,
        });
        if matches!(iterator, 1 | 3 | 4) {
            rows.reverse();
        }
        rows
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Insert(row) => {
                let told = self.rig.insert(&row);
                assert_eq!(!told.starts_with("3: "), self.store(None, &row), "{told}");
            }
            Step::Replace(row) => {
                let told = self.rig.replace(&row);
                assert_eq!(
                    !told.starts_with("3: "),
                    self.store(Some(row.0), &row),
                    "{told}"
                );
            }
            Step::Upsert(row) => {
                let told = self.rig.upsert(&row, &[("=", 1, &row.1)]);
                let old = self.seen.iter().find(|old| old.0 == row.0).cloned();
                let new = old.map_or(row.clone(), |old| (old.0, row.1, old.2));
                assert_eq!(told == "[]", self.store(Some(row.0), &new), "{told}");
            }
            Step::Update(at, by, to) => self.update(&INDEXES[at], &by, &to),
            Step::Delete(at, by) => {
                let (space, index) = (IdOrName::Id(SPACE), IdOrName::Id(INDEXES[at].id));
                let key = &INDEXES[at].key(&by, INDEXES[at].fields.len());
                let told = self.rig.run(Body::Delete(Delete { space, index, key }));
                match self.locate(&INDEXES[at], &by) {
                    Err(code) => assert!(told.starts_with(code), "{told}"),
                    Ok(None) => assert_eq!(told, "[]"),
                    Ok(Some(row)) => self.seen.retain(|other| *other != row),
                }
            }
            Step::Select(at, iterator, by, parts) => {
                self.select(
                    &INDEXES[at],
                    iterator,
                    &by,
                    parts.min(INDEXES[at].fields.len()),
                );
            }
            Step::Commit => {
                self.rig.commit();
                self.durable.clone_from(&self.seen);
            }
            Step::FailToCommit => {
                self.rig.disk.set_fails_next_append(true);
                let is_changed = self.rig.engine.commit().is_err();
                assert!(is_changed || self.durable == self.seen);
                self.rig.disk.set_fails_next_append(false);
                self.rig.engine.resume().unwrap();
                self.seen.clone_from(&self.durable);
            }
            Step::Reopen => {
                self.rig.reopen();
                self.seen.clone_from(&self.durable);
            }
            Step::Rebuild(at) => {
                let id = INDEXES[at].id;
                assert!(
                    !self
                        .rig
                        .call(&format!("box.space.s.index.i{id}:drop"), &[0; 0])
                        .contains(": ")
                );
                assert_eq!(put(&mut self.rig, INDEXES[at].wanted()), None);
                // A change of definitions commits what comes before it.
                self.durable.clone_from(&self.seen);
            }
        }
    }

    fn update(&mut self, index: &Index, by: &Row, to: &Row) {
        let key = &index.key(by, index.fields.len());
        let ops = &pack(&(("=", 1, &to.1), ("=", 2, &to.2)));
        let (space, index_base) = (IdOrName::Id(SPACE), 0);
        let told = self.rig.run(Body::Update(Update {
            space,
            index: IdOrName::Id(index.id),
            key,
            ops,
            index_base,
        }));
        match self.locate(index, by) {
            Err(code) => assert!(told.starts_with(code), "{told}"),
            Ok(None) => assert_eq!(told, "[]"),
            Ok(Some(row)) => {
                let new = (row.0, to.1.clone(), to.2);
                assert_eq!(
                    !told.starts_with("3: "),
                    self.store(Some(row.0), &new),
                    "{told}"
                );
            }
        }
    }

    /// Whole, page by page, and from the view once everything is durable.
    fn select(&mut self, index: &Index, iterator: u64, by_row: &Row, parts: usize) {
        let key = index.key(by_row, parts);
        let select = Select {
            index: IdOrName::Id(index.id),
            iterator,
            ..by(&key)
        };
        if index.is_hash && (iterator != 0 || parts != 2) {
            return;
        }
        let rows = self.expected(index, iterator, by_row, parts);
        let whole = self.rig.raw(Body::Select(select)).unwrap();
        let (tuples, _) = read(&whole);
        assert_eq!(decoded::<Row>(&tuples), rows);
        assert_eq!(self.rig.engine.count(&select), Ok(rows.len()));
        if self.seen == self.durable {
            let (view, mut out) = (self.rig.engine.view().unwrap(), Vec::new());
            let step = view.select(
                &select,
                &self.rig.caller,
                &mut Scan::default(),
                &mut ReplyBody::in_buffer(&mut out),
            );
            assert_eq!((step, out), (Ok(ViewStep::Done), whole));
        }
        if index.is_hash {
            return;
        }
        let paged = pages(&mut self.rig, &select, 2, |_, _, _| ());
        assert_eq!(paged, tuples);
    }
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn every_index_does_as_sorting_does(steps in steps()) {
        let mut model = Model::new();
        for step in steps {
            model.step(step);
        }
        for index in INDEXES.iter().filter(|index| !index.is_hash) {
            model.select(index, 2, &(0, String::new(), None), 0);
        }
    }
}
