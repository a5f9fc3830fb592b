//! The contract of engines as a test that every engine has to pass.
//!
//! ```text
//!   make ─▶ Subject: an engine that has recovered, and a space of its catalog to write to
//!             └─▶ rule by rule: turns, failures, transactions, the view, another engine
//! ```
//!
//! | file | what |
//! |---|---|
//! | `broken` | how a broken rule is told |
//! | `target` | the space that is written to, and its tuples |
//! | `subject` | the engine as Tx would drive it |
//! | `rules` | what has to hold |

mod broken;
mod rules;
mod subject;
mod target;

use crate::engine::{Engine, Fault};

use broken::FailCommits;
use subject::Subject;

/// Checks that an engine keeps the contract of [`Engine`], as far as every engine has to:
///
/// * a turn is seen by its own requests at once, by the view and by the next engine only once it is
///   committed;
/// * a discarded turn, a rolled back transaction and a failed request leave nothing behind;
/// * what an open transaction has stored is seen by itself alone;
/// * what was committed is there for the engine that is made after this one, and nothing else is;
/// * where nothing may be changed it refuses changes, if it [says](crate::engine::RefusedBy) that
///   it does;
/// * what does not exist is an error and no panic; the schema version moves with the catalog only.
///
/// `make` makes engines, one after the other, as [`start`](crate::start) has them made when Tx
/// dies. The catalog has to have a space of the engine's own with a primary index over numbers and
/// texts, which this stores tuples in and selects from.
///
/// ```
/// use vestibule_actors::testing::{Script, check_engine};
///
/// let script = Script::default();
/// check_engine(move || Ok(script.engine()));
/// ```
///
/// # Panics
///
/// With the rule that is broken, and what was seen.
pub fn check_engine<E: Engine>(make: impl Fn() -> Result<E, Fault>) {
    EngineCheck::of(make).run();
}

/// [`check_engine`] with more to say about the engine.
///
/// ```
/// use vestibule_actors::testing::{EngineCheck, Script};
///
/// let script = Script::default();
/// let own = script.clone();
/// EngineCheck::of(move || Ok(own.engine()))
///     .with_failing_commits(move |fail| script.fail_commits(fail))
///     .run();
/// ```
pub struct EngineCheck<M> {
    make: M,
    space: Option<u32>,
    fail_commits: Option<FailCommits>,
    keeps_nothing: bool,
}

impl<M> std::fmt::Debug for EngineCheck<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineCheck")
            .field("space", &self.space)
            .finish_non_exhaustive()
    }
}

impl<E: Engine, M: Fn() -> Result<E, Fault>> EngineCheck<M> {
    /// Of the engines that this makes.
    #[must_use]
    pub fn of(make: M) -> Self {
        Self {
            make,
            space: None,
            fail_commits: None,
            keeps_nothing: false,
        }
    }

    /// Stores tuples in this space, and not in the first one of the catalog.
    #[must_use]
    pub fn in_space(mut self, space: u32) -> Self {
        self.space = Some(space);
        self
    }

    /// Also checks what a commit that fails leaves behind. This makes commits fail (true) or lets
    /// them go on (false).
    #[must_use]
    pub fn with_failing_commits(mut self, fail: impl Fn(bool) + 'static) -> Self {
        self.fail_commits = Some(Box::new(fail));
        self
    }

    /// The engine keeps its data in memory alone: the next one has nothing of it, and clients lose
    /// what was acknowledged when Tx dies.
    #[must_use]
    pub fn that_keeps_nothing(mut self) -> Self {
        self.keeps_nothing = true;
        self
    }

    /// Checks all of it.
    ///
    /// # Panics
    ///
    /// With the rule that is broken, and what was seen.
    pub fn run(self) {
        let mut subject = Subject::new(&self.make, self.space);
        rules::turns(&mut subject);
        rules::requests_that_fail(&mut subject);
        rules::discarded_turns(&mut subject);
        if let Some(fail) = &self.fail_commits {
            rules::failed_commits(&mut subject, fail);
        }
        rules::transactions(&mut subject);
        rules::read_only(&mut subject);
        rules::the_view(&mut subject);
        rules::the_next_engine(&mut subject, self.keeps_nothing);
    }
}
