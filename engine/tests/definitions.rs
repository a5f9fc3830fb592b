//! Definitions of an embedder: made at the first start, held against at later ones.

use std::collections::BTreeMap;
use std::time::Duration;

use vestibule_actors::EngineError;
use vestibule_actors::testing::{RequestBuilder, TestServer, block_on};
use vestibule_actors::wire::ErrorCode;
use vestibule_actors::wire::keys::{self, RequestType};
use vestibule_actors::wire::reply::write_serialized;
use vestibule_engine::testing::TestData;
use vestibule_engine::{
    Definitions, DefinitionsError, EmbeddedEngine, SpaceDefinition, procedures,
};

type Server = TestServer<EmbeddedEngine>;

fn start(data: &TestData) -> Server {
    TestServer::of(data.engine(), procedures::standard())
}

fn users() -> SpaceDefinition {
    SpaceDefinition::new("users")
        .field("id", "unsigned")
        .field("name", "string")
        .nullable_field("age", "unsigned")
        .index("primary", &["id"])
        .non_unique_index("by_name", &["name", "id"])
}

fn definitions() -> Definitions {
    let sessions = SpaceDefinition::new("sessions").field("key", "string");
    Definitions::new()
        .space(users())
        .space(sessions.index("primary", &["key"]).temporary())
        .user("alice", "secret", &[("read,write", "space", "users")])
}

fn establish(definitions: &Definitions, server: &Server) -> Result<(), DefinitionsError> {
    block_on(definitions.establish(server.handle()))
}

fn schema_version(server: &Server) -> u64 {
    server
        .connect()
        .call_with("box.info", &())
        .schema_version
        .unwrap_or_default()
}

#[test]
fn they_are_made_once_and_there_at_the_next_start() {
    let data = TestData::new();
    let server = start(&data);
    establish(&definitions(), &server).expect("all of it is made");
    let mut peer = server.connect();
    assert_eq!(peer.log_in("alice", "secret").code, 0);
    assert_eq!(
        peer.ask(&RequestBuilder::select(1, 1)).code,
        0,
        "she may read"
    );
    let stored = block_on(server.handle().write(|engine| {
        let mut data = engine.data();
        data.space::<(u64, String, u64)>("users")
            .insert(&(1, "ann", 7))
    }));
    assert!(stored.is_ok(), "{stored:?}");
    drop(server);
    let server = start(&data);
    let before = schema_version(&server);
    establish(&definitions(), &server).expect("it is there");
    assert_eq!(schema_version(&server), before, "nothing was made again");
    let found = block_on(server.handle().read(|engine| {
        let users = engine.reader().space::<(u64, String, u64)>("users");
        users
            .index("by_name")
            .get(&("ann", 1))
            .map(|row| row.is_some())
    }));
    assert_eq!(
        found.map_err(|error| error.error().code()),
        Err(ErrorCode::MORE_THAN_ONE_TUPLE)
    );
}

#[test]
fn what_differs_is_told_and_left_as_it_is() {
    let data = TestData::new();
    let server = start(&data);
    establish(&definitions(), &server).expect("all of it is made");
    let other = |space: SpaceDefinition| {
        let told = establish(&Definitions::new().space(space), &server);
        told.expect_err("it differs").to_string()
    };
    let format = SpaceDefinition::new("users").field("id", "string");
    assert_eq!(
        other(format),
        "the format of the space 'users' is not as the program needs it: (id unsigned, name \
         string, age unsigned or nil) is there, (id string) is needed"
    );
    let index = SpaceDefinition::new("users")
        .field("id", "unsigned")
        .field("name", "string")
        .index("by_name", &["name"]);
    assert_eq!(
        other(index),
        "the index 'by_name' of the space 'users' is not as the program needs it: not unique over \
         field 2 as string, field 1 as unsigned is there, unique over field 2 as string is needed"
    );
    assert!(other(users().temporary()).contains("one that is kept is there"));
    let nowhere = users().index("by_size", &["size"]);
    assert!(other(nowhere).contains("'size', which is no field of 'users'"));
    // What was added behind it is no concern of a program that does not know it.
    let older = SpaceDefinition::new("users")
        .field("id", "unsigned")
        .index("primary", &["id"]);
    establish(&Definitions::new().space(older), &server).expect("it has what it needs");
}

/// What a space is decides, and not how its rows are written.
#[test]
fn what_is_written_in_another_way_is_as_wanted() {
    let data = TestData::new();
    let server = start(&data);
    let older_names = SpaceDefinition::new("pages")
        .field("id", "uint")
        .field("name", "STR")
        .index("primary", &["id", "name"]);
    let notes = SpaceDefinition::new("notes")
        .field("id", "unsigned")
        .temporary()
        .index("primary", &["id"]);
    let definitions = Definitions::new().space(older_names).space(notes);
    // As a client may put it: of a type that says the same, and with a field that says no type.
    let id = BTreeMap::from([("name", "id"), ("type", "num")]);
    let format = (id, BTreeMap::from([("name", "more")]));
    let options = BTreeMap::from([("type", "data-temporary")]);
    let mut row = Vec::new();
    write_serialized(&mut row, &(600, 1, "notes", "memtx", 0, options, format)).expect("it is one");
    let put = RequestBuilder::new(RequestType::Insert, 1)
        .uint(keys::SPACE_ID, 280)
        .pair(keys::TUPLE, &row);
    assert_eq!(server.connect().ask(&put).code, 0);
    establish(&definitions, &server).expect("what is missing is made");
    let before = schema_version(&server);
    establish(&definitions, &server).expect("it is there");
    assert_eq!(schema_version(&server), before, "nothing was made again");
}

/// A start that was cut off has left a space without its second index, and a user without rights.
#[test]
fn what_a_start_has_left_is_completed_by_the_next_one() {
    let data = TestData::new();
    let server = start(&data);
    let begun = SpaceDefinition::new("users")
        .field("id", "unsigned")
        .field("name", "string");
    let begun = begun
        .nullable_field("age", "unsigned")
        .index("primary", &["id"]);
    establish(&Definitions::new().space(begun), &server).expect("it is made");
    let mut admin = server.connect();
    assert_eq!(
        admin.call_with("box.schema.user.create", &("alice",)).code,
        0
    );
    establish(&definitions(), &server).expect("the rest is made");
    let mut alice = server.connect();
    assert_eq!(alice.log_in("alice", "secret").code, 0);
    // A password that is another, and a right that is taken back, stay so.
    assert_eq!(
        admin
            .call_with("box.schema.user.passwd", &("alice", "other"))
            .code,
        0
    );
    establish(&definitions(), &server).expect("it is there");
    assert_eq!(server.connect().log_in("alice", "other").code, 0);
}

#[test]
fn a_replica_makes_nothing_and_needs_nothing_if_all_is_there() {
    let data = TestData::new();
    let server = start(&data);
    assert!(server.demote(Duration::ZERO).transition.is_some());
    let told = establish(&definitions(), &server);
    let Err(DefinitionsError::Engine(EngineError::Refused(error))) = told else {
        panic!("{told:?}");
    };
    assert_eq!(error.code(), ErrorCode::READONLY);
    server.promote();
    establish(&definitions(), &server).expect("all of it is made");
    assert!(server.demote(Duration::ZERO).transition.is_some());
    establish(&definitions(), &server).expect("it is there");
}
