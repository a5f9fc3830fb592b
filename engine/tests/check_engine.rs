//! The embedded engine keeps the contract of engines, as far as it can be checked for all.

use std::sync::Arc;

use vestibule_actors::testing::{EngineCheck, TestServer};
use vestibule_engine::procedures;
use vestibule_engine::testing::TestData;

#[test]
fn the_embedded_engine_keeps_the_contract() {
    let data = Arc::new(TestData::new());
    {
        let server = TestServer::of(data.engine(), procedures::standard());
        let mut peer = server.connect();
        let made = peer.call_with("box.schema.space.create", &("rows",));
        assert_eq!(made.code, 0, "{made:?}");
        let indexed = peer.call_with("box.space.rows:create_index", &("pk",));
        assert_eq!(indexed.code, 0, "{indexed:?}");
    }
    EngineCheck::of(data.engine())
        .with_failing_commits({
            let data = data.clone();
            move |fail| data.fail_writes(fail)
        })
        .run();
}
