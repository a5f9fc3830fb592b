//! Lists: connections, requests, transitions, options. All of them are bounded.

use std::rc::Rc;

use serde::Serialize;
use tokio::time::timeout;

use crate::door::{Answer, Door, Later, Question};
use crate::limits::{GATHER_TIME_MAX, ROWS_MAX};

/// Answers with rows that the session threads are asked for, unless they take too long.
fn gathered<T, F>(question: &Question, ask: impl FnOnce(usize) -> F + 'static) -> Later
where
    T: Serialize,
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
        match timeout(GATHER_TIME_MAX, ask(limit)).await {
            Ok(rows) => Answer::json(&rows),
            Err(_) => Answer::text(503, "A session thread does not answer\n"),
        }
    })
}

/// `/connections.json`
pub(crate) fn connections(door: Rc<Door>, question: Question) -> Later {
    gathered(&question, move |limit| door.observed.connections(limit))
}

/// `/requests.json`
pub(crate) fn requests(door: Rc<Door>, question: Question) -> Later {
    gathered(&question, move |limit| door.observed.requests(limit))
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
