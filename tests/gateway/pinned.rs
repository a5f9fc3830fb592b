//! Sessions upstream that are one client's, before a real Tarantool.

use super::support::{Directory, tarantool};
use super::{eval, gateway_with, log_in, start};

#[test]
fn what_tarantool_keeps_by_session_is_the_clients_own_and_is_gone_with_it() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let upstream = start(&program, &directory);
    let address = format!("a={}", upstream.address);
    let options = ["--upstream", &*address, "--mode", "pinned"];
    let server = gateway_with(&directory, &options);
    let [mut one, mut other] = [(); 2].map(|()| log_in(server.connect()));
    assert_eq!(one.ask(&eval("box.session.storage.own = 7")).code, 0);
    let told = eval("return box.session.storage.own");
    assert_eq!(one.ask(&told).data::<Vec<Option<u64>>>(), [Some(7)]);
    assert_eq!(other.ask(&told).data::<Vec<Option<u64>>>(), [None]);
    drop(one);
    let mut next = log_in(server.connect());
    assert_eq!(next.ask(&told).data::<Vec<Option<u64>>>(), [None]);
    // A setting of a session changes how what it does is counted, and nobody else's.
    let set = eval("box.session.settings.sql_full_column_names = true");
    assert_eq!(next.ask(&set).code, 0);
    let told = eval("return box.session.settings.sql_full_column_names");
    assert_eq!(next.ask(&told).data::<Vec<bool>>(), [true]);
    assert_eq!(other.ask(&told).data::<Vec<bool>>(), [false]);
}
