//! Reads from a replica, writes to the primary, whichever they are.
//!
//! Run it: `cargo run -p vestibule-client --example pool -- 127.0.0.1:3301 127.0.0.1:3302`

mod set_up;

use std::time::Duration;

use vestibule_client::{Error, Mode, Pool, Retry};

type Account = (u64, String, i64);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut urls: Vec<String> = std::env::args().skip(1).collect();
    if urls.is_empty() {
        urls.push(set_up::url());
    }
    let pool = Pool::builder(urls)
        .retry(Retry::within(Duration::from_secs(10)))
        .connect()
        .await?;
    let (writes, reads) = (pool.client(Mode::Primary), pool.client(Mode::PreferReplica));
    set_up::make_accounts(&writes).await?;
    // A write that finds a replica, or no primary at all, waits for one.
    writes
        .space::<Account>("accounts")
        .insert(&(1, "Ada".to_owned(), 100))
        .await?;
    let ada = writes.space::<Account>("accounts").get(1).await?;
    println!("from the primary: {ada:?}");
    reads.ping().await?;
    for member in pool.members() {
        println!(
            "{}: {:?}, connected: {}",
            member.address, member.role, member.is_connected
        );
    }
    Ok(())
}
