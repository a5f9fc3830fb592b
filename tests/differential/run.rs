//! One stream of requests through both servers.

use std::collections::BTreeMap;

use crate::accepted::{self, Accepted};
use crate::generator::{Generator, removal};
use crate::reply::Reply;
use crate::request::Request;
use crate::servers::{Pair, Servers};

/// Requests that are on their way at a time.
const BATCH: usize = 32;
/// Different differences that are told before the run is given up.
const DIFFERENCES_MAX: usize = 30;

/// How a run went.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) compared: usize,
    /// Not compared, since the two have had different data in that space.
    pub(crate) passed_over: usize,
    /// How often the reference refused.
    pub(crate) refused: usize,
    pub(crate) accepted: BTreeMap<&'static str, usize>,
    pub(crate) differences: Vec<Difference>,
    /// Before which requests only one of the schema versions changed.
    pub(crate) schema_faults: Vec<usize>,
}

/// Two answers that differ, and how they came about.
#[derive(Debug)]
pub(crate) struct Difference {
    /// The number of the request in the stream, from 0.
    pub(crate) at: usize,
    /// What was asked about the same space, from its making; the last is the one that differs.
    pub(crate) history: Vec<Request>,
    pub(crate) pair: Pair,
}

/// What a pair of answers is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Verdict {
    Same,
    Accepted(&'static Accepted),
    Different,
}

pub(crate) fn judge(request: &Request, pair: &Pair) -> Verdict {
    if pair.reference == pair.ours {
        return Verdict::Same;
    }
    match accepted::find(pair.answers(request)) {
        Some(accepted) => Verdict::Accepted(accepted),
        None => Verdict::Different,
    }
}

/// Sends about this many requests of a seed's stream.
pub(crate) fn run(servers: &mut Servers, seed: u64, requests: usize) -> Outcome {
    let mut outcome = Outcome::default();
    let mut generator = Generator::new(seed);
    let mut histories = BTreeMap::<Option<u32>, Vec<Request>>::new();
    let mut at = 0;
    while at < requests && outcome.differences.len() < DIFFERENCES_MAX {
        let batch = generator.batch(BATCH);
        let answered = servers.ask(&batch);
        let mut parted = Vec::new();
        for (request, pair) in batch.into_iter().zip(answered.pairs) {
            at += 1;
            if parted.contains(&request.space) {
                outcome.passed_over += 1;
                continue;
            }
            let history = histories.entry(request.space).or_default();
            history.push(request.clone());
            if !pair.reference.is_error() {
                generator.learn(&request);
            }
            if outcome.take(at - 1, history, pair) {
                parted.push(request.space);
            }
        }
        if parted.is_empty() && !answered.has_same_schema_change {
            outcome.schema_faults.push(at);
        }
        for space in parted.into_iter().flatten() {
            servers.ask(&removal(space));
            generator.forget(space);
        }
        histories.retain(|space, _| space.is_some_and(|space| generator.knows(space)));
    }
    outcome
}

impl Outcome {
    /// Counts the answers to the last request of a history; true if the space is not the same on
    /// both any more.
    fn take(&mut self, at: usize, history: &[Request], pair: Pair) -> bool {
        let request = history
            .last()
            .expect("the request is its own history's last");
        self.compared += 1;
        self.refused += usize::from(pair.reference.is_error());
        match judge(request, &pair) {
            Verdict::Same => false,
            Verdict::Accepted(accepted) => {
                *self.accepted.entry(accepted.name).or_default() += 1;
                accepted.can_part && pair.are_apart()
            }
            Verdict::Different => {
                let is_new = self
                    .differences
                    .iter()
                    .all(|known| known.kind() != kind(request, &pair));
                if is_new {
                    let history = history.to_vec();
                    self.differences.push(Difference { at, history, pair });
                }
                true
            }
        }
    }
}

impl Difference {
    pub(crate) fn request(&self) -> &Request {
        self.history
            .last()
            .expect("the request is its own history's last")
    }

    fn kind(&self) -> String {
        kind(self.request(), &self.pair)
    }
}

/// What two differences of one cause have in common: the texts without names and numbers.
fn kind(request: &Request, pair: &Pair) -> String {
    let form = |reply: &Reply| {
        let text = reply.text().replace(|c: char| c.is_ascii_digit(), "");
        let words = text
            .split(' ')
            .filter(|word| !word.contains(['\'', '"', '[']));
        format!("{} {}", reply.code, words.collect::<Vec<_>>().join(" "))
    };
    format!(
        "{} {} / {}",
        request.code,
        form(&pair.reference),
        form(&pair.ours)
    )
}
