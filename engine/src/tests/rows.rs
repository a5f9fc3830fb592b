//! Options in rows of `_space` and `_index` that clients write themselves, answered as Tarantool.

use serde_json::{Value, json};
use vestibule_wire::request::{Body, IdOrName, Store};

use super::{Rig, pack};
use crate::schema::system;

fn put(rig: &mut Rig, space: u32, row: &Value) -> String {
    let told = rig.run(Body::Replace(Store {
        space: IdOrName::Id(space),
        tuple: &pack(row),
    }));
    rig.commit();
    told
}

#[test]
fn options_and_formats_of_spaces_are_checked_by_name_and_type() {
    let mut rig = Rig::new();
    let wrong = "111: Wrong space options (field 5): ";
    for (options, expected) in [
        (json!({"foo": 1}), "unexpected option 'foo'"),
        (json!({"temporary": 1}), "'temporary' must be boolean"),
        (json!({"is_sync": 1}), "'is_sync' must be boolean"),
        (json!({"group_id": "x"}), "'group_id' must be unsigned"),
        (
            json!({"type": "odd"}),
            "type must be one of: 'normal', 'data-temporary', 'temporary'",
        ),
    ] {
        let row = json!([600, 1, "s", "memtx", 0, options, []]);
        let told = put(&mut rig, system::SPACE, &row);
        assert_eq!(told, format!("{wrong}{expected}"));
    }
    for (field, expected) in [
        (
            json!({"name": "a", "type": 1}),
            "141: Wrong space format (field 1): 'type' must be enum",
        ),
        (
            json!({"name": 1}),
            "141: Wrong space format (field 1): 'name' must be string",
        ),
        (
            json!({"name": "a", "is_nullable": 1}),
            "141: Wrong space format (field 1): 'is_nullable' must be boolean",
        ),
        (
            json!("a"),
            "9: Failed to create space 's': field 1 is not map",
        ),
    ] {
        let row = json!([600, 1, "s", "memtx", 0, {}, [field]]);
        assert_eq!(put(&mut rig, system::SPACE, &row), expected);
    }
    let format = json!([{"name": "a", "type": "*", "comment": "x", "more": [1]}]);
    let options = json!({"group_id": 1, "temporary": true, "sql": "", "view": false});
    let row = json!([600, 1, "s", "memtx", 0, options, format]);
    assert!(put(&mut rig, system::SPACE, &row).starts_with("[[600, "));
}

#[test]
fn options_of_indexes_are_checked_by_name_and_type() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    let row = |options: Value, parts: Value| json!([512, 0, "pk", "tree", options, parts]);
    let plain = json!([[0, "unsigned"]]);
    for (options, expected) in [
        (json!({"foo": 1}), "unexpected option 'foo'"),
        (json!({"is_unique": true}), "unexpected option 'is_unique'"),
        (json!({"unique": 1}), "'unique' must be boolean"),
        (json!({"dimension": "x"}), "'dimension' must be integer"),
        (json!({"bloom_fpr": "a"}), "'bloom_fpr' must be float"),
        (json!({"func": "a"}), "'func' must be unsigned"),
        (
            json!({"distance": "x"}),
            "distance must be either 'euclid' or 'manhattan'",
        ),
        (
            json!({"bloom_fpr": 2}),
            "bloom_fpr must be greater than 0 and less than or equal to 1",
        ),
        (
            json!({"range_size": 1}),
            "page_size must be greater than 0 and less than or equal to range_size",
        ),
        (
            json!({"run_count_per_level": 0}),
            "run_count_per_level must be greater than 0",
        ),
        (
            json!({"run_size_ratio": 1}),
            "run_size_ratio must be greater than 1",
        ),
    ] {
        let told = put(&mut rig, system::INDEX, &row(options, plain.clone()));
        assert_eq!(
            told,
            format!("108: Wrong index options (field 4): {expected}")
        );
    }
    for (part, expected) in [
        (json!({"foo": 1}), "unexpected option 'foo'"),
        (json!({"is_nullable": 1}), "'is_nullable' must be boolean"),
        (json!({"exclude_null": 1}), "'exclude_null' must be boolean"),
        (json!({"sort_order": 1}), "'sort_order' must be enum"),
        (
            json!({"sort_order": "up"}),
            "index part: unknown sort order",
        ),
        (json!({"type": 1}), "'type' must be enum"),
        (json!({"field": -1}), "'field' must be unsigned"),
    ] {
        let mut whole = json!({"field": 0, "type": "unsigned"});
        let more = part.as_object().unwrap().clone();
        whole.as_object_mut().unwrap().extend(more);
        let told = put(&mut rig, system::INDEX, &row(json!({}), json!([whole])));
        assert_eq!(
            told,
            format!("108: Wrong index options (field 1): {expected}")
        );
    }
    for options in [
        json!({}),
        json!({"lsn": 3, "sql": "x"}),
        json!({"func": 0, "hint": true}),
        json!({"bloom_fpr": 0.1, "distance": "euclid", "dimension": 2}),
    ] {
        let told = put(&mut rig, system::INDEX, &row(options, plain.clone()));
        assert!(told.starts_with("[[512, 0, "), "{told}");
    }
}

/// Before options were checked, a row could have any.
#[test]
fn rows_with_unknown_options_of_before_are_recovered() {
    let row = pack(&json!([512, 0, "pk", "tree", {"foo": 1}, [[0, "unsigned"]]]));
    assert!(system::rows::IndexRow::decode(&row).is_ok());
    assert!(system::rows::IndexRow::decode_new(&row).is_err());
    let row = pack(&json!([512, 1, "s", "memtx", 0, {"foo": false}, []]));
    assert!(system::rows::SpaceRow::decode(&row).is_ok());
}
