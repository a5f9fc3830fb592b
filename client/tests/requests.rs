//! Requests against a scripted server: replies, errors and their outcomes, time limits, bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use vestibule_client::testing::{Answer, ScriptedServer};
use vestibule_client::{
    Client, ClientBuilder, Error, ErrorCode, ErrorKind, Field, KeyRange, Outcome, Retry,
    ServerError,
};

async fn server(
    script: impl FnMut(&vestibule_client::testing::Received) -> Answer + Send + 'static,
) -> ScriptedServer {
    ScriptedServer::start(script)
        .await
        .expect("a loopback port")
}

fn builder(server: &ScriptedServer) -> ClientBuilder {
    Client::builder(server.url()).backoff(Duration::from_millis(1), Duration::from_millis(10))
}

async fn connect(server: &ScriptedServer) -> Client {
    builder(server).connect().await.expect("it listens")
}

fn busy(retry_after: f64) -> ServerError {
    ServerError::new(ErrorCode::LOADING, "Tx is busy")
        .with_field("state", Field::Str("solo".into()))
        .with_field("epoch", Field::Uint(1))
        .with_field("retry_after", Field::Float(retry_after))
}

fn of(error: Error) -> (ErrorKind, Outcome) {
    (error.kind(), error.outcome())
}

#[tokio::test]
async fn results_are_the_first_value_or_all_of_them() {
    let server = server(|_| Answer::values((7, "x"))).await;
    let client = connect(&server).await;
    assert_eq!(client.call::<u8>("f", ()).await.unwrap(), 7);
    let all: (u8, String) = client.call::<u8>("f", ()).all().await.unwrap();
    assert_eq!(all, (7, "x".to_owned()));
}

#[tokio::test]
async fn a_procedure_without_result_returns_nil() {
    let server = server(|_| Answer::values(())).await;
    let client = connect(&server).await;
    client.call::<()>("f", ()).await.unwrap();
    assert_eq!(client.call::<Option<u8>>("f", ()).await.unwrap(), None);
}

#[tokio::test]
async fn an_error_says_whether_it_ran() {
    let server = server(|request| match request.procedure() {
        Some("busy") => Answer::Error(busy(60.0)),
        Some("fails") => Answer::error(ErrorCode::PROC, "it failed"),
        Some("begun") => {
            let cut_off = busy(1.0).with_field("outcome", Field::Str("unknown".into()));
            Answer::Error(cut_off)
        }
        Some("text") => Answer::value("text"),
        Some(_) => Answer::Usual,
        None => Answer::error(ErrorCode::TUPLE_FOUND, "there"),
    })
    .await;
    let client = connect(&server).await;
    let of_call = async |name: &str| of(client.call::<u64>(name, ()).await.unwrap_err());
    assert_eq!(of_call("busy").await, (ErrorKind::Server, Outcome::Refused));
    assert_eq!(
        of_call("fails").await,
        (ErrorKind::Server, Outcome::Unknown)
    );
    assert_eq!(
        of_call("begun").await,
        (ErrorKind::Server, Outcome::Unknown)
    );
    assert_eq!(
        of_call("absent").await,
        (ErrorKind::Server, Outcome::Refused)
    );
    assert_eq!(of_call("text").await, (ErrorKind::Decode, Outcome::Unknown));
    let space = client.space::<(u64,)>("s");
    let error = space.insert(&(1,)).await.unwrap_err();
    assert!(error.is_duplicate());
    assert_eq!(of(error), (ErrorKind::Server, Outcome::Refused));
}

#[tokio::test]
async fn a_busy_server_is_asked_again_and_nothing_runs_twice() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let server = server(move |_| match counted.fetch_add(1, Ordering::Relaxed) {
        0..2 => Answer::Error(busy(0.001)),
        _ => Answer::value(5),
    })
    .await;
    let client = connect(&server).await;
    assert_eq!(client.call::<u8>("f", ()).await.unwrap(), 5);
    assert_eq!(calls.load(Ordering::Relaxed), 3);
    calls.store(0, Ordering::Relaxed);
    let refused = client.call::<u8>("f", ()).retry(Retry::never()).await;
    assert!(refused.unwrap_err().is_busy());
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_lost_connection_leaves_what_was_sent_unknown_and_is_made_again() {
    let server = server(|request| match request.procedure() {
        Some("close") => Answer::Close,
        _ => Answer::value(1),
    })
    .await;
    let client = connect(&server).await;
    let error = client.call::<u8>("close", ()).await.unwrap_err();
    assert_eq!(of(error), (ErrorKind::Connection, Outcome::Unknown));
    assert_eq!(client.call::<u8>("f", ()).await.unwrap(), 1);
    assert_eq!(server.received().last().unwrap().connection, 1);
    assert_eq!(
        server.received().len(),
        2,
        "what may have run was not sent again"
    );
}

#[tokio::test]
async fn a_request_without_a_connection_is_not_sent() {
    let server = server(|_| Answer::Usual).await;
    let client = builder(&server).fail_fast(true).connect().await.unwrap();
    let url = server.url();
    drop(server);
    let error = loop {
        // Until the client has noticed.
        match client.ping().await {
            Ok(()) => tokio::task::yield_now().await,
            Err(error) if error.outcome() == Outcome::Unknown => {}
            Err(error) => break error,
        }
    };
    assert_eq!(of(error), (ErrorKind::Connection, Outcome::NotSent));
    let waiting = Client::builder(url).open().unwrap();
    let error = waiting
        .ping()
        .timeout(Duration::from_millis(20))
        .await
        .unwrap_err();
    assert_eq!(of(error), (ErrorKind::Timeout, Outcome::NotSent));
}

#[tokio::test]
async fn a_request_without_time_is_not_sent() {
    let server = server(|_| Answer::Usual).await;
    let client = connect(&server).await;
    let error = client.ping().timeout(Duration::ZERO).await.unwrap_err();
    assert_eq!(of(error), (ErrorKind::Timeout, Outcome::NotSent));
    client.ping().await.unwrap();
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn time_that_runs_out_while_waiting_for_a_reply_leaves_the_outcome_unknown() {
    let server = server(|_| Answer::Silence).await;
    let client = connect(&server).await;
    let request = client
        .call::<u8>("f", ())
        .timeout(Duration::from_millis(20));
    let error = request.await.unwrap_err();
    assert_eq!(of(error), (ErrorKind::Timeout, Outcome::Unknown));
    assert_eq!(client.in_flight(), 0, "its slot is free");
}

#[tokio::test]
async fn time_that_runs_out_between_refusals_leaves_it_refused() {
    // The first wait is longer than the time that there is.
    let server = server(|_| Answer::Error(busy(60.0))).await;
    let client = builder(&server)
        .retry(Retry::within(Duration::from_secs(600)))
        .connect();
    let client = client.await.unwrap();
    let error = client
        .call::<u8>("f", ())
        .timeout(Duration::from_millis(500))
        .await
        .unwrap_err();
    assert!(error.is_timeout() && error.is_busy());
    assert_eq!(error.outcome(), Outcome::Refused);
}

#[tokio::test]
async fn a_request_that_is_dropped_frees_its_slot_and_its_reply_is_ignored() {
    let server = server(|request| match request.procedure() {
        Some("late") => Answer::Later(Duration::from_millis(30), Box::new(Answer::value(1))),
        _ => Answer::value(2),
    })
    .await;
    let client = builder(&server).in_flight_max(1).connect().await.unwrap();
    let late = client.call::<u8>("late", ());
    let late = tokio::time::timeout(Duration::from_millis(5), late.into_future()).await;
    assert!(late.is_err());
    server.wait_for(1).await;
    for _ in 0..50 {
        assert_eq!(client.call::<u8>("f", ()).await.unwrap(), 2);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn requests_beyond_the_bound_wait_and_are_not_sent_if_their_time_runs_out() {
    let server = server(|_| Answer::Silence).await;
    let client = builder(&server).in_flight_max(2).connect().await.unwrap();
    let pings: Vec<_> = (0..2)
        .map(|_| tokio::spawn(client.ping().into_future()))
        .collect();
    server.wait_for(2).await;
    let error = client
        .ping()
        .timeout(Duration::from_millis(20))
        .await
        .unwrap_err();
    assert_eq!(of(error), (ErrorKind::Timeout, Outcome::NotSent));
    assert_eq!(server.received().len(), 2);
    drop(client);
    for ping in pings {
        ping.abort();
    }
}

#[tokio::test]
async fn a_server_that_reads_nothing_leaves_the_queue_bounded_and_the_rest_not_sent() {
    // Accepts by the backlog alone, after one greeting: nothing is ever read.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = listener.local_addr().unwrap().to_string();
    let stopped = Arc::new(Notify::new());
    let stop = Arc::clone(&stopped);
    let peer = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        greet_as_old_server(&mut socket).await;
        stop.notified().await;
    });
    let client = Client::builder(url)
        .queued_bytes_max(1 << 20)
        .request_timeout(Some(Duration::from_millis(300)))
        .ping(None, Duration::ZERO)
        .connect()
        .await
        .unwrap();
    let tuple = (1, "x".repeat(1 << 20));
    let inserts: Vec<_> = (0..40)
        .map(|_| {
            tokio::spawn(
                client
                    .space::<(u64, String)>(512)
                    .insert(&tuple)
                    .into_future(),
            )
        })
        .collect();
    let mut outcomes = Vec::new();
    for insert in inserts {
        outcomes.push(insert.await.unwrap().unwrap_err().outcome());
    }
    assert!(outcomes.contains(&Outcome::NotSent), "{outcomes:?}");
    assert!(outcomes.contains(&Outcome::Unknown), "{outcomes:?}");
    stopped.notify_one();
    peer.await.unwrap();
}

/// Greets, and refuses ID as a server does that does not know it.
async fn greet_as_old_server(socket: &mut tokio::net::TcpStream) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let salt = "A".repeat(43) + "=";
    let uuid = "7170b4af-c72f-4f07-8729-08fc678543a1";
    let first = format!("Tarantool 2.6.0 (Binary) {uuid}");
    let greeting = format!("{first:<63}\n{salt:<63}\n");
    socket.write_all(greeting.as_bytes()).await.unwrap();
    let mut id = [0; 64];
    let count = socket.read(&mut id).await.unwrap();
    assert!(count > 0);
    // 82 00 code 01 sync 81 31 text
    let refusal = b"\xce\x00\x00\x00\x0b\x82\x00\xcd\x80\x30\x01\x01\x81\x31\xa1x";
    socket.write_all(refusal).await.unwrap();
}

#[tokio::test]
async fn a_loading_server_is_waited_for_at_its_login_over_one_connection() {
    let server = server(|_| Answer::Usual).await;
    server.refuse_logins(Some(busy(0.01)));
    let url = server.url().replace("://", "://app:secret@");
    let error = Client::connect(url.clone()).await.unwrap_err();
    assert!(error.is_busy());
    assert_eq!(error.outcome(), Outcome::Refused);
    let client = Client::builder(url).open().unwrap();
    let ping = tokio::spawn(client.ping().into_future());
    while server.connections() < 2 {
        tokio::task::yield_now().await;
    }
    server.refuse_logins(None);
    ping.await.unwrap().unwrap();
    assert_eq!(
        server.received()[0].connection,
        1,
        "no further connection was made"
    );
}

#[tokio::test]
async fn a_wrong_password_is_told_at_once() {
    let server = server(|_| Answer::Usual).await;
    server.refuse_logins(Some(ServerError::credentials_mismatch()));
    let client = builder(&server).credentials("app", "wrong").connect().await;
    let error = client.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::CREDS_MISMATCH));
}

#[tokio::test]
async fn a_silent_server_is_given_up_and_one_that_says_anything_is_not() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let server = server(move |_| {
        // The first connection hears nothing at all, the next one only pushes.
        match counted.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Answer::Silence,
            _ => Answer::value(1),
        }
    })
    .await;
    let client = builder(&server)
        .ping(Some(Duration::from_millis(10)), Duration::from_millis(20))
        .connect()
        .await
        .unwrap();
    let error = client.call::<u8>("f", ()).await.unwrap_err();
    assert_eq!(of(error), (ErrorKind::Connection, Outcome::Unknown));
    assert_eq!(client.call::<u8>("f", ()).await.unwrap(), 1);
}

#[tokio::test]
async fn a_stop_is_announced_and_what_was_asked_is_answered_before_the_client_leaves() {
    let server = server(|request| match request.procedure() {
        Some("slow") => Answer::Later(Duration::from_millis(50), Box::new(Answer::value(1))),
        _ => Answer::value(2),
    })
    .await;
    let client = connect(&server).await;
    let slow = tokio::spawn(client.call::<u8>("slow", ()).into_future());
    server.wait_for(1).await;
    let mut told = client.watch::<bool>("box.shutdown").await.unwrap();
    server.set_event("box.shutdown", true);
    while told.next().await.unwrap() != Some(true) {}
    // The next one goes to the next connection, which is made when the first has been left.
    server.set_event("box.shutdown", false);
    assert_eq!(slow.await.unwrap().unwrap(), 1);
    assert_eq!(client.call::<u8>("f", ()).await.unwrap(), 2);
    assert_eq!(server.received().last().unwrap().connection, 1);
}

#[tokio::test]
async fn who_watches_a_stop_stays_until_it_is_over() {
    let server = server(|_| Answer::value(2)).await;
    let client = Client::builder(server.url()).leave_on_shutdown(false);
    let client = client.connect().await.unwrap();
    assert_eq!(client.call::<u8>("f", ()).await.unwrap(), 2);
    // To be told of it and to leave are two things.
    let mut told = client.watch::<bool>("box.shutdown").await.unwrap();
    server.set_event("box.shutdown", true);
    while told.next().await.unwrap() != Some(true) {}
    assert_eq!(client.call::<u8>("f", ()).await.unwrap(), 2);
    let connections = server.received().into_iter().map(|own| own.connection);
    assert_eq!(connections.collect::<Vec<_>>(), [0, 0]);
}

#[tokio::test]
async fn pushes_come_before_the_result() {
    let server = server(|request| match request.procedure() {
        Some("pushes") => Answer::value(9).after_push(2).after_push(1),
        _ => Answer::Usual,
    })
    .await;
    let client = connect(&server).await;
    let mut pushes = client.call::<u8>("pushes", ()).pushes::<u8>();
    assert_eq!(pushes.next().await.unwrap(), Some(1));
    assert_eq!(pushes.next().await.unwrap(), Some(2));
    assert_eq!(pushes.next().await.unwrap(), None);
    assert_eq!(pushes.result().await.unwrap(), 9);
    let error = client
        .call::<u8>("absent", ())
        .pushes::<u8>()
        .result()
        .await;
    assert_eq!(error.unwrap_err().outcome(), Outcome::Refused);
}

#[tokio::test]
async fn ten_thousand_requests_of_a_hundred_tasks_each_get_their_own_reply() {
    let server = server(|request| {
        let (number,): (u64,) = request.arguments().expect("one number");
        Answer::value(number * 2)
    })
    .await;
    let client = connect(&server).await;
    let tasks: Vec<_> = (0..100u64)
        .map(|task| {
            let client = client.clone();
            tokio::spawn(async move {
                for at in 0..100 {
                    let number = task * 100 + at;
                    let double: u64 = client.call("double", (number,)).await.unwrap();
                    assert_eq!(double, number * 2);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(server.received().len(), 10_000);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn an_old_server_has_its_names_looked_up_once_and_no_streams() {
    let server = ScriptedServer::start_old(|request| {
        use vestibule_client::testing::Received;
        let key = |request: &Received| request.key::<Vec<vestibule_client::Value>>();
        match (request.request_type as u8, key(request)) {
            (1, Some(key)) if key.len() == 1 && format!("{key:?}").contains("users") => {
                Answer::values([(512, 1, "users")])
            }
            (1, Some(_)) => Answer::values([(7, "Ada")]),
            _ => Answer::Usual,
        }
    })
    .await
    .unwrap();
    let client = connect(&server).await;
    let users = client.space::<(u64, String)>("users");
    for _ in 0..3 {
        assert_eq!(users.get(7).await.unwrap(), Some((7, "Ada".to_owned())));
    }
    assert_eq!(server.received().len(), 4, "one lookup");
    let error = client.begin().await.unwrap_err();
    assert_eq!(of(error), (ErrorKind::Unsupported, Outcome::NotSent));
    let error = client.watch::<bool>("k").await.unwrap_err();
    assert_eq!(of(error), (ErrorKind::Unsupported, Outcome::NotSent));
    let all = users
        .select(KeyRange::eq("nobody".repeat(0)))
        .await
        .unwrap();
    assert_eq!(all.len(), 1);
}

#[tokio::test]
async fn a_closed_client_sends_nothing() {
    let server = server(|_| Answer::Usual).await;
    let client = connect(&server).await;
    client.ping().await.unwrap();
    client.close();
    let error = client.ping().await.unwrap_err();
    assert_eq!(of(error), (ErrorKind::Closed, Outcome::NotSent));
    while server.connections() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_client_that_is_dropped_is_gone() {
    let server = server(|_| Answer::Usual).await;
    let client = connect(&server).await;
    client.ping().await.unwrap();
    drop(client);
    while server.connections() > 0 {
        tokio::task::yield_now().await;
    }
}
