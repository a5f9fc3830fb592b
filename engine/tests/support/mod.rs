//! What the tests of whole engines begin with.

use std::sync::Arc;

use vestibule_actors::testing::TestServer;
use vestibule_engine::procedures;
use vestibule_engine::testing::TestData;

/// A data directory with a space `rows`, whose number is 512, and its primary index.
pub(crate) fn data_with_rows() -> Arc<TestData> {
    let data = Arc::new(TestData::new());
    let server = TestServer::of(data.engine(), procedures::standard());
    let mut peer = server.connect();
    let made = peer.call_with("box.schema.space.create", &("rows",));
    assert_eq!(made.code, 0, "{made:?}");
    let indexed = peer.call_with("box.space.rows:create_index", &("pk",));
    assert_eq!(indexed.code, 0, "{indexed:?}");
    data
}
