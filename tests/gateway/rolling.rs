//! Everything is restarted, one after another, under load: the upstreams, drained as
//! docs/gateway.md says, and then the gateway itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;

use vestibule_actors::testing::Peer;

use super::failover::{Load, check, keys_of};
use super::kills::{Endings, check_endings, write_until_closed};
use super::seen::{ctl, upstream};
use super::support::tarantool::Tarantool;
use super::support::{Directory, Server, tarantool, wait_until};
use super::{eval, gateway, log_in, patient_gateway, set_read_only, sql, start, start_at};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Three of which the first takes changes, and a gateway before them.
struct Three {
    program: String,
    directories: [Directory; 3],
    all: [Option<Tarantool>; 3],
}

impl Three {
    fn start(program: String) -> (Self, Server) {
        let directories = [(); 3].map(|()| Directory::new());
        let all = [0, 1, 2].map(|at| Some(start(&program, &directories[at])));
        let own = Self {
            program,
            directories,
            all,
        };
        [1, 2].iter().for_each(|at| own.set_read_only(*at, true));
        let named = [0, 1, 2].map(|at| (NAMES[at], own.of(at)));
        let server = patient_gateway(&own.directories[0], &named);
        for name in NAMES {
            wait_until("all serve", || {
                upstream(&server, name)["state"] == "serving"
            });
        }
        (own, server)
    }

    fn of(&self, at: usize) -> &Tarantool {
        self.all[at].as_ref().expect("it runs")
    }

    fn set_read_only(&self, at: usize, is_read_only: bool) {
        set_read_only(self.of(at), is_read_only);
    }

    /// Ends it by SIGKILL, and starts it again as one that takes no changes.
    fn restart(&mut self, at: usize) {
        let address = self.of(at).address.to_string();
        self.all[at] = None;
        self.all[at] = Some(start_at(&self.program, &self.directories[at], &address));
        self.set_read_only(at, true);
    }
}

/// Whether a setting of its session is as it was set, wherever that is.
fn is_set(peer: &mut Peer) -> bool {
    let told = peer.ask(&eval("return box.session.settings.sql_full_column_names"));
    assert_eq!(told.code, 0, "{:?}", told.error_text());
    told.data::<Vec<bool>>() == [true]
}

/// R-5, GW-06: with a client that has a session of its own, and one whose call does not end in
/// time.
#[test]
fn upstreams_that_are_drained_and_restarted_in_turn_cost_no_write_and_no_setting() {
    let Some(program) = tarantool() else { return };
    let (mut three, server) = Three::start(program);
    let [mut pinned, mut sleeper] = [(); 2].map(|()| log_in(server.connect()));
    let set = sql("SET SESSION \"sql_full_column_names\" = true");
    assert_eq!(pinned.ask(&set).code, 0);
    let load = Load::begin(&server);
    for (at, name) in NAMES.iter().enumerate() {
        load.go_on(300);
        assert!(is_set(&mut pinned));
        // So that it is on its way to the one that is drained.
        sleeper.send(&eval("require('fiber').sleep(600)"));
        wait_until("it is sent", || upstream(&server, name)["calls"] == 1);
        three.set_read_only(at, true);
        load.stand(&server);
        three.set_read_only((at + 1) % 3, false);
        load.go_on(300);
        let drained = ctl(&server, &["drain-upstream", name, "--grace", "100ms"]);
        assert_eq!(drained["result"], "done", "{drained}");
        assert_eq!(drained["transition"]["killed"]["call"], 1, "{drained}");
        let told = sleeper.receive();
        assert_eq!(told.error_code(), Some(115));
        assert!(told.error_mentions("drained"), "{:?}", told.error_text());
        assert!(is_set(&mut pinned), "it is set where requests go now");
        three.restart(at);
        let restored = ctl(&server, &["restore-upstream", name]);
        assert_eq!(restored["result"], "done", "{restored}");
    }
    load.go_on(300);
    let outcomes = load.end();
    let told: BTreeMap<_, _> = outcomes.iter().filter(|own| own.1.is_some()).collect();
    assert!(told.is_empty(), "{told:?}");
    let [first, second, third] = [0, 1, 2].map(|at| keys_of(three.of(at)));
    assert!(first.is_disjoint(&third), "nothing is done twice");
    check(&outcomes, &(&first | &third), &second);
}

/// GW-06: what the gateway has acknowledged before its own stop is there, and what it refused is
/// not.
#[test]
fn a_gateway_that_is_restarted_under_load_loses_no_write() {
    const WRITERS: u64 = 8;
    const NUMBERS: u64 = 1_000_000;
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let upstream = start(&program, &directory);
    let mut server = Some(gateway(&directory, &[("a", &upstream)]));
    let mut endings = Endings::new();
    let written = Arc::<AtomicU64>::default();
    for turn in 0..3 {
        let own = server.take().expect("it runs");
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| {
                let peer = log_in(own.connect());
                let first = (turn * WRITERS + number) * NUMBERS;
                let written = written.clone();
                thread::spawn(move || write_until_closed(peer, first, &written))
            })
            .collect();
        let so_far = keys_of(&upstream).len();
        wait_until("some is written", || {
            keys_of(&upstream).len() > so_far + 500
        });
        assert!(own.terminate().success());
        for writer in writers {
            endings.extend(writer.join().unwrap());
        }
        server = Some(gateway(&directory, &[("a", &upstream)]));
    }
    check_endings(&endings, &keys_of(&upstream));
}
