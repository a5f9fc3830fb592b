//! What foreign keys are accepted, and how they are kept.

use serde_json::{Value, json};
use vestibule_wire::request::{Body, IdOrName, Store};

use super::{
    CITY, COUNTRY, NO_PARENT, REFERENCED, by_id, create, delete, index, insert, refer_by, rig,
    two_spaces,
};
use crate::tests::{Rig, by, pack};

#[test]
fn what_a_key_names_may_come_later_and_is_then_checked() {
    let city = json!({"format": [["id", "unsigned"], {"name": "c", "foreign_key": by_id()}]});
    let mut rig = rig(&json!({}), &city);
    index(&mut rig, "city", "pk", &json!({}));
    let none = "239: Foreign key constraint 'country' failed for field '2 (c)': foreign index was \
                not found";
    assert_eq!(insert(&mut rig, CITY, &(1, 1)), none);
    rig.commit();
    let format = json!([[["id", "unsigned"], ["other", "unsigned"]]]);
    rig.call("box.space.country:format", &format);
    index(&mut rig, "country", "pk", &json!({}));
    index(&mut rig, "country", "other", &json!({"parts": ["other"]}));
    insert(&mut rig, COUNTRY, &(1, 9));
    assert_eq!(insert(&mut rig, CITY, &(1, 1)), "[[1, 1]]");
    rig.commit();
    // The name moves to a field where the child's parent is not.
    let format = json!([[["other", "unsigned"], ["id", "unsigned"]]]);
    let told = rig.call("box.space.country:format", &format);
    assert!(told.ends_with("foreign tuple was not found"), "{told}");
}

#[test]
fn a_foreign_key_is_checked_against_the_tuples_that_are_there() {
    let mut rig = two_spaces(&by_id());
    assert_eq!(refer_by(&mut rig, &Value::Null), "[]");
    insert(&mut rig, CITY, &(1, 77));
    rig.commit();
    assert_eq!(refer_by(&mut rig, &by_id()), NO_PARENT);
    insert(&mut rig, COUNTRY, &(77, "xx"));
    rig.commit();
    assert_eq!(refer_by(&mut rig, &by_id()), "[]");
    assert_eq!(delete(&mut rig, COUNTRY, 77), REFERENCED);
}

#[test]
fn definitions_that_lead_nowhere_are_refused() {
    let mut rig = two_spaces(&by_id());
    let formatted = |key: Value| json!({"format": [{"name": "c", "foreign_key": key}]});
    let keyed = |key: Value| json!({ "foreign_key": key });
    let illegal = |why: &str| format!("1: Illegal parameters, {why}");
    let table = "foreign key: field must be a table with local field -> foreign field mapping";
    for (options, told) in [
        (formatted(json!("x")), illegal("format[1]: foreign key must be a table")),
        (
            formatted(json!({"fkey": "x"})),
            illegal(
                "format[1]: foreign key definition must be a table with 'space' and 'field' \
                 members",
            ),
        ),
        (
            formatted(json!({"fkey": {"space": "country"}})),
            illegal("format[1]: foreign key: field must be specified"),
        ),
        (
            formatted(json!({"space": "planet", "field": "id"})),
            illegal("format[1]: foreign key: space planet was not found"),
        ),
        (
            formatted(json!({"f": {"space": ["country"], "field": "id"}})),
            illegal("format[1]: foreign key: space must be string or number"),
        ),
        (
            formatted(json!({"space": "country", "field": false})),
            illegal("format[1]: foreign key: field must be string or number"),
        ),
        (
            formatted(json!({"space": "country", "field": "id", "mood": 1})),
            illegal("format[1]: foreign key: unexpected parameter 'mood'"),
        ),
        (
            formatted(json!({"": {"space": "country", "field": "id"}})),
            "141: Wrong space format (field 1): foreign key name isn't a valid identifier".into(),
        ),
        (keyed(json!({"space": "country", "field": "id"})), illegal(table)),
        (keyed(json!({"space": "country", "field": {}})), illegal(table)),
        (
            keyed(json!({"space": "country", "field": {"c": false}})),
            illegal("foreign key: foreign field must be string or number"),
        ),
        (
            formatted(json!({"space": 280, "field": 1})),
            "237: Failed to create foreign key '_space' in space 'x': a foreign key can't refer to \
             a system space"
                .into(),
        ),
    ] {
        assert_eq!(rig.call("box.schema.space.create", &("x", &options)), told, "{options}");
    }
    let key = json!({"f": {"space": 999, "field": {"0": 0}}});
    let row = json!([600, 1, "x", "memtx", 0, {"foreign_key": key}, []]);
    let (space, tuple) = (IdOrName::Id(280), &pack(&row));
    assert_eq!(
        rig.run(Body::Insert(Store { space, tuple })),
        "237: Failed to create foreign key 'f' in space 'x': foreign space '999' was not found by \
         id"
    );
}

#[test]
fn rows_and_formats_keep_foreign_keys_as_tarantool_does() {
    let mut rig = Rig::new();
    create(&mut rig, "country", &json!({}));
    let options = json!({
        "format": [{"name": "a", "type": "unsigned", "foreign_key": {"space": 512, "field": 2}}],
        "foreign_key": {"own": {"space": "country", "field": [3]}, "self": {"field": {"a": 1}}},
    });
    create(&mut rig, "city", &options);
    let row = rig.run(Body::Select(vestibule_wire::request::Select {
        space: IdOrName::Id(280),
        ..by(&pack(&[CITY]))
    }));
    let expected = concat!(
        r#"[[513, 1, "city", "memtx", 0, {"foreign_key": "#,
        r#"{"own": {"space": 512, "field": {0: 2}}, "self": {"field": {"a": 0}}}}, "#,
        r#"[{"name": "a", "type": "unsigned", "#,
        r#""foreign_key": {"country": {"space": 512, "field": 1}}}]]]"#
    );
    assert_eq!(row, expected);
    // Fields are counted from 1 there, so that what is read can be given again.
    let format = rig.call("box.space.city:format", &[(); 0]);
    assert!(
        format.contains("{\"country\": {\"space\": 512, \"field\": 2}}"),
        "{format}"
    );
    assert_eq!(
        rig.call("box.space.city:alter", &[json!({"foreign_key": {}})]),
        "[]"
    );
    assert_eq!(rig.call("box.space.city:format", &[json!([])]), "[]");
    assert_eq!(rig.call("box.space.country:drop", &[(); 0]), "[]");
}

#[test]
fn temporary_spaces_are_referred_to_by_temporary_ones_only() {
    let mut rig = Rig::new();
    create(&mut rig, "country", &json!({"temporary": true}));
    let format = json!([{"name": "c", "foreign_key": {"space": "country", "field": 1}}]);
    let told = rig.call(
        "box.schema.space.create",
        &("city", json!({ "format": format })),
    );
    assert_eq!(
        told,
        "237: Failed to create foreign key 'country' in space 'city': foreign key from \
         non-data-temporary space can't refer to data-temporary space"
    );
    create(
        &mut rig,
        "city",
        &json!({"format": format, "temporary": true}),
    );
    rig.call("box.space.country:alter", &[json!({"temporary": false})]);
    rig.call("box.space.city:alter", &[json!({"temporary": false})]);
    let told = rig.call("box.space.country:alter", &[json!({"temporary": true})]);
    assert!(
        told.ends_with("can't refer to data-temporary space"),
        "{told}"
    );
}

#[test]
fn who_makes_a_foreign_key_must_be_able_to_read_and_write_what_it_leads_to() {
    let mut rig = two_spaces(&by_id());
    rig.call("box.schema.user.create", &("u", json!({"password": "u"})));
    rig.call("box.schema.user.grant", &("u", "create,usage", "universe"));
    rig.call("box.schema.user.grant", &("u", "write", "space", "_space"));
    rig.call(
        "box.schema.user.grant",
        &("u", "read,write", "space", "_schema"),
    );
    let owner = rig.user("u");
    let admin = std::mem::replace(&mut rig.caller.user, owner.clone());
    let make = |rig: &mut Rig, name: &str| {
        let format = json!([{"name": "c", "foreign_key": {"space": 512, "field": 1}}]);
        rig.call(
            "box.schema.space.create",
            &(name, json!({ "format": format })),
        )
    };
    let told = make(&mut rig, "spy");
    assert_eq!(
        told,
        "1: Illegal parameters, format[1]: foreign key: space 512 was not found"
    );
    rig.caller.user = admin.clone();
    rig.call("box.schema.user.grant", &("u", "read", "space", "country"));
    rig.caller.user = owner.clone();
    assert!(make(&mut rig, "spy").starts_with("42: Write access to space 'country' is denied"));
    rig.caller.user = admin.clone();
    rig.call("box.schema.user.grant", &("u", "write", "space", "country"));
    rig.caller.user = owner;
    assert!(make(&mut rig, "spy").starts_with("[{\"id\": 514"));
    // With their owner, spaces go in an order in which they can.
    rig.caller.user = admin;
    let format = json!([{"name": "c", "foreign_key": {"space": "spy", "field": 1}}]);
    create(&mut rig, "last", &json!({"format": format, "user": "u"}));
    assert_eq!(rig.call("box.schema.user.drop", &("u",)), "[]");
}
