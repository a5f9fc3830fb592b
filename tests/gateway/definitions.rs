//! definitions change under load, and a restart takes the upstream's number of them back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use vestibule_actors::testing::Peer;

use super::failover::insert;
use super::support::tarantool::Tarantool;
use super::support::{Directory, tarantool, wait_until};
use super::{connect, eval, gateway, log_in, start, start_at, wait_for};

const WRITERS: u64 = 8;

/// How many numbers each writer has.
const NUMBERS: u64 = 1_000_000;

#[derive(Default)]
struct Load {
    written: AtomicU64,
    is_over: AtomicBool,
}

impl Load {
    /// Waits until so much more is written.
    fn go_on(&self, count: u64) {
        let until = self.written.load(Ordering::SeqCst) + count;
        wait_until("more is written", || {
            self.written.load(Ordering::SeqCst) >= until
        });
    }
}

/// Writes by the version that it knows, and learns the next one when it is told that it does not
/// know it. How often that was.
fn write(mut peer: Peer, first: u64, load: &Load) -> u64 {
    let (mut known, mut refused, mut key) = (0, 0, first);
    while !load.is_over.load(Ordering::SeqCst) {
        let told = peer.ask(&insert(key).schema_version(known));
        let version = told.schema_version.expect("it is told");
        assert!(version >= known, "it goes back from {known} to {version}");
        match told.error_code() {
            None => {
                load.written.fetch_add(1, Ordering::SeqCst);
                key += 1;
            }
            Some(109) => {
                assert!(version > known, "it is told a newer one");
                refused += 1;
            }
            // While it restarts; what is of unknown outcome is not written again.
            Some(115) => key += 1,
            Some(116) => {}
            Some(code) => panic!("{code}: {:?}", told.error_text()),
        }
        known = version;
    }
    refused
}

/// The number of its catalog that an instance tells itself.
fn own_version(upstream: &Tarantool) -> u64 {
    let told = connect(upstream).ask(&eval("return 1"));
    told.schema_version.expect("it is told")
}

#[test]
fn a_change_of_definitions_costs_each_client_one_look_and_their_number_never_goes_back() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let upstream = start(&program, &directory);
    let address = upstream.address.to_string();
    let server = gateway(&directory, &[("a", &upstream)]);
    let load = Load::default();
    let refused = thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| {
                let (peer, load) = (log_in(server.connect()), &load);
                scope.spawn(move || write(peer, number * NUMBERS, load))
            })
            .collect();
        load.go_on(500);
        let mut operator = connect(&upstream);
        let before = own_version(&upstream);
        for id in 600..630 {
            let define =
                format!("box.schema.space.create('t{id}', {{id = {id}}}):create_index('i')");
            assert_eq!(operator.ask(&eval(&define)).code, 0);
            load.go_on(50);
        }
        let after = own_version(&upstream);
        // It counts from what is in the snapshot, where each definition is one.
        for lua in [
            "for id = 600, 629 do box.space[id]:drop() end",
            "box.snapshot()",
        ] {
            assert_eq!(operator.ask(&eval(lua)).code, 0);
        }
        let dropped = own_version(&upstream) - after;
        load.go_on(500);
        let before_it = own_version(&upstream);
        drop(upstream);
        let upstream = start_at(&program, &directory, &address);
        assert!(own_version(&upstream) < before_it, "it goes back");
        wait_for(&server, "assist");
        load.go_on(500);
        load.is_over.store(true, Ordering::SeqCst);
        let refused = writers.into_iter().map(|own| own.join().unwrap());
        // One more at the first request, and for the restart.
        (refused.collect::<Vec<_>>(), after - before + dropped + 2)
    });
    let (refused, changes) = refused;
    assert!(
        refused.iter().all(|own| (1..=changes).contains(own)),
        "{refused:?} of {changes}"
    );
}
