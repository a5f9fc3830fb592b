//! The cases of a multiplexer that a client shows: who shares a connection, in chunks, against
//! scripted servers and peers that do what no server does. (Those of the scheduler are in
//! `vestibule-wire`, those of the server in `vestibule-actors`.)

#[path = "multiplexer/raw.rs"]
mod raw;

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use vestibule_client::testing::{Answer, GivenUp, Received, ScriptedServer};
use vestibule_client::{Client, ErrorKind, Outcome, Retry, Value};
use vestibule_wire::groups::chunk::{self, Chunk, First};
use vestibule_wire::groups::{Group, Received as Brought, Receiver};
use vestibule_wire::header::read_header;
use vestibule_wire::keys::RequestType;
use vestibule_wire::reply::{ReplyHeader, finish, write_data_head, write_event};
use vestibule_wire::request::{Body, decode};

use raw::{RawConnection, RawServer, WINDOW, reply_content};

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
async fn m05_both_directions_are_full_and_nothing_stands_still() {
    const STREAMS: u64 = 8;
    let server = scripted(echo).await;
    // Room for one of them at a time, and less than a part of it.
    let client = connect(server.url()).await;
    let streams = (0..STREAMS).map(async |sender| {
        let stream = client.stream().await.unwrap();
        for at in 0..4 {
            // 300 KB of a fast one, a third as often of a slow one.
            let size = LARGE + sender as usize;
            let sent: Message = (sender, at, Value::Bytes(vec![sender as u8; size]));
            let call = stream.call::<Value>("echo", sent.clone()).all();
            let [told]: [Message; 1] = call.await.unwrap();
            assert!(told == sent, "of stream {sender}");
            for _ in 0..sender * 10 {
                tokio::task::yield_now().await;
            }
        }
    });
    let pings = async {
        for _ in 0..20 {
            client.ping().await.unwrap();
        }
    };
    let mut all: Vec<Pin<Box<dyn Future<Output = ()>>>> = vec![Box::pin(pings)];
    for stream in streams {
        all.push(Box::pin(stream));
    }
    poll_fn(|context| {
        all.retain_mut(|own| own.as_mut().poll(context).is_pending());
        if all.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    let received = server.received();
    assert!(received.iter().filter(|own| own.is_in_chunks).count() as u64 >= STREAMS * 4);
}

#[tokio::test]
async fn m06_a_server_that_takes_nothing_of_one_stream_holds_up_no_other() {
    let (_server, client, mut connection) = pair().await;
    let streams = [
        client.stream().await.unwrap(),
        client.stream().await.unwrap(),
    ];
    let [stopped, other] = streams.each_ref().map(|stream| {
        let row = (1_u64, "x".repeat(LARGE));
        let replace = stream.space::<(u64, String)>(512).replace(&row);
        tokio::spawn(replace.into_future())
    });
    let (mut of_stopped, mut numbers) = (0, HashMap::new());
    let mut receiver = Receiver::new(WINDOW);
    // The rest of the window is for the other, whose messages are admitted.
    let sync = loop {
        let content = connection.read_frame().await.expect("it is open");
        let Some(Chunk::Data {
            number,
            first,
            piece,
        }) = Chunk::is_one(&content).then(|| Chunk::read(&content).expect("in form"))
        else {
            continue;
        };
        if let Some(first) = first {
            numbers.insert(number, first.group);
        }
        let is_stopped = numbers[&number] == *numbers.get(&1).expect("the first");
        if is_stopped {
            of_stopped += piece.len();
        }
        match receiver
            .data(number, first, piece)
            .expect("within its credit")
        {
            Brought::Complete { content, .. } => {
                assert!(!is_stopped);
                break read_header(&content).unwrap().0.sync;
            }
            _ if is_stopped => {}
            _ => {
                if let Some(credit) = receiver.admit_ahead(number, LARGE) {
                    connection
                        .socket
                        .write_all(credit.as_bytes())
                        .await
                        .unwrap();
                }
            }
        }
    };
    let mut reply = Vec::new();
    let header = ReplyHeader {
        sync,
        schema_version: 1,
    };
    let start = header.begin(&mut reply);
    write_data_head(&mut reply);
    reply.extend_from_slice(&[0x91, 0x92, 1, 0xa1, b'x']);
    finish(&mut reply, start);
    connection.socket.write_all(&reply).await.unwrap();
    other.await.unwrap().expect("it is stored");
    assert!(of_stopped <= WINDOW.window, "{of_stopped}");
    assert!(!stopped.is_finished());
    stopped.abort();
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
