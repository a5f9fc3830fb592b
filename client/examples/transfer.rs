//! A transaction that is rolled back, and one that is committed.
//!
//! Run it: `cargo run -p vestibule-client --example transfer -- 127.0.0.1:3301`, against vestibule
//! or a Tarantool from 2.10 on with `memtx_use_mvcc_engine`.

mod set_up;

use vestibule_client::{Client, Error, Isolation, Update};

type Account = (u64, String, i64);

/// Moves money, or nothing: dropped at any `?`, the transaction is rolled back.
async fn transfer(client: &Client, from: u64, to: u64, amount: i64) -> Result<bool, Error> {
    let transaction = client.begin().isolation(Isolation::ReadConfirmed).await?;
    let accounts = transaction.space::<Account>("accounts");
    let paid = accounts
        .update(from, Update::new().subtract("balance", amount))
        .await?;
    let received = accounts
        .update(to, Update::new().add("balance", amount))
        .await?;
    let is_fine = paid.is_some_and(|(_, _, balance)| balance >= 0) && received.is_some();
    if is_fine {
        transaction.commit().await?;
    }
    Ok(is_fine)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let client = Client::connect(set_up::url()).await?;
    set_up::make_accounts(&client).await?;
    let accounts = client.space::<Account>("accounts");
    accounts.insert(&(1, "Ada".to_owned(), 100)).await?;
    accounts.insert(&(2, "Bob".to_owned(), 0)).await?;
    for amount in [70, 70] {
        let is_done = loop {
            match transfer(&client, 1, 2, amount).await {
                // Another transaction was first: this one has changed nothing.
                Err(error) if error.is_conflict() => {}
                other => break other?,
            }
        };
        println!(
            "{amount}: {}",
            if is_done { "moved" } else { "rolled back" }
        );
    }
    println!("{:?}", accounts.select(..).await?);
    Ok(())
}
