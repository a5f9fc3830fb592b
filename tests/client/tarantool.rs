//! Tarantool's own: Lua, SQL, pushes, changes of definitions, unix sockets. Version 2.6 knows no
//! ID.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use vestibule_client::{Client, ErrorCode, ErrorKind, Mode, Outcome, Pool, Retry, Role, Value};

use crate::ledger::Ledger;
use crate::suite::{self, User};
use crate::support::{Directory, PATIENCE, Process, tarantool};

const SCRIPT: &str = r#"
box.cfg{listen = arg[1], work_dir = arg[2], log_level = 1, wal_mode = 'fsync', checkpoint_count = 1}
box.once('spaces', function()
    local users = box.schema.space.create('users', {format = {
        {'id', 'unsigned'}, {'name', 'string'}, {'age', 'unsigned'},
        {'note', 'string', is_nullable = true}}})
    users:create_index('primary')
    users:create_index('age', {unique = false, parts = {3, 'unsigned'}})
    box.schema.space.create('things'):create_index('primary')
    box.schema.user.create('app', {password = 'secret'})
    box.schema.user.grant('app', 'super')
    box.schema.user.grant('guest', 'super')
end)
function sum(left, right) return left + right end
function pushes(count)
    for at = 1, count do box.session.push(at) end
    return 'done'
end
function fails_after_a_write()
    box.space.things:replace({777, 1})
    error('after a write')
end
"#;

pub(crate) struct Tarantool {
    process: Process,
    url: String,
}

impl Tarantool {
    /// Starts on a unix socket in the directory.
    pub(crate) fn start(program: &str, directory: &Directory) -> Self {
        let socket = directory.path().join("t.sock");
        let script = directory.path().join("init.lua");
        let data: PathBuf = directory.path().join("data");
        std::fs::create_dir_all(&data).unwrap();
        std::fs::write(&script, SCRIPT).unwrap();
        let listen = format!("unix/:{}", socket.display());
        let child = Command::new(program)
            .arg(&script)
            .args([&listen, &data.display().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("tarantool starts");
        Self {
            process: Process(child),
            url: listen,
        }
    }

    fn kill(mut self) {
        self.process.0.kill().expect("the child can be killed");
        self.process.wait();
    }

    pub(crate) async fn connect(&self) -> Client {
        let client = Client::builder(&self.url)
            .credentials("app", "secret")
            .backoff(Duration::from_millis(5), Duration::from_millis(50))
            .request_timeout(Some(PATIENCE))
            .open()
            .unwrap();
        // The socket is there before the procedures are.
        while client.call::<u64>("sum", (1, 2)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        client
    }
}

#[tokio::test]
async fn every_operation_works() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let server = Tarantool::start(&program, &directory);
    let client = server.connect().await;
    assert!(!client.server().await.unwrap().has_names);
    suite::every_operation(&client).await;
    suite::names_that_are_not_there(&client).await;
    suite::ranges_and_pages(&client).await;
    suite::values(&client, &[]).await;
    suite::many_at_once(&client).await;
    let error = client.begin().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.outcome()),
        (ErrorKind::Unsupported, Outcome::NotSent)
    );
}

#[tokio::test]
async fn lua_pushes_and_errors() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let server = Tarantool::start(&program, &directory);
    let client = server.connect().await;
    assert_eq!(client.eval::<u64>("return ...", (7, 8)).await.unwrap(), 7);
    let both: (u64, u64) = client
        .eval::<u64>("return ...", (7, 8))
        .all()
        .await
        .unwrap();
    assert_eq!(both, (7, 8));
    let mut pushes = client.call::<String>("pushes", (3,)).pushes::<u64>();
    let mut seen = Vec::new();
    while let Some(push) = pushes.next().await.unwrap() {
        seen.push(push);
    }
    assert_eq!(
        (seen, pushes.result().await.unwrap()),
        (vec![1, 2, 3], "done".to_owned())
    );
    let error = client
        .call::<()>("fails_after_a_write", ())
        .await
        .unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert!(error.to_string().contains("after a write"));
    let there = client.space::<(u64, u64)>("things").get(777).await.unwrap();
    assert_eq!(there, Some((777, 1)), "which is why");
    let value: Value = client.eval("return box.error.new(78)", ()).await.unwrap();
    assert!(
        matches!(value, Value::Str(_) | Value::Error(_)),
        "{value:?}"
    );
}

#[tokio::test]
async fn sql_is_executed_and_prepared() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let server = Tarantool::start(&program, &directory);
    let client = server.connect().await;
    let create = "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, name STRING)";
    client.execute::<()>(create, ()).await.unwrap();
    let insert = "INSERT INTO t VALUES (NULL, ?), (NULL, ?)";
    let inserted = client.execute::<()>(insert, ("Ada", "Bob")).await.unwrap();
    assert_eq!((inserted.changed, inserted.generated_ids), (2, vec![1, 2]));
    let select = "SELECT id, name FROM t WHERE id >= ?";
    let found = client.execute::<(i64, String)>(select, (2,)).await.unwrap();
    assert_eq!(found.rows, [(2, "Bob".to_owned())]);
    assert_eq!(found.columns[1].name, "NAME");
    let prepared = client.prepare(select).await.unwrap();
    assert_eq!(prepared.placeholders, 1);
    let found = client
        .execute_prepared::<(i64, String)>(&prepared, (1,))
        .await
        .unwrap();
    assert_eq!(found.rows.len(), 2);
    client.unprepare(&prepared).await.unwrap();
    let error = client.execute::<()>("SELECT", ()).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Refused);
}

#[tokio::test]
async fn names_are_looked_up_again_when_definitions_change() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let server = Tarantool::start(&program, &directory);
    let (client, other) = (server.connect().await, server.connect().await);
    let things = client.space::<(u64, String)>("things");
    things.insert(&(1, "old".to_owned())).await.unwrap();
    let change = "box.space.things:rename('before'); \
                  box.schema.space.create('things'):create_index('primary')";
    other.eval::<()>(change, ()).await.unwrap();
    things.insert(&(1, "new".to_owned())).await.unwrap();
    let before = client
        .space::<(u64, String)>("before")
        .get(1)
        .await
        .unwrap();
    assert_eq!(
        before.unwrap().1,
        "old",
        "nothing was written to the wrong space"
    );
    assert_eq!(things.get(1).await.unwrap().unwrap().1, "new");
}

#[tokio::test]
async fn a_wrong_password_and_a_missing_right_are_refused() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let server = Tarantool::start(&program, &directory);
    let client = server.connect().await;
    let wrong = Client::builder(&server.url)
        .credentials("app", "wrong")
        .connect()
        .await;
    let code = wrong.unwrap_err().code();
    // Of 2.6 it is another error than of later ones.
    assert!(matches!(code, Some(ErrorCode::CREDS_MISMATCH)), "{code:?}");
    client
        .eval::<()>("box.schema.user.revoke('guest', 'super')", ())
        .await
        .unwrap();
    let guest = Client::connect(&server.url).await.unwrap();
    let error = guest.space::<User>("users").get(1).await.unwrap_err();
    assert_ne!(error.outcome(), Outcome::Unknown, "{error}");
}

#[tokio::test]
async fn what_was_told_is_true_although_the_server_was_killed() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let mut server = Tarantool::start(&program, &directory);
    let client = server.connect().await;
    let ledger = Ledger::begin(&client, 20, Retry::default());
    for _ in 0..2 {
        ledger.more(100).await;
        server.kill();
        server = Tarantool::start(&program, &directory);
    }
    ledger.more(100).await;
    let (done, _, unknown) = ledger.settle(&client).await;
    assert!(done >= 300 && unknown > 0, "{done} {unknown}");
    server.kill();
}

#[tokio::test]
async fn a_pool_asks_for_roles_where_no_events_are_told() {
    let Some(program) = tarantool() else { return };
    let (one, two) = (Directory::new(), Directory::new());
    let servers = [
        Tarantool::start(&program, &one),
        Tarantool::start(&program, &two),
    ];
    let (first, second) = (servers[0].connect().await, servers[1].connect().await);
    second
        .eval::<()>("box.cfg{read_only = true}", ())
        .await
        .unwrap();
    let pool = Pool::builder(servers.each_ref().map(|server| server.url.clone()))
        .credentials("app", "secret")
        .role_interval(Duration::from_millis(20))
        .request_timeout(Some(PATIENCE))
        .retry(Retry::within(PATIENCE))
        .connect()
        .await
        .unwrap();
    let writes = pool.client(Mode::Primary).space::<(u64, u64)>("things");
    writes.insert(&(1, 1)).await.unwrap();
    assert_eq!(
        first.space::<(u64, u64)>("things").get(1).await.unwrap(),
        Some((1, 1))
    );
    first
        .eval::<()>("box.cfg{read_only = true}", ())
        .await
        .unwrap();
    second
        .eval::<()>("box.cfg{read_only = false}", ())
        .await
        .unwrap();
    writes.insert(&(2, 2)).await.unwrap();
    assert_eq!(
        second.space::<(u64, u64)>("things").get(2).await.unwrap(),
        Some((2, 2))
    );
    let reads = pool.client(Mode::Replica).space::<(u64, u64)>("things");
    assert_eq!(reads.get(1).await.unwrap(), Some((1, 1)));
    let is_known = |member: &vestibule_client::Member| member.role != Role::Unknown;
    assert!(pool.members().iter().all(is_known));
}
