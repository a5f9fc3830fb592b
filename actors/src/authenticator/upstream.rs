//! Logins at a gateway: decided by what the upstream says of its users.

use std::sync::Arc;
use std::time::Instant;

use tokio::time::sleep;

use super::{Authenticator, Login, LoginDecision, LoginProof};
use crate::clock::Clock;
use crate::upstream::{GatewayCell, Incarnation, Judgment, LoginAttempt, Lookup};

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

    /// Has an upstream say of a user what there is to say, or waits for a turn. Returns who can be
    /// asked then: nobody if there was no answer, so that what is known decides.
    async fn look_up(&self, lookup: Lookup, now: Instant) -> Option<Incarnation> {
        let is_told = match lookup {
            Lookup::Ask(question) => {
                let is_told = self.gateway.ask(question).comes().await;
                self.gateway.sight.user_lookups.add(is_told);
                is_told
            }
            Lookup::Wait(answer) => answer.comes().await,
            Lookup::NotBefore(at) => {
                sleep(at.saturating_duration_since(now)).await;
                true
            }
        };
        if !is_told {
            log::debug!("the upstream does not tell of a user");
            return None;
        }
        self.gateway.whom_to_ask()
    }
}

impl Authenticator for UpstreamLogins {
    async fn check(&self, login: Login) -> LoginDecision {
        let LoginProof::ChapSha1 { salt, scramble } = &login.proof else {
            return LoginDecision::NotMine;
        };
        let attempt = LoginAttempt {
            user: &login.user,
            salt,
            scramble,
            came: self.clock.now(),
        };
        let mut target = self.gateway.whom_to_ask();
        loop {
            let now = self.clock.now();
            match self.gateway.judge(attempt, target, now) {
                Judgment::Accepted => return LoginDecision::AcceptedAs(login.user),
                Judgment::Wrong => return LoginDecision::Refused,
                Judgment::Unknown => return LoginDecision::NotMine,
                Judgment::Unavailable => return LoginDecision::Unavailable,
                Judgment::LookUp(lookup) => target = self.look_up(lookup, now).await,
            }
        }
    }
}
