//! A build without collations, and directories that one with them has written.

use std::fs;

use serde_json::json;
use vestibule_wire::request::{Body, IdOrName, Select};

use super::part_paths::index;
use super::{NONE, Rig, SPACE, by, pack};
use crate::durability::journal::{Journal, JournalOptions};
use crate::durability::record;
use crate::model::key::Key;
use crate::offline::{Contents, Findings};
use crate::options::JournalSync;
use crate::schema::system;
use crate::store::layer::Layer;

const TOLD: &str =
    "this build has no collations: 'unicode_ci' needs one with the feature 'collations'";

/// What a build with collations has journaled last: an index with one.
fn with_collated_index(rig: &mut Rig) {
    rig.close();
    let options = JournalOptions {
        dir: rig.options.data_dir.clone(),
        sync: JournalSync::Never,
        force_recovery: false,
        from: 1,
        required_until: 0,
    };
    let mut journal = Journal::open(options, &mut |_, _| Ok(()), &mut |_, _| ()).unwrap();
    let parts = json!([{"field": 1, "type": "string", "collation": 2}]);
    let row = pack(&json!([SPACE, 1, "by", "tree", {"unique": true}, parts]));
    let (mut turn, mut record) = (Layer::default(), Vec::new());
    turn.set(system::INDEX, Key::from_bytes(&row), Some(row.into()));
    record::encode(&turn, |_| true, &mut record);
    journal.append(&record).unwrap();
}

fn files(rig: &Rig) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let entries = fs::read_dir(&rig.options.data_dir).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn definitions_with_collations_are_refused_by_name() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    let parts = json!([{"field": 1, "type": "string", "collation": 2}]);
    assert_eq!(index(&mut rig, 1, true, &parts), Some(format!("5: {TOLD}")));
    let parts = json!([{"field": 2, "type": "string", "collation": "unicode_ci"}]);
    let told = rig.call(
        "box.space.s:create_index",
        &("by", json!({ "parts": parts })),
    );
    assert_eq!(told, format!("5: {TOLD}"));
    let format = json!([{"name": "a", "type": "string", "collation": "unicode_ci"}]);
    let told = rig.call(
        "box.schema.space.create",
        &("t", json!({ "format": format })),
    );
    assert_eq!(told, format!("5: {TOLD}"));
    let parts = json!([{"field": 2, "type": "string", "collation": "binary"}]);
    let told = rig.call(
        "box.space.s:create_index",
        &("by", json!({ "parts": parts })),
    );
    assert!(told.starts_with("[{"), "{told}");
    let all = rig.run(Body::Select(Select {
        space: IdOrName::Id(system::COLLATION),
        ..by(&pack(&NONE))
    }));
    assert!(all.contains(r#"[2, "unicode_ci", 1, "ICU", "", {"strength": "primary"}]"#));
}

#[test]
fn a_directory_with_a_collation_is_refused_and_stays_as_it_is_even_if_recovery_is_forced() {
    for with_checkpoint in [false, true] {
        let mut rig = Rig::with_space(&[(1, "unsigned")]);
        rig.insert(&(1, "a"));
        rig.commit();
        if with_checkpoint {
            rig.checkpoint();
        }
        with_collated_index(&mut rig);
        let before = files(&rig);
        for force in [false, true] {
            rig.options.force_recovery = force;
            let refused = rig.try_reopen().unwrap_err().to_string();
            assert!(
                refused.contains(&format!("index 'by' of space 512: {TOLD}")),
                "{refused}"
            );
            assert_eq!(files(&rig), before);
        }
        let mut told = Vec::new();
        let mut findings = Findings {
            is_thorough: true,
            on_damage: &mut |damage| {
                told.push(damage.to_string());
                false
            },
            on_file: &mut |_| (),
            progress: &mut |_| (),
        };
        Contents::read(&rig.options.data_dir, &mut findings).unwrap_err();
        assert!(told[0].contains(TOLD), "{told:?}");
    }
}
