//! Settings of engines that are replaced while one of them serves.

use std::path::PathBuf;
use std::time::Duration;

use vestibule_actors::serving::State;
use vestibule_actors::testing::{Peer, RequestBuilder, TestServer};
use vestibule_engine::{
    CheckpointOptions, EmbeddedEngine, EmbeddedFactory, EngineOptions, EngineSettings,
    OptionsError, procedures,
};

const SIZE: u32 = 10_000;

/// A server over an empty directory, which is removed in the end.
struct Rig {
    engines: EmbeddedFactory,
    server: Option<TestServer<EmbeddedEngine>>,
    directory: PathBuf,
}

impl Rig {
    /// Makes no checkpoints, and has the space that requests go to.
    fn new(name: &str) -> Self {
        let directory = format!("vestibule-settings-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(directory);
        let never = CheckpointOptions::default()
            .journal_size_bytes(None)
            .interval(None);
        let options = EngineOptions::new(&directory).checkpoints(never);
        let engines = EmbeddedEngine::factory(options);
        let procedures = procedures::with_debug(procedures::standard());
        let server = TestServer::of(engines.clone(), procedures);
        let mut peer = server.connect();
        let made = peer.call_with("box.schema.space.create", &("rows",));
        assert_eq!(made.code, 0, "{made:?}");
        let indexed = peer.call_with("box.space.rows:create_index", &("pk",));
        assert_eq!(indexed.code, 0, "{indexed:?}");
        Self {
            engines,
            server: Some(server),
            directory,
        }
    }

    fn server(&self) -> &TestServer<EmbeddedEngine> {
        self.server.as_ref().expect("it runs")
    }

    fn reconfigure(&self, change: impl FnOnce(EngineSettings) -> EngineSettings) {
        let settings = change(self.engines.settings());
        assert_eq!(self.engines.reconfigure(settings), Ok(()));
        assert_eq!(self.engines.settings(), settings);
    }

    /// Bytes that data take.
    fn used(&self) -> usize {
        let limits = self.server().handle().limits();
        let limit = limits
            .into_iter()
            .find(|own| own.name == "memory_max_bytes");
        limit.expect("it is shown").used.expect("it is counted") as usize
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        drop(self.server.take());
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Stores large tuples until one is refused, at most so many; tells how many it took.
fn fill(peer: &mut Peer, from: u64, most: u64) -> u64 {
    let is_stored = |key: &u64| {
        let reply = peer.ask(&RequestBuilder::replace_large(1, from + key, SIZE));
        assert!(matches!(reply.error_code(), None | Some(2)), "{reply:?}");
        reply.code == 0
    };
    (0..most).take_while(is_stored).count() as u64
}

#[test]
fn what_cannot_be_changes_nothing() {
    let rig = Rig::new("wrong");
    let before = rig.engines.settings();
    let none = CheckpointOptions::default().count(0);
    let wrong = before.memory_max(1).checkpoints(none);
    let refused = rig.engines.reconfigure(wrong);
    assert_eq!(refused, Err(OptionsError::NoCheckpoint));
    assert_eq!(rig.engines.settings(), before);
}

#[test]
fn the_bound_on_the_memory_of_data_holds_at_once_and_for_the_next_engine() {
    let rig = Rig::new("memory");
    let mut peer = rig.server().connect();
    assert_eq!(fill(&mut peer, 0, 50), 50);
    rig.reconfigure(|own| own.memory_max(1));
    assert_eq!(fill(&mut peer, 100, 1), 0, "there are more than may be");
    let bound = rig.used() + 10 * SIZE as usize;
    rig.reconfigure(|own| own.memory_max(bound));
    let more = fill(&mut peer, 100, 50);
    assert!((5..=10).contains(&more), "{more}");
    // One engine dies, and the next one goes by the same.
    assert_ne!(peer.call("vestibule.debug.panic", &[0x90]).code, 0);
    rig.server().wait_for(State::Assist);
    assert_eq!(fill(&mut peer, 200, 50), 0);
    rig.reconfigure(|own| own.memory_max(0));
    assert_eq!(fill(&mut peer, 200, 20), 20);
    assert!(rig.used() > bound);
}

#[test]
fn checkpoints_are_made_by_the_new_options() {
    let rig = Rig::new("checkpoints");
    let checkpoints = || {
        let metrics = rig.server().handle().metrics();
        let engine = metrics.engine.expect("it tells");
        engine.checkpoints.expect("they are made")
    };
    let by = |options| rig.reconfigure(|own| own.checkpoints(options));
    let never = rig.engines.settings().checkpoints;
    let mut peer = rig.server().connect();
    assert_eq!(fill(&mut peer, 0, 10), 10);
    assert_eq!(checkpoints().last_success, None);
    // There is as much already.
    by(never.journal_size_bytes(Some(u64::from(5 * SIZE))));
    let wait = |what: &str, until: &dyn Fn() -> bool| rig.server().wait_until(what, until);
    wait("one was made", &|| checkpoints().last_success.is_some());
    wait("it counts anew", &|| checkpoints().journal_bytes == 0);
    by(never);
    let first = checkpoints().last_success;
    assert_eq!(fill(&mut peer, 0, 10), 10);
    assert_eq!(checkpoints().last_success, first);
    by(never.interval(Some(Duration::from_millis(1))));
    wait("it is old enough", &|| checkpoints().last_success > first);
}
