//! The process's limit of open files: raised as far as it goes, before anything is opened.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one and returns what holds now; 0 if there is no limit.
///
/// Nothing here waits on descriptors with `select`, which is what the low soft limit is for.
pub(crate) fn raise_limit() -> usize {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: before.maximum,
        maximum: before.maximum,
    };
    if before.current != before.maximum
        && let Err(fault) = setrlimit(Resource::Nofile, raised)
    {
        log::warn!("the limit of open files could not be raised: {fault}");
    }
    getrlimit(Resource::Nofile)
        .current
        .map_or(0, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}
