//! What befalls connections of an upstream of a simulated world: they are lost, and what nobody has
//! asked for comes over them.

use std::time::Instant;

use vestibule_wire::header::Header;
use vestibule_wire::keys::RequestType;
use vestibule_wire::reply::ReplyHeader;

use super::{EMPTY, Process, UpstreamModel};
use crate::simulation::gateway::connected::Connected;
use crate::simulation::gateway::fates::Fates;

impl UpstreamModel {
    /// Loses one of its connections, perhaps in the middle of a reply.
    pub(in crate::simulation::gateway) fn lose_a_connection(&mut self, now: Instant) {
        self.befallen = now;
        if self.connections.is_empty() {
            return;
        }
        let index = self.random.index(self.connections.len());
        let own = match self.is_orderly {
            true => self.connections.remove(index),
            false => self.connections.swap_remove(index),
        };
        if self.random.once_in(2) {
            own.end.send(&[0xce, 0, 0, 0, 60, 0x83, 0]);
            // Of one that hangs it is what was on its way: a sign of life for all that.
            self.silent_since = self.silent_since.map(|_| now);
        }
    }

    /// Answers somebody who has not asked, or once more who was answered before, or says what no
    /// server says.
    pub(in crate::simulation::gateway) fn babble(&mut self, now: Instant) {
        self.befallen = now;
        if self.process != Process::Runs {
            return;
        }
        let (stranger, is_noise) = (self.random.next(), self.random.once_in(8));
        let is_again = self.random.once_in(2);
        let schema_version = self.schema_version;
        let index = self.random.index(self.connections.len());
        let Some(own) = self.connections.get_mut(index) else {
            return;
        };
        let mut bytes = vec![0xc1; 30];
        if !is_noise {
            bytes.clear();
            let header = ReplyHeader {
                sync: own.answered.filter(|_| is_again).unwrap_or(stranger),
                schema_version,
            };
            header.pass_on(&mut bytes, 0, EMPTY);
        }
        own.end.send(&bytes);
    }

    /// The connection over which a COMMIT or ROLLBACK comes next is lost, before it `is_done` or
    /// when nobody has been told.
    pub(in crate::simulation::gateway) fn lose_at_end(&mut self, is_done: bool) {
        self.loses_at_end = Some(is_done);
    }

    /// Whether a connection is lost at this request.
    pub(super) fn loses(
        &mut self,
        own: &mut Connected,
        header: &Header,
        body: &[u8],
        now: Instant,
        fates: &mut Fates,
    ) -> bool {
        const ENDS: [u64; 2] = [RequestType::Commit as u64, RequestType::Rollback as u64];
        if !ENDS.contains(&header.request_type) {
            return false;
        }
        let Some(is_done) = self.loses_at_end.take() else {
            return false;
        };
        self.befallen = now;
        fates.lost_at_ends[usize::from(is_done)] += 1;
        if is_done {
            self.take(own, *header, body, now, fates);
        }
        true
    }
}
