//! One random stream of requests, valid and not, to vestibule and to Debian's Tarantool 2.6: both
//! answer alike, field by field, but for the differences of docs/differences.md.
//!
//! ```text
//!             ┌─▶ Tarantool ─┐
//!   generator ┤              ├─▶ equal? ─▶ accepted, and why? ─▶ shrink ─▶ told
//!             └─▶ vestibule ─┘
//! ```
//!
//! `VESTIBULE_DIFFERENTIAL_SEED` takes another seed in place of the fixed ones, and
//! `VESTIBULE_DIFFERENTIAL_REQUESTS` another number of requests for each. `tests/run` tells where
//! Tarantool is. Without it this fails and says so; it is left out only by
//! `VESTIBULE_TEST_SKIP_INTEROP=1`, loudly.

mod accepted;
#[cfg(feature = "collations")]
mod collations;
mod data;
mod definitions;
mod generator;
mod junk;
mod paths;
mod print;
mod reply;
mod request;
mod rng;
mod run;
mod servers;
mod shrink;
#[path = "../support/mod.rs"]
mod support;
mod values;

use std::fmt::Write;

use run::{Difference, Outcome};
use servers::Servers;
use support::{number_from_env, tarantool};

const SEEDS: [u64; 2] = [1, 2];
const REQUESTS: usize = 25_000;

/// Names of a list: the headings of a part of docs/differences.md.
fn documented(part: &str) -> Vec<String> {
    let path = format!("{}/docs/differences.md", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the list is there");
    let mut parts = text.split("\n## ");
    let part = parts
        .find(|own| own.starts_with(part))
        .expect("the part is there");
    let headings = part
        .lines()
        .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
    headings.map(str::to_owned).collect()
}

#[test]
fn every_accepted_difference_has_its_entry_and_every_entry_its_difference() {
    let mut accepted: Vec<_> = accepted::ACCEPTED.iter().map(|own| own.name).collect();
    let mut documented = documented("Accepted by the test");
    accepted.sort_unstable();
    documented.sort_unstable();
    assert_eq!(accepted, documented);
}

#[test]
fn random_requests_are_answered_as_by_tarantool() {
    let Some(program) = tarantool() else {
        return;
    };
    let chosen = number_from_env("VESTIBULE_DIFFERENTIAL_SEED");
    let seeds = chosen.map_or_else(|| SEEDS.to_vec(), |seed| vec![seed]);
    let requests = number_from_env("VESTIBULE_DIFFERENTIAL_REQUESTS");
    let requests = requests.map_or(REQUESTS, |count| count as usize);
    for seed in seeds {
        let mut servers = Servers::start(&program);
        let outcome = run::run(&mut servers, seed, requests);
        println!("seed {seed}: {}", summary(&outcome));
        let told: String = outcome
            .differences
            .iter()
            .map(|one| tell(&mut servers, one))
            .collect();
        assert!(told.is_empty(), "seed {seed}:\n{told}");
        let faults = outcome.schema_faults;
        assert!(
            faults.is_empty(),
            "seed {seed}: one schema version changed, before {faults:?}"
        );
        // A stream whose requests mostly fail, or mostly are not compared, shows little.
        assert!(
            outcome.refused * 10 < outcome.compared * 7,
            "most requests were refused"
        );
        assert!(
            outcome.passed_over * 20 < outcome.compared,
            "too little was compared"
        );
    }
}

#[test]
fn indexes_inside_of_fields_do_as_tarantools() {
    let Some(program) = tarantool() else {
        return;
    };
    let chosen = number_from_env("VESTIBULE_DIFFERENTIAL_SEED");
    let mut servers = Servers::start(&program);
    let told = paths::run(&mut servers, chosen.unwrap_or(SEEDS[0]));
    println!("{} compared, {} refused", told.compared, told.refused);
    assert!(told.differences.is_empty(), "{}", told.differences);
    // A stream whose requests mostly fail shows little.
    assert!(told.refused * 10 < told.compared * 7);
}

#[cfg(feature = "collations")]
#[test]
fn collations_order_texts_as_tarantools() {
    let Some(program) = tarantool() else {
        return;
    };
    let told = collations::run(&mut Servers::start(&program));
    println!("{} compared, {} collations", told.compared, told.collations);
    assert!(told.differences.is_empty(), "{}", told.differences);
    assert_eq!(told.collations, 277 - 3 * collations::OTHER.len());
}

fn summary(outcome: &Outcome) -> String {
    let Outcome {
        compared,
        passed_over,
        refused,
        accepted,
        ..
    } = outcome;
    format!("{compared} compared, {refused} refused, {passed_over} passed over, {accepted:?}")
}

fn tell(servers: &mut Servers, difference: &Difference) -> String {
    let mut out = format!("\nrequest {} of the stream\n", difference.at);
    let shrunk = shrink::shrink(servers, &difference.history);
    let (history, pair) = match &shrunk {
        Some((history, pair)) => (&history[..], pair),
        None => (std::slice::from_ref(difference.request()), &difference.pair),
    };
    for request in history {
        let _ = writeln!(out, "  {}", request.describe());
    }
    if shrunk.is_none() {
        out.push_str("  (not by its space's history alone)\n");
    }
    let _ = writeln!(out, "    Tarantool: {}", pair.reference);
    let _ = writeln!(out, "    vestibule: {}", pair.ours);
    out
}
