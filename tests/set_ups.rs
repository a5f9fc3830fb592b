//! What set-up scripts of connectors that cannot be installed here ask for, as the requests that
//! they would be: go-tarantool's, FZambia's and PHP's.

mod support;

use serde_json::{Value, json};
use support::{Directory, Server, pack};
use vestibule_actors::testing::{Frame, Peer, RequestBuilder};
use vestibule_wire::keys::{self, RequestType};

fn ask(peer: &mut Peer, name: &str, args: &Value) -> Frame {
    peer.call(name, &pack(args))
}

fn call(peer: &mut Peer, name: &str, args: Value) -> Value {
    let reply = ask(peer, name, &args);
    assert_eq!(reply.code, 0, "{name}: {:?}", reply.error_text());
    reply.data()
}

fn select(peer: &mut Peer, space: u64, key: &Value) -> Value {
    let request = RequestBuilder::new(RequestType::Select, 1)
        .uint(keys::SPACE_ID, space)
        .uint(keys::LIMIT, u64::from(u32::MAX))
        .pair(keys::KEY, &pack(key));
    peer.ask(&request).data()
}

fn replace(peer: &mut Peer, space: u64, tuple: &Value) -> Frame {
    let request = RequestBuilder::new(RequestType::Replace, 1)
        .uint(keys::SPACE_ID, space)
        .pair(keys::TUPLE, &pack(tuple));
    peer.ask(&request)
}

const SPACE: u64 = 280;
const INDEX: u64 = 288;

/// Spaces, an index with a sequence, options that mean nothing here.
fn make_spaces(peer: &mut Peer) {
    let format = json!([
        {"name": "name0", "type": "unsigned"},
        {"name": "name1", "type": "unsigned"},
        {"name": "name2", "type": "string"},
        {"name": "name3", "type": "unsigned"},
        {"name": "name4", "type": "unsigned"},
        {"name": "name5", "type": "string"},
    ]);
    let options = json!({
        "id": 616, "temporary": true, "if_not_exists": true, "field_count": 7, "format": format,
    });
    call(
        peer,
        "box.schema.space.create",
        json!(["schematest", options]),
    );
    let primary = json!({"type": "hash", "parts": [1, "unsigned"], "if_not_exists": true});
    call(
        peer,
        "box.space.schematest:create_index",
        json!(["primary", primary]),
    );
    let secondary = json!({
        "id": 3, "type": "tree", "unique": false, "parts": [2, "unsigned", 3, "string"],
        "if_not_exists": true,
    });
    call(
        peer,
        "box.space.schematest:create_index",
        json!(["secondary", secondary]),
    );
    assert_eq!(
        select(peer, SPACE, &json!([616]))[0][5],
        json!({"temporary": true})
    );
    call(
        peer,
        "box.schema.sequence.create",
        json!(["seq", {"if_not_exists": true}]),
    );
    let options = json!({"if_not_exists": true, "is_local": true});
    call(
        peer,
        "box.schema.space.create",
        json!(["test_queue", options]),
    );
    let primary = json!({"parts": [[1, "uint"]], "sequence": "seq", "hint": true});
    call(
        peer,
        "box.space.test_queue:create_index",
        json!(["primary", primary]),
    );
    let stored = call(peer, "box.space.test_queue:insert", json!([[null, "task"]]));
    assert_eq!(stored, json!([[1, "task"]]));
}

/// Functions with bodies, and users with rights on Lua and SQL.
fn make_functions_and_users(peer: &mut Peer) {
    call(
        peer,
        "box.schema.func.create",
        json!(["box.info", {"if_not_exists": true}]),
    );
    let body = "function(a) return a end";
    call(
        peer,
        "box.schema.func.create",
        json!(["simple_concat", {"body": body, "is_deterministic": true, "language": "LUA"}]),
    );
    let refused = ask(peer, "simple_concat", &json!([1]));
    assert_eq!(refused.error_code(), Some(5));
    assert!(refused.error_mentions("simple_concat"));
    call(
        peer,
        "box.schema.user.create",
        json!(["test", {"password": "test", "if_not_exists": true}]),
    );
    for grant in [
        json!(["test", "execute", "universe", null, {"if_not_exists": true}]),
        json!(["test", "read,write", "space", "schematest"]),
        json!(["test", "create,read,write,drop,alter", "space"]),
        json!(["test", "create", "sequence"]),
        json!(["test", "execute", "lua_eval"]),
        json!(["test", "execute", "lua_call"]),
        json!(["test", "execute", "sql"]),
    ] {
        call(peer, "box.schema.user.grant", grant);
    }
}

#[test]
fn the_set_up_of_go_tarantool() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let mut peer = server.connect();
    make_spaces(&mut peer);
    make_functions_and_users(&mut peer);
    let mut user = server.connect();
    assert_eq!(user.log_in("test", "test").code, 0);
    let row = json!([7, 1, "a", 2, 3, "b", null]);
    assert_eq!(replace(&mut user, 616, &row).code, 0);
    assert_eq!(select(&mut user, 616, &json!([7])), json!([row]));
}

#[test]
fn definitions_written_and_read_as_rows() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let mut peer = server.connect();
    // Numbers below those of the system, as PHP's suite takes them.
    let format =
        json!([{"name": "id", "type": "num", "comment": "key"}, {"name": "v", "type": "*"}]);
    let space = json!([100, 1, "rows", "memtx", 0, {"temporary": true}, format]);
    let index = json!([100, 0, "pk", "tree", {"unique": true, "hint": true}, [[0, "num"]]]);
    for (id, row) in [(SPACE, &space), (INDEX, &index)] {
        let reply = replace(&mut peer, id, row);
        assert_eq!(reply.code, 0, "{:?}", reply.error_text());
    }
    assert_eq!(select(&mut peer, SPACE, &json!([100])), json!([space]));
    assert_eq!(select(&mut peer, INDEX, &json!([100])), json!([index]));
    let told = replace(
        &mut peer,
        INDEX,
        &json!([100, 0, "pk", "tree", {"foo": 1}, [[0, "num"]]]),
    );
    assert_eq!(told.error_code(), Some(108), "{:?}", told.error_text());
    assert_eq!(replace(&mut peer, 100, &json!([1, "x"])).code, 0);
    assert_eq!(select(&mut peer, 100, &json!([1])), json!([[1, "x"]]));
}

#[test]
fn whole_numbers_go_into_a_field_of_type_double() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let mut peer = server.connect();
    let format = json!([["id", "unsigned"], ["price", "double"]]);
    call(
        &mut peer,
        "box.schema.space.create",
        json!(["prices", {"format": format}]),
    );
    call(&mut peer, "box.space.prices:create_index", json!(["pk"]));
    let parts = json!({"parts": [["price"]], "unique": false});
    call(
        &mut peer,
        "box.space.prices:create_index",
        json!(["price", parts]),
    );
    for row in [json!([1, 2]), json!([2, 1.5]), json!([3, -7])] {
        assert_eq!(replace(&mut peer, 512, &row).code, 0, "{row}");
    }
    let found = call(&mut peer, "box.space.prices.index.price:select", json!([]));
    assert_eq!(found, json!([[[3, -7], [2, 1.5], [1, 2]]]));
}
