//! What has to hold on every server. Space `users` is there: id, name, age, note; index `age` on
//! the third field, not unique.

use serde::{Deserialize, Serialize};
use vestibule_client::{
    Client, Datetime, ErrorCode, ErrorKind, KeyRange, Outcome, Update, UuidValue, Value,
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) age: u32,
    #[serde(default)]
    pub(crate) note: Option<String>,
}

pub(crate) fn user(id: u64, age: u32) -> User {
    User {
        id,
        name: format!("user {id}"),
        age,
        note: None,
    }
}

pub(crate) async fn every_operation(client: &Client) {
    let users = client.space::<User>("users");
    let ada = user(1, 36);
    assert_eq!(users.insert(&ada).await.unwrap(), ada);
    let error = users.insert(&ada).await.unwrap_err();
    assert!(error.is_duplicate(), "{error}");
    assert_eq!(error.outcome(), Outcome::Refused);
    assert_eq!(users.get(1).await.unwrap(), Some(ada.clone()));
    assert_eq!(users.get(2).await.unwrap(), None);
    let older = users
        .update(1, Update::new().add("age", 1).set(1, "Ada"))
        .await
        .unwrap();
    assert_eq!(
        older.map(|own| (own.age, own.name)),
        Some((37, "Ada".to_owned()))
    );
    assert_eq!(
        users.update(9, Update::new().add("age", 1)).await.unwrap(),
        None
    );
    let spliced = users
        .update(1, Update::new().splice("name", 0, 1, "Id"))
        .await
        .unwrap();
    assert_eq!(spliced.unwrap().name, "Idda");
    users
        .upsert(&user(2, 20), Update::new().add("age", 1))
        .await
        .unwrap();
    users
        .upsert(&user(2, 20), Update::new().add("age", 5))
        .await
        .unwrap();
    assert_eq!(users.get(2).await.unwrap().unwrap().age, 25);
    assert_eq!(users.replace(&user(2, 30)).await.unwrap().age, 30);
    assert_eq!(users.index("age").get(30).await.unwrap().unwrap().id, 2);
    assert_eq!(users.delete(1).await.unwrap().unwrap().id, 1);
    assert_eq!(users.delete(1).await.unwrap(), None);
    users.delete(2).await.unwrap();
    client.ping().await.unwrap();
}

pub(crate) async fn names_that_are_not_there(client: &Client) {
    let error = client.space::<User>("nowhere").get(1).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::NO_SUCH_SPACE));
    assert_ne!(error.outcome(), Outcome::Unknown);
    let users = client.space::<User>("users");
    let error = users.index("nothing").get(1).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::NO_SUCH_INDEX_NAME));
    assert_ne!(error.outcome(), Outcome::Unknown);
    let error = client
        .call::<()>("no_such_procedure", ())
        .await
        .unwrap_err();
    assert_eq!(error.outcome(), Outcome::Refused);
}

pub(crate) async fn ranges_and_pages(client: &Client) {
    let users = client.space::<User>("users");
    let all: Vec<u64> = (1..=100).collect();
    for id in &all {
        users.replace(&user(*id, (*id % 7) as u32)).await.unwrap();
    }
    let ids = |found: Vec<User>| found.into_iter().map(|user| user.id).collect::<Vec<_>>();
    assert_eq!(ids(users.select(..).await.unwrap()), all);
    assert_eq!(ids(users.select(98..).await.unwrap()), [98, 99, 100]);
    assert_eq!(ids(users.select(..3).await.unwrap()), [2, 1]);
    assert_eq!(ids(users.select(..=3).await.unwrap()), [3, 2, 1]);
    assert_eq!(
        ids(users.select(..).offset(5).limit(2).await.unwrap()),
        [6, 7]
    );
    let by_age = users.index("age");
    assert_eq!(by_age.select(KeyRange::eq(3)).await.unwrap().len(), 14);
    for page in [1, 7, 50, 100, 1000] {
        let mut stream = users.select(..).batch(page).stream();
        let mut seen = Vec::new();
        while let Some(user) = stream.try_next().await.unwrap() {
            seen.push(user.id);
        }
        assert_eq!(seen, all, "pages of {page}");
    }
    let mut down = users.select(..=50).batch(20).stream();
    let mut sizes = Vec::new();
    while let Some(page) = down.try_next_page().await.unwrap() {
        sizes.push((page.len(), page[0].id));
    }
    assert_eq!(sizes, [(20, 50), (20, 30), (10, 10)]);
    let mut limited = users.select(..).offset(10).limit(25).batch(10).stream();
    let mut seen = Vec::new();
    while let Some(user) = limited.try_next().await.unwrap() {
        seen.push(user.id);
    }
    assert_eq!(seen, (11..=35).collect::<Vec<_>>());
    let mut of_age = by_age.select(KeyRange::eq(3)).batch(4).stream();
    let mut seen = Vec::new();
    while let Some(user) = of_age.try_next().await.unwrap() {
        seen.push(user.id);
    }
    let expected: Vec<u64> = all.iter().copied().filter(|id| id % 7 == 3).collect();
    assert_eq!(seen, expected, "an index that is not unique");
    let mut older = by_age.select(2..).batch(9).stream();
    let mut count = 0;
    while older.try_next().await.unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, all.iter().filter(|id| *id % 7 >= 2).count());
}

/// Values that 2.6 has as well; `newer` are those that it has not.
pub(crate) async fn values(client: &Client, newer: &[Value]) {
    let things = client.space::<(u64, Value)>("things");
    let own = [
        Value::Nil,
        Value::Bool(true),
        Value::Int(-7),
        Value::Float(0.25),
        Value::Str("ä".to_owned()),
        Value::Bytes(vec![0, 255]),
        Value::Decimal("-12345678901234567890.125".parse().unwrap()),
        Value::Uuid(
            "7170b4af-c72f-4f07-8729-08fc678543a1"
                .parse::<UuidValue>()
                .unwrap(),
        ),
        Value::Map(vec![(
            Value::Str("k".to_owned()),
            Value::Array(vec![Value::Nil]),
        )]),
    ];
    for (id, value) in own.iter().chain(newer).enumerate() {
        let tuple = (id as u64, value.clone());
        assert_eq!(things.replace(&tuple).await.unwrap(), tuple);
        assert_eq!(things.get(id as u64).await.unwrap(), Some(tuple));
    }
    let typed = client.space::<(u64, Datetime)>("things");
    if newer
        .iter()
        .any(|value| matches!(value, Value::Datetime(_)))
    {
        typed
            .replace(&(0, Datetime::from_seconds(5)))
            .await
            .unwrap();
        assert_eq!(typed.get(0).await.unwrap().unwrap().1.seconds, 5);
    }
    things.replace(&(0, Value::Bool(true))).await.unwrap();
    let error = typed.get(0).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.outcome()),
        (ErrorKind::Decode, Outcome::Unknown)
    );
}

/// 10,000 requests of 100 tasks over one connection, reads and writes among each other.
pub(crate) async fn many_at_once(client: &Client) {
    let tasks: Vec<_> = (0..100u64)
        .map(|task| {
            let things = client.space::<(u64, u64)>("things");
            tokio::spawn(async move {
                for at in 0..50 {
                    let id = 1_000_000 + task * 1000 + at;
                    things.replace(&(id, task)).await.unwrap();
                    assert_eq!(things.get(id).await.unwrap(), Some((id, task)));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(client.in_flight(), 0);
}
