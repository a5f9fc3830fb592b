//! Rights behind calls.

use super::super::NONE;
use super::rig;

#[test]
fn every_way_to_read_takes_the_right_to_read() {
    let mut rig = rig();
    rig.grant(&("bob", "execute", "universe"));
    rig.grant(&("bob", "write", "space", "s"));
    let denied = "42: Read access to space 's' is denied for user 'bob'";
    for index in ["", ".index.pk"] {
        for method in ["select", "get", "len", "count"] {
            let name = format!("box.space.s{index}:{method}");
            assert_eq!(rig.ask(&name, &(1,)), denied, "{name}");
        }
    }
    for method in ["min", "max", "random"] {
        let name = format!("box.space.s.index.pk:{method}");
        assert_eq!(rig.ask(&name, &(1,)), denied, "{name}");
    }
    assert_eq!(rig.ask("box.space.s:auto_increment", &(("x",),)), denied);
    assert_eq!(rig.ask("box.space.s:put", &((5,),)), "[[5]]");
    let denied = "42: Write access to space 't' is denied for user 'bob'";
    rig.grant(&("bob", "read", "space", "t"));
    for method in ["put", "insert", "auto_increment"] {
        let name = format!("box.space.t:{method}");
        assert_eq!(rig.ask(&name, &((5,),)), denied, "{name}");
    }
}

#[test]
fn whatever_rights_on_data_there_are_operators_procedures_take_an_administrator() {
    let mut rig = rig();
    rig.grant(&("bob", "super"));
    for name in ["vestibule.checkpoints", "vestibule.journal.resume"] {
        let denied = format!("42: Execute access to function '{name}' is denied for user 'bob'");
        assert_eq!(rig.ask(name, &NONE), denied);
    }
    rig.caller.is_administrator = true;
    assert_eq!(rig.ask("vestibule.journal.resume", &NONE), "[true]");
}
