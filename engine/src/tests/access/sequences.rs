//! Rights on sequences, called by their names or attached to spaces.

use serde::Serialize;
use vestibule_wire::request::{Body, Delete, IdOrName, Store};

use super::rig;
use crate::tests::{NONE, Rig, pack};

#[test]
fn sequences_are_used_by_whoever_may_write_them() {
    let mut rig = rig();
    rig.admin("box.schema.sequence.create", &("seq",));
    rig.grant(&("bob", "execute", "universe"));
    let denied = |name| format!("42: Write access to sequence '{name}' is denied for user 'bob'");
    for name in ["seq", "nosuch"] {
        let next = format!("box.sequence.{name}:next");
        assert_eq!(rig.ask(&next, &NONE), denied(name));
    }
    rig.grant(&("bob", "write", "sequence", "seq"));
    assert_eq!(rig.ask("box.sequence.seq:next", &NONE), "[1]");
    assert_eq!(rig.ask("box.sequence.nosuch:next", &NONE), denied("nosuch"));
    assert_eq!(
        rig.ask("box.schema.sequence.drop", &("seq",)),
        "42: Write access to space '_sequence' is denied for user 'bob'"
    );
    assert_eq!(rig.admin("box.schema.sequence.drop", &("seq",)), "[]");
    assert_eq!(rig.ask("box.sequence.seq:next", &NONE), denied("seq"));
}

#[test]
fn a_sequence_that_others_made_is_attached_and_used_only_with_rights_on_it() {
    let mut rig = rig();
    rig.admin("box.schema.sequence.create", &("seq",));
    rig.grant(&("bob", "execute", "universe"));
    rig.grant(&("bob", "alter", "space", "s"));
    rig.grant(&("bob", "read,write", "space", "s"));
    rig.grant(&("bob", "read,write", "space", "_space_sequence"));
    let denied = |right| format!("42: {right} access to sequence 'seq' is denied for user 'bob'");
    let row = pack(&(512, 1, false, 0, ""));
    let attach = |rig: &mut Rig| {
        let space = IdOrName::Id(340);
        let tuple = &row;
        let told = rig.run(Body::Insert(Store { space, tuple }));
        rig.commit();
        told
    };
    assert_eq!(attach(&mut rig), denied("Read"));
    rig.grant(&("bob", "read", "sequence", "seq"));
    assert_eq!(attach(&mut rig), denied("Write"));
    rig.grant(&("bob", "write", "sequence", "seq"));
    assert_eq!(attach(&mut rig), r#"[[512, 1, false, 0, ""]]"#);
    assert_eq!(rig.replace(&(None::<u8>,)), "[[1]]");
    rig.commit();
    let revoke = ("bob", "write", "sequence", "seq");
    assert_eq!(rig.admin("box.schema.user.revoke", &revoke), "[]");
    // Whether a value is asked for or given.
    assert_eq!(rig.insert(&(None::<u8>,)), denied("Write"));
    assert_eq!(rig.replace(&(77,)), denied("Write"));
    let key = pack(&(512,));
    let detach = Delete {
        space: IdOrName::Id(340),
        index: IdOrName::Id(0),
        key: &key,
    };
    assert_eq!(rig.run(Body::Delete(detach)), denied("Drop"));
    // One that was made for a space comes with the right to write there.
    rig.admin(
        "box.space.t.index.pk:alter",
        &(Sequenced { sequence: true },),
    );
    rig.grant(&("bob", "write", "space", "t"));
    let tuple = pack(&(None::<u8>,));
    let space = IdOrName::Id(513);
    assert_eq!(
        rig.run(Body::Insert(Store {
            space,
            tuple: &tuple
        })),
        "[[1]]"
    );
}

#[derive(Serialize)]
struct Sequenced {
    sequence: bool,
}
