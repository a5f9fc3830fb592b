//! A key that is watched over reconnects: the status of the server, until it says that it stops.
//!
//! Run it: `cargo run -p vestibule-client --example watch -- 127.0.0.1:3301 [VALUES]`, then demote,
//! promote or restart the server. It ends after VALUES values, if told.

use serde::Deserialize;
use vestibule_client::{Client, Error};

#[derive(Debug, Deserialize)]
struct Status {
    is_ro: bool,
    status: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1);
    let url = url.unwrap_or_else(|| "tarantool://127.0.0.1:3301".to_owned());
    let count = std::env::args().nth(2).and_then(|count| count.parse().ok());
    let client = Client::connect(url).await?;
    let mut watcher = client.watch::<Status>("box.status").await?;
    for _ in 0..count.unwrap_or(u64::MAX) {
        match watcher.next().await? {
            Some(Status { is_ro, status }) => {
                let role = if is_ro {
                    "takes no changes"
                } else {
                    "takes changes"
                };
                println!("{status}, {role}");
            }
            None => println!("no status yet"),
        }
    }
    Ok(())
}
