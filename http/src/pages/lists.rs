//! Lists: connections, requests, links, transitions, options. All of them are bounded.

use std::cmp::Reverse;
use std::rc::Rc;

use serde::Serialize;
use tokio::time::timeout;
use vestibule_actors::monitoring::{ConnectionInfo, LinkInfo, RequestInfo};

use crate::door::{Answer, Door, Later, Question};
use crate::limits::{GATHER_TIME_MAX, ROWS_MAX};

/// Answers with rows that the session threads are asked for, unless they take too long: with those
/// that come first by this key, of the first [`ROWS_MAX`] that they tell.
fn gathered<T, K, F>(
    question: &Question,
    key: impl Fn(&T) -> K + 'static,
    ask: impl FnOnce(usize) -> F + 'static,
) -> Later
where
    T: Serialize,
    K: Ord,
    F: Future<Output = Vec<T>>,
{
    let limit = question
        .query()
        .limit(ROWS_MAX)
        .map_err(|own| own.into_owned());
    Box::pin(async move {
        let limit = match limit {
            Ok(limit) => limit,
            Err(wrong) => return Answer::text(400, wrong),
        };
        match timeout(GATHER_TIME_MAX, ask(ROWS_MAX)).await {
            Ok(mut rows) => {
                rows.sort_by_key(key);
                rows.truncate(limit);
                Answer::json(&rows)
            }
            Err(_) => Answer::text(503, "A session thread does not answer\n"),
        }
    })
}

/// `/connections.json`: the busiest first.
pub(crate) fn connections(door: Rc<Door>, question: Question) -> Later {
    let key = |own: &ConnectionInfo| {
        let busy = (own.held + own.in_flight, own.output_bytes);
        (Reverse(busy), own.connection)
    };
    gathered(&question, key, move |limit| {
        door.observed.connections(limit)
    })
}

/// `/requests.json`: the oldest first.
pub(crate) fn requests(door: Rc<Door>, question: Question) -> Later {
    let key = |own: &RequestInfo| (Reverse(own.age), own.connection);
    gathered(&question, key, move |limit| door.observed.requests(limit))
}

/// `/links.json`: the busiest first.
pub(crate) fn links(door: Rc<Door>, question: Question) -> Later {
    let key = |own: &LinkInfo| {
        let busy = own.in_flight + own.queued;
        (Reverse(busy), own.upstream.clone(), own.user.clone())
    };
    gathered(&question, key, move |limit| door.observed.links(limit))
}

/// `/transitions.json`
pub(crate) fn transitions(door: &Door, question: &Question) -> Answer {
    match question.query().limit(ROWS_MAX) {
        Ok(limit) => {
            let rows = door.observed.transitions();
            let first = rows.len().saturating_sub(limit);
            Answer::json(&&rows[first..])
        }
        Err(wrong) => Answer::text(400, wrong.into_owned()),
    }
}

/// `/config.json`
pub(crate) fn config(door: &Door, _: &Question) -> Answer {
    match &door.sources.config {
        Some(read) => Answer::json(&read()),
        None => Answer::text(404, "This program does not tell its options\n"),
    }
}
