//! Foreign keys, as 3.x and as SQL of 2.x keep them.

use super::*;

/// As 3.x writes them: of a field, and of a tuple to its own space, which has no number then.
#[test]
fn foreign_keys_of_a_snapshot_are_held() {
    let scratch = Scratch::new();
    let mut rows = definitions();
    let to_auto = json!({"auto": {"space": 601, "field": 0}});
    let format = json!([
        {"name": "n", "type": "unsigned"},
        {"name": "a", "type": "unsigned", "is_nullable": true, "foreign_key": to_auto},
    ]);
    let options = json!({"foreign_key": {"own": {"field": {"n": "n"}}}});
    rows.retain(|(space, row)| *space != 600 && (*space, &row[0]) != (280, &json!(600)));
    rows.push((280, json!([600, 1, "things", "memtx", 0, {}, format])));
    rows.push((
        280,
        json!([602, 1, "own", "memtx", 0, options, [{"name": "n", "type": "unsigned"}]]),
    ));
    rows.push((600, json!([1, 7])));
    rows.sort_by_key(|(space, _)| *space);
    scratch.write("00000000000000000012.snap", &snapshot_of(&rows, 12));
    scratch.load().unwrap();
    assert_eq!(scratch.rows(600), [json!([1, 7])]);
    assert!(
        scratch
            .rows(system::SPACE)
            .iter()
            .any(|row| row[5] == options)
    );
    let scratch = Scratch::new();
    rows.push((600, json!([2, 8])));
    scratch.write("00000000000000000012.snap", &snapshot_of(&rows, 12));
    let told = scratch.load().unwrap_err();
    assert!(told.contains("row [2, 8] of space 'things'"), "{told}");
    assert_eq!(scratch.rows(600), [Value::Null; 0]);
}

/// A row of SQL's.
fn sql_key(name: &str, own: &[u32], parent: (u32, &[u32]), does: (bool, &str)) -> (u32, Value) {
    let ((parent, its), (is_deferred, action)) = (parent, does);
    let (child, update) = (602, "restrict");
    let row = json!([
        name,
        child,
        parent,
        is_deferred,
        "simple",
        action,
        update,
        own,
        its
    ]);
    (356, row)
}

/// A child of two spaces and of itself, by keys of SQL.
fn with_keys_of_sql() -> Vec<(u32, Value)> {
    let (unique, refuses) = (json!({"unique": true}), (false, "no_action"));
    let pair = json!([[1, "string"], [0, "unsigned"]]);
    let options = json!({"is_sync": false});
    let mut rows = definitions();
    rows.extend([
        (288, json!([600, 1, "pair", "tree", unique, pair])),
        (280, json!([602, 1, "child", "memtx", 0, options, []])),
        (
            288,
            json!([602, 0, "pk", "tree", unique, [[0, "unsigned"]]]),
        ),
        sql_key("ONE", &[1], (601, &[0]), refuses),
        sql_key("TWO", &[2, 3], (600, &[1, 0]), refuses),
        sql_key("OWN", &[4], (602, &[0]), refuses),
        (602, json!([1, 7, "one", 1, null])),
        (602, json!([2, null, "two", 2, 1])),
    ]);
    rows
}

/// Loads a snapshot of these rows.
fn load(mut rows: Vec<(u32, Value)>) -> (Result<Converted, String>, Scratch) {
    rows.sort_by_key(|(space, _)| *space);
    let scratch = Scratch::new();
    scratch.write("00000000000000000012.snap", &snapshot_of(&rows, 12));
    (scratch.load(), scratch)
}

#[test]
fn foreign_keys_of_sql_become_those_of_their_spaces() {
    let (loaded, scratch) = load(with_keys_of_sql());
    loaded.unwrap();
    assert_eq!(scratch.rows(602).len(), 2);
    // Rows without a parent, by each of the keys.
    for row in [
        json!([3, 8, "one", 1, null]),
        json!([3, 7, "one", 2, null]),
        json!([3, 7, "one", 1, 9]),
    ] {
        let mut rows = with_keys_of_sql();
        rows.push((602, row.clone()));
        let (loaded, scratch) = load(rows);
        let (told, expected) = (loaded.unwrap_err(), row.to_string().replace(',', ", "));
        assert!(told.contains(&format!("row {expected} of")), "{told}");
        assert_eq!(scratch.rows(601), [Value::Null; 0]);
    }
}

#[test]
fn foreign_keys_of_sql_that_mean_something_else_are_told() {
    let mut rows = with_keys_of_sql();
    rows.push(sql_key("CASCADE", &[1], (601, &[0]), (false, "cascade")));
    rows.push(sql_key("LATER", &[1], (601, &[0]), (true, "no_action")));
    rows.push((356, json!(["SHORT", 602])));
    let (loaded, scratch) = load(rows);
    let told = loaded.unwrap_err();
    for what in [
        "what it does ON DELETE is not supported",
        "that it is deferred is not supported",
        "foreign key [\"SHORT\", 602]: it is none",
    ] {
        assert!(told.contains(what), "{told}");
    }
    assert_eq!(scratch.rows(601), [Value::Null; 0]);
}
