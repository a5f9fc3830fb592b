//! What people are told of upstreams: why requests go nowhere.
//!
//! ```text
//!   serves, and another one is waited for ─▶ "waits for b"
//!   does not ─▶ what is wrong with it
//!   blocked, as its code has said ─▶ the reason that it gave
//! ```

use std::time::Instant;

use super::ScoutBoard;
use crate::upstream::{Condition, Destination};

impl ScoutBoard {
    /// Who is waited for: it is the start, and not found out yet how the upstream is that operators
    /// prefer. The first one that takes changes would keep requests.
    pub(super) fn awaited(&self) -> Option<&str> {
        let preferred = self.gateway.config.preferred()?;
        let is_unknown = || self.known.borrow()[preferred].scout.is_unknown();
        let is_awaited = !self.has_served.get() && is_unknown();
        is_awaited.then(|| &*self.gateway.upstream(preferred).name)
    }

    pub(super) fn go_nowhere(&self, now: Instant) {
        let trouble = self.trouble(now);
        if self.gateway.destination() != Destination::Nowhere {
            self.gateway.set_destination(Destination::Nowhere);
            match self.awaited() {
                Some(name) => log::info!("upstream {name} is waited for: {trouble}"),
                None => log::warn!("no upstream serves: {trouble}"),
            }
        }
        self.shared.serving.upstream_trouble(&trouble, now);
    }

    /// What is wrong with each upstream.
    pub(super) fn trouble(&self, now: Instant) -> String {
        let awaited = self.awaited();
        let known = self.known.borrow();
        let each = known.iter().zip(&self.gateway.config.upstreams);
        let each = each.map(|(own, upstream)| {
            // One that is blocked as it has said says nothing more.
            let solo = own.solo.clone();
            let solo = solo.filter(|_| own.scout.condition() == Condition::Silent);
            let trouble = solo.or_else(|| own.scout.trouble(now));
            // Nothing is wrong with it, but that it is not the one.
            let waits = || awaited.map(|own| format!("waits for {own}"));
            let trouble = trouble.or_else(waits).unwrap_or_default();
            format!("{}: {trouble}", upstream.name)
        });
        each.collect::<Vec<_>>().join(", ")
    }

    /// The names of those in a condition.
    pub(super) fn names(&self, is_meant: impl Fn(Condition) -> bool) -> String {
        let known = self.known.borrow();
        let each = known.iter().zip(&self.gateway.config.upstreams);
        let meant = each.filter(|(own, _)| is_meant(own.scout.condition()));
        let names: Vec<&str> = meant.map(|(_, upstream)| &*upstream.name).collect();
        names.join(", ")
    }
}
