//! A process with 64 descriptors and a crowd of silent clients: whatever they do, administrators
//! get in and the engine can open its files.

mod support;

use std::net::{SocketAddr, TcpStream};

use support::{Directory, Server, block, make_space, wait_until};
use vestibule_actors::testing::{Peer, RequestBuilder};

const LIMIT: u32 = 64;
/// More than it has descriptors.
const CROWD: usize = 100;
const NO_ARGS: &[u8] = &[0x90];

/// Connections that say nothing and read nothing; those without a slot are closed by the server.
fn gather_crowd(address: SocketAddr) -> Vec<TcpStream> {
    (0..CROWD)
        .map(|_| TcpStream::connect(address).expect("the server listens"))
        .collect()
}

/// A server whose slots for clients are all taken by silent ones.
fn start_crowded(directory: &Directory, crowd: &mut Vec<TcpStream>) -> Server {
    let arguments = ["--session-threads", "1", "--admin-listen", "127.0.0.1:0"];
    let server = Server::start_limited(LIMIT, directory.path(), &arguments);
    crowd.extend(gather_crowd(server.address()));
    wait_until("all of the crowd is accepted", || is_full(&server));
    server
}

fn is_full(server: &Server) -> bool {
    server.connect().receive_until_closed().len() == 1
}

#[test]
fn a_crowd_of_silent_clients_keeps_neither_administrators_nor_the_engine_out() {
    let directory = Directory::new();
    let mut crowd = Vec::new();
    let server = start_crowded(&directory, &mut crowd);
    let mut operator = Peer::connect(server.admin_address());
    make_space(&mut operator);
    assert_eq!(operator.ask(&RequestBuilder::replace(1, 1)).code, 0);
    assert!(
        server.descriptors() <= LIMIT as usize - 14,
        "the engine's are free"
    );

    // Tx stands still, and the crowd goes on knocking.
    let mut blocker = Peer::connect(server.admin_address());
    block(&mut blocker, 2, "busy");
    wait_until("Tx is blocked", || {
        operator
            .call("vestibule.state", NO_ARGS)
            .error_mentions("solo")
    });
    let more = gather_crowd(server.address());
    let told = server.connect().receive_until_closed();
    assert_eq!(told[0].error_code(), Some(116));
    Peer::connect(server.admin_address()).ping();
    // The engine's next work: all its data to a new file, and a new journal.
    operator.send(&RequestBuilder::call(9, "box.snapshot", NO_ARGS));
    loop {
        let reply = operator.receive();
        if reply.code == 0 {
            break;
        }
        // Refused while Tx is busy.
        assert_eq!(reply.error_code(), Some(116), "{reply:?}");
        operator.send(&RequestBuilder::call(9, "box.snapshot", NO_ARGS));
    }
    assert_eq!(blocker.receive().code, 0);

    // A new engine opens every file there is, on a new thread, beside the old one.
    for _ in 0..2 {
        let mut victim = Peer::connect(server.admin_address());
        let lost = victim.call("vestibule.debug.panic", NO_ARGS);
        assert!(lost.error_code().is_some());
        wait_until("the engine has recovered", || {
            operator
                .call("vestibule.state", NO_ARGS)
                .error_mentions("assist")
        });
    }
    let read = operator.ask(&RequestBuilder::select(2, 1));
    assert_eq!(read.data::<Vec<(u64, u64)>>(), [(1, 1)]);
    assert_eq!(operator.ask(&RequestBuilder::replace(3, 2)).code, 0);

    // Slots that are given back are there for the next.
    drop((crowd, more));
    wait_until("no client is left", || {
        let shown = operator.show("descriptors");
        shown.error_mentions("taken\0")
    });
    server.connect().ping();
}

#[test]
fn with_too_few_descriptors_it_says_how_many_it_needs() {
    let directory = Directory::new();
    let mut command = support::limited_command(20, directory.path());
    let ended = command.output().expect("sh can be run");
    assert_eq!(ended.status.code(), Some(1));
    let text = String::from_utf8_lossy(&ended.stderr);
    assert!(text.contains("descriptors are too few: at least"), "{text}");
}
