//! Transitions that an embedder asks for.

use std::time::Duration;

use tokio::sync::oneshot;

use super::handle::RuntimeHandle;
use crate::config::Grace;
use crate::limits::TRANSITION_WAIT_DEFAULT;
use crate::messages::Requester;
use crate::serving::{Role, UpstreamUse};
use crate::transitions::{
    AskedTimes, TransitionOutcome, TransitionRequest, TransitionResult, TransitionTarget,
};

/// A stop or a change of the role, to be asked for, with everything that an operator may say about
/// it.
///
/// ```
/// use std::time::Duration;
/// use vestibule_actors::config::Grace;
/// use vestibule_actors::{RuntimeHandle, Transition};
///
/// # async fn example<E>(runtime: RuntimeHandle<E>) {
/// let demotion = Transition::to_replica()
///     .grace(Grace::AUTO)
///     .wait(Duration::from_secs(1))
///     .requested_by("the failover");
/// let outcome = runtime.change(demotion).await;
/// println!("{:?}", outcome.result);
/// // Announced for a minute, and then for as long as what runs takes.
/// let stop = Transition::stop().lameduck(Duration::from_secs(60));
/// runtime.begin(stop.grace(Grace::Forever).requested_by("the deployment"));
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it is to be asked for"]
pub struct Transition {
    target: TransitionTarget,
    grace: Option<Grace>,
    lameduck: Option<Duration>,
    wait: Duration,
    reason: Option<String>,
    requested_by: String,
}

impl Transition {
    /// A stop: new work is refused, what runs may finish until the grace is over. If a stop is
    /// under way, times that are given here shorten it.
    pub fn stop() -> Self {
        Self::new(TransitionTarget::Stopped)
    }

    /// A demotion: writes are refused from its beginning, open transactions may finish until the
    /// grace is over, reads never stop. Once it is done, nothing that was admitted before is
    /// written any more, even if Tx stands still.
    pub fn to_replica() -> Self {
        Self::new(TransitionTarget::Role(Role::Replica))
    }

    /// A promotion, which is done at once. Transactions that are open stay read-only.
    pub fn to_primary() -> Self {
        Self::new(TransitionTarget::Role(Role::Primary))
    }

    pub(super) fn new(target: TransitionTarget) -> Self {
        Self {
            target,
            grace: None,
            lameduck: None,
            wait: TRANSITION_WAIT_DEFAULT,
            reason: None,
            requested_by: "the embedder".to_owned(),
        }
    }

    /// How long what runs may finish. Without it, as the configuration has it.
    pub fn grace(mut self, grace: Grace) -> Self {
        self.grace = Some(grace);
        self
    }

    /// How long a stop is announced, with everything still served, before it begins. Without it, as
    /// the configuration has it.
    pub fn lameduck(mut self, time: Duration) -> Self {
        self.lameduck = Some(time);
        self
    }

    /// How long to wait for another transition that is under way:
    /// [`TRANSITION_WAIT_DEFAULT`] without it. A stop waits for none.
    pub fn wait(mut self, time: Duration) -> Self {
        self.wait = time;
        self
    }

    /// What causes it, for the log and the list of transitions: `drain`, `demote` or `promote`
    /// without it.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Who asks for it, for the log and the list of transitions: `the embedder` without it.
    pub fn requested_by(mut self, who: impl Into<String>) -> Self {
        self.requested_by = who.into();
        self
    }

    const fn reason_of_target(&self) -> &'static str {
        match self.target {
            TransitionTarget::Stopped => "drain",
            TransitionTarget::Role(Role::Replica) => "demote",
            TransitionTarget::Role(Role::Primary) => "promote",
            TransitionTarget::Upstream(_, UpstreamUse::Drained) => "drain of an upstream",
            TransitionTarget::Upstream(_, UpstreamUse::Used) => "restoring an upstream",
        }
    }
}

impl<E: 'static> RuntimeHandle<E> {
    /// Asks for a transition and does not wait for it. A stop tells its end by
    /// [`stopped`](Self::stopped).
    pub fn begin(&self, transition: Transition) {
        self.submit(transition, Requester::Nobody);
    }

    /// Asks for a transition and waits until it is over, or cannot be: the grace and 50 ms at most,
    /// and before it the wait for another transition.
    pub async fn change(&self, transition: Transition) -> TransitionOutcome {
        let (told, outcome) = oneshot::channel();
        self.submit(transition, Requester::Embedder(told));
        // Without an answer the runtime is gone.
        outcome.await.unwrap_or(TransitionOutcome {
            result: TransitionResult::Superseded,
            transition: None,
        })
    }

    fn submit(&self, asked: Transition, requester: Requester) {
        let shared = &self.shared;
        let is_stop = asked.target == TransitionTarget::Stopped;
        let settings = shared.settings.load();
        let lameduck = asked.lameduck.unwrap_or(settings.lameduck);
        let grace = asked.grace.unwrap_or(settings.shutdown_grace_period);
        let request = TransitionRequest {
            target: asked.target,
            lameduck: if is_stop { lameduck } else { Duration::ZERO },
            grace: shared.resolve_grace(grace),
            asked: AskedTimes {
                lameduck: asked.lameduck.is_some(),
                grace: asked.grace.is_some(),
            },
            wait: if is_stop { Duration::ZERO } else { asked.wait },
            reason: match &asked.reason {
                Some(reason) => reason.clone(),
                None => asked.reason_of_target().to_owned(),
            },
            requested_by: asked.requested_by,
        };
        self.peers.supervisor.submit(request, requester);
    }
}
