//! Options that cannot be are refused by their name, before anything is opened.

use std::time::Duration;

use vestibule_actors::actix_rt::System;
use vestibule_actors::{Config, Procedures, StartError, start};
use vestibule_engine::{CheckpointOptions, EmbeddedEngine, EngineOptions, JournalSync};

#[test]
fn an_option_that_cannot_be_is_refused_by_its_name() {
    let directory = std::env::temp_dir().join(format!("options-{}", std::process::id()));
    let options = || EngineOptions::new(&directory);
    let no_checkpoint = CheckpointOptions::default().count(0);
    let cases = [
        ("data_dir is empty", EngineOptions::new("")),
        ("tuple_size_max is 0", options().tuple_size_max(0)),
        (
            "checkpoints.count is 0, and one is kept at least",
            options().checkpoints(no_checkpoint),
        ),
        (
            "journal_sync is by interval, and the interval is zero: take JournalSync::Turn",
            options().journal_sync(JournalSync::Interval(Duration::ZERO)),
        ),
    ];
    for (text, options) in cases {
        let fault = System::new().block_on(async {
            let engine = EmbeddedEngine::factory(options.clone());
            start(Config::default(), engine, Procedures::default())
        });
        let fault = fault.expect_err("it is refused");
        assert!(matches!(fault, StartError::Engine(_)), "{fault:?}");
        let whole = format!("bad options of the engine: {text}");
        assert_eq!(fault.to_string(), whole);
    }
    assert!(!directory.exists(), "nothing was opened");
}
