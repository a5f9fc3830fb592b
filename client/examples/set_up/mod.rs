//! What the examples share: the server to talk to, and a space to talk about.

use serde::Serialize;
use vestibule_client::{Client, Error, ErrorCode, Value};

/// The URL on the command line, or that of a server on this machine.
pub(crate) fn url() -> String {
    let url = std::env::args().nth(1);
    url.unwrap_or_else(|| "tarantool://127.0.0.1:3301".to_owned())
}

#[derive(Serialize)]
struct Field {
    name: &'static str,
    r#type: &'static str,
}

/// An empty space of accounts: number, owner and balance.
pub(crate) async fn make_accounts(client: &Client) -> Result<(), Error> {
    if let Err(error) = client
        .call::<Value>("box.schema.space.create", ("accounts",))
        .await
    {
        if error.code() != Some(ErrorCode::SPACE_EXISTS) {
            return Err(error);
        }
        client.call::<Value>("box.space.accounts:drop", ()).await?;
        client
            .call::<Value>("box.schema.space.create", ("accounts",))
            .await?;
    }
    client
        .call::<Value>("box.space.accounts:create_index", ("primary",))
        .await?;
    let fields = [
        ("id", "unsigned"),
        ("owner", "string"),
        ("balance", "integer"),
    ];
    let fields = fields.map(|(name, r#type)| Field { name, r#type });
    // Options of procedures are maps, where tuples are lists.
    let fields: Value = Value::named(&fields)?;
    client
        .call::<Value>("box.space.accounts:format", (fields,))
        .await?;
    Ok(())
}
