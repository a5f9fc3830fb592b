//! What an error says of its request, and a retry that is right.
//!
//! Run it: `cargo run -p vestibule-client --example outcomes -- 127.0.0.1:3301`

mod set_up;

use std::time::Duration;

use vestibule_client::{Client, Error, Outcome, Retry};

type Account = (u64, String, i64);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let client = Client::connect(set_up::url()).await?;
    set_up::make_accounts(&client).await?;
    let accounts = client.space::<Account>("accounts");
    let ada: Account = (1, "Ada".to_owned(), 100);
    accounts.insert(&ada).await?;

    // Refused: nothing was changed.
    let error = accounts
        .insert(&ada)
        .await
        .expect_err("it is there already");
    println!(
        "{error}: {:?}, a duplicate: {}",
        error.outcome(),
        error.is_duplicate()
    );

    // Not sent: no time was left.
    let late = accounts.get(1).timeout(Duration::ZERO).await;
    println!("{:?}", late.map_err(|error| error.outcome()));

    // Nobody listens there: not sent either, however often it is tried.
    let nobody = Client::builder("127.0.0.1:1").fail_fast(true).open()?;
    let error = nobody.ping().await.expect_err("nobody listens");
    println!("{error}: {:?}", error.outcome());

    // What surely did not run is sent again by itself. For what may have run, only the caller knows
    // what is right: here the insert can be looked for.
    let bob: Account = (2, "Bob".to_owned(), 50);
    let retry = Retry::within(Duration::from_secs(10));
    match accounts.insert(&bob).retry(retry).await {
        Ok(_) => println!("inserted"),
        Err(error) if error.outcome() == Outcome::Unknown => match accounts.get(2).await? {
            Some(_) => println!("it had run"),
            None => println!("it had not run"),
        },
        Err(error) => return Err(error),
    }
    Ok(())
}
