//! Large requests and replies beside small ones on one connection: in chunks, and without.

use std::time::Duration;

use vestibule_client::{Client, ClientBuilder, ErrorCode, ErrorKind, Outcome};

use crate::support::{Directory, PATIENCE, Server};
use crate::tarantool::Tarantool;
use crate::vestibule::make_spaces;

const LARGE: usize = 1_000_000;
const COUNT: u64 = 20;

fn text(id: u64) -> String {
    format!("{id:03}").repeat(LARGE / 3)
}

/// 20 MB written and read at once, beside pings and small requests of the same connection.
async fn bulk_beside_small(client: &Client) {
    let things = client.space::<(u64, String)>("things");
    let uploads: Vec<_> = (0..COUNT)
        .map(|id| tokio::spawn(things.replace(&(id, text(id))).into_future()))
        .collect();
    let mut small = 0;
    while uploads.iter().any(|upload| !upload.is_finished()) {
        small += 1;
        client.ping().await.unwrap();
        things
            .replace(&(1000 + small, "small".to_owned()))
            .await
            .unwrap();
        assert!(small < 100_000, "the uploads end");
    }
    for upload in uploads {
        upload.await.unwrap().unwrap();
    }
    let downloads: Vec<_> = (0..4)
        .map(|_| tokio::spawn(things.select(..).limit(COUNT as usize).into_future()))
        .collect();
    while downloads.iter().any(|download| !download.is_finished()) {
        client.ping().await.unwrap();
        let row = things.get(1001).await.unwrap();
        assert_eq!(row.map(|(_, text)| text).as_deref(), Some("small"));
    }
    for download in downloads {
        let rows = download.await.unwrap().unwrap();
        let expected: Vec<_> = (0..COUNT).map(|id| (id, text(id))).collect();
        assert!(rows == expected, "every byte, in order");
    }
    assert_eq!(client.in_flight(), 0);
}

/// Requests that are given up wherever they are: one that was not sent has not run, and what comes
/// behind them is whole.
async fn given_up_under_way(client: &Client) {
    let things = client.space::<(u64, String)>("things");
    let mut not_sent = 0;
    for at in 0..40 {
        let id = 2000 + at;
        let row = (id, text(id % 1000));
        let others: Vec<_> = (0..3)
            .map(|_| tokio::spawn(things.replace(&(2999, text(1))).into_future()))
            .collect();
        let limit = Duration::from_micros(500 * at);
        let result = things.replace(&row).timeout(limit).await;
        for other in others {
            other.await.unwrap().unwrap();
        }
        let found = things.get(id).await.unwrap();
        match result {
            Ok(_) => assert!(found == Some(row)),
            Err(error) if error.outcome() == Outcome::NotSent => {
                not_sent += 1;
                assert!(found.is_none(), "request {at} ran and was not sent");
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
                assert!(found.is_none_or(|found| found == row));
            }
        }
    }
    assert!(not_sent > 0, "the first has no time at all");
}

fn builder(server: &Server) -> ClientBuilder {
    Client::builder(server.address().to_string()).request_timeout(Some(PATIENCE))
}

async fn start(arguments: &[&str]) -> (Directory, Server) {
    let directory = Directory::new();
    let server = Server::start(directory.path(), arguments);
    let client = builder(&server).connect().await.unwrap();
    make_spaces(&client).await;
    (directory, server)
}

#[tokio::test]
async fn bulk_and_small_requests_share_a_connection() {
    let (_directory, server) = start(&[]).await;
    for chunks in [true, false] {
        let client = builder(&server).chunks(chunks).connect().await.unwrap();
        assert_eq!(client.server().await.unwrap().has_chunks, chunks);
        bulk_beside_small(&client).await;
        given_up_under_way(&client).await;
    }
}

#[tokio::test]
async fn bulk_and_small_requests_share_a_connection_to_tarantool() {
    let Some(program) = crate::support::tarantool() else {
        return;
    };
    let directory = Directory::new();
    let server = Tarantool::start(&program, &directory);
    let client = server.connect().await;
    assert!(!client.server().await.unwrap().has_chunks);
    bulk_beside_small(&client).await;
    given_up_under_way(&client).await;
}

#[tokio::test]
async fn a_request_that_the_server_finds_too_large_is_refused_alone() {
    let (_directory, server) = start(&["--packet-size-max", "1048576"]).await;
    let client = builder(&server).connect().await.unwrap();
    let things = client.space::<(u64, String)>("things");
    // It ends with its connection.
    let transaction = client.begin().await.unwrap();
    let row = (1, text(1));
    let refused = things.replace(&(2, text(2) + &text(2))).await.unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::INVALID_MSGPACK));
    assert_eq!(refused.outcome(), Outcome::Refused);
    things.replace(&row).await.unwrap();
    let inside = transaction.space::<(u64, String)>("things");
    assert!(inside.get(1).await.unwrap() == Some(row));
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn a_reply_that_is_too_large_fails_its_request_alone() {
    let (_directory, server) = start(&[]).await;
    let client = builder(&server).reply_size_max(2 * LARGE);
    let client = client.connect().await.unwrap();
    let things = client.space::<(u64, String)>("things");
    for id in 0..5 {
        things.replace(&(id, text(id))).await.unwrap();
    }
    let transaction = client.begin().await.unwrap();
    let error = things.select(..).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    let inside = transaction.space::<(u64, String)>("things");
    assert!(inside.get(1).await.unwrap() == Some((1, text(1))));
    transaction.commit().await.unwrap();
}
