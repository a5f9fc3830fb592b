//! Links by what clients read.

use vestibule_actors::wire::features::{Feature, Features};

use crate::upstream::{FakeUpstream, upstreams};
use crate::{DONE, eval, features, id_of, on_one_thread};

#[test]
fn clients_that_read_other_values_have_other_links() {
    let all = (0..20).fold(Features::NONE, Features::with_code);
    for (version, passed) in [
        ((2, 6, 0), Features::NONE),
        ((2, 11, 0), Features::NONE.with(Feature::ErrorExtension)),
        ((3, 0, 0), Features::OF_VALUES),
    ] {
        let upstream = FakeUpstream::of_version(version);
        upstream.set_password("alice", "secret");
        let server = on_one_thread(upstreams(&[("a", upstream.address)]));
        let mut plain = server.connect();
        plain.send(&eval(1, "return 1"));
        let asked = upstream.asked();
        assert_eq!(asked.features, Features::NONE);
        asked.reply(DONE);
        plain.receive();
        let mut peer = server.connect();
        let told = peer.ask(&id_of(all));
        match passed {
            Features::NONE => assert_eq!(told.error_code(), Some(48)),
            passed => assert_eq!(features(&told).and(Features::OF_VALUES), passed),
        }
        for user in ["guest", "alice"] {
            if user != "guest" {
                assert_eq!(peer.log_in(user, "secret").code, 0);
            }
            peer.send(&eval(1, "return 1"));
            let own = upstream.asked();
            assert_eq!((&*own.user, own.features), (user, passed));
            let is_shared = own.connection == asked.connection;
            assert_eq!(is_shared, passed == Features::NONE && user == "guest");
            own.reply(DONE);
            peer.receive();
        }
    }
}
