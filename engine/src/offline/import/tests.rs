//! Whatever definitions a directory came to have: their dump can be loaded, and says the same.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::*;
use crate::JournalSync;
use crate::durability::record;
use crate::offline::{Contents, Findings};
use crate::print::Printed;
use crate::store::layer::Layer;

/// A directory that is gone when the test is.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("vestibule-definitions-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn import(&self) -> Import {
        let options = EngineOptions {
            journal_sync: JournalSync::Never,
            ..EngineOptions::new(&self.0)
        };
        Import::begin(options, false, &mut |_| ()).unwrap()
    }

    /// What is there, and what is wrong with it.
    fn contents(&self) -> (Contents, Vec<String>) {
        let mut findings = Findings {
            is_thorough: true,
            on_damage: &mut |damage| panic!("{damage}"),
            on_file: &mut |_| (),
            progress: &mut |_| (),
        };
        let mut contents = Contents::read(&self.0, &mut findings).unwrap();
        let mut damages = Vec::new();
        contents.check_unique(&mut |damage| damages.push(damage), &mut |_| ());
        contents.check_references(&mut |damage| damages.push(damage));
        (contents, damages)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Every row of a dump, in its order: whether it is there or deleted, its space, the tuple.
type Dump = Vec<(bool, String, Vec<u8>)>;

fn rows(contents: &Contents) -> Dump {
    let deleted = contents.deleted().into_iter();
    let mut all: Dump = deleted
        .map(|(space, row)| (false, space, row.clone()))
        .collect();
    let definitions = contents.definitions(None).into_iter();
    all.extend(definitions.map(|(space, row)| (true, space.to_owned(), row.to_vec())));
    for (id, name, _) in contents.spaces() {
        let own = contents.rows(id);
        all.extend(own.map(|row| (true, name.to_owned(), row.to_vec())));
    }
    all
}

fn load(dump: &Dump) -> Result<Dump, String> {
    let scratch = Scratch::new();
    let mut import = scratch.import();
    import.expect_dump();
    for (is_there, space, row) in dump {
        let space = IdOrName::Name(space);
        let put = if *is_there {
            import.put(space, row)
        } else {
            import.delete(space, row)
        };
        put.map_err(|error| format!("{space:?} {}: {}", Printed(row), error.message()))?;
    }
    import.finish().unwrap();
    let (contents, damages) = scratch.contents();
    assert_eq!(damages, [""; 0]);
    Ok(rows(&contents))
}

fn pack(row: &Value) -> Vec<u8> {
    rmp_serde::to_vec(row).unwrap()
}

type Random = fastrand::Rng;

fn any_user(random: &mut Random) -> u32 {
    random.choice([0, 1, 2, 31, 32, 33, 34]).unwrap()
}

fn any_name(random: &mut Random) -> &'static str {
    random.choice(["a", "b", "c"]).unwrap()
}

/// A row of a system space, or of one of users, out of few that have to do with each other.
fn any_row(random: &mut Random) -> (u32, Value) {
    let (space, number) = (random.u32(512..515), random.u32(1..4));
    match random.u32(0..12) {
        0..5 => any_space_or_user(random, space),
        5 => {
            let (owner, is_cyclic) = (any_user(random), random.bool());
            let row = json!([number, owner, any_name(random), 1, 1, 100, 1, 0, is_cyclic]);
            (system::SEQUENCE, row)
        }
        6 => (system::SEQUENCE_DATA, json!([number, random.u32(1..100)])),
        7 => {
            let row = json!([space, number, random.bool(), random.u32(0..2), ""]);
            (system::SPACE_SEQUENCE, row)
        }
        8 | 9 => (system::PRIV, any_grant(random, space, number)),
        10 => {
            let (owner, setuid) = (any_user(random), random.u32(0..2));
            let row = json!([
                number,
                owner,
                any_name(random),
                setuid,
                "LUA",
                "",
                "function",
                [],
                "any",
                "none",
                "none",
                false,
                false,
                true,
                ["LUA"],
                {},
                "",
                "2020",
                "2020"
            ]);
            (system::FUNC, row)
        }
        _ if random.bool() => (system::TRUNCATE, json!([space, random.u32(1..9)])),
        _ => (space, json!([random.u32(1..9), "text", any_name(random)])),
    }
}

fn any_space_or_user(random: &mut Random, space: u32) -> (u32, Value) {
    let name = any_name(random);
    match random.u32(0..5) {
        0 | 1 => {
            let auths = [
                json!({}),
                json!({"chap-sha1": "vhvewKp0tNyweZQ+cFKAlsyphfg="}),
            ];
            let auth = random.choice(auths).unwrap();
            let kind = random.choice(["user", "role"]).unwrap();
            (
                system::USER,
                json!([random.u32(32..35), 1, name, kind, auth]),
            )
        }
        2 => {
            let formats = [
                json!([]),
                json!([{"name": "x", "type": "unsigned"}]),
                json!([{"name": "x", "type": "integer"}, {"name": "y", "type": "string"}]),
            ];
            let format = random.choice(formats).unwrap();
            let row = json!([space, any_user(random), name, "memtx", 0, {}, format]);
            (system::SPACE, row)
        }
        _ => {
            let id = random.u32(0..3);
            let scalar = random.choice(["unsigned", "string"]).unwrap();
            let parts = [
                json!([[0, "unsigned"]]),
                json!([[0, "integer"]]),
                json!([[1, scalar], [0, "unsigned"]]),
            ];
            let parts = random.choice(parts).unwrap();
            let options = json!({"unique": random.bool() || id == 0});
            (
                system::INDEX,
                json!([space, id, name, "tree", options, parts]),
            )
        }
    }
}

fn any_grant(random: &mut Random, space: u32, number: u32) -> Value {
    let kinds = ["user", "role", "space", "function", "sequence", "universe"];
    let kind = random.choice(kinds).unwrap();
    let object = match kind {
        "user" | "role" => any_user(random),
        "space" => space,
        "function" | "sequence" => number,
        _ => 0,
    };
    let privileges = random.choice([1, 2, 4, 7]).unwrap();
    json!([any_user(random), any_user(random), kind, object, privileges])
}

impl Import {
    /// Tries one change, as a client that may do everything would; whether it was accepted.
    fn try_change(&mut self, space: u32, row: &[u8], is_put: bool) -> bool {
        let Ok(def) = self.engine.definition(IdOrName::Id(space)) else {
            return false;
        };
        if !system::is_system(space) {
            return is_put && def.primary().is_ok() && self.store(&def, row).is_ok();
        }
        let Ok(key) = def
            .check(row)
            .and_then(|()| def.primary()?.key_of(row).map_err(|_| errors::loading()))
        else {
            return false;
        };
        self.commit().unwrap();
        let (mut out, mut context) = (Vec::new(), Detached::default());
        let reply = Reply::detached(&mut out, &mut context);
        let new = is_put.then(|| Tuple::from(row));
        let changed = self
            .engine
            .alter(|engine| engine.change_system(&def, key, new, &reply));
        let is_accepted = changed.is_ok();
        self.commit().unwrap();
        is_accepted
    }
}

#[test]
fn whatever_definitions_are_accepted_their_dump_is_loaded_and_says_the_same() {
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let scratch = Scratch::new();
        let mut import = scratch.import();
        let mut accepted = Vec::new();
        for _ in 0..150 {
            let (space, row) = any_row(&mut random);
            let is_put = random.u32(0..4) > 0;
            if import.try_change(space, &pack(&row), is_put) {
                accepted.push((is_put, space, row.to_string()));
            }
        }
        import.finish().unwrap();
        let (contents, damages) = scratch.contents();
        assert_eq!(damages, [""; 0], "seed {seed}: {accepted:#?}");
        let first = rows(&contents);
        let second = load(&first).unwrap_or_else(|why| panic!("seed {seed}: {why}: {accepted:#?}"));
        let differing = |one: &Dump, other: &Dump| -> Vec<String> {
            let rows = one.iter().filter(|row| !other.contains(row));
            rows.map(|(is_there, space, row)| format!("{is_there} {space} {}", Printed(row)))
                .collect()
        };
        let lost = (differing(&first, &second), differing(&second, &first));
        assert_eq!(lost, (vec![], vec![]), "seed {seed}: {accepted:#?}");
        assert_eq!(first, second, "seed {seed}: another order");
    }
}

#[test]
fn a_user_is_no_role_and_a_shared_sequence_not_generated_while_others_rely_on_it() {
    let scratch = Scratch::new();
    let mut import = scratch.import();
    let mut change = |space, row: Value, is_put| import.try_change(space, &pack(&row), is_put);
    let user = |kind| json!([32, 1, "a", kind, {}]);
    let grant = |kind| json!([1, 0, kind, 32, 4]);
    assert!(change(system::USER, user("role"), true));
    assert!(change(system::PRIV, grant("role"), true));
    assert!(!change(system::USER, user("user"), true));
    assert!(change(system::PRIV, grant("role"), false));
    assert!(change(system::USER, user("user"), true));
    assert!(change(system::PRIV, grant("user"), true));
    assert!(!change(system::USER, user("role"), true));

    let sequence = json!([1, 1, "s", 1, 1, 100, 1, 0, false]);
    assert!(change(system::SEQUENCE, sequence, true));
    for space in [512, 513] {
        let name = space.to_string();
        let row = json!([space, 1, name, "memtx", 0, {}, []]);
        assert!(change(system::SPACE, row, true));
        let row = json!([space, 0, "pk", "tree", {"unique": true}, [[0, "unsigned"]]]);
        assert!(change(system::INDEX, row, true));
        let row = json!([space, 1, false, 0, ""]);
        assert!(change(system::SPACE_SEQUENCE, row, true));
    }
    let generated = json!([512, 1, true, 0, ""]);
    assert!(!change(system::SPACE_SEQUENCE, generated.clone(), true));
    let other = json!([513, 1, false, 0, ""]);
    assert!(change(system::SPACE_SEQUENCE, other, false));
    assert!(change(system::SPACE_SEQUENCE, generated, true));
}

#[test]
fn a_definition_that_names_what_is_not_there_is_told() {
    let scratch = Scratch::new();
    let mut import = scratch.import();
    let row = pack(&json!([1, 0, "role", 77, 4]));
    let def = import
        .engine
        .definition(IdOrName::Id(system::PRIV))
        .unwrap();
    let key = def.primary().unwrap().key_of(&row).unwrap();
    import
        .engine
        .set_in_turn(system::PRIV, key, Some(Tuple::from(&*row)));
    import.commit().unwrap();
    import.finish().unwrap();
    let (_, damages) = scratch.contents();
    let told = "row [1, 0, \"role\", 77, 4] of space '_priv': Role '77' is not found";
    assert_eq!(damages, [told]);
}

/// A space whose tuples refer to another one by their second field, `{child, …}` to `{parent, …}`.
fn referring(space: u32, name: &str, to: u32) -> Vec<(bool, String, Vec<u8>)> {
    let key = json!({"f": {"space": to, "field": "id"}});
    let format = json!([
        {"name": "id", "type": "unsigned"},
        {"name": "other", "type": "unsigned", "is_nullable": true, "foreign_key": key},
    ]);
    let unique = json!({"unique": true});
    let parts = json!([{"field": 1, "type": "unsigned", "is_nullable": true}]);
    let rows = [
        ("_space", json!([space, 1, name, "memtx", 0, {}, format])),
        (
            "_index",
            json!([space, 0, "pk", "tree", unique, [[0, "unsigned"]]]),
        ),
        (
            "_index",
            json!([space, 1, "other", "tree", {"unique": false}, parts]),
        ),
    ];
    let all = rows.map(|(space, row)| (true, space.to_owned(), pack(&row)));
    all.into()
}

#[test]
fn foreign_keys_are_loaded_in_any_order_also_around_a_circle() {
    let mut dump: Dump = referring(512, "a", 513);
    dump.extend(referring(513, "b", 512));
    for (space, row) in [("a", [1, 2]), ("b", [2, 1])] {
        dump.push((true, space.to_owned(), pack(&json!(row))));
    }
    let loaded = load(&dump).unwrap();
    assert!(dump.iter().all(|row| loaded.contains(row)), "{loaded:?}");
    assert_eq!(load(&loaded), Ok(loaded), "in the order of a dump, too");
}

#[test]
fn a_load_with_a_tuple_that_refers_to_nothing_changes_nothing() {
    let scratch = Scratch::new();
    let mut import = scratch.import();
    let mut dump = referring(512, "a", 513);
    dump.extend(referring(513, "b", 512));
    for (_, space, row) in &dump {
        import.put(IdOrName::Name(space), row).unwrap();
    }
    import
        .put(IdOrName::Name("a"), &pack(&json!([1, 7])))
        .unwrap();
    assert_eq!(
        import.finish().unwrap_err().to_string(),
        "row [1, 7] of space 'a': Foreign key constraint 'f' failed for field '2 (other)': foreign \
         tuple was not found"
    );
    assert!(scratch.contents().0.spaces().is_empty());
    // A space that is not there.
    let mut import = scratch.import();
    for (_, space, row) in &referring(512, "a", 513) {
        import.put(IdOrName::Name(space), row).unwrap();
    }
    assert_eq!(
        import.finish().unwrap_err().to_string(),
        "Failed to create foreign key 'f' in space 'a': foreign space '513' was not found by id"
    );
}

/// A directory with two spaces that refer to each other, and a turn that nobody has checked: what
/// only damage, or a hand in the files, can lead to. Returns what is told of it.
fn damages_of(change: impl FnOnce(&mut Layer)) -> Vec<String> {
    let scratch = Scratch::new();
    let mut import = scratch.import();
    let mut dump = referring(512, "a", 513);
    dump.extend(referring(513, "b", 512));
    for (_, space, row) in &dump {
        import.put(IdOrName::Name(space), row).unwrap();
    }
    import.finish().unwrap();
    let options = EngineOptions {
        journal_sync: JournalSync::Never,
        ..EngineOptions::new(&scratch.0)
    };
    let recovered = recovery::recover(Arc::new(Disk), &options, &mut |_| ()).unwrap();
    let mut journal: Journal = recovered.journal;
    let (mut turn, mut payload) = (Layer::default(), Vec::new());
    change(&mut turn);
    record::encode(&turn, |_| true, &mut payload);
    journal.append(&payload).unwrap();
    drop(journal);
    scratch.contents().1
}

#[test]
fn a_tuple_whose_parent_is_lost_is_told() {
    let row = pack(&json!([1, 7]));
    let damages = damages_of(|turn| {
        turn.set(512, system::system_key(&[1]), Some(row[..].into()));
    });
    assert_eq!(
        damages,
        [
            "row [1, 7] of space 'a': Foreign key constraint 'f' failed for field '2 (other)': \
             foreign tuple was not found"
        ]
    );
}

#[test]
fn a_foreign_key_whose_space_is_lost_is_told_once() {
    let damages = damages_of(|turn| {
        turn.set(system::SPACE, system::system_key(&[513]), None);
        for index in [0, 1] {
            turn.set(system::INDEX, system::system_key(&[513, index]), None);
        }
    });
    let [told] = &damages[..] else {
        panic!("{damages:?}");
    };
    assert!(
        told.contains("foreign space '513' was not found by id"),
        "{told}"
    );
}
