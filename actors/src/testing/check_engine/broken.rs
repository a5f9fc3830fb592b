//! How a broken rule is told, and how commits are made to fail.

/// What makes an engine's commits fail, or lets them go on.
pub(super) type FailCommits = Box<dyn Fn(bool)>;

/// Ends the check.
pub(super) fn broken(rule: &str, seen: &str) -> ! {
    panic!("the engine breaks a rule: {rule}\n  what was seen: {seen}");
}
