//! A demotion freezes what clients may change upstream: nothing is sent after its deadline.

use std::time::Duration;

use vestibule_actors::serving::Role;
use vestibule_actors::testing::{RequestBuilder, block_on};

use crate::upstream::{FakeUpstream, upstreams};
use crate::{DONE, eval, on_one_thread, pass};

/// More than the kernel takes for who does not read.
const LARGE: u32 = 48 << 20;

#[test]
fn what_the_kernel_has_not_taken_at_the_deadline_is_never_sent() {
    let upstream = FakeUpstream::start();
    let all = upstreams(&[("a", upstream.address)]);
    // It says nothing, and that is not what this is about.
    let server = on_one_thread(all.silent_after(Duration::from_secs(600)));
    let (mut peer, mut other) = (server.connect(), server.connect());
    pass(&mut peer, &upstream, &eval(1, "return 1"));
    upstream.set_silent(true);
    let unsent = || {
        let handle = server.handle().clone();
        let links = block_on(async move { handle.links(9).await });
        links.iter().map(|own| own.unsent_bytes).sum::<usize>()
    };
    peer.send(&eval(2, "return 1"));
    other.send(&RequestBuilder::replace_large(3, 1, LARGE));
    server.wait_until("the kernel takes no more", || unsent() > 0);
    let outcome = server.demote(Duration::ZERO);
    assert_eq!(server.handle().serving().role, Role::Replica, "{outcome:?}");
    for (peer, sync) in [(&mut peer, 2), (&mut other, 3)] {
        let told = peer.receive();
        assert_eq!((told.sync, told.error_code()), (sync, Some(115)));
    }
    upstream.set_silent(false);
    // The call was sent before; of the change the upstream sees no more than a part.
    let asked = upstream.asked();
    assert!(asked.body.len() < 100, "{} bytes", asked.body.len());
    server.wait_until("the link is closed", || {
        upstream.has_ended(asked.connection)
    });
    assert!(upstream.try_asked().is_none());
    peer.send(&RequestBuilder::select(4, 1));
    upstream.asked().reply(DONE);
    assert_eq!(peer.receive().code, 0, "reads go on");
}
