//! What links answer by themselves, on its way to the sessions.

use vestibule_wire::Error;
use vestibule_wire::reply::ReplyHeader;

use super::deliveries::Mailbox;
use crate::cells::claims::{Claims, RequestId};
use crate::messages::post::Post as _;
use crate::messages::tx::{AbortedTransaction, Replies};
use crate::resources::WorkerCell;
use crate::upstream::Forward;

/// What is answered here.
#[derive(Default)]
pub(super) struct Told {
    /// Requests, by which syncs their clients know them, and what they are answered.
    pub(super) answers: Vec<(RequestId, u64, Result<(), Error>)>,
    pub(super) aborted: Vec<AbortedTransaction>,
}

impl Told {
    /// What waited for an upstream, or for a link, is answered with this.
    pub(super) fn add_parked(&mut self, own: Vec<(Forward, Result<(), Error>)>) {
        let own = own.into_iter();
        let own = own.map(|(forward, answer)| (forward.id, forward.sync, answer));
        self.answers.extend(own);
    }

    /// Tells the sessions.
    pub(super) fn send(self, worker: &WorkerCell, claims: &Claims, mailbox: &Mailbox) {
        let Self { answers, aborted } = self;
        if answers.is_empty() && aborted.is_empty() {
            return;
        }
        let mut replies = Box::new(Replies {
            aborted,
            ..Replies::default()
        });
        for (id, sync, answer) in answers {
            if !claims.claim(id) {
                continue;
            }
            let header = ReplyHeader {
                sync,
                schema_version: worker.shared.schema_version(),
            };
            match answer {
                Ok(()) => header.write_empty(&mut replies.bytes),
                Err(error) => header.write_error(&mut replies.bytes, &error),
            }
            replies.push_head(id, sync);
        }
        mailbox.replies.post(replies);
    }
}
