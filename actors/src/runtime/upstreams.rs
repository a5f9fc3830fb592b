//! Drains of upstreams that an embedder asks for.

use super::gateway::Gateway;
use super::handle::RuntimeHandle;
use super::transition::Transition;
use crate::config::Grace;
use crate::serving::UpstreamUse;
use crate::transitions::{TransitionOutcome, TransitionTarget};

impl RuntimeHandle<Gateway> {
    /// Drains the upstream of this name: requests go elsewhere at once, what was sent and
    /// transactions that are open there may finish until the grace is over, and are cut off then.
    /// Requests do not go there before [`restore_upstream`](Self::restore_upstream). Without a
    /// grace it is as the configuration has it. Returns how it went; `None` if there is no such
    /// upstream.
    pub async fn drain_upstream(
        &self,
        name: &str,
        grace: Option<Grace>,
    ) -> Option<TransitionOutcome> {
        let asked = self.of_upstream(name, UpstreamUse::Drained)?;
        let asked = match grace {
            Some(grace) => asked.grace(grace),
            None => asked,
        };
        Some(self.change(asked).await)
    }

    /// Requests may go to the upstream of this name again. `None` if there is no such upstream.
    pub async fn restore_upstream(&self, name: &str) -> Option<TransitionOutcome> {
        let asked = self.of_upstream(name, UpstreamUse::Used)?;
        Some(self.change(asked).await)
    }

    fn of_upstream(&self, name: &str, wanted: UpstreamUse) -> Option<Transition> {
        let gateway = self.shared.gateway.as_ref()?;
        let target = TransitionTarget::Upstream(gateway.find_upstream(name)?, wanted);
        Some(Transition::new(target))
    }
}
