//! Foreign keys: as Tarantool's own tests have them, across transactions, and across files.

mod definitions;

use serde::Serialize;
use serde_json::{Value, json};
use vestibule_actors::engine::{Engine, TransactionId};
use vestibule_wire::request::{Begin, Body, Delete, IdOrName, Store, Update, Upsert};

use super::{Rig, pack};

const COUNTRY: u32 = 512;
const CITY: u32 = 513;

fn rig(country: &Value, city: &Value) -> Rig {
    let mut rig = Rig::new();
    create(&mut rig, "country", country);
    create(&mut rig, "city", city);
    rig
}

fn create(rig: &mut Rig, name: &str, options: &Value) {
    let told = rig.call("box.schema.space.create", &(name, options));
    assert!(told.starts_with("[{\"id\""), "{name}: {told}");
}

fn index(rig: &mut Rig, space: &str, name: &str, options: &Value) {
    let told = rig.call(&format!("box.space.{space}:create_index"), &(name, options));
    assert!(told.starts_with("[{\"id\""), "{space}.{name}: {told}");
}

/// Countries by number and by code, and cities that refer to them by `key`, a foreign key of the
/// second field, which has an index.
fn two_spaces(key: &Value) -> Rig {
    let format = json!([{"name": "id", "type": "unsigned"}, {"name": "code", "type": "string"}]);
    let mut rig = Rig::new();
    create(&mut rig, "country", &json!({ "format": format }));
    index(&mut rig, "country", "pk", &json!({}));
    index(&mut rig, "country", "code", &json!({"parts": ["code"]}));
    let format = json!([
        {"name": "id", "type": "unsigned"},
        {"name": "country", "is_nullable": true, "foreign_key": key},
    ]);
    create(&mut rig, "city", &json!({ "format": format }));
    index(&mut rig, "city", "pk", &json!({}));
    let kind = if key.to_string().contains("code") {
        "string"
    } else {
        "unsigned"
    };
    let parts = json!([{"field": 2, "type": kind, "is_nullable": true}]);
    index(
        &mut rig,
        "city",
        "country",
        &json!({"parts": parts, "unique": false}),
    );
    for country in [json!([1, "ru"]), json!([2, "fr"]), json!([3, "de"])] {
        insert(&mut rig, COUNTRY, &country);
    }
    rig.commit();
    rig
}

/// Gives the cities of [`two_spaces`] another foreign key, or none.
fn refer_by(rig: &mut Rig, key: &Value) -> String {
    let country = json!({"name": "country", "type": "any", "foreign_key": key});
    let format = json!([[["id", "unsigned"], country]]);
    rig.call("box.space.city:format", &format)
}

fn by_id() -> Value {
    json!({"space": "country", "field": "id"})
}

fn by_code() -> Value {
    json!({"home": {"space": "country", "field": "code"}})
}

fn insert(rig: &mut Rig, space: u32, tuple: &impl Serialize) -> String {
    let (space, tuple) = (IdOrName::Id(space), &pack(tuple));
    rig.run(Body::Insert(Store { space, tuple }))
}

fn replace(rig: &mut Rig, space: u32, tuple: &impl Serialize) -> String {
    let (space, tuple) = (IdOrName::Id(space), &pack(tuple));
    rig.run(Body::Replace(Store { space, tuple }))
}

fn delete(rig: &mut Rig, space: u32, key: u64) -> String {
    let (space, index, key) = (IdOrName::Id(space), IdOrName::Id(0), &pack(&[key]));
    rig.run(Body::Delete(Delete { space, index, key }))
}

fn update(rig: &mut Rig, space: u32, key: u64, ops: &impl Serialize) -> String {
    rig.run(Body::Update(Update {
        space: IdOrName::Id(space),
        index: IdOrName::Id(0),
        key: &pack(&[key]),
        ops: &pack(ops),
        index_base: 0,
    }))
}

fn begin(rig: &mut Rig, number: u64) -> TransactionId {
    let id = TransactionId(number);
    let begin = Begin {
        timeout: None,
        isolation: 0,
    };
    rig.engine.begin(id, &begin, &rig.caller.clone()).unwrap();
    id
}

const NO_PARENT: &str = "239: Foreign key constraint 'country' failed for field '2 (country)': \
                         foreign tuple was not found";
const REFERENCED: &str = "238: Foreign key 'country' integrity check failed: tuple is referenced";

#[test]
fn a_child_needs_its_parent() {
    let mut rig = two_spaces(&by_id());
    assert_eq!(insert(&mut rig, CITY, &(1, 9)), NO_PARENT);
    assert_eq!(insert(&mut rig, CITY, &(1, 1)), "[[1, 1]]");
    assert_eq!(replace(&mut rig, CITY, &(1, 9)), NO_PARENT);
    assert_eq!(update(&mut rig, CITY, 1, &[("=", 1, 9)]), NO_PARENT);
    assert_eq!(update(&mut rig, CITY, 1, &[("=", 1, 2)]), "[[1, 2]]");
    let upsert = |rig: &mut Rig, tuple: (u64, u64), to: u64| {
        let (tuple, ops) = (pack(&tuple), pack(&[("=", 1, to)]));
        rig.run(Body::Upsert(Upsert {
            space: IdOrName::Id(CITY),
            tuple: &tuple,
            ops: &ops,
            index_base: 0,
        }))
    };
    assert_eq!(upsert(&mut rig, (1, 1), 9), NO_PARENT);
    assert_eq!(upsert(&mut rig, (2, 9), 1), NO_PARENT);
    assert_eq!(upsert(&mut rig, (2, 3), 1), "[]");
    // Nothing is referred to by nothing.
    assert_eq!(insert(&mut rig, CITY, &json!([4, null])), "[[4, null]]");
    assert_eq!(insert(&mut rig, CITY, &[5]), "[[5]]");
    let wrong = "239: Foreign key constraint 'home' failed for field '2 (country)': wrong key type";
    let mut rig = two_spaces(&by_code());
    assert_eq!(insert(&mut rig, CITY, &(1, "fr")), "[[1, \"fr\"]]");
    rig.call("box.space.city.index.country:drop", &[(); 0]);
    assert_eq!(insert(&mut rig, CITY, &(2, 7)), wrong);
}

#[test]
fn a_parent_stays_while_children_refer_to_it() {
    let mut rig = two_spaces(&by_id());
    insert(&mut rig, CITY, &(1, 1));
    assert_eq!(delete(&mut rig, COUNTRY, 1), REFERENCED);
    // Its key stays the same.
    assert_eq!(replace(&mut rig, COUNTRY, &(1, "su")), "[[1, \"su\"]]");
    assert_eq!(delete(&mut rig, COUNTRY, 2), "[[2, \"fr\"]]");
    delete(&mut rig, CITY, 1);
    assert_eq!(delete(&mut rig, COUNTRY, 1), "[[1, \"su\"]]");

    let mut rig = two_spaces(&by_code());
    insert(&mut rig, CITY, &(1, "ru"));
    let referenced = REFERENCED.replace("'country'", "'home'");
    assert_eq!(replace(&mut rig, COUNTRY, &(1, "su")), referenced);
    assert_eq!(update(&mut rig, COUNTRY, 1, &[("=", 1, "su")]), referenced);
    assert_eq!(replace(&mut rig, COUNTRY, &(1, "ru")), "[[1, \"ru\"]]");
    assert_eq!(
        update(&mut rig, COUNTRY, 2, &[("=", 1, "be")]),
        "[[2, \"be\"]]"
    );
    // Where children cannot be looked for, nothing goes.
    rig.call("box.space.city.index.country:drop", &[(); 0]);
    let told = "238: Foreign key 'home' integrity check failed: index was not found";
    assert_eq!(delete(&mut rig, COUNTRY, 3), told);
}

#[test]
fn a_space_that_others_refer_to_is_neither_dropped_nor_emptied() {
    let mut rig = two_spaces(&by_id());
    let refused = "12: Can't modify space 'country': space is referenced by foreign key";
    insert(&mut rig, CITY, &(1, 1));
    rig.commit();
    for method in ["drop", "truncate", "index.pk:drop"] {
        if method.ends_with("drop") && method != "drop" {
            rig.call("box.space.country.index.code:drop", &[(); 0]);
        }
        let separator = if method.starts_with("index") {
            '.'
        } else {
            ':'
        };
        let told = rig.call(&format!("box.space.country{separator}{method}"), &[(); 0]);
        assert_eq!(told, refused, "{method}");
    }
    assert_eq!(
        insert(&mut rig, CITY, &(2, 2)),
        "[[2, 2]]",
        "its index is there still"
    );
    rig.commit();
    assert_eq!(rig.call("box.space.city:truncate", &[(); 0]), "[]");
    assert_eq!(rig.call("box.space.country:truncate", &[(); 0]), "[]");
    assert_eq!(insert(&mut rig, CITY, &(1, 1)), NO_PARENT);
    assert_eq!(
        rig.call("box.space.country:drop", &[(); 0]),
        refused,
        "by an empty space, too"
    );
    assert_eq!(rig.call("box.space.city:drop", &[(); 0]), "[]");
    assert_eq!(rig.call("box.space.country:drop", &[(); 0]), "[]");
}

#[test]
fn tuples_refer_to_tuples_of_their_own_space() {
    let mut rig = Rig::new();
    let format = json!([
        {"name": "id", "type": "unsigned"},
        {"name": "parent", "type": "unsigned", "is_nullable": true,
         "foreign_key": {"space": "tree", "field": "id"}},
    ]);
    create(&mut rig, "tree", &json!({ "format": format }));
    index(&mut rig, "tree", "pk", &json!({}));
    index(
        &mut rig,
        "tree",
        "parent",
        &json!({"unique": false, "parts": ["parent"]}),
    );
    let tree = COUNTRY;
    assert_eq!(insert(&mut rig, tree, &[0]), "[[0]]");
    assert_eq!(insert(&mut rig, tree, &(1, 0)), "[[1, 0]]");
    let none = "239: Foreign key constraint 'tree' failed for field '2 (parent)': foreign tuple \
                was not found";
    assert_eq!(insert(&mut rig, tree, &(2, 7)), none);
    assert_eq!(
        insert(&mut rig, tree, &(3, 3)),
        none,
        "it is not there before itself"
    );
    assert_eq!(replace(&mut rig, tree, &(1, 1)), "[[1, 1]]");
    let referenced = "238: Foreign key 'tree' integrity check failed: tuple is referenced";
    assert_eq!(delete(&mut rig, tree, 1), referenced);
    assert_eq!(replace(&mut rig, tree, &(1, 0)), "[[1, 0]]");
    assert_eq!(delete(&mut rig, tree, 0), referenced);
    assert_eq!(delete(&mut rig, tree, 1), "[[1, 0]]");
    assert_eq!(delete(&mut rig, tree, 0), "[[0]]");
    rig.commit();
    assert_eq!(rig.call("box.space.tree:truncate", &[(); 0]), "[]");
    assert_eq!(rig.call("box.space.tree:drop", &[(); 0]), "[]");
}

#[test]
fn a_tuple_does_not_refer_to_what_it_takes_the_place_of() {
    let mut rig = Rig::new();
    let format = json!([
        {"name": "id", "type": "unsigned"},
        {"name": "path", "type": "string"},
        {"name": "parent", "type": "string", "is_nullable": true,
         "foreign_key": {"space": "tree", "field": "path"}},
    ]);
    create(&mut rig, "tree", &json!({ "format": format }));
    index(&mut rig, "tree", "pk", &json!({}));
    index(&mut rig, "tree", "path", &json!({"parts": ["path"]}));
    index(
        &mut rig,
        "tree",
        "parent",
        &json!({"unique": false, "parts": ["parent"]}),
    );
    insert(&mut rig, COUNTRY, &(1, "/"));
    let told = replace(&mut rig, COUNTRY, &(1, "/usr", "/"));
    assert!(told.starts_with("239: "), "{told}");
    assert_eq!(
        replace(&mut rig, COUNTRY, &(1, "/", "/")),
        "[[1, \"/\", \"/\"]]"
    );
}

#[test]
fn a_tuple_refers_by_several_fields() {
    let country = json!({"format": [["planet", "unsigned"], ["id", "unsigned"]]});
    let city = json!({
        "format": [
            {"name": "id", "type": "unsigned"},
            {"name": "c", "type": "unsigned", "is_nullable": true},
            {"name": "p", "type": "unsigned", "is_nullable": true},
        ],
        "foreign_key": {"space": "country", "field": {"c": "id", "p": "planet"}},
    });
    let mut rig = rig(&country, &city);
    index(&mut rig, "country", "pk", &json!({"parts": [1, 2]}));
    index(&mut rig, "city", "pk", &json!({}));
    insert(&mut rig, COUNTRY, &(1, 11));
    insert(&mut rig, COUNTRY, &(1, 12));
    let failed = |why| format!("240: Foreign key constraint 'country' failed: {why}");
    assert_eq!(insert(&mut rig, CITY, &(1, 11, 1)), "[[1, 11, 1]]");
    let not_found = failed("foreign tuple was not found");
    assert_eq!(insert(&mut rig, CITY, &(2, 1, 11)), not_found);
    assert_eq!(
        insert(&mut rig, CITY, &(2, 11)),
        failed("extract key failed")
    );
    let with_null = json!([2, null, 1]);
    assert_eq!(insert(&mut rig, CITY, &with_null), failed("wrong key type"));
    let nulls = json!([2, null, null, 7]);
    assert_eq!(insert(&mut rig, CITY, &nulls), "[[2, null, null, 7]]");
    assert_eq!(insert(&mut rig, CITY, &[3]), "[[3]]");
    let delete = |rig: &mut Rig, key: [u64; 2]| {
        let (space, index) = (IdOrName::Id(COUNTRY), IdOrName::Id(0));
        rig.run(Body::Delete(Delete {
            space,
            index,
            key: &pack(&key),
        }))
    };
    let told = "238: Foreign key 'country' integrity check failed: index was not found";
    assert_eq!(delete(&mut rig, [1, 12]), told);
    rig.commit();
    index(
        &mut rig,
        "city",
        "country",
        &json!({"parts": ["p", "c"], "unique": false}),
    );
    assert_eq!(delete(&mut rig, [1, 12]), "[[1, 12]]");
    assert_eq!(delete(&mut rig, [1, 11]), REFERENCED);
}

#[test]
fn of_a_child_and_its_parents_deletion_in_two_transactions_one_commits() {
    for child_is_first in [true, false] {
        let mut rig = two_spaces(&by_id());
        let (stores, deletes) = (begin(&mut rig, 1), begin(&mut rig, 2));
        rig.inside = Some(stores);
        assert_eq!(insert(&mut rig, CITY, &(1, 1)), "[[1, 1]]");
        rig.inside = Some(deletes);
        assert_eq!(delete(&mut rig, COUNTRY, 1), "[[1, \"ru\"]]");
        rig.inside = None;
        let order = if child_is_first {
            [stores, deletes]
        } else {
            [deletes, stores]
        };
        let ends = order.map(|id| rig.engine.commit_transaction(id).map_err(|e| e.code().0));
        assert_eq!(ends, [Ok(()), Err(97)]);
        rig.commit();
    }
}

#[test]
fn a_new_foreign_key_aborts_who_has_changed_what_it_leads_to() {
    let mut rig = two_spaces(&by_id());
    assert_eq!(refer_by(&mut rig, &Value::Null), "[]");
    insert(&mut rig, CITY, &(1, 1));
    rig.commit();
    let deletes = begin(&mut rig, 1);
    rig.inside = Some(deletes);
    assert_eq!(delete(&mut rig, COUNTRY, 1), "[[1, \"ru\"]]");
    rig.inside = None;
    assert_eq!(refer_by(&mut rig, &by_id()), "[]");
    let ended = rig.engine.commit_transaction(deletes);
    assert_eq!(ended.map_err(|error| error.code().0), Err(97));
}

#[test]
fn foreign_keys_survive_a_restart_and_hold_in_one_turn() {
    let mut rig = two_spaces(&by_id());
    insert(&mut rig, COUNTRY, &(9, "xx"));
    insert(&mut rig, CITY, &(1, 9));
    assert_eq!(delete(&mut rig, COUNTRY, 9), REFERENCED, "in the same turn");
    rig.commit();
    rig.reopen();
    assert_eq!(delete(&mut rig, COUNTRY, 9), REFERENCED);
    assert_eq!(insert(&mut rig, CITY, &(2, 8)), NO_PARENT);
    let [followed, anew] = rig.engine.schema_told();
    assert_eq!(followed, anew);
}
