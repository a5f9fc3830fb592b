//! vestibule's own: busy, transitions, transactions, watches, a pool.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vestibule_client::{
    Adjust, Client, Datetime, ErrorCode, Interval, Mode, Outcome, Pool, Retry, Role, Update, Value,
};

use crate::ledger::Ledger;
use crate::suite;
use crate::support::{Directory, PATIENCE, Server, number_from_env};

#[derive(Serialize)]
struct FieldFormat {
    name: &'static str,
    r#type: &'static str,
    is_nullable: bool,
}

fn field(name: &'static str, r#type: &'static str) -> FieldFormat {
    FieldFormat {
        name,
        r#type,
        is_nullable: name == "note",
    }
}

/// Arguments whose structs are maps, as options of procedures are.
fn options(value: &impl Serialize) -> Value {
    let bytes = rmp_serde::to_vec_named(value).unwrap();
    rmp_serde::from_slice(&bytes).unwrap()
}

async fn connect(server: &Server) -> Client {
    Client::builder(server.address().to_string())
        .backoff(Duration::from_millis(5), Duration::from_millis(50))
        .request_timeout(Some(PATIENCE))
        .connect()
        .await
        .expect("it listens")
}

pub(crate) async fn make_spaces(client: &Client) {
    let make = async |procedure: &str, arguments: Value| {
        let made = client.call::<Value>(procedure, arguments).await;
        made.unwrap_or_else(|error| panic!("{procedure}: {error}"));
    };
    for space in ["users", "things"] {
        make("box.schema.space.create", options(&(space,))).await;
        let create_index = format!("box.space.{space}:create_index");
        make(&create_index, options(&("primary",))).await;
    }
    let format = [
        field("id", "unsigned"),
        field("name", "string"),
        field("age", "unsigned"),
        field("note", "string"),
    ];
    make("box.space.users:format", options(&(format,))).await;
    #[derive(Serialize)]
    struct IndexOptions {
        unique: bool,
        parts: [(u32, &'static str); 1],
    }
    let by_age = IndexOptions {
        unique: false,
        parts: [(3, "unsigned")],
    };
    make("box.space.users:create_index", options(&("age", by_age))).await;
}

async fn start(directory: &Directory) -> (Server, Client) {
    let server = Server::start(directory.path(), &[]);
    let client = connect(&server).await;
    make_spaces(&client).await;
    (server, client)
}

#[tokio::test]
async fn every_operation_works() {
    let directory = Directory::new();
    let (_server, client) = start(&directory).await;
    let server = client.server().await.unwrap();
    assert!(server.has_transactions && server.has_names && server.has_pagination);
    suite::every_operation(&client).await;
    suite::names_that_are_not_there(&client).await;
    suite::ranges_and_pages(&client).await;
    let time = Datetime {
        nanoseconds: 7,
        offset_minutes: 60,
        ..Datetime::from_seconds(1_700_000_000)
    };
    let span = Interval {
        months: -3,
        adjust: Adjust::Snap,
        ..Interval::default()
    };
    suite::values(&client, &[Value::Datetime(time), Value::Interval(span)]).await;
    suite::many_at_once(&client).await;
}

#[tokio::test]
async fn a_transaction_is_whole_or_nothing() {
    let directory = Directory::new();
    let (_server, client) = start(&directory).await;
    let things = client.space::<(u64, u64)>("things");
    let transaction = client.begin().await.unwrap();
    let inside = transaction.space::<(u64, u64)>("things");
    inside.insert(&(1, 1)).await.unwrap();
    assert_eq!(things.get(1).await.unwrap(), None, "not committed yet");
    transaction.commit().await.unwrap();
    assert_eq!(things.get(1).await.unwrap(), Some((1, 1)));
    let error = inside.insert(&(2, 2)).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent, "the transaction is over");

    let dropped = client.begin().await.unwrap();
    dropped
        .space::<(u64, u64)>("things")
        .insert(&(3, 3))
        .await
        .unwrap();
    drop(dropped);
    let rolled_back = client.begin().await.unwrap();
    rolled_back
        .space::<(u64, u64)>("things")
        .insert(&(4, 4))
        .await
        .unwrap();
    rolled_back.rollback().await.unwrap();
    // The one that was dropped holds nothing any more: its key can be written.
    things.insert(&(3, 4)).await.unwrap();
    assert_eq!(things.select(..).await.unwrap(), [(1, 1), (3, 4)]);
}

#[tokio::test]
async fn the_second_of_two_transactions_that_meet_is_told_so() {
    let directory = Directory::new();
    let (_server, client) = start(&directory).await;
    client
        .space::<(u64, u64)>("things")
        .insert(&(1, 0))
        .await
        .unwrap();
    let add = async |transaction: &vestibule_client::Transaction| {
        let things = transaction.space::<(u64, u64)>("things");
        things.update(1, Update::new().add(1, 1)).await
    };
    let (first, second) = (client.begin().await.unwrap(), client.begin().await.unwrap());
    add(&first).await.unwrap();
    let both = match add(&second).await {
        Ok(_) => {
            first.commit().await.unwrap();
            second.commit().await
        }
        Err(error) => Err(error),
    };
    let error = both.unwrap_err();
    assert!(error.is_conflict(), "{error}");
    assert_eq!(error.outcome(), Outcome::Refused);
}

#[tokio::test]
async fn a_busy_server_says_why_and_is_asked_again_when_it_says() {
    let directory = Directory::new();
    let (_server, client) = start(&directory).await;
    let things = client.space::<(u64, u64)>("things");
    let blocked = client.call::<Value>("vestibule.debug.block", (2, "sorting"));
    let blocked = tokio::spawn(blocked.into_future());
    let mut status = client.watch::<Status>("box.status").await.unwrap();
    while status.next().await.unwrap().unwrap().status == "running" {}
    let error = things
        .insert(&(1, 1))
        .retry(Retry::never())
        .await
        .unwrap_err();
    assert!(error.is_busy(), "{error}");
    assert_eq!(error.outcome(), Outcome::Refused);
    assert_eq!(error.reason(), Some("sorting"));
    assert!(error.retry_after().is_some() && error.progress().is_some());
    // The same request waits for its turn by itself.
    let retry = Retry::within(PATIENCE);
    assert_eq!(things.insert(&(1, 1)).retry(retry).await.unwrap(), (1, 1));
    blocked.await.unwrap().unwrap();
}

#[derive(Debug, Deserialize)]
struct Status {
    status: String,
    is_ro: bool,
}

#[tokio::test]
async fn what_was_told_is_true_although_the_server_was_killed() {
    let directory = Directory::new();
    let (mut server, client) = start(&directory).await;
    let address = server.address().to_string();
    let mut schema = client.watch::<Value>("box.schema").await.unwrap();
    assert!(schema.next().await.unwrap().is_some());
    let ledger = Ledger::begin(&client, 20, Retry::default());
    for _ in 0..3 {
        ledger.more(200).await;
        server.kill();
        server = Server::start_on(&address, directory.path(), &[]);
        assert!(schema.next().await.unwrap().is_some(), "the watch is back");
    }
    ledger.more(200).await;
    let (done, _, unknown) = ledger.settle(&client).await;
    assert!(done >= 800 && unknown > 0, "{done} {unknown}");
}

#[tokio::test]
async fn what_was_told_is_true_although_the_server_was_stopped_and_busy() {
    let directory = Directory::new();
    let (mut server, client) = start(&directory).await;
    let address = server.address().to_string();
    let ledger = Ledger::begin(&client, 20, Retry::never());
    for round in 0..3 {
        ledger.more(200).await;
        if round == 1 {
            let operator = connect(&server).await;
            operator
                .call::<Value>("vestibule.solo", ("maintenance",))
                .await
                .unwrap();
            ledger.more_failed(20).await;
            operator
                .call::<Value>("vestibule.assist", ())
                .await
                .unwrap();
        }
        // Elsewhere: a client that stands still does not hear of the stop before it asks again.
        let stopped = tokio::task::spawn_blocking(|| server.terminate()).await;
        assert!(stopped.unwrap().success());
        server = Server::start_on(&address, directory.path(), &[]);
    }
    ledger.more(200).await;
    let (done, not_run, unknown) = ledger.settle(&client).await;
    assert!(done >= 800 && not_run >= 20, "{done} {not_run}");
    assert_eq!(
        unknown, 0,
        "who watches box.shutdown loses nothing in a stop"
    );
}

/// What befalls a server in a test.
#[derive(Debug, Clone, Copy)]
enum Misfortune {
    Kill,
    Stop,
    Demotion,
    Solo,
}

#[tokio::test]
async fn what_was_told_is_true_whatever_befalls_the_server_in_whichever_order() {
    use Misfortune::{Demotion, Kill, Solo, Stop};
    let seed = number_from_env("VESTIBULE_TEST_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("VESTIBULE_TEST_SEED={seed} is this order");
    let mut order = [Kill, Stop, Demotion, Solo, Kill, Stop, Demotion, Solo];
    fastrand::Rng::with_seed(seed).shuffle(&mut order);
    let directory = Directory::new();
    let (mut server, client) = start(&directory).await;
    let address = server.address().to_string();
    let ledger = Ledger::begin(&client, 20, Retry::never());
    for misfortune in order {
        ledger.more(100).await;
        let pair = match misfortune {
            Kill | Stop => {
                match misfortune {
                    Kill => server.kill(),
                    _ => assert!(server.terminate().success()),
                }
                server = Server::start_on(&address, directory.path(), &[]);
                continue;
            }
            Demotion => ["vestibule.demote", "vestibule.promote"],
            Solo => ["vestibule.solo", "vestibule.assist"],
        };
        let operator = connect(&server).await;
        operator.call::<Value>(pair[0], ()).await.unwrap();
        ledger.more_failed(20).await;
        operator.call::<Value>(pair[1], ()).await.unwrap();
    }
    ledger.more(100).await;
    let (done, not_run, _) = ledger.settle(&client).await;
    assert!(done >= 900 && not_run >= 80, "{done} {not_run}");
}

async fn role_of(pool: &Pool, mode: Mode) -> Option<String> {
    let client = pool.get(mode).ok()?;
    Some(client.server().await.ok()?.instance_uuid.to_string())
}

#[tokio::test]
async fn a_pool_follows_the_primary_over_a_demotion_and_a_death() {
    let (one, two) = (Directory::new(), Directory::new());
    let (first, client) = start(&one).await;
    let second = Server::start(two.path(), &[]);
    let other = connect(&second).await;
    make_spaces(&other).await;
    other.call::<Value>("vestibule.demote", ()).await.unwrap();
    let hung = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let urls = [
        first.address().to_string(),
        second.address().to_string(),
        // Connects by the backlog, and never greets.
        hung.local_addr().unwrap().to_string(),
    ];
    let pool = Pool::builder(urls)
        .backoff(Duration::from_millis(5), Duration::from_millis(50))
        .request_timeout(Some(PATIENCE))
        .retry(Retry::within(PATIENCE))
        .connect()
        .await
        .unwrap();
    let uuid = async |client: &Client| client.server().await.unwrap().instance_uuid;
    let (first_uuid, second_uuid) = (uuid(&client).await, uuid(&other).await);
    let (writes, reads) = (pool.client(Mode::Primary), pool.client(Mode::Replica));
    assert_eq!(uuid(&writes).await, first_uuid);
    assert_eq!(uuid(&reads).await, second_uuid);
    writes
        .space::<(u64, u64)>("things")
        .insert(&(1, 1))
        .await
        .unwrap();
    let error = reads
        .space::<(u64, u64)>("things")
        .insert(&(2, 2))
        .retry(Retry::never())
        .await;
    let error = error.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::READONLY));
    assert_eq!(error.outcome(), Outcome::Refused);

    // A write that finds no primary waits until there is one.
    client.call::<Value>("vestibule.demote", ()).await.unwrap();
    let things = writes.space::<(u64, u64)>("things");
    let waiting = tokio::spawn(things.insert(&(3, 3)).into_future());
    other.call::<Value>("vestibule.promote", ()).await.unwrap();
    waiting.await.unwrap().unwrap();
    let there = other.space::<(u64, u64)>("things").get(3).await.unwrap();
    assert_eq!(there, Some((3, 3)), "it went to the new primary");
    assert_eq!(
        role_of(&pool, Mode::Primary).await,
        Some(second_uuid.to_string())
    );

    // The primary dies: reads that prefer it go on, on the replica.
    second.kill();
    let any = pool
        .client(Mode::PreferPrimary)
        .space::<(u64, u64)>("things");
    let found = loop {
        match any.get(1).await {
            Ok(found) => break found,
            Err(error) => assert_eq!(error.outcome(), Outcome::Unknown, "{error}"),
        }
    };
    assert_eq!(found, Some((1, 1)));
    let roles: Vec<Role> = pool.members().iter().map(|member| member.role).collect();
    assert_eq!(roles[2], Role::Unknown);
}

#[tokio::test]
async fn a_watcher_hears_of_a_demotion() {
    let directory = Directory::new();
    let (_server, client) = start(&directory).await;
    let mut status = client.watch::<Status>("box.status").await.unwrap();
    assert!(!status.next().await.unwrap().unwrap().is_ro);
    client.call::<Value>("vestibule.demote", ()).await.unwrap();
    while !status.next().await.unwrap().unwrap().is_ro {}
    let once: Option<Status> = client.watch_once("box.status").await.unwrap();
    assert!(once.unwrap().is_ro);
    let none: Option<Value> = client.watch_once("no.such.key").await.unwrap();
    assert_eq!(none, None);
}
