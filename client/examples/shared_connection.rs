//! A bulk transfer and pings that share one connection: in chunks, and without.
//!
//! Run it: `cargo run -p vestibule-client --example shared_connection -- 127.0.0.1:3301`
//!
//! Over a slow link the difference shows: `tc qdisc add dev lo root tbf rate 100mbit ...`.

mod set_up;

use std::time::{Duration, Instant};

use vestibule_client::{Client, Error};

type Account = (u64, String, i64);

/// Bytes of each of the rows that are written, and how many they are.
const ROW_SIZE: usize = 1_000_000;
const ROWS: u64 = 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    for chunks in [true, false] {
        let builder = Client::builder(set_up::url()).chunks(chunks);
        let client = builder.connect().await?;
        set_up::make_accounts(&client).await?;
        if chunks && !client.server().await?.has_chunks {
            println!("the server does not take chunks");
        }
        let name = if chunks { "in chunks" } else { "whole" };
        let mut writes = pings_beside(&client, write_all(client.clone())).await?;
        report(&format!("{name}, writes"), &mut writes);
        let mut reads = pings_beside(&client, read_all(client.clone())).await?;
        report(&format!("{name}, reads"), &mut reads);
    }
    Ok(())
}

/// Writes all rows at once.
async fn write_all(client: Client) -> Result<(), Error> {
    let owner = "x".repeat(ROW_SIZE);
    let accounts = client.space::<Account>("accounts");
    let rows = (0..ROWS).map(|id| {
        let request = accounts.replace(&(id, owner.clone(), 0));
        tokio::spawn(request.into_future())
    });
    for row in rows.collect::<Vec<_>>() {
        row.await.expect("it does not panic")?;
    }
    Ok(())
}

/// Reads all rows by one request.
async fn read_all(client: Client) -> Result<(), Error> {
    let rows = client.space::<Account>("accounts").select(..).await?;
    assert_eq!(rows.len(), ROWS as usize);
    Ok(())
}

/// Pings, one after another, for as long as the other work takes; how long each took.
async fn pings_beside(
    client: &Client,
    bulk: impl Future<Output = Result<(), Error>> + Send + 'static,
) -> Result<Vec<Duration>, Error> {
    let bulk = tokio::spawn(bulk);
    let mut times = Vec::new();
    while !bulk.is_finished() {
        let began = Instant::now();
        client.ping().await?;
        times.push(began.elapsed());
    }
    bulk.await.expect("it does not panic")?;
    Ok(times)
}

fn report(name: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |part: usize| times.get((times.len() * part / 100).min(times.len() - 1));
    let (Some(middle), Some(late), Some(last)) = (at(50), at(99), times.last()) else {
        return;
    };
    let count = times.len();
    println!("{name}: {count} pings, half within {middle:?}, 99 % {late:?}, all {last:?}");
}
