//! All of it is killed, in turns, under load: the upstream that takes changes, the gateway, and
//! both at once.
//!
//! ```text
//!   upstream: another one takes over, and those who write stay
//!   gateway ──┬─▶ they end: what each was told is held against the rows, which go then
//!   both ─────┘   the next gateway, and others who write
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use vestibule_actors::testing::Peer;

use super::failover::{insert, keys_of};
use super::support::tarantool::Tarantool;
use super::support::{Directory, Server, number_from_env, tarantool, wait_until};
use super::{connect, eval, gateway_with, log_in, set_read_only, start, start_at};

/// How often something is killed, unless `VESTIBULE_TEST_KILLS` says how often.
const KILLS: u64 = 12;

const WRITERS: u64 = 16;

/// Requests that a writer has on its way.
const DEPTH: usize = 4;

/// How many numbers each writer has.
const NUMBERS: u64 = 1_000_000;

/// Writes between two kills.
const WRITES: u64 = 200;

/// What became of each write: what its writer was told, a code if that was an error, or nothing at
/// all when the connection ended.
pub(super) type Endings = BTreeMap<u64, Option<Option<u16>>>;

/// Counts up until the connection is over.
pub(super) fn write_until_closed(mut peer: Peer, first: u64, written: &AtomicU64) -> Endings {
    let (mut endings, mut next, mut owed) = (Endings::new(), first, 0);
    loop {
        while owed < DEPTH {
            endings.insert(next, None);
            if peer.try_send(&insert(next)).is_err() {
                return endings;
            }
            (next, owed) = (next + 1, owed + 1);
        }
        let Ok(Some(frame)) = peer.try_receive() else {
            return endings;
        };
        let before = endings.insert(frame.sync, Some(frame.error_code()));
        assert_eq!(before, Some(None), "each is answered once");
        owed -= 1;
        if frame.error_code().is_none() {
            written.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// What was acknowledged is there, what was refused is not, and nothing else is than what was sent.
pub(super) fn check_endings(endings: &Endings, there: &BTreeSet<u64>) {
    for (key, ending) in endings {
        match ending {
            Some(None) => assert!(there.contains(key), "{key} was acknowledged"),
            // It was refused: before it was sent.
            Some(Some(116 | 279)) => assert!(!there.contains(key), "{key} was refused"),
            // Nobody knows, or nobody has said anything.
            Some(Some(115)) | None => {}
            Some(code) => panic!("{key}: {code:?}"),
        }
    }
    let unknown = there.iter().find(|key| !endings.contains_key(key));
    assert_eq!(unknown, None, "nobody has sent it");
}

/// Two upstreams of which one takes changes, a gateway before them, and those who write.
struct Killed {
    program: String,
    directories: [Directory; 2],
    both: [Option<Tarantool>; 2],
    addresses: [String; 2],
    /// Which one takes changes.
    target: usize,
    server: Option<Server>,
    writers: Vec<JoinHandle<Endings>>,
    written: Arc<AtomicU64>,
    /// The next writer's first number.
    first: u64,
    /// What became of the writes so far: acknowledged, refused, and unknown.
    counts: [usize; 3],
}

impl Killed {
    fn start(program: String) -> Self {
        let directories = [(); 2].map(|()| Directory::new());
        let both = [0, 1].map(|at| start(&program, &directories[at]));
        set_read_only(&both[1], true);
        let addresses = both.each_ref().map(|own| own.address.to_string());
        let mut own = Self {
            program,
            directories,
            both: both.map(Some),
            addresses,
            target: 0,
            server: None,
            writers: Vec::new(),
            written: Arc::default(),
            first: 0,
            counts: [0; 3],
        };
        own.start_gateway();
        own
    }

    fn start_gateway(&mut self) {
        let [a, b] = &self.addresses;
        let both = format!("a={a},b={b}");
        // Longer than a busy machine takes to have another one take over.
        let options = ["--upstream", &both, "--failover-hold", "60s"];
        let server = gateway_with(&self.directories[0], &options);
        for _ in 0..WRITERS {
            let (peer, first) = (log_in(server.connect()), self.first);
            let written = self.written.clone();
            let write = move || write_until_closed(peer, first, &written);
            self.writers.push(thread::spawn(write));
            self.first += NUMBERS;
        }
        self.server = Some(server);
    }

    /// Waits until so much more is written that all are at it.
    fn go_on(&self) {
        let until = self.written.load(Ordering::SeqCst) + WRITES;
        wait_until("more is written", || {
            self.written.load(Ordering::SeqCst) >= until
        });
    }

    fn kill_upstream(&mut self) {
        // SIGKILL.
        drop(self.both[self.target].take().expect("it runs"));
    }

    /// The other one takes changes from now on, and the one that was killed comes back without.
    fn take_over(&mut self) {
        let lost = self.target;
        self.target = 1 - lost;
        set_read_only(self.both[self.target].as_ref().expect("it runs"), false);
        let (program, directory) = (&self.program, &self.directories[lost]);
        let back = start_at(program, directory, &self.addresses[lost]);
        // It takes changes at first, and nothing goes there.
        set_read_only(&back, true);
        self.both[lost] = Some(back);
    }

    fn kill_gateway(&mut self) {
        // SIGKILL.
        self.server.take().expect("it runs").kill();
    }

    /// All that was written since the last gateway was started is held against what is there, and
    /// goes, so that this can be done for as long as one likes.
    fn check(&mut self) {
        let endings = std::mem::take(&mut self.writers).into_iter();
        let endings: Endings = endings.flat_map(|own| own.join().unwrap()).collect();
        let both = self
            .both
            .each_ref()
            .map(|own| own.as_ref().expect("it runs"));
        let [first, second] = both.map(keys_of);
        assert!(first.is_disjoint(&second), "nothing is done twice");
        check_endings(&endings, &(&first | &second));
        for ending in endings.values() {
            let kind = match ending {
                Some(None) => 0,
                Some(Some(116 | 279)) => 1,
                _ => 2,
            };
            self.counts[kind] += 1;
        }
        for (at, own) in both.into_iter().enumerate() {
            let is_read_only = at != self.target;
            let lua = "box.cfg{read_only = false} box.space.rows:truncate()";
            let lua = format!("{lua} box.cfg{{read_only = {is_read_only}}}");
            assert_eq!(connect(own).ask(&eval(&lua)).code, 0);
        }
    }
}

/// R-2, GW-06: of what is killed nothing is lost, and nothing is done that was refused.
#[test]
fn whatever_is_killed_what_was_acknowledged_is_there_once_and_what_was_refused_is_not() {
    let Some(program) = tarantool() else { return };
    let mut own = Killed::start(program);
    let kills = number_from_env("VESTIBULE_TEST_KILLS").unwrap_or(KILLS);
    for turn in 0..kills {
        own.go_on();
        match turn % 3 {
            0 => {
                own.kill_upstream();
                own.take_over();
            }
            1 => {
                own.kill_gateway();
                own.check();
                own.start_gateway();
            }
            _ => {
                own.kill_upstream();
                own.kill_gateway();
                own.take_over();
                own.check();
                own.start_gateway();
            }
        }
    }
    own.go_on();
    own.kill_gateway();
    own.check();
    let [acknowledged, refused, unknown] = own.counts;
    // What is on its way when one is killed, and of both when both are.
    let most = 2 * (kills + 1) as usize * WRITERS as usize * DEPTH;
    assert!(unknown <= most, "{unknown} are unknown");
    println!("{acknowledged} were acknowledged, {refused} refused, {unknown} are unknown");
}
