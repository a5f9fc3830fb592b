//! The embedded engine keeps the contract of engines, as far as it can be checked for all.

mod support;

use vestibule_actors::testing::EngineCheck;

#[test]
fn the_embedded_engine_keeps_the_contract() {
    let data = support::data_with_rows();
    EngineCheck::of(data.engine())
        .with_failing_commits({
            let data = data.clone();
            move |fail| data.fail_writes(fail)
        })
        .run();
}
