//! Connect, write, read, change, page.
//!
//! Run it: `cargo run -p vestibule-client --example first -- 127.0.0.1:3301`

mod set_up;

use serde::{Deserialize, Serialize};
use vestibule_client::{Client, Error, Update};

#[derive(Debug, Serialize, Deserialize)]
struct Account {
    id: u64,
    owner: String,
    balance: i64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let client = Client::connect(set_up::url()).await?;
    let (major, minor, patch) = client.server().await?.version;
    println!("connected to a server of version {major}.{minor}.{patch}");
    set_up::make_accounts(&client).await?;

    let accounts = client.space::<Account>("accounts");
    for (id, owner) in [(1, "Ada"), (2, "Bob"), (3, "Cem")] {
        let owner = owner.to_owned();
        accounts
            .insert(&Account {
                id,
                owner,
                balance: 100,
            })
            .await?;
    }
    println!("by key: {:?}", accounts.get(2).await?);

    let changed = accounts
        .update(2, Update::new().add("balance", -30))
        .await?;
    println!("changed: {:?}", changed.map(|account| account.balance));

    // Any number of requests may be under way at once: they share the connection.
    let (ada, cem) = tokio::join!(accounts.get(1).into_future(), accounts.get(3).into_future());
    println!(
        "at once: {:?} and {:?}",
        ada?.map(|own| own.owner),
        cem?.map(|own| own.owner)
    );

    let mut pages = accounts.select(2..).batch(1).stream();
    while let Some(account) = pages.try_next().await? {
        println!("page: {} has {}", account.owner, account.balance);
    }
    Ok(())
}
