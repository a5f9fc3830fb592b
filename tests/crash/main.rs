//! The process is killed at random points among thousands of turns, changes of definitions and
//! checkpoints, and started again: nothing acknowledged is lost, nothing is there by half.
//!
//! ```text
//!   acknowledged ├──────────────┤
//!   sent         ├───────────────────────┤      killed
//!   recovered    ├──────────────────┤           exactly what a first part of the requests makes
//! ```
//!
//! `VESTIBULE_CRASHES=n` makes it n crashes in each mode, `VESTIBULE_CRASH_SEED=n` repeats a run's
//! choices (not the moment of the kill, which the machine's pace decides).

mod model;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use fastrand::Rng;
use model::{Operation, Space, State};
use serde::de::IgnoredAny;
use support::{Directory, Server, command, number_from_env};
use vestibule_actors::testing::{Peer, RequestBuilder};
use vestibule_actors::wire::keys::{self, RequestType};

/// Crashes of one mode, unless the environment says otherwise.
const CRASHES: u64 = 20;

const VSPACE: u64 = 281;
const VINDEX: u64 = 289;

/// Tells the seed if the test fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to repeat it: VESTIBULE_CRASH_SEED={}", self.0);
        }
    }
}

/// A connection, what it sent, and what of that is acknowledged.
struct Writer {
    peer: Peer,
    random: Rng,
    /// What the acknowledged operations make, and all that were sent.
    acknowledged: State,
    sent: State,
    /// Operations between these two states, each with the number of its request.
    open: std::collections::VecDeque<(u64, Operation)>,
    number: u64,
}

impl Writer {
    fn new(server: &Server, random: Rng, state: State, number: u64) -> Self {
        Self {
            peer: server.connect(),
            random,
            acknowledged: state.clone(),
            sent: state,
            open: std::collections::VecDeque::new(),
            number,
        }
    }

    /// Sends this many operations at once.
    fn send(&mut self, count: u64) {
        let mut bytes = Vec::new();
        for _ in 0..count {
            self.number += 1;
            let operation = Operation::pick(&mut self.random, &self.sent, self.number);
            let requests = operation.requests(self.number);
            bytes.extend(requests.iter().flat_map(RequestBuilder::bytes));
            operation.apply(&mut self.sent);
            self.open.push_back((self.number, operation));
        }
        self.peer.send_bytes(&bytes);
    }

    /// Takes replies until everything is acknowledged, or the server is gone.
    fn receive(&mut self) {
        while let Some((number, operation)) = self.open.front() {
            // Of several requests the last reply counts.
            for _ in 0..operation.requests(*number).len() {
                let Ok(Some(reply)) = self.peer.try_receive() else {
                    return;
                };
                let told = reply.error_text();
                assert_eq!(
                    (reply.code, reply.sync),
                    (0, *number),
                    "{operation:?}: {told:?}"
                );
            }
            operation.apply(&mut self.acknowledged);
            self.open.pop_front();
        }
    }

    /// Checks what was recovered against every state that it may be, and returns it.
    fn check(self, recovered: &State) -> (Rng, u64) {
        let (mut state, open) = (self.acknowledged, self.open);
        let mut differences = vec![difference(&state, recovered)];
        for (_, operation) in &open {
            if state == *recovered {
                break;
            }
            operation.apply(&mut state);
            differences.push(difference(&state, recovered));
        }
        assert!(
            state == *recovered,
            "with {} operations open, what is there is none of what may be: {differences:?}",
            open.len()
        );
        (self.random, self.number)
    }
}

/// Where two states differ.
fn difference(left: &State, right: &State) -> String {
    let names: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
    let differing = names
        .into_iter()
        .filter(|name| left.get(*name) != right.get(*name));
    let rows = |state: &State, name: &str| state.get(name).map(|space| space.rows.len());
    differing
        .map(|name| {
            format!(
                "{name}: {:?} rows, not {:?}",
                rows(right, name),
                rows(left, name)
            )
        })
        .collect::<Vec<_>>()
        .join(", ")
}

fn select<T: serde::de::DeserializeOwned>(peer: &mut Peer, space: u64, index: u64) -> Vec<T> {
    let all = RequestBuilder::new(RequestType::Select, 1)
        .uint(keys::SPACE_ID, space)
        .uint(keys::INDEX_ID, index)
        .uint(keys::LIMIT, u64::from(u32::MAX))
        .pair(keys::KEY, &[0x90]);
    let reply = peer.ask(&all);
    assert_eq!(reply.code, 0, "{:?}", reply.error_text());
    reply.data()
}

/// Everything that the server has now, by every index.
fn read(server: &Server) -> State {
    type Row = (
        u64,
        IgnoredAny,
        String,
        IgnoredAny,
        IgnoredAny,
        IgnoredAny,
        IgnoredAny,
    );
    type Index = (u64, u64, IgnoredAny, IgnoredAny, IgnoredAny, IgnoredAny);
    let mut peer = server.connect();
    let spaces: Vec<Row> = select(&mut peer, VSPACE, 0);
    let indexes: Vec<Index> = select(&mut peer, VINDEX, 0);
    let mut state = State::new();
    for (id, _, name, ..) in spaces.into_iter().filter(|row| row.0 >= 512) {
        let has = |index: u64| indexes.iter().any(|row| (row.0, row.1) == (id, index));
        let mut space = Space {
            rows: BTreeMap::new(),
            has_primary: has(0),
            has_secondary: has(1),
        };
        if space.has_primary {
            let rows: Vec<(u64, u64)> = select(&mut peer, id, 0);
            assert!(rows.is_sorted_by(|left, right| left.0 < right.0));
            space.rows = rows.into_iter().collect();
        }
        if space.has_secondary {
            let mut rows: Vec<(u64, u64)> = select(&mut peer, id, 1);
            assert!(rows.is_sorted_by_key(|row| (row.1, row.0)), "{name}");
            rows.sort_unstable();
            assert!(
                rows.into_iter().eq(space.rows.clone()),
                "{name}: an index is not its rows"
            );
        }
        state.insert(name, space);
    }
    for group in state
        .get(model::GROUPS)
        .into_iter()
        .flat_map(|space| &space.rows)
    {
        let first = group.0 / model::GROUP * model::GROUP;
        let rows = &state[model::GROUPS].rows;
        assert_eq!(rows.get(&first), Some(group.1), "half a transaction");
    }
    state
}

/// Lets Tx come to a random point of its work.
fn spin(random: &mut Rng) {
    let until = Instant::now() + Duration::from_micros(random.u64(..3000));
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}

/// What is left behind is sound for `check` as well: at most a torn tail.
fn check_files(directory: &Directory) {
    let output = command(directory.path()).arg("check").output();
    let output = output.expect("the binary starts");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}");
}

/// Asks for checkpoints while others write.
struct Snapshots {
    peer: Peer,
    waits: bool,
}

impl Snapshots {
    /// Begins one now and then, if the last one is done.
    fn begin(&mut self, random: &mut Rng) {
        self.end();
        if random.u64(..4) == 0 {
            self.peer
                .send(&RequestBuilder::call(1, "box.snapshot", &[0x90]));
            self.waits = true;
        }
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.waits) {
            let reply = self.peer.receive();
            let told = reply.error_text();
            // 120: one by size is being made.
            assert!(matches!(reply.error_code(), None | Some(120)), "{told:?}");
        }
    }
}

fn survives_crashes(journal_sync: &str) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seed = number_from_env("VESTIBULE_CRASH_SEED")
        .unwrap_or_else(|| now.expect("it is after 1970").subsec_nanos().into());
    let _told = Seed(seed);
    let crashes = number_from_env("VESTIBULE_CRASHES").unwrap_or(CRASHES);
    let directory = Directory::new();
    let options = ["--journal-sync", journal_sync];
    // Now and then by size as well.
    let by_size = ["--checkpoint-journal-size", "20000"];
    let (mut random, mut number, mut state) = (Rng::with_seed(seed), 0, State::new());
    for _ in 0..crashes {
        let by_size = &by_size[..random.usize(..2) * 2];
        let server = Server::start(directory.path(), &[&options, by_size].concat());
        let mut snapshots = Snapshots {
            peer: server.connect(),
            waits: false,
        };
        let mut writer = Writer::new(&server, random, state, number);
        for _ in 0..writer.random.u64(..30) {
            let count = 1 + writer.random.u64(..40);
            snapshots.begin(&mut writer.random);
            writer.send(count);
            writer.receive();
            assert!(writer.open.is_empty(), "the server lives");
        }
        // Killed in the middle of these, and of a checkpoint if there is one.
        let count = 50 + writer.random.u64(..250);
        snapshots.begin(&mut writer.random);
        writer.send(count);
        spin(&mut writer.random);
        server.kill();
        writer.receive();
        check_files(&directory);
        let server = Server::start(directory.path(), &options);
        state = read(&server);
        (random, number) = writer.check(&state);
        // Killed when idle, right after a start.
        server.kill();
    }
    assert!(number > 20 * crashes, "{number} operations");
    let files = std::fs::read_dir(directory.path().join("data")).expect("it is there");
    let mut names = files.map(|file| file.expect("it can be read").file_name());
    let has_checkpoint = names.any(|name| name.to_string_lossy().ends_with(".ckpt"));
    assert!(has_checkpoint || crashes < CRASHES, "checkpoints were made");
}

#[test]
fn nothing_acknowledged_is_lost_with_sync_every_turn() {
    survives_crashes("turn");
}

#[test]
fn nothing_acknowledged_is_lost_without_sync() {
    survives_crashes("never");
}
