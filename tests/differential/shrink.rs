//! The shortest history, of those that are easily found, that makes two servers differ.

use crate::generator::removal;
use crate::request::Request;
use crate::run::{Verdict, judge};
use crate::servers::{Pair, Servers};

/// Histories that are tried at most.
const TRIALS_MAX: usize = 300;

/// Leaves out of a history what is not needed for its last request to differ (delta debugging: ever
/// smaller pieces). `None` if the history by itself makes no difference.
pub(crate) fn shrink(servers: &mut Servers, history: &[Request]) -> Option<(Vec<Request>, Pair)> {
    let mut best = history.to_vec();
    let mut pair = differs(servers, &best)?;
    let (mut trials, mut size) = (1, best.len() / 2);
    while size > 0 {
        let mut at = 0;
        while at + size < best.len() && trials < TRIALS_MAX {
            let mut shorter = best.clone();
            shorter.drain(at..at + size);
            trials += 1;
            match differs(servers, &shorter) {
                Some(found) => (best, pair) = (shorter, found),
                None => at += size,
            }
        }
        size /= 2;
    }
    Some((best, pair))
}

fn differs(servers: &mut Servers, history: &[Request]) -> Option<Pair> {
    let (last, before) = history.split_last()?;
    servers.ask(before);
    let pair = servers.ask(std::slice::from_ref(last)).pairs.pop()?;
    if let Some(space) = last.space {
        servers.ask(&removal(space));
    }
    matches!(judge(last, &pair), Verdict::Different).then_some(pair)
}
