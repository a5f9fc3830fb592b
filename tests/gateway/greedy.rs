//! Clients that take more than their part, before a real Tarantool.

use vestibule_actors::limits::{UPSTREAM_CALLS_DEFAULT, UPSTREAM_CALLS_FEW};
use vestibule_actors::testing::RequestBuilder;
use vestibule_actors::wire::keys::{self, RequestType};

use super::support::{Directory, tarantool};
use super::{eval, gateway, log_in, start};

#[test]
fn who_does_not_read_gets_all_in_the_end_and_keeps_nobody_waiting() {
    const READS: u64 = 500;
    const ROWS: u64 = 1000;
    const SIZE: usize = 200;
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let upstream = start(&program, &directory);
    let server = gateway(&directory, &[("a", &upstream)]);
    let [mut greedy, mut other] = [(); 2].map(|()| log_in(server.connect()));
    let rows = format!("for at = 1, {ROWS} do box.space.rows:replace{{at, ('x'):rep({SIZE})}} end");
    assert_eq!(greedy.ask(&eval(&rows)).code, 0);
    for sync in 0..READS {
        let select = RequestBuilder::new(RequestType::Select, sync)
            .uint(keys::SPACE_ID, 512)
            .uint(keys::LIMIT, ROWS)
            .uint(keys::ITERATOR, 2)
            .pair(keys::KEY, &[0x90]);
        greedy.send(&select);
    }
    for _ in 0..20 {
        assert_eq!(other.ask(&eval("return 1")).code, 0);
    }
    let mut syncs: Vec<_> = (0..READS)
        .map(|_| {
            let frame = greedy.receive();
            assert!(frame.code == 0 && frame.body.len() > ROWS as usize * SIZE);
            frame.sync
        })
        .collect();
    syncs.sort_unstable();
    assert!(syncs.into_iter().eq(0..READS));
}

#[test]
fn calls_that_sleep_leave_room_for_those_of_others() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let upstream = start(&program, &directory);
    let server = gateway(&directory, &[("a", &upstream)]);
    let mut greedy = log_in(server.connect());
    // More than an upstream has on its way, from one connection.
    for _ in 0..UPSTREAM_CALLS_DEFAULT {
        greedy.send(&eval("require('fiber').sleep(600)"));
    }
    let mut others = [(); UPSTREAM_CALLS_FEW].map(|()| log_in(server.connect()));
    for other in &mut others {
        assert_eq!(other.ask(&eval("return 1")).code, 0);
    }
}
