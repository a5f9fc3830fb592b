//! Large replies, and those who wait beside them.

use vestibule_actors::testing::Peer;
use vestibule_actors::wire::keys::CODE_CHUNK;

use crate::upstream::{FakeUpstream, upstreams};
use crate::{DONE, eval, on_one_thread, pass};

const SIZE: usize = 64 << 20;

const CLIENTS: usize = 1000;

/// half of a large push and of a large reply is there, and nobody waits for the other half
/// but the clients of the same user, whose replies come behind it.
#[test]
fn while_large_replies_are_on_their_way_many_small_clients_are_answered() {
    let upstream = FakeUpstream::start();
    upstream.set_password("alice", "secret");
    let server = on_one_thread(upstreams(&[("a", upstream.address)]));
    let [mut large, mut same] = [(); 2].map(|()| {
        let mut peer = server.connect();
        assert_eq!(peer.log_in("alice", "secret").code, 0);
        peer
    });
    let mut peers: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
    let head = [0x81, 0x30, 0x91, 0xdb];
    let body = [&head, &(SIZE as u32).to_be_bytes()[..], &vec![7; SIZE]].concat();
    large.send(&eval(7, "return large()"));
    let asked = upstream.asked();
    let go_on = asked.reply_in_parts(&body);
    are_answered(&mut peers, &upstream);
    same.send(&eval(8, "return 1"));
    // It is asked while the other one is half answered.
    let behind = upstream.asked();
    same.ping();
    go_on();
    behind.reply(DONE);
    assert_eq!(same.receive().sync, 8);
    let told = large.receive();
    let got = (told.code, told.sync, told.body.len());
    assert_eq!(got, (0, 7, body.len()), "{:?}", told.error_text());
    assert!(told.body == body);
    large.send(&eval(9, "push(large())"));
    let asked = upstream.asked();
    asked.push(&body);
    are_answered(&mut peers, &upstream);
    asked.reply(DONE);
    let pushed = large.receive();
    assert!(pushed.code == CODE_CHUNK && pushed.body == body);
    assert_eq!(&*large.receive().body, DONE);
}

fn are_answered(peers: &mut [Peer], upstream: &FakeUpstream) {
    for peer in peers.iter_mut() {
        peer.ping();
        pass(peer, upstream, &eval(1, "return 1"));
    }
}
