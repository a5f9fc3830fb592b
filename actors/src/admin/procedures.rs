//! The names of the control procedures.

/// Every one of them.
const PROCEDURES: [&str; 10] = [
    "vestibule.state",
    "vestibule.solo",
    "vestibule.assist",
    "vestibule.drain",
    "vestibule.demote",
    "vestibule.promote",
    "vestibule.show",
    "vestibule.kill",
    "vestibule.set",
    "box.info",
];

/// Those of them that are not for administrators only.
const FOR_EVERYBODY: [&str; 2] = ["vestibule.set", "box.info"];

/// Whether sessions answer a CALL of this name.
pub(crate) fn is_local(name: &str) -> bool {
    PROCEDURES.contains(&name)
}

/// Whether a control procedure is not for administrators only.
pub(crate) fn is_for_everybody(name: &str) -> bool {
    FOR_EVERYBODY.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listed_procedures_are_local() {
        assert!(is_local("vestibule.state"));
        assert!(is_local("box.info"));
        assert!(!is_local("vestibule.debug.block"));
        assert!(!is_local("box.space.x:insert"));
    }
}
