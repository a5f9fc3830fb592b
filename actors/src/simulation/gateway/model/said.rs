//! What an upstream of a simulated world says of itself, and what it tells the gateway's account.

use vestibule_wire::events;
use vestibule_wire::reply::write_event;
use vestibule_wire::request::{Body, IdOrName, Select};

use super::{EMPTY, UpstreamModel};
use crate::engine::catalog::system;
use crate::simulation::gateway::accounts::Accounts;
use crate::simulation::gateway::bodies::{ballot, catalog, election, info, status};
use crate::simulation::gateway::connected::{Answer, Connected};
use crate::simulation::gateway::fates::Fates;

/// At every one of this many looks a replica has more of what was done.
const LAG_ONCE_IN: u64 = 30;

impl UpstreamModel {
    /// Hears of what others have done.
    pub(super) fn replicate(&mut self, fates: &Fates) {
        let may_lag = !self.is_writable && fates.reads.may_lag;
        let lags = self.lags.as_mut().filter(|_| may_lag);
        if lags.is_none_or(|own| own.once_in(LAG_ONCE_IN)) {
            self.applied = fates.reads.done;
        }
    }

    /// What it answers to its ballot.
    pub(super) fn ballot(&self) -> Answer {
        let (is_loading, is_read_only) = (self.loads_until.is_some(), !self.is_writable);
        Answer::Body(ballot(is_loading, is_read_only, &self.applied))
    }

    /// The answer to what scouts ask, if it is that.
    pub(super) fn said(&self, own: &Connected, body: &Body<'_>, fates: &Fates) -> Option<Answer> {
        match body {
            Body::Select(select) if Accounts::is_reader(&own.user) => {
                Some(Answer::Body(said_rows(select, fates)))
            }
            Body::Id(_) => Some(Answer::Body(EMPTY.to_vec())),
            Body::Call(call) if call.name == "box.info" => {
                Some(Answer::Body(info(self.index, self.is_writable)))
            }
            _ => None,
        }
    }

    pub(super) fn tell_events(&self, own: &mut Connected) {
        for (key, watcher) in &mut own.watched {
            let value = self.event(key);
            if watcher.is_armed && watcher.told.as_ref() != Some(&value) {
                let mut bytes = Vec::new();
                write_event(&mut bytes, watcher.sync, key, value.as_deref());
                own.end.send(&bytes);
                (watcher.told, watcher.is_armed) = (Some(value), false);
            }
        }
    }

    fn event(&self, key: &str) -> Option<Vec<u8>> {
        match key {
            events::STATUS => Some(status(self.is_writable)),
            events::SHUTDOWN if self.is_leaving => Some(vec![0xc3]),
            // Before its data is there nothing is known of elections either.
            "box.election" if self.loads_until.is_none() => self.election.map(election),
            _ => None,
        }
    }
}

/// Rows of `_user`, or of its catalog, which has one space.
fn said_rows(select: &Select<'_>, fates: &Fates) -> Vec<u8> {
    match select.space {
        IdOrName::Id(system::SPACE) => catalog(true),
        IdOrName::Id(system::INDEX) => catalog(false),
        _ => fates.accounts.row(select.key),
    }
}
