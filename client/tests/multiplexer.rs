//! The cases of a multiplexer that a client shows: who shares a connection, in chunks, against
//! scripted servers and peers that do what no server does. (Those of the scheduler are in
//! `vestibule-wire`, those of the server in `vestibule-actors`.)

use std::collections::HashMap;
use std::future::poll_fn;
use std::ops::RangeTo;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use vestibule_client::testing::{Answer, GivenUp, Received, ScriptedServer};
use vestibule_client::{Client, ErrorKind, Outcome, Retry, Value};
use vestibule_wire::Uuid;
use vestibule_wire::features::Features;
use vestibule_wire::greeting;
use vestibule_wire::groups::chunk::{self, Chunk, First};
use vestibule_wire::groups::{Agreement, Group};
use vestibule_wire::header::read_header;
use vestibule_wire::keys::RequestType;
use vestibule_wire::reply::{ReplyHeader, finish, write_data_head, write_event};
use vestibule_wire::request::{Body, decode};

const PATIENCE: Duration = Duration::from_secs(60);

/// What a stream sends: from whom, which of its messages, and bytes.
type Message = (u64, u64, Value);

/// Sizes of messages, small ones and such as go in chunks.
const SIZES: [usize; 5] = [100, 50_000, 3000, 17_000, 10];

fn message(sender: u64, at: u64) -> Message {
    let size = SIZES[at as usize % SIZES.len()];
    let bytes = (0..size as u64).map(|byte| (byte * 7 + at * 31 + sender) as u8);
    (sender, at, Value::Bytes(bytes.collect()))
}

fn echo(request: &Received) -> Answer {
    match request.arguments::<Message>() {
        Some(message) => Answer::value(message),
        None => Answer::Usual,
    }
}

async fn scripted(script: impl FnMut(&Received) -> Answer + Send + 'static) -> ScriptedServer {
    ScriptedServer::start(script)
        .await
        .expect("a loopback port")
}

async fn connect(url: String) -> Client {
    let builder = Client::builder(url).request_timeout(Some(PATIENCE));
    // Less than some messages, so that there is waiting for room.
    let builder = builder.queued_bytes_max(40_000).retry(Retry::never());
    let backoff = builder.backoff(Duration::from_millis(1), Duration::from_millis(10));
    backoff.connect().await.expect("it listens")
}

/// Polls a future once: its request has its place among those of its stream.
async fn begin<F: Future + Unpin>(mut future: F) -> F {
    poll_fn(|context| {
        let polled = Pin::new(&mut future).poll(context);
        assert!(polled.is_pending(), "nothing is answered yet");
        Poll::Ready(())
    })
    .await;
    future
}

#[tokio::test]
async fn m01_a_stream_keeps_the_order_of_each_of_six_senders() {
    let server = scripted(echo).await;
    let client = connect(server.url()).await;
    let stream = client.stream().await.unwrap();
    let senders: Vec<_> = (0..6)
        .map(|sender| {
            let stream = stream.clone();
            tokio::spawn(async move {
                let mut calls = Vec::new();
                for at in 0..50 {
                    let call = stream.call::<Value>("echo", message(sender, at)).all();
                    calls.push(begin(call.into_future()).await);
                    // A task that does much at once is kept from it.
                    tokio::task::yield_now().await;
                }
                for (at, call) in (0..).zip(calls) {
                    let [told]: [Message; 1] = call.await.unwrap();
                    assert_eq!(told, message(sender, at));
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    let received = server.received();
    let mut next = HashMap::<u64, u64>::new();
    for request in &received {
        let (sender, at, _) = request.arguments::<Message>().expect("as it was sent");
        let expected = next.entry(sender).or_default();
        assert_eq!(at, *expected, "of sender {sender}");
        *expected += 1;
    }
    assert_eq!(received.len(), 300);
    assert!(received.iter().any(|request| request.is_in_chunks));
}

#[tokio::test]
async fn m02_nothing_of_20_streams_is_lost_or_doubled() {
    let server = scripted(echo).await;
    let client = connect(server.url()).await;
    let mut senders = Vec::new();
    for sender in 0..20 {
        let stream = client.stream().await.unwrap();
        senders.push(tokio::spawn(async move {
            let mut calls = Vec::new();
            for at in 0..200 {
                let call = stream.call::<Value>("echo", message(sender, at)).all();
                calls.push(begin(call.into_future()).await);
                if calls.len() == 5 {
                    for (at, call) in (at - 4..).zip(calls.drain(..)) {
                        let [told]: [Message; 1] = call.await.unwrap();
                        assert_eq!(told, message(sender, at));
                    }
                }
            }
        }));
    }
    for sender in senders {
        sender.await.unwrap();
    }
    let mut seen = HashMap::<u64, Vec<u64>>::new();
    for request in server.received() {
        let (sender, at, _) = request.arguments::<Message>().expect("as it was sent");
        seen.entry(sender).or_default().push(at);
    }
    assert_eq!(seen.len(), 20);
    let all: Vec<u64> = (0..200).collect();
    assert!(seen.values().all(|own| *own == all), "once each, in order");
}

/// A peer that is told what to do, greeted.
struct RawServer {
    listener: TcpListener,
}

struct RawConnection {
    socket: TcpStream,
    /// What the client holds, and the sync of its ID.
    asked: Option<Agreement>,
    id_sync: u64,
}

impl RawServer {
    async fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = listener.local_addr().unwrap().to_string();
        (Self { listener }, url)
    }

    /// Accepts and hears what the client asks for, without an answer to it.
    async fn accept(&self) -> RawConnection {
        let (mut socket, _) = self.listener.accept().await.unwrap();
        let greeting = greeting::encode(&Uuid::NIL, &[7; greeting::SALT_SIZE]);
        socket.write_all(&greeting).await.unwrap();
        let mut own = RawConnection {
            socket,
            asked: None,
            id_sync: 0,
        };
        let content = own.read_frame().await.unwrap();
        let (header, body) = read_header(&content).unwrap();
        let Ok(Body::Id(id)) = decode(RequestType::Id, body) else {
            panic!("the client begins with ID");
        };
        (own.asked, own.id_sync) = (id.chunks, header.sync);
        own
    }
}

impl RawConnection {
    /// Answers ID, with a window for chunks or none.
    async fn agree(&mut self, agreed: Option<Agreement>) {
        let reply = ReplyHeader {
            sync: self.id_sync,
            schema_version: 1,
        };
        let mut bytes = Vec::new();
        reply.write_id(&mut bytes, Features::SUPPORTED, agreed);
        self.socket.write_all(&bytes).await.unwrap();
    }

    /// The content of the next frame; `None` at the end of the connection.
    async fn read_frame(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 5];
        self.socket.read_exact(&mut length).await.ok()?;
        let [_, size @ ..] = length;
        let mut content = vec![0; u32::from_be_bytes(size) as usize];
        self.socket.read_exact(&mut content).await.unwrap();
        Some(content)
    }

    /// The sync and the body of the next request of this type that comes whole; what comes before
    /// it is skipped.
    async fn next_of(&mut self, request_type: RequestType) -> (u64, Vec<u8>) {
        loop {
            let content = self.read_frame().await.expect("it is open");
            if Chunk::is_one(&content) {
                continue;
            }
            let (header, body) = read_header(&content).unwrap();
            if header.request_type == request_type as u64 {
                return (header.sync, body.to_vec());
            }
        }
    }

    /// Sends the first piece of a message.
    async fn send_piece(&mut self, number: u32, content: &[u8], part: RangeTo<usize>) {
        let first = First {
            group: Group::Call,
            total: content.len() as u32,
        };
        let piece = &content[part];
        let head = chunk::data(number, Some(first), piece.len() as u32);
        let bytes = [head.as_bytes(), piece].concat();
        self.socket.write_all(&bytes).await.unwrap();
    }

    /// Whether the client has sent anything that was not read.
    fn has_more(&self) -> bool {
        self.socket.try_read(&mut [0]).is_ok_and(|count| count > 0)
    }
}

const WINDOW: Agreement = Agreement {
    window: 64 << 10,
    messages_max: 4,
};

/// Ends when everything that can happen in this process without a socket has happened.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn m10_a_client_sends_nothing_before_the_answer_to_id_and_chunks_only_if_it_says_so() {
    for agreed in [None, Some(WINDOW)] {
        let (server, url) = RawServer::start().await;
        let client = Client::builder(url).open().unwrap();
        let row = (1, "x".repeat(100_000));
        let replace = client.space::<(u64, String)>(512).replace(&row);
        let replace = tokio::spawn(replace.into_future());
        let mut connection = server.accept().await;
        assert_eq!(connection.asked.map(|own| own.messages_max > 0), Some(true));
        settle().await;
        assert!(!connection.has_more(), "the answer comes first");
        connection.agree(agreed).await;
        let in_chunks = loop {
            let content = connection.read_frame().await.expect("it is open");
            let is_chunk = Chunk::is_one(&content);
            if is_chunk || content.len() > 100_000 {
                break is_chunk;
            }
        };
        assert_eq!(in_chunks, agreed.is_some());
        replace.abort();
    }
}

/// A client and the server's end of its connection, which has agreed to chunks.
async fn pair() -> (RawServer, Client, RawConnection) {
    let (server, url) = RawServer::start().await;
    let client = Client::builder(url)
        .request_timeout(Some(PATIENCE))
        .retry(Retry::never())
        .backoff(Duration::from_millis(1), Duration::from_millis(10))
        .open()
        .unwrap();
    let mut connection = server.accept().await;
    connection.agree(Some(WINDOW)).await;
    client.server().await.expect("it has agreed");
    (server, client, connection)
}

/// A reply with a value of this number of bytes, without its length.
fn reply_content(sync: u64, size: usize) -> Vec<u8> {
    let reply = ReplyHeader {
        sync,
        schema_version: 1,
    };
    let mut bytes = Vec::new();
    let start = reply.begin(&mut bytes);
    write_data_head(&mut bytes);
    bytes.extend_from_slice(&[0x91, 0xc6]);
    bytes.extend_from_slice(&(size as u32).to_be_bytes());
    bytes.resize(bytes.len() + size, 9);
    finish(&mut bytes, start);
    bytes.split_off(5)
}

#[tokio::test]
async fn m11_after_a_reconnect_nothing_of_the_old_connection_is_left() {
    let (server, client, mut old) = pair().await;
    let mut watcher = client.watch::<u64>("k").await.unwrap();
    let call = tokio::spawn(client.call::<Value>("f", ()).into_future());
    // The reply has begun when the connection ends.
    let (sync, _) = old.next_of(RequestType::Call).await;
    old.send_piece(1, &reply_content(sync, 40_000), ..20_000)
        .await;
    drop(old);
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    // The next server takes no chunks: what the old one has agreed to is forgotten.
    let mut new = server.accept().await;
    settle().await;
    assert!(!new.has_more(), "what is watched is asked for behind ID");
    new.agree(None).await;
    let mut asked = Vec::new();
    while asked.len() < 2 {
        let (sync, body) = new.next_of(RequestType::Watch).await;
        let Ok(Body::Watch(key)) = decode(RequestType::Watch, &body) else {
            panic!("it is WATCH");
        };
        asked.push((key.to_owned(), sync));
    }
    asked.sort();
    assert_eq!((&*asked[0].0, &*asked[1].0), ("box.shutdown", "k"));
    let mut event = Vec::new();
    write_event(&mut event, asked[1].1, "k", Some(&[5]));
    new.socket.write_all(&event).await.unwrap();
    assert_eq!(watcher.next().await.unwrap(), Some(5));
    let replace = tokio::spawn(large(&client).into_future());
    while new.read_frame().await.expect("it is open").len() < LARGE {}
    replace.abort();
}

const LARGE: usize = 300_000;

fn large(client: &Client) -> vestibule_client::Request<(u64, String)> {
    client.space(512).replace(&(1_u64, "x".repeat(LARGE)))
}

#[tokio::test]
async fn m12_of_a_connection_that_ends_in_a_message_each_request_knows_whether_it_was_sent() {
    let (_server, client, mut connection) = pair().await;
    let whole = tokio::spawn(client.call::<Value>("f", (1,)).into_future());
    connection.next_of(RequestType::Call).await;
    // As much of it is sent as there is window for.
    let begun = tokio::spawn(large(&client).into_future());
    let mut sent = 0;
    while sent < WINDOW.window {
        let content = connection.read_frame().await.expect("it is open");
        if let Some(Chunk::Data { piece, .. }) =
            Chunk::is_one(&content).then(|| Chunk::read(&content).expect("in form"))
        {
            sent += piece.len();
        }
    }
    let behind = tokio::spawn(large(&client).into_future());
    settle().await;
    drop(connection);
    let outcome = |result: Result<(), vestibule_client::Error>| {
        let error = result.expect_err("the connection has ended");
        assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
        error.outcome()
    };
    assert_eq!(outcome(whole.await.unwrap().map(drop)), Outcome::Unknown);
    assert_eq!(outcome(begun.await.unwrap().map(drop)), Outcome::NotSent);
    assert_eq!(outcome(behind.await.unwrap().map(drop)), Outcome::NotSent);
}

#[tokio::test]
async fn m13_a_length_that_no_reply_has_is_refused_before_there_is_memory_for_it() {
    let (server, client, mut connection) = pair().await;
    let call = tokio::spawn(client.call::<Value>("f", ()).into_future());
    let (sync, _) = connection.next_of(RequestType::Call).await;
    let content = reply_content(sync, 100);
    let first = First {
        group: Group::Call,
        total: u32::MAX,
    };
    let head = chunk::data(1, Some(first), 50);
    let bytes = [head.as_bytes(), &content[..50]].concat();
    connection.socket.write_all(&bytes).await.unwrap();
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    // It is refused alone, and the rest of it is not taken.
    let stop = loop {
        let content = connection.read_frame().await.expect("it is open");
        if Chunk::is_one(&content) {
            break content;
        }
    };
    assert!(matches!(
        Chunk::read(&stop),
        Ok(Chunk::Stop { number: 1, .. })
    ));
    // A frame of such a length ends the connection at once, and the client comes back.
    connection
        .socket
        .write_all(&[0xce, 0xff, 0xff, 0xff, 0xff])
        .await
        .unwrap();
    server.accept().await;
}

#[tokio::test]
async fn m15_a_request_that_is_dropped_while_it_waits_for_room_is_not_sent_and_holds_nobody() {
    let (server, url) = RawServer::start().await;
    let client = Client::builder(url)
        .queued_bytes_max(LARGE + 1000)
        .request_timeout(Some(PATIENCE))
        .open()
        .unwrap();
    let mut connection = server.accept().await;
    connection.agree(Some(WINDOW)).await;
    client.server().await.expect("it has agreed");
    // The first has the room, without credit; two wait for it, and the small one needs none.
    let first = begin(large(&client).into_future()).await;
    let mut dropped = begin(large(&client).into_future()).await;
    let last = tokio::spawn(large(&client).into_future());
    let ping = tokio::spawn(client.ping().into_future());
    connection.next_of(RequestType::Ping).await;
    poll_fn(|context| {
        assert!(Pin::new(&mut dropped).poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
    assert_eq!(client.in_flight(), 2, "the first and the ping");
    drop(dropped);
    drop(first);
    // The window of the first is free with its reset, and the last is the next that begins.
    let mut reset = None;
    let begun = loop {
        let content = connection.read_frame().await.expect("it is open");
        if !Chunk::is_one(&content) {
            continue;
        }
        match Chunk::read(&content).expect("in form") {
            Chunk::Data {
                number,
                first: Some(_),
                ..
            } => break number,
            Chunk::Reset { number, .. } => reset = Some(number),
            _ => {}
        }
    };
    assert_eq!((reset, begun), (Some(1), 2));
    assert_eq!(client.in_flight(), 2, "the last and the ping");
    ping.abort();
    last.abort();
}

#[tokio::test]
async fn a_server_is_told_of_replies_that_nobody_waits_for_any_more() {
    let server = scripted(|_| Answer::value(Value::Bytes(vec![1; 8 << 20]))).await;
    let client = Client::connect(server.url()).await.unwrap();
    let call = begin(client.call::<Value>("f", ()).into_future()).await;
    server.wait_for(1).await;
    drop(call);
    let mut pings = 0;
    while server.given_up() == GivenUp::default() {
        client.ping().await.unwrap();
        pings += 1;
        assert!(pings < 100_000, "the server is told");
    }
    let told = server.given_up();
    assert_eq!((told.requests, told.replies), (0, 1));
    assert_eq!(client.in_flight(), 0);
}

#[tokio::test]
async fn m08_a_request_larger_than_the_queue_is_sent_when_no_other_waits() {
    let server = scripted(|request| match request.tuple::<Value>() {
        Some(tuple) => Answer::value(tuple),
        None => Answer::Usual,
    })
    .await;
    for chunks in [true, false] {
        let builder = Client::builder(server.url()).chunks(chunks);
        let builder = builder.request_timeout(Some(PATIENCE));
        let client = builder.queued_bytes_max(1000).connect().await.unwrap();
        let requests: Vec<_> = (0..4)
            .map(|_| tokio::spawn(large(&client).into_future()))
            .collect();
        for request in requests {
            assert_eq!(request.await.unwrap().unwrap().1.len(), LARGE);
        }
    }
    assert_eq!(server.received().len(), 8);
}
