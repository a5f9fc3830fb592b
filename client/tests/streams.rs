//! Transactions, watches and pools against scripted servers: what happens when connections end.

use std::time::Duration;

use vestibule_client::testing::{Answer, Received, ScriptedServer};
use vestibule_client::{
    Client, ErrorCode, ErrorKind, Field, Mode, Outcome, Pool, Retry, Role, ServerError, Value,
};

/// Numbers of requests in the protocol.
const BEGIN: u8 = 14;
const COMMIT: u8 = 15;
const ROLLBACK: u8 = 16;

async fn server(script: impl FnMut(&Received) -> Answer + Send + 'static) -> ScriptedServer {
    ScriptedServer::start(script)
        .await
        .expect("a loopback port")
}

async fn connect(server: &ScriptedServer) -> Client {
    Client::builder(server.url())
        .backoff(Duration::from_millis(1), Duration::from_millis(10))
        .connect()
        .await
        .expect("it listens")
}

fn echo(request: &Received) -> Answer {
    match request.tuple::<Value>() {
        Some(tuple) => Answer::value(tuple),
        None => Answer::Usual,
    }
}

fn busy() -> ServerError {
    ServerError::new(ErrorCode::LOADING, "loading")
        .with_field("state", Field::Str("loading".into()))
        .with_field("epoch", Field::Uint(1))
        .with_field("retry_after", Field::Float(0.01))
}

fn types(server: &ScriptedServer) -> Vec<(u8, u64)> {
    let received = server.received().into_iter();
    received
        .map(|own| (own.request_type as u8, own.stream_id))
        .collect()
}

#[tokio::test]
async fn a_transaction_without_a_connection_is_not_begun_and_not_waited_for_too_long() {
    let gone = server(echo).await;
    let url = gone.url();
    drop(gone);
    let client = |fail_fast| {
        let builder = Client::builder(url.clone()).fail_fast(fail_fast);
        builder.open().expect("a URL")
    };
    let began = std::time::Instant::now();
    let error = client(true).begin().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.outcome()),
        (ErrorKind::Connection, Outcome::NotSent)
    );
    let begin = client(false).begin().timeout(Duration::from_millis(20));
    let error = begin.await.unwrap_err();
    assert_eq!(
        (error.kind(), error.outcome()),
        (ErrorKind::Timeout, Outcome::NotSent)
    );
    assert!(began.elapsed() < Duration::from_secs(3), "at once");
}

#[tokio::test]
async fn a_transaction_that_is_dropped_is_rolled_back_in_its_stream() {
    let server = server(echo).await;
    let client = connect(&server).await;
    let transaction = client.begin().await.unwrap();
    transaction
        .space::<(u64,)>("s")
        .insert(&(1,))
        .await
        .unwrap();
    drop(transaction);
    server.wait_for(3).await;
    let [(BEGIN, begun), (_, inside), (ROLLBACK, ended)] = types(&server)[..] else {
        panic!("{:?}", types(&server));
    };
    assert!(begun > 0 && begun == inside && inside == ended);
}

#[tokio::test]
async fn a_begin_that_is_given_up_is_rolled_back() {
    let server = server(|_| Answer::Silence).await;
    let client = connect(&server).await;
    let error = client
        .begin()
        .timeout(Duration::from_millis(20))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.outcome()),
        (ErrorKind::Timeout, Outcome::Unknown)
    );
    server.wait_for(2).await;
    let [(BEGIN, begun), (ROLLBACK, ended)] = types(&server)[..] else {
        panic!("{:?}", types(&server));
    };
    assert_eq!(begun, ended);
}

#[tokio::test]
async fn a_transaction_does_not_go_on_over_another_connection() {
    let server = server(echo).await;
    let client = connect(&server).await;
    let transaction = client.begin().await.unwrap();
    server.drop_connections();
    // Until the client is back, so that there is another connection.
    while client.ping().await.is_err() {}
    let inside = transaction.space::<(u64,)>("s").insert(&(1,));
    let error = inside.await.unwrap_err();
    assert_eq!(
        (error.kind(), error.outcome()),
        (ErrorKind::Connection, Outcome::NotSent)
    );
    let error = transaction.commit().await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent);
    let is_stray = |(request, _): &(u8, u64)| [COMMIT, ROLLBACK, 2].contains(request);
    assert!(!types(&server).iter().any(is_stray), "{:?}", types(&server));
}

#[tokio::test]
async fn a_begin_is_repeated_while_the_server_is_busy() {
    let mut refusals = 3;
    let server = server(move |request| match request.request_type as u8 {
        BEGIN if refusals > 0 => {
            refusals -= 1;
            Answer::Error(busy())
        }
        _ => Answer::Usual,
    })
    .await;
    let client = connect(&server).await;
    client.begin().await.unwrap().commit().await.unwrap();
    let refused = client.begin().retry(Retry::never()).await;
    refused.unwrap().rollback().await.unwrap();
}

#[tokio::test]
async fn a_server_that_stops_is_left_when_open_transactions_have_ended() {
    let server = server(echo).await;
    let client = connect(&server).await;
    let transaction = client.begin().await.unwrap();
    let mut told = client.watch::<bool>("box.shutdown").await.unwrap();
    server.set_event("box.shutdown", true);
    while told.next().await.unwrap() != Some(true) {}
    server.set_event("box.shutdown", false);
    let waiting = tokio::spawn(client.ping().into_future());
    let space = transaction.space::<(u64,)>("s");
    space.insert(&(1,)).await.unwrap();
    transaction.commit().await.unwrap();
    waiting.await.unwrap().unwrap();
    let received = server.received();
    let commit = received
        .iter()
        .find(|own| own.request_type as u8 == COMMIT)
        .unwrap();
    assert_eq!(commit.connection, 0);
    assert_eq!(
        received.last().unwrap().connection,
        1,
        "the ping went to the next one"
    );
}

#[tokio::test]
async fn a_watch_survives_and_values_in_between_are_left_out() {
    let server = server(echo).await;
    server.set_event("k", 1);
    let client = connect(&server).await;
    let mut watcher = client.watch::<u64>("k").await.unwrap();
    assert_eq!(watcher.next().await.unwrap(), Some(1));
    for round in 2..5 {
        server.drop_connections();
        server.set_event("k", round);
        while watcher.next().await.unwrap() != Some(round) {}
    }
    let mut second = client.watch::<u64>("k").await.unwrap();
    assert_eq!(
        second.next().await.unwrap(),
        Some(4),
        "what is known is told"
    );
    client.close();
    let error = second.next().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[derive(serde::Serialize)]
struct Status {
    is_ro: bool,
    is_ro_cfg: bool,
    status: &'static str,
}

fn status(is_ro: bool, status: &'static str) -> Status {
    Status {
        is_ro,
        is_ro_cfg: is_ro,
        status,
    }
}

fn pool_of(servers: &[&ScriptedServer]) -> vestibule_client::PoolBuilder {
    Pool::builder(servers.iter().map(|server| server.url()))
        .backoff(Duration::from_millis(1), Duration::from_millis(10))
        .credentials("app", "secret")
}

#[tokio::test]
async fn a_pool_comes_back_when_its_servers_have_loaded() {
    let servers = [server(echo).await, server(echo).await];
    for (server, is_ro) in servers.iter().zip([false, true]) {
        server.refuse_logins(Some(busy()));
        server.set_event("box.status", status(is_ro, "running"));
    }
    let pool = pool_of(&servers.each_ref()).open().unwrap();
    let error = pool.get(Mode::Any).unwrap_err();
    assert_eq!(
        (error.kind(), error.outcome()),
        (ErrorKind::NoInstance, Outcome::NotSent)
    );
    while pool.members().iter().any(|member| member.error.is_none()) {
        tokio::task::yield_now().await;
    }
    let late = pool
        .client(Mode::Primary)
        .ping()
        .timeout(Duration::from_millis(50))
        .await;
    let late = late.unwrap_err();
    assert_eq!(
        (late.kind(), late.outcome()),
        (ErrorKind::Timeout, Outcome::NotSent)
    );
    assert!(late.is_busy(), "and it says why: {late}");
    let waiting = tokio::spawn(pool.client(Mode::Primary).ping().into_future());
    for server in &servers {
        server.refuse_logins(None);
    }
    waiting.await.unwrap().unwrap();
    assert_eq!(servers[0].received().len(), 1, "the primary");
    pool.client(Mode::Replica).ping().await.unwrap();
    assert_eq!(servers[1].received().len(), 1, "the replica");
}

#[tokio::test]
async fn a_busy_primary_is_still_the_primary_and_reads_go_elsewhere() {
    let servers = [server(echo).await, server(echo).await];
    servers[0].set_event("box.status", status(false, "loading"));
    servers[1].set_event("box.status", status(true, "running"));
    let pool = pool_of(&servers.each_ref()).connect().await.unwrap();
    pool.client(Mode::Primary).ping().await.unwrap();
    assert_eq!(servers[0].received().len(), 1);
    pool.client(Mode::PreferPrimary).ping().await.unwrap();
    assert_eq!(servers[1].received().len(), 1);
    let roles: Vec<Role> = pool.members().iter().map(|own| own.role).collect();
    assert!(
        roles[0] == Role::Primary && roles[1] != Role::Primary,
        "{roles:?}"
    );
}

#[tokio::test]
async fn a_pool_takes_instances_in_and_lets_them_go_while_it_is_used() {
    let servers = [server(echo).await, server(echo).await];
    for server in &servers {
        server.set_event("box.status", status(false, "running"));
    }
    let urls = servers.each_ref().map(ScriptedServer::url);
    let pool = pool_of(&[&servers[0]]).connect().await.unwrap();
    let client = pool.client(Mode::Primary);
    let numbers = |pool: &Pool| pool.members().iter().filter(|own| own.is_connected).count();
    assert!(!pool.add(&urls[0]).unwrap(), "it is there");
    assert!(pool.add(&urls[1]).unwrap());
    while numbers(&pool) < 2 {
        tokio::task::yield_now().await;
    }
    // Equals take turns.
    for _ in 0..2 {
        client.ping().await.unwrap();
    }
    assert_eq!(servers.each_ref().map(|own| own.received().len()), [1, 1]);

    let kept = pool.get(Mode::Primary).unwrap();
    for url in &urls {
        assert!(pool.remove(url).unwrap());
        assert!(!pool.remove(url).unwrap(), "it is gone");
    }
    assert!(pool.members().is_empty());
    let error = pool.get(Mode::Any).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoInstance);
    assert!(error.to_string().contains("the pool has none"), "{error}");
    kept.ping().await.expect("what somebody has of it stays");
    let waiting = tokio::spawn(client.ping().into_future());
    drop(kept);
    assert!(pool.add(&urls[1]).unwrap(), "it comes back");
    waiting.await.unwrap().unwrap();
    assert_eq!(pool.members().len(), 1);
    assert!(pool.add("no:such:url:at:all").is_err());
}

#[tokio::test]
async fn what_is_under_way_at_an_instance_that_is_taken_out_is_answered() {
    let late = |_: &Received| Answer::Later(Duration::from_millis(100), Box::new(Answer::Usual));
    let server = server(late).await;
    server.set_event("box.status", status(false, "running"));
    let pool = pool_of(&[&server]).connect().await.unwrap();
    let waiting = tokio::spawn(pool.client(Mode::Any).ping().into_future());
    while server.received().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(pool.remove(&server.url()).unwrap());
    waiting.await.unwrap().expect("it is answered");
    // Nobody has its connection any more.
    while server.connections() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_pool_in_which_nobody_waits_connects_and_then_fails_at_once() {
    let server = server(echo).await;
    server.set_event("box.status", status(false, "running"));
    let pool = pool_of(&[&server]).fail_fast(true).connect().await.unwrap();
    pool.client(Mode::Primary).ping().await.unwrap();
    let error = pool.client(Mode::Replica).ping().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.outcome()),
        (ErrorKind::NoInstance, Outcome::NotSent)
    );
}

#[tokio::test]
async fn an_instance_that_never_greets_holds_up_nobody() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let hung = listener.local_addr().unwrap().to_string();
    let good = server(echo).await;
    good.set_event("box.status", status(false, "running"));
    let pool = Pool::builder([hung, good.url()])
        .connect_timeout(Duration::from_secs(600))
        .connect()
        .await
        .unwrap();
    for _ in 0..10 {
        pool.client(Mode::Any).ping().await.unwrap();
    }
    assert_eq!(good.received().len(), 10);
}
