//! Replies of an upstream on their way to the worker, which hands them to its sessions.

use actix::Recipient;
use vestibule_wire::ErrorCode;
use vestibule_wire::client::ReplyFrame;
use vestibule_wire::reply::{HEADER_SIZE, ReplyHeader};

use super::cell::{LinkCell, ToldSetting};
use super::gone_users::tells_of_gone_user;
use crate::cells::claims::RequestId;
use crate::limits::{
    CATALOG_REPLY_SIZE_MAX, MEMORY_SMALL, READ_PER_POLL_MAX, TURN_SMALL_BYTES_MAX,
};
use crate::memory::MemoryCharge;
use crate::messages::post::Post as _;
use crate::messages::tx::{LargeReply, Push, Replies};
use crate::resources::WorkerState;
use crate::segments::Chain;
use crate::shared::Shared;
use crate::upstream::{GatewayCell, OwedRequest, Sink};

/// Where replies and pushes go: to one mailbox, so that they arrive in their order.
#[derive(Debug)]
pub(super) struct Mailbox {
    pub(super) replies: Recipient<Box<Replies>>,
    pub(super) pushes: Recipient<Push>,
}

/// A large reply, or push, as far as it has come.
#[derive(Debug)]
pub(super) enum LargeAnswer {
    Gathered(GatheredAnswer),
    /// There is no memory for it, which has this size.
    TooLarge(usize),
}

/// What has come of a large one: a whole frame at its end.
#[derive(Debug)]
pub(super) struct GatheredAnswer {
    frame: Chain,
    is_push: bool,
    /// The upstream's number of the catalog, if it is no error.
    catalog: Option<u64>,
    /// The size of its body.
    body: usize,
    /// What has not come of that.
    left: usize,
    /// For that, so that no more is begun at a time than there is memory for.
    charge: MemoryCharge,
}

/// What one read of a link brings.
pub(super) struct Deliveries<'a> {
    pub(super) link: &'a LinkCell,
    pub(super) shared: &'a Shared,
    pub(super) gateway: &'a GatewayCell,
    pub(super) worker: &'a mut WorkerState,
    pub(super) mailbox: &'a Mailbox,
    pub(super) replies: Option<Box<Replies>>,
}

impl Deliveries<'_> {
    /// Sends what there is, which is charged until it stands in the outputs of its connections.
    pub(super) fn send(&mut self) {
        if let Some(mut replies) = self.replies.take() {
            let mut charge = MemoryCharge::new(self.shared.memory.clone());
            charge.set(replies.bytes.len());
            replies.charge = charge.take();
            self.mailbox.replies.post(replies);
        }
    }

    /// Whether there is no memory for a reply of this size that has come whole. Small ones need
    /// none: as many as may be on their way at a time go beyond the bound.
    #[inline]
    fn lacks_memory(&self, size: usize) -> bool {
        size >= MEMORY_SMALL && !self.shared.memory.may_gather(size)
    }

    /// The same of a push: they are as many as somebody's code likes, so that small ones need
    /// memory as well where its client has replies to read. What has come with it is not counted
    /// yet.
    fn lacks_memory_for_push(&self, to: &OwedRequest, size: usize) -> bool {
        let is_unread = || {
            let output = self.link.clients.output(to.key);
            output.is_some_and(|own| own > 0)
        };
        !self.shared.memory.may_gather(size + READ_PER_POLL_MAX)
            && (size >= MEMORY_SMALL || is_unread())
    }

    /// There is no memory for the reply to a request, or for a push before it: its client is told.
    /// The upstream has done what was asked, or is at it.
    #[cold]
    fn tell_no_memory(&mut self, to: &OwedRequest, size: usize) {
        let reason = format!("there is no memory for the {size} bytes of the reply");
        let code = ErrorCode::MEMORY_ISSUE;
        let error = self.shared.outcome_unknown(code, &reason);
        let header = ReplyHeader {
            sync: to.sync,
            schema_version: self.shared.schema_version(),
        };
        self.add_reply(to, |own| header.write_error(&mut own.bytes, &error));
    }

    fn replies(&mut self) -> &mut Replies {
        let worker = &mut self.worker;
        self.replies
            .get_or_insert_with(|| worker.outgoing.spare_replies())
    }

    /// The header for a client, with the version of the catalog that it is told.
    fn header(&self, to: &OwedRequest, frame: &ReplyFrame<'_>) -> ReplyHeader {
        if let Some(number) = frame.schema_version
            && self.link.schema_version.replace(number) != number
        {
            let tell = |version| self.shared.set_schema_version(version);
            self.gateway
                .note_schema(self.link.incarnation, number, tell);
        }
        ReplyHeader {
            sync: to.sync,
            schema_version: self.shared.schema_version(),
        }
    }

    /// The bytes of a reply, which `write` appends.
    #[inline]
    fn add_reply(&mut self, to: &OwedRequest, write: impl FnOnce(&mut Replies)) {
        let replies = self.replies();
        write(replies);
        replies.push_head(to.id, to.sync);
        if replies.bytes.len() >= TURN_SMALL_BYTES_MAX {
            self.send();
        }
    }

    /// The reply to a question for the catalog is kept, for when no upstream serves.
    #[cold]
    fn keep_catalog(&mut self, to: &OwedRequest, number: u64, body: &[u8]) {
        if let Some(question) = self.link.take_catalog(to.id) {
            let incarnation = self.link.incarnation;
            self.gateway
                .keep_catalog(question, incarnation, number, body);
        }
    }

    #[cold]
    fn note_setting(&self, to: &OwedRequest, is_accepted: bool) {
        self.link.told_settings.borrow_mut().push(ToldSetting {
            id: to.id,
            key: to.key,
            is_accepted,
        });
    }

    fn push(&mut self, to: &OwedRequest, frame: Vec<u8>) {
        // What was answered before it comes before it.
        self.send();
        let (id, charge) = (to.id, None);
        self.mailbox.pushes.post(Push { id, frame, charge });
    }
}

impl Sink for Deliveries<'_> {
    type Large = LargeAnswer;

    fn is_waited_for(&self, id: RequestId) -> bool {
        self.worker.in_flight.has(id)
    }

    #[inline]
    fn reply(&mut self, to: &OwedRequest, frame: &ReplyFrame<'_>) {
        let header = self.header(to, frame);
        if frame.is_final() {
            if to.is_of_catalog
                && let Some(number) = number_of_catalog(frame)
            {
                self.keep_catalog(to, number, frame.body);
            }
            if to.is_setting {
                self.note_setting(to, frame.code == 0);
            }
            if frame.code != 0 && tells_of_gone_user(frame) {
                self.link.tells_of_gone_user.set(true);
            }
            if self.lacks_memory(frame.body.len()) {
                return self.tell_no_memory(to, frame.body.len());
            }
            self.add_reply(to, |own| {
                header.pass_on(&mut own.bytes, frame.code, frame.body);
            });
        } else if self.is_waited_for(to.id) {
            if self.lacks_memory_for_push(to, frame.body.len()) {
                return self.tell_no_memory(to, frame.body.len());
            }
            let mut push = Vec::with_capacity(HEADER_SIZE + frame.body.len());
            header.pass_on(&mut push, frame.code, frame.body);
            self.push(to, push);
        }
    }

    fn begin(&mut self, to: &OwedRequest, head: &ReplyFrame<'_>, body: usize) -> LargeAnswer {
        let memory = &self.shared.memory;
        if !memory.may_gather(body) {
            return LargeAnswer::TooLarge(body);
        }
        let (mut start, mut frame) = (Vec::with_capacity(HEADER_SIZE), Chain::default());
        let header = self.header(to, head);
        header.begin_passing_on(&mut start, head.code, body);
        frame.push(memory.segments(), &start);
        let mut charge = MemoryCharge::new(memory.clone());
        charge.set(body);
        LargeAnswer::Gathered(GatheredAnswer {
            frame,
            is_push: !head.is_final(),
            catalog: number_of_catalog(head),
            body,
            left: body,
            charge,
        })
    }

    fn add(&mut self, large: &mut LargeAnswer, bytes: &[u8]) {
        if let LargeAnswer::Gathered(own) = large {
            own.left -= bytes.len();
            own.charge.set(own.left);
            own.frame.push(self.shared.memory.segments(), bytes);
        }
    }

    fn end(&mut self, to: &OwedRequest, large: LargeAnswer) {
        match large {
            LargeAnswer::Gathered(own) if own.is_push => self.push(to, own.frame.into_buffer()),
            LargeAnswer::Gathered(own) => {
                let (frame, body) = (own.frame, own.body);
                if to.is_of_catalog
                    && frame.len() <= CATALOG_REPLY_SIZE_MAX
                    && let Some(number) = own.catalog
                {
                    let whole = frame.content();
                    self.keep_catalog(to, number, &whole[whole.len() - body..]);
                }
                self.add_reply(to, |own| {
                    let head = own.heads.len();
                    own.large.push(LargeReply { head, frame });
                });
            }
            LargeAnswer::TooLarge(size) => self.tell_no_memory(to, size),
        }
    }
}

/// The upstream's number of the catalog, as a reply tells it that is no error.
fn number_of_catalog(frame: &ReplyFrame<'_>) -> Option<u64> {
    frame.schema_version.filter(|_| frame.code == 0)
}

impl Drop for Deliveries<'_> {
    fn drop(&mut self) {
        // What came before something that no server sends is good.
        self.send();
    }
}
