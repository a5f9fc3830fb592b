//! Logins at a gateway: decided by what the upstream says of its users.

use std::sync::Arc;

use tokio::time::sleep;

use super::{Authenticator, Login, LoginDecision, LoginProof};
use crate::clock::Clock;
use crate::upstream::{Asking, GatewayCell, Judgment};

/// Asks the upstream, or goes by what it has said.
pub(crate) struct UpstreamLogins {
    gateway: Arc<GatewayCell>,
    clock: Clock,
}

impl UpstreamLogins {
    /// By what is known to a gateway.
    pub(crate) fn new(gateway: Arc<GatewayCell>, clock: Clock) -> Self {
        Self { gateway, clock }
    }

    /// Asks for a user; what is known then decides.
    async fn ask(&self, user: &str) -> Asking {
        match self.gateway.ask(user, || self.clock.now()).await {
            Ok(()) => Asking::Done,
            Err(why) => {
                log::debug!("the upstream does not tell of its users: {why}");
                Asking::Impossible
            }
        }
    }
}

impl Authenticator for UpstreamLogins {
    async fn check(&self, login: Login) -> LoginDecision {
        let LoginProof::ChapSha1 { salt, scramble } = &login.proof else {
            return LoginDecision::NotMine;
        };
        let mut asking = self.gateway.asking();
        loop {
            let now = self.clock.now();
            match (self.gateway).judge(&login.user, salt, scramble, asking, now) {
                Judgment::Accepted => return LoginDecision::AcceptedAs(login.user),
                Judgment::Wrong => return LoginDecision::Refused,
                Judgment::Unknown => return LoginDecision::NotMine,
                Judgment::Unavailable => return LoginDecision::Unavailable,
                Judgment::Ask => asking = self.ask(&login.user).await,
                Judgment::AskAt(at) => sleep(at.saturating_duration_since(now)).await,
            }
        }
    }
}
