//! Sessions upstream that are one client's, before a real Tarantool.

use vestibule_actors::testing::{Peer, RequestBuilder};
use vestibule_actors::wire::keys::{self, RequestType};

use super::seen::ctl;
use super::support::{Directory, tarantool, wait_until};
use super::{eval, gateway, gateway_with, log_in, set_read_only, sql, start};

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

#[test]
fn a_setting_is_its_clients_alone_and_goes_with_it_to_the_next_upstream() {
    let Some(program) = tarantool() else { return };
    let directories = [Directory::new(), Directory::new()];
    let [first, second] = [0, 1].map(|own| start(&program, &directories[own]));
    set_read_only(&second, true);
    let server = gateway(&directories[0], &[("a", &first), ("b", &second)]);
    let [mut one, mut other] = [(); 2].map(|()| log_in(server.connect()));
    let told = eval("return box.session.settings.sql_full_column_names, box.info.uuid");
    let told = |peer: &mut Peer| peer.ask(&told).data::<(bool, String)>();
    let (is_set, uuid) = told(&mut one);
    assert!(!is_set);
    // By SQL and by an update of the space.
    let set = sql("SET SESSION \"sql_full_column_names\" = true");
    assert_eq!(one.ask(&set).code, 0);
    assert_eq!(
        (told(&mut one), told(&mut other).0),
        ((true, uuid.clone()), false)
    );
    let set = |is_on| {
        let name = b"\xb5sql_full_column_names";
        let ops = [&b"\x91\x93\xa1=\xa5value"[..], &[0xc2 + u8::from(is_on)]].concat();
        RequestBuilder::new(RequestType::Update, 1)
            .uint(keys::SPACE_ID, 380)
            .pair(keys::KEY, &[&[0x91], &name[..]].concat())
            .pair(keys::TUPLE, &ops)
    };
    for is_on in [false, true] {
        assert_eq!(one.ask(&set(is_on)).code, 0);
        assert_eq!((told(&mut one).0, told(&mut other).0), (is_on, false));
    }
    set_read_only(&first, true);
    set_read_only(&second, false);
    wait_until("the other one is asked", || told(&mut other).1 != uuid);
    let (is_set, now) = told(&mut one);
    assert!(is_set && now != uuid);
    assert!(!told(&mut other).0);
    let pins = ctl(&server, &["show", "pins"]);
    let of_first = (
        &pins[0]["reason"],
        &pins[0]["upstream"],
        pins.as_array().map(Vec::len),
    );
    assert_eq!(of_first, (&"settings".into(), &"b".into(), Some(1)));
}
