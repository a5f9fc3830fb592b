//! What an embedder asks of a gateway: drains of upstreams, and by what clients are known.

use super::gateway::Gateway;
use super::handle::RuntimeHandle;
use super::transition::Transition;
use crate::config::Grace;
use crate::serving::UpstreamUse;
use crate::transitions::{TransitionOutcome, TransitionTarget};
use crate::upstream::{UpstreamUsers, UpstreamsError};

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

    /// Clients are known by this from now on. Who is logged in stays so; what they have proven
    /// counts for new connections upstream as long as the hash of their password is the same.
    ///
    /// # Errors
    ///
    /// [`UpstreamsError::NoAccount`]: the only account is to be that of the gateway, and it was
    /// started without one. Nothing is changed then.
    pub fn set_upstream_users(&self, users: &UpstreamUsers) -> Result<(), UpstreamsError> {
        let Some(gateway) = &self.shared.gateway else {
            return Ok(());
        };
        if *users == UpstreamUsers::One && gateway.config.account.is_none() {
            return Err(UpstreamsError::NoAccount);
        }
        gateway.set_users(users, self.shared.clock.now());
        Ok(())
    }

    fn of_upstream(&self, name: &str, wanted: UpstreamUse) -> Option<Transition> {
        let gateway = self.shared.gateway.as_ref()?;
        let target = TransitionTarget::Upstream(gateway.find_upstream(name)?, wanted);
        Some(Transition::new(target))
    }
}
