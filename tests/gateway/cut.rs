//! R-12: between a gateway and a real upstream, the network takes bytes one way only.
//!
//! ```text
//!   gateway ── requests ──▶ relay ── cut, or not ──▶ a     b
//!           ◀── replies ───       ◀─ cut, or not ───
//! ```
//!
//! What is cut off is late, as it is where packets are lost that are sent again.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use vestibule_actors::testing::Peer;

use super::failover::{insert, keys_of};
use super::support::tarantool::Tarantool;
use super::support::{Directory, Server, tarantool, wait_until};
use super::{gateway_with, log_in, set_read_only, start, wait_for};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Requests,
    Replies,
}

#[derive(Default)]
struct Cut {
    /// The way that is cut off.
    way: Mutex<Option<Way>>,
    changed: Condvar,
    sockets: Mutex<Vec<TcpStream>>,
}

impl Cut {
    /// Waits until bytes may go this way.
    fn wait_for(&self, way: Way) {
        let own = self.way.lock().expect("no thread of the relay panics");
        let whole = self.changed.wait_while(own, |own| *own == Some(way));
        drop(whole.expect("no thread of the relay panics"));
    }

    fn set(&self, way: Option<Way>) {
        *self.way.lock().expect("no thread of the relay panics") = way;
        self.changed.notify_all();
    }

    /// Ends all connections; what is late never comes.
    fn end(&self) {
        let sockets = self.sockets.lock().expect("no thread of the relay panics");
        for own in &*sockets {
            // Its other end may have ended it.
            let _ = own.shutdown(Shutdown::Both);
        }
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream, way: Way) {
        let mut bytes = [0; 65536];
        while let Ok(size @ 1..) = from.read(&mut bytes) {
            self.wait_for(way);
            if to.write_all(&bytes[..size]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    }
}

/// A relay to this address, for as long as the process runs.
fn relay(to: SocketAddr) -> (Arc<Cut>, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let address = listener.local_addr().expect("it is bound");
    let cut = Arc::<Cut>::default();
    let own = cut.clone();
    thread::spawn(move || {
        for near in listener.incoming() {
            let (Ok(near), Ok(far)) = (near, TcpStream::connect(to)) else {
                continue;
            };
            let copy = |own: &TcpStream| own.try_clone().expect("there are descriptors");
            {
                let mut sockets = own.sockets.lock().expect("no thread of the relay panics");
                sockets.extend([copy(&near), copy(&far)]);
            }
            let (near_again, far_again) = (copy(&near), copy(&far));
            let (there, back) = (own.clone(), own.clone());
            thread::spawn(move || there.pass(near, far, Way::Requests));
            thread::spawn(move || back.pass(far_again, near_again, Way::Replies));
        }
    });
    (cut, address)
}

struct Case {
    first: Tarantool,
    second: Tarantool,
    server: Server,
    cut: Arc<Cut>,
    /// Has one write on its way: that of 2.
    peer: Peer,
    _directories: [Directory; 2],
}

/// The way to the one that takes changes is cut, its operator promotes the other one, and what is
/// written since goes there, although the first one takes changes still.
fn cut_off(program: &str, way: Way) -> Case {
    let directories = [Directory::new(), Directory::new()];
    let [first, second] = [0, 1].map(|at| start(program, &directories[at]));
    set_read_only(&second, true);
    let (cut, address) = relay(first.address.network().expect("it is one of the network"));
    let both = format!("a={address},b={}", second.address);
    // A busy machine is not to be taken for a cut.
    let options = ["--upstream", &both, "--silent-after", "2s"];
    let server = gateway_with(&directories[0], &options);
    let mut peer = log_in(server.connect());
    assert_eq!(peer.ask(&insert(1)).code, 0);
    cut.set(Some(way));
    peer.send(&insert(2));
    wait_for(&server, "solo");
    let told = log_in(server.connect()).ask(&insert(3));
    assert_eq!(told.error_code(), Some(116), "nobody takes changes yet");
    set_read_only(&second, false);
    wait_for(&server, "assist");
    let mut other = log_in(server.connect());
    for key in 100..200 {
        assert_eq!(other.ask(&insert(key)).code, 0);
    }
    // What was on its way is there, unless that is the way that is cut.
    let there: Vec<_> = keys_of(&first).into_iter().collect();
    match way {
        Way::Requests => assert_eq!(there, [1]),
        Way::Replies => assert_eq!(there, [1, 2]),
    }
    Case {
        first,
        second,
        server,
        cut,
        peer,
        _directories: directories,
    }
}

impl Case {
    /// Nothing was written to either that was not for it.
    fn check(&self, first: &[u64]) {
        let mut other = log_in(self.server.connect());
        for key in 200..300 {
            assert_eq!(other.ask(&insert(key)).code, 0);
        }
        assert_eq!(keys_of(&self.first).into_iter().collect::<Vec<_>>(), first);
        assert_eq!(keys_of(&self.second), (100..300).collect());
    }
}

#[test]
fn after_a_cut_one_way_a_late_request_is_answered_and_nothing_goes_to_who_was_left() {
    let Some(program) = tarantool() else { return };
    for way in [Way::Requests, Way::Replies] {
        let mut own = cut_off(&program, way);
        own.cut.set(None);
        let told = own.peer.receive();
        assert_eq!((told.sync, told.code), (2, 0), "{way:?}: it is late");
        wait_until("its scout hears it", || {
            let shown = own.server.connect().show("upstreams");
            !shown.error_mentions("silent")
        });
        own.check(&[1, 2]);
    }
}

#[test]
fn after_a_cut_one_way_that_ends_with_the_connection_nobody_knows_what_became_of_a_request() {
    let Some(program) = tarantool() else { return };
    for (way, there) in [(Way::Requests, &[1][..]), (Way::Replies, &[1, 2])] {
        let mut own = cut_off(&program, way);
        own.cut.end();
        let told = own.peer.receive();
        assert_eq!((told.sync, told.error_code()), (2, Some(115)), "{way:?}");
        assert!(told.error_mentions("unknown"), "{:?}", told.error_text());
        own.check(there);
    }
}
