//! The control procedures: CALLs that sessions answer themselves, so that they work while Tx is
//! blocked.
//!
//! A new one is a row here and the function that the row names.

use super::call::ControlProcedure;
use super::{events, operate, reload, session, show, state, traffic, transitions};
use crate::engine::procedures::Audience;

/// Every control procedure. The order has no meaning.
pub(crate) static PROCEDURES: &[ControlProcedure] = &[
    ControlProcedure {
        name: "vestibule.state",
        audience: Audience::Administrators,
        arguments: "",
        run: state::state,
    },
    ControlProcedure {
        name: "vestibule.solo",
        audience: Audience::Administrators,
        arguments: "[reason]",
        run: operate::solo,
    },
    ControlProcedure {
        name: "vestibule.assist",
        audience: Audience::Administrators,
        arguments: "",
        run: operate::assist,
    },
    ControlProcedure {
        name: "vestibule.drain",
        audience: Audience::Administrators,
        arguments: "{timeout = seconds, lameduck = seconds}",
        run: transitions::drain,
    },
    ControlProcedure {
        name: "vestibule.demote",
        audience: Audience::Administrators,
        arguments: "{grace = seconds, timeout = seconds}",
        run: transitions::demote,
    },
    ControlProcedure {
        name: "vestibule.promote",
        audience: Audience::Administrators,
        arguments: "{timeout = seconds}",
        run: transitions::promote,
    },
    ControlProcedure {
        name: "vestibule.drain_upstream",
        audience: Audience::Administrators,
        arguments: "name [, {timeout = seconds}]",
        run: transitions::drain_upstream,
    },
    ControlProcedure {
        name: "vestibule.restore_upstream",
        audience: Audience::Administrators,
        arguments: "name [, {timeout = seconds}]",
        run: transitions::restore_upstream,
    },
    ControlProcedure {
        name: "vestibule.reconnect",
        audience: Audience::Administrators,
        arguments: "name",
        run: operate::reconnect,
    },
    ControlProcedure {
        name: "vestibule.reload",
        audience: Audience::Administrators,
        arguments: "",
        run: reload::reload,
    },
    ControlProcedure {
        name: "vestibule.show",
        audience: Audience::Administrators,
        // Which those are is the table of `show`.
        arguments: "what",
        run: show::show,
    },
    ControlProcedure {
        name: "vestibule.kill",
        audience: Audience::Administrators,
        arguments: "connection [, sync]",
        run: operate::kill,
    },
    ControlProcedure {
        name: "box.broadcast",
        audience: Audience::Administrators,
        arguments: "key [, value]",
        run: events::broadcast,
    },
    ControlProcedure {
        name: "vestibule.set",
        audience: Audience::Everybody,
        arguments: "'request_timeout', seconds or nil | 'read_from', 'primary', 'replica' or nil",
        run: operate::set,
    },
    ControlProcedure {
        name: "box.info",
        audience: Audience::Everybody,
        arguments: "",
        run: state::info,
    },
    ControlProcedure {
        name: "box.stat",
        audience: Audience::Everybody,
        arguments: "",
        run: traffic::stat,
    },
    ControlProcedure {
        name: "box.stat.net",
        audience: Audience::Everybody,
        arguments: "",
        run: traffic::net,
    },
    ControlProcedure {
        name: "box.session.peer",
        audience: Audience::Everybody,
        arguments: "[own connection]",
        run: session::peer,
    },
    ControlProcedure {
        name: "box.session.sync",
        audience: Audience::Everybody,
        arguments: "",
        run: session::sync,
    },
];

/// The control procedure of this name; none if the engine is to be called.
pub(crate) fn find(name: &str) -> Option<&'static ControlProcedure> {
    PROCEDURES.iter().find(|procedure| procedure.name == name)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn only_the_listed_procedures_are_local() {
        let is_local = |name| find(name).is_some();
        assert!(is_local("vestibule.state"));
        assert!(is_local("box.info"));
        assert!(!is_local("vestibule.debug.block"));
        assert!(!is_local("box.space.x:insert"));
    }

    #[test]
    fn each_name_stands_once_and_few_procedures_are_for_everybody() {
        for procedure in PROCEDURES {
            let found = find(procedure.name).map(std::ptr::from_ref);
            assert_eq!(found, Some(std::ptr::from_ref(procedure)), "{procedure:?}");
        }
        let open = PROCEDURES
            .iter()
            .filter(|procedure| procedure.audience == Audience::Everybody);
        let open: Vec<_> = open.map(|procedure| procedure.name).collect();
        let expected = [
            "vestibule.set",
            "box.info",
            "box.stat",
            "box.stat.net",
            "box.session.peer",
            "box.session.sync",
        ];
        assert_eq!(open, expected);
    }

    #[test]
    fn the_usage_is_the_name_and_the_arguments() {
        let usage = |name| find(name).map(|found| found.usage().message().to_owned());
        let expected = "Usage: vestibule.kill(connection [, sync])";
        assert_eq!(usage("vestibule.kill").as_deref(), Some(expected));
        let expected = "Usage: vestibule.set('request_timeout', seconds or nil | 'read_from', \
                        'primary', 'replica' or nil)";
        assert_eq!(usage("vestibule.set").as_deref(), Some(expected));
        let expected = "Usage: vestibule.demote({grace = seconds, timeout = seconds})";
        assert_eq!(usage("vestibule.demote").as_deref(), Some(expected));
        let expected = "Usage: vestibule.promote({timeout = seconds})";
        assert_eq!(usage("vestibule.promote").as_deref(), Some(expected));
        let expected = "Usage: vestibule.drain({timeout = seconds, lameduck = seconds})";
        assert_eq!(usage("vestibule.drain").as_deref(), Some(expected));
    }

    #[test]
    fn every_procedure_is_documented() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut files = vec![root.join("README.md")];
        let docs = fs::read_dir(root.join("docs")).expect("there are docs");
        files.extend(docs.map(|file| file.expect("it is listed").path()));
        let texts = files
            .iter()
            .filter_map(|file| fs::read_to_string(file).ok());
        let text: String = texts.collect();
        for procedure in PROCEDURES {
            let call = format!("`{}(", procedure.name);
            assert!(
                text.contains(&call),
                "no word of {call}…)` in README and docs"
            );
        }
    }
}
