//! A build without collations, and directories that one with them has written.

use serde_json::json;
use vestibule_wire::request::{Body, IdOrName, Select};

use super::damage::all_files;
use super::part_paths::index;
use super::{NONE, Rig, SPACE, by, pack};
use crate::offline::{Contents, Findings};
use crate::schema::system;

const TOLD: &str =
    "this build has no collations: 'unicode_ci' needs one with the feature 'collations'";

/// What a build with collations has journaled last: an index with one.
fn with_collated_index(rig: &mut Rig) {
    let parts = json!([{"field": 1, "type": "string", "collation": 2}]);
    let row = pack(&json!([SPACE, 1, "by", "tree", {"unique": true}, parts]));
    rig.close_and_journal(system::INDEX, &[row]);
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
        let before = all_files(&rig.options.data_dir);
        for force in [false, true] {
            rig.options.force_recovery = force;
            let refused = rig.try_reopen().unwrap_err().to_string();
            assert!(
                refused.contains(&format!("index 'by' of space 512: {TOLD}")),
                "{refused}"
            );
            assert_eq!(all_files(&rig.options.data_dir), before);
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
