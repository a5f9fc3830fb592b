//! An index of a space with data: built while reads go on, and if it cannot be, nothing has
//! changed.

mod support;

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::json;
use support::{Directory, PATIENCE, Server, make_space, pack, write_rows};
use vestibule_actors::testing::{Frame, Peer, RequestBuilder};
use vestibule_actors::wire::keys::{self, RequestType};

/// Enough that Tx declares itself busy, and is so for longer than a look at it takes.
const ROWS: u64 = 100_000;
const BURST: u64 = 1000;

/// The parts of `vestibule.state` that are looked at here.
#[derive(Debug, serde::Deserialize)]
struct State {
    state: String,
    reason: String,
    progress: Option<f64>,
}

fn call(peer: &mut Peer, name: &str, given: &serde_json::Value) -> Frame {
    peer.call(name, &pack(given))
}

/// A space with [`ROWS`] rows `[n, n]` and its primary index.
fn fill(peer: &mut Peer) {
    make_space(peer);
    for first in (0..ROWS).step_by(BURST as usize) {
        write_rows(peer, first..first + BURST);
    }
}

/// What others see while a call is under way.
#[derive(Debug, Default)]
struct Seen {
    /// Reasons that solo was told with.
    reasons: BTreeSet<String>,
    /// Whether it was told how far the work was.
    has_progress: bool,
}

/// Reads and looks at the state until the call is answered.
fn watch(builder: &mut Peer, watcher: &mut Peer, given: &serde_json::Value) -> (Frame, Seen) {
    builder.send(&RequestBuilder::call(
        7,
        "box.space.rows:create_index",
        &pack(given),
    ));
    let mut seen = Seen::default();
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| builder.receive());
        while !answer.is_finished() {
            let state: Vec<State> = watcher.call("vestibule.state", &[0x90]).data();
            if state[0].state == "solo" {
                // The last row is what a walk comes to last.
                let read = watcher.ask(&RequestBuilder::select(1, ROWS - 1));
                assert_eq!(read.data::<Vec<(u64, u64)>>(), [(ROWS - 1, ROWS - 1)]);
                seen.reasons.insert(state[0].reason.clone());
                seen.has_progress |= state[0].progress.is_some_and(|done| done > 0.0);
            }
        }
        (answer.join().expect("the builder is answered"), seen)
    })
}

/// Whether there is an index with this name.
fn has_index(peer: &mut Peer, name: &str) -> bool {
    call(
        peer,
        &format!("box.space.rows.index.{name}:len"),
        &json!([]),
    )
    .code
        == 0
}

#[test]
fn an_index_is_built_while_reads_go_on_and_a_duplicate_leaves_everything_as_it_was() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &["--journal-sync", "never"]);
    let (mut builder, mut watcher) = (server.connect(), server.connect());
    fill(&mut builder);
    let twin = RequestBuilder::new(RequestType::Insert, 1)
        .uint(keys::SPACE_ID, 512)
        .pair(keys::TUPLE, &pack(&json!([ROWS, 0])));
    assert_eq!(builder.ask(&twin).code, 0);
    let wanted = json!(["second", {"parts": [2, "unsigned"]}]);
    let began = Instant::now();
    // A build that was over before anybody looked is tried again.
    loop {
        let (refused, seen) = watch(&mut builder, &mut watcher, &wanted);
        assert_eq!(refused.error_code(), Some(3), "{:?}", refused.error_text());
        assert!(!has_index(&mut builder, "second"));
        let reason = "building index 'second' of space 'rows'";
        if seen.has_progress && seen.reasons.contains(reason) {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "no build was seen: {seen:?}");
    }
    // Writes are as free as before, and the index that follows has them.
    assert_eq!(builder.ask(&twin).error_code(), Some(3));
    let gone = call(&mut builder, "box.space.rows:delete", &json!([ROWS]));
    assert_eq!(gone.code, 0);
    let (made, _) = watch(&mut builder, &mut watcher, &wanted);
    assert_eq!(made.code, 0, "{:?}", made.error_text());
    let found = call(
        &mut builder,
        "box.space.rows.index.second:get",
        &json!([ROWS / 2]),
    );
    assert_eq!(found.data::<Vec<(u64, u64)>>(), [(ROWS / 2, ROWS / 2)]);
    let counted = call(&mut builder, "box.space.rows.index.second:len", &json!([]));
    assert_eq!(counted.data::<Vec<u64>>(), [ROWS]);
    assert!(server.terminate().success());
    let again = Server::start(directory.path(), &[]);
    let mut peer = again.connect();
    support::wait_until("it has recovered", || has_index(&mut peer, "second"));
}
