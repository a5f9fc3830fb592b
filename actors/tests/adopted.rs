//! Connections and listeners that were made elsewhere.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use vestibule_actors::config::{ConnectionLimits, TimeLimits};
use vestibule_actors::limits::{CONNECTION_REQUESTS_MAX, OUTPUT_MAX, OUTPUT_MAX_LEAST};
use vestibule_actors::testing::{
    Harness, Peer, RequestBuilder, Script, TestServer, block_on, config,
};
use vestibule_actors::wire::client::{GREETING_SIZE, ReplyFrame};
use vestibule_actors::wire::keys::RequestType;
use vestibule_actors::{
    AdoptError, Connection, ConnectionBounds, ListenAddress, Listener, PeerAddress, RuntimeBuilder,
};

const NO_ARGS: &[u8] = &[0x90];
const PATIENCE: Duration = Duration::from_secs(30);

/// Has this be done where streams can be waited for, and not for ever.
fn wait_for<T: Send>(future: impl Future<Output = T> + Send) -> T {
    let done = block_on(async { tokio::time::timeout(PATIENCE, future).await });
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
    let mut frame = vec![0; 5];
    stream.read_exact(&mut frame).await.expect("there is more");
    let size = u32::from_be_bytes([frame[1], frame[2], frame[3], frame[4]]);
    frame.resize(5 + usize::try_from(size).expect("it fits"), 0);
    let rest = stream.read_exact(&mut frame[5..]).await;
    rest.expect("there is more");
    let reply = ReplyFrame::read(&frame, usize::MAX).expect("it is a frame");
    let reply = reply.expect("it is whole");
    (reply.body.len(), reply.code)
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

    // A stop closes them all. The path is nobody else's afterwards, as a port may be.
    let handle = harness.handle().clone();
    let report = harness.stop(Duration::ZERO);
    assert_eq!(report.failure, None);
    // Their threads end when it is told.
    wait_for(async {
        while handle.connection_count() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let refused = UnixStream::connect(&path).map_err(|error| error.kind());
    std::fs::remove_file(&path).expect("it is there");
    assert_eq!(refused.err(), Some(ErrorKind::ConnectionRefused));
}

/// As a service manager hands them over: before the start, and open beyond the end.
#[test]
fn listeners_that_a_runtime_starts_with_count_as_those_of_its_configuration() {
    let bound = || TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let [clients, administrators] = [bound(), bound()];
    let [address, admin_address] =
        [&clients, &administrators].map(|own| own.local_addr().expect("it is bound"));
    let held = clients.try_clone().expect("a descriptor is free");
    let path = std::env::temp_dir().join(format!("vestibule-bound-{}", std::process::id()));
    let unix = UnixListener::bind(&path).expect("the path is free");
    let script = Script::default();
    let engine = move || Ok(script.engine());
    let limits = ConnectionLimits::default().connections_max(1);
    let config = config().listen(Vec::new()).connection_limits(limits);
    let builder = RuntimeBuilder::new(config, engine, Script::procedures())
        .listener(Listener::tcp(clients).expect("it is set up"))
        .listener(Listener::unix(unix).expect("it is set up"))
        .listener(
            Listener::tcp(administrators)
                .expect("it is set up")
                .for_administrators(),
        );
    let server = TestServer::start(builder);
    let listed = server.handle().listeners();
    let listed = listed.iter().map(|own| own.address.clone());
    let expected = [
        address.into(),
        ListenAddress::Unix(path.clone()),
        admin_address.into(),
    ];
    assert_eq!(listed.collect::<Vec<_>>(), expected);
    assert_eq!(server.handle().admin_addresses(), [admin_address]);

    let mut first = Peer::connect(address);
    first.ping();
    // Administrators have a listener of their own: their slots are not for who comes elsewhere.
    let told = Peer::connect(address).receive_until_closed();
    assert_eq!(told[0].error_code(), Some(116), "{told:?}");
    Peer::connect(admin_address).ping();

    drop((first, server));
    // Who holds it has what comes meanwhile.
    let _waiting = TcpStream::connect(address).expect("it is queued");
    held.set_nonblocking(true).expect("it can be set");
    assert!(held.accept().is_ok());
    std::fs::remove_file(&path).expect("it is somebody else's");
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

/// What this one is told to use, on a server that has others as well.
fn adopt_with(harness: &Harness, bounds: ConnectionBounds) -> Result<DuplexStream, AdoptError> {
    let (client, server) = tokio::io::duplex(4096);
    let connection = Connection::over(server, PeerAddress::Local).bounds(bounds);
    harness.handle().adopt(connection).map(|()| client)
}

#[test]
fn bounds_beyond_those_of_the_runtime_are_refused_by_what_they_are() {
    let minute = Duration::from_secs(60);
    let config = config().time_limits(TimeLimits::default().idle(minute));
    let harness = Harness::start_with(config, Script::default());
    let own = ConnectionBounds::default;
    let refused = |bounds| adopt_with(&harness, bounds).err();
    for asked in [0, CONNECTION_REQUESTS_MAX + 1] {
        let told = refused(own().requests(asked));
        assert_eq!(told, Some(AdoptError::Requests { asked }));
    }
    for asked in [OUTPUT_MAX_LEAST - 1, OUTPUT_MAX + 1] {
        let told = refused(own().output_bytes(asked));
        assert_eq!(told, Some(AdoptError::OutputBytes { asked }));
    }
    for asked in [Duration::ZERO, minute * 2] {
        let told = refused(own().idle(Some(asked)));
        assert_eq!(told, Some(AdoptError::Idle { asked, max: minute }));
    }
    assert_eq!(harness.handle().connection_count(), 0);
    assert_eq!(refused(own().idle(Some(minute)).requests(1)), None);
}

#[test]
fn a_connection_has_no_more_requests_in_flight_than_it_was_adopted_with() {
    let harness = Harness::start();
    let blocking = harness.block();
    let mut client = adopt_with(&harness, ConnectionBounds::default().requests(2)).expect("a slot");
    wait_for(async {
        read_greeting(&mut client).await;
        let pipeline: Vec<u8> = (1..=5)
            .flat_map(|sync| RequestBuilder::replace(sync, sync).bytes())
            .collect();
        client.write_all(&pipeline).await.expect("it is taken");
    });
    harness.wait_until("two are forwarded", || harness.handle().in_flight() >= 3);
    // Told by its own thread, which has taken what it could by then.
    let listed = wait_for(harness.handle().connections(100));
    let own: Vec<_> = listed.iter().filter(|own| own.requests_max == 2).collect();
    assert_eq!(own.len(), 1, "{listed:?}");
    assert_eq!(own[0].in_flight, 2);
    harness.script().release();
    wait_for(async {
        for _ in 1..=5 {
            assert_eq!(receive(&mut client).await.1, 0);
        }
    });
    drop(blocking);
}

/// What waits for the bound of its own connection when the deadline comes was not taken.
#[test]
fn what_was_not_taken_at_the_deadline_of_a_stop_is_told_that_it_did_not_run_and_is_counted() {
    let mut harness = Harness::start();
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let bounds = ConnectionBounds::default().requests(2);
    let connection = Connection::over(server, PeerAddress::Local).bounds(bounds);
    harness.handle().adopt(connection).expect("there is a slot");
    wait_for(read_greeting(&mut client));
    let calls = (1..=5).flat_map(|sync| RequestBuilder::call(sync, "never", &[0x90]).bytes());
    let ping = RequestBuilder::new(RequestType::Ping, 6).bytes();
    let requests: Vec<u8> = calls.chain(ping).collect();
    wait_for(client.write_all(&requests)).expect("they are taken");
    harness.wait_until("as many are on their way as may be", || {
        harness.handle().in_flight() == 2
    });
    harness.handle().begin_drain(Some(Duration::ZERO), "test");
    let mut bytes = Vec::new();
    wait_for(client.read_to_end(&mut bytes)).expect("it is closed");
    let mut told = Vec::new();
    let mut rest = &bytes[..];
    while let Some(reply) = ReplyFrame::read(rest, usize::MAX).expect("a frame") {
        let error = reply.error().expect("nothing is executed");
        assert_eq!(error.code().0, 279);
        told.push((reply.sync, error.message() == "Server is shutting down"));
        rest = &rest[reply.size..];
    }
    told.sort_unstable();
    assert!(told.iter().map(|own| own.0).eq(1..=6), "{told:?}");
    // Of the first two that may be unknown: they had been forwarded.
    assert!(told[2..].iter().all(|(_, did_not_run)| *did_not_run));
    // A ping is no request of a record.
    assert_eq!(harness.join().killed, 5);
}

#[test]
fn a_connection_is_closed_after_the_idle_time_that_it_was_adopted_with() {
    let harness = Harness::start();
    let mut other = harness.connect();
    other.ping();
    // Told of one whose time does not come, and seen of one whose time is short.
    let long = Some(Duration::from_secs(3600));
    let bounded = |idle| ConnectionBounds::default().idle(idle);
    let patient = adopt_with(&harness, bounded(long)).expect("there is a slot");
    let mut told = wait_for(harness.handle().connections(100));
    told.sort_by_key(|own| own.connection);
    let told: Vec<_> = told.iter().map(|own| own.idle_timeout).collect();
    assert_eq!(told, [None, long]);
    let short = Some(Duration::from_millis(100));
    let mut client = adopt_with(&harness, bounded(short)).expect("there is a slot");
    let mut rest = Vec::new();
    wait_for(client.read_to_end(&mut rest)).expect("it is closed");
    assert_eq!(rest.len(), GREETING_SIZE);
    other.ping();
    harness.wait_until("the end of one", || {
        harness.handle().connection_count() == 2
    });
    drop(patient);
}

#[test]
fn a_connection_is_closed_that_leaves_more_output_than_it_was_adopted_with() {
    let size = OUTPUT_MAX_LEAST + (1 << 20);
    let procedures =
        Script::procedures().function("large", |(size,): (usize,)| Ok("x".repeat(size)));
    let script = Script::default();
    let server = TestServer::of(move || Ok(script.engine()), procedures);
    let adopt = |bounds| {
        let (client, stream) = tokio::io::duplex(4096);
        let connection = Connection::over(stream, PeerAddress::Local).bounds(bounds);
        server.handle().adopt(connection).expect("there is a slot");
        client
    };
    let mut args = vec![0x91, 0xce];
    args.extend_from_slice(&u32::try_from(size).expect("it fits").to_be_bytes());
    let call = RequestBuilder::call(1, "large", &args).bytes();
    let bounded = ConnectionBounds::default().output_bytes(OUTPUT_MAX_LEAST);
    let mut clients = [adopt(bounded), adopt(ConnectionBounds::default())];
    for client in &mut clients {
        wait_for(async {
            read_greeting(client).await;
            client.write_all(&call).await.expect("it is taken");
        });
    }
    server.wait_until("the end of one", || server.handle().connection_count() == 1);
    // The other one has all of it when it reads.
    let [_, mut other] = clients;
    let (length, code) = wait_for(receive(&mut other));
    assert_eq!(code, 0);
    assert!(length > size, "{length}");
}
