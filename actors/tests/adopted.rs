//! Connections and listeners that were made elsewhere.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use vestibule_actors::config::ConnectionLimits;
use vestibule_actors::testing::{Harness, Peer, RequestBuilder, Script, config};
use vestibule_actors::wire::client::{GREETING_SIZE, ReplyFrame};
use vestibule_actors::{AdoptError, Connection, Listener, PeerAddress};

const NO_ARGS: &[u8] = &[0x90];
const PATIENCE: Duration = Duration::from_secs(30);

/// Has this be done where streams can be waited for, and not for ever.
fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime can be made");
    let done = runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await });
    done.expect("it is answered in time")
}

/// A client of this server that is no socket: smaller than the greeting, and than every reply.
fn adopt_pipe(harness: &Harness) -> DuplexStream {
    let (client, server) = tokio::io::duplex(7);
    let connection = Connection::over(server, PeerAddress::Local);
    harness.handle().adopt(connection).expect("there is a slot");
    client
}

async fn read_greeting(stream: &mut (impl AsyncRead + Unpin)) -> [u8; GREETING_SIZE] {
    let mut greeting = [0; GREETING_SIZE];
    let read = stream.read_exact(&mut greeting).await;
    read.expect("it is greeted");
    greeting
}

/// The size and the code of the next reply.
async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> (usize, u32) {
    let mut bytes = Vec::new();
    loop {
        if let Some(reply) = ReplyFrame::read(&bytes, usize::MAX).expect("it is a frame") {
            return (reply.body.len(), reply.code);
        }
        bytes.push(stream.read_u8().await.expect("there is more"));
    }
}

async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &RequestBuilder,
) -> (usize, u32) {
    let sent = stream.write_all(&request.bytes()).await;
    sent.expect("it is taken");
    receive(stream).await
}

#[test]
fn a_stream_that_is_no_socket_is_served_however_little_it_takes_at_a_time() {
    let harness = Harness::start();
    let mut client = adopt_pipe(&harness);
    wait_for(async {
        let greeting = read_greeting(&mut client).await;
        assert!(greeting.starts_with(b"Tarantool "));
        for key in 0..20 {
            assert_eq!(
                ask(&mut client, &RequestBuilder::replace(1, key)).await.1,
                0
            );
        }
        let (size, code) = ask(&mut client, &RequestBuilder::call(2, "box.info", NO_ARGS)).await;
        assert_eq!(code, 0);
        assert!(size > 100, "{size}");
        let peer = RequestBuilder::call(3, "box.session.peer", NO_ARGS);
        assert_eq!(ask(&mut client, &peer).await.1, 0);
    });
    assert_eq!(harness.handle().connection_count(), 1);
    drop(client);
    harness.wait_until("the end of the connection", || {
        harness.handle().connection_count() == 0
    });
}

#[test]
fn what_is_closed_after_its_last_reply_is_sent_to_the_end() {
    let harness = Harness::start();
    let mut client = adopt_pipe(&harness);
    wait_for(async {
        read_greeting(&mut client).await;
        // No frame can begin like this: it is told, and the connection ends.
        client.write_all(&[0xc1; 8]).await.expect("it is taken");
        let (_, code) = receive(&mut client).await;
        assert_eq!(code & 0x8000, 0x8000);
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.expect("it is closed");
        assert_eq!(rest, b"");
    });
}

#[test]
fn listeners_that_are_bound_already_are_listened_on() {
    let harness = Harness::start();
    let bound = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = bound.local_addr().expect("it is bound");
    let listener = Listener::tcp(bound).expect("it is set up");
    harness.handle().listen(listener).expect("it listens");
    let mut peer = Peer::connect(address);
    peer.ping();

    let path = std::env::temp_dir().join(format!("vestibule-unix-{}", std::process::id()));
    let bound = UnixListener::bind(&path).expect("the path is free");
    let listener = Listener::unix(bound).expect("it is set up");
    harness.handle().listen(listener).expect("it listens");
    let mut client = UnixStream::connect(&path).expect("it listens");
    std::fs::remove_file(&path).expect("it is there");
    let patient = client.set_read_timeout(Some(PATIENCE));
    patient.expect("a timeout can be set");
    let mut greeting = [0; GREETING_SIZE];
    client.read_exact(&mut greeting).expect("it is greeted");
    // Administrators are on this machine, and so is a unix socket.
    let state = RequestBuilder::call(1, "vestibule.state", NO_ARGS).bytes();
    client.write_all(&state).expect("it is taken");
    let mut bytes = Vec::new();
    while ReplyFrame::read(&bytes, usize::MAX)
        .expect("a frame")
        .is_none()
    {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("there is more");
        bytes.extend(byte);
    }
    let reply = ReplyFrame::read(&bytes, usize::MAX).expect("a frame");
    assert_eq!(reply.map(|reply| reply.code), Some(0));
    drop(client);

    // A stop closes them all.
    let handle = harness.handle().clone();
    let report = harness.stop(Duration::ZERO);
    assert_eq!(report.failure, None);
    assert!(std::net::TcpStream::connect(address).is_err());
    assert_eq!(handle.connection_count(), 0);
}

#[test]
fn without_a_slot_it_is_told_so_and_so_is_who_adopts() {
    let config = config().connection_limits(ConnectionLimits::default().connections_max(1));
    let harness = Harness::start_with(config, Script::default());
    let first = harness.connect();
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 3301));
    let (mut client, server) = tokio::io::duplex(1024);
    let refused = harness.handle().adopt(Connection::over(server, elsewhere));
    assert_eq!(refused, Err(AdoptError::TooManyConnections));
    wait_for(async {
        read_greeting(&mut client).await;
        assert_eq!(receive(&mut client).await.1, 0x8000 | 116);
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.expect("it is closed");
    });
    drop(first);
}
