//! One link with its socket.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::io::ReadBuf;

use super::deliveries::{Deliveries, LargeAnswer, Mailbox};
use crate::cells::claims::RequestId;
use crate::connection::transport::Transport;
use crate::limits::{CATALOG_QUESTIONS_MAX, READ_PER_POLL_MAX};
use crate::reactor::go_on_behind_reactor;
use crate::resources::WorkerCell;
use crate::upstream::{
    CatalogQuestion, ClientStream, Clients, Destination, GatewayCell, Incarnation, KeptRequest,
    LinkClient, LinkFault, LinkFollowers, LinkUser, Pumped, ReadRole, Returned, UpstreamLink,
};

/// Why links end at the deadline of a drain.
pub(super) const DRAINED: &str = "it is drained";

/// What an upstream has made of a request that was to set something.
pub(super) struct ToldSetting {
    pub(super) id: RequestId,
    pub(super) key: ClientStream,
    pub(super) is_accepted: bool,
}

/// One link: its machine, its socket, and the task that reads.
pub(super) struct LinkCell {
    pub(super) incarnation: Incarnation,
    pub(super) user: LinkUser,
    /// Whose it is.
    pub(super) client: LinkClient,
    /// Where its client comes from, if it is for one alone.
    pub(super) address: Cell<Option<IpAddr>>,
    /// How often new links to its upstream were asked for before it was begun.
    pub(super) reconnects: Cell<u64>,
    /// What it has to do with reads of replicas.
    pub(super) reads: ReadRole,
    /// When it was begun.
    pub(super) since: Instant,
    /// When it was ready to be used.
    pub(super) ready_at: Cell<Option<Instant>>,
    pub(super) link: RefCell<UpstreamLink<LargeAnswer>>,
    pub(super) clients: Rc<Clients>,
    /// Questions for the catalog that are on their way.
    catalog: RefCell<HashMap<RequestId, CatalogQuestion>>,
    /// Settings that were answered, until that is noted.
    pub(super) told_settings: RefCell<Vec<ToldSetting>>,
    /// A reply was as where its user is not there any more, until that is noted.
    pub(super) tells_of_gone_user: Cell<bool>,
    transport: RefCell<Option<Box<dyn Transport>>>,
    pub(super) waker: RefCell<Option<Waker>>,
    /// The upstream's number of its catalog, as it was noted last.
    pub(super) schema_version: Cell<u64>,
    /// Something was put into it since it was flushed.
    pub(super) is_dirty: Cell<bool>,
    /// Why it ends at once, if it does: the deadline of a transition is there.
    pub(super) cut_off: Cell<Option<&'static str>>,
    /// Another one has taken its place, or it is over: nothing new goes over it.
    pub(super) is_retired: Cell<bool>,
    /// The link has come to its end.
    is_over: Cell<bool>,
    /// Who waits until this one has written.
    followers: RefCell<LinkFollowers<Weak<LinkCell>>>,
    /// Requests are held: it ends when it has nothing to do, unless they go there again before.
    pub(super) is_left: Cell<bool>,
}

impl LinkCell {
    pub(super) fn new(
        incarnation: Incarnation,
        user: LinkUser,
        client: LinkClient,
        link: UpstreamLink<LargeAnswer>,
        now: Instant,
    ) -> Self {
        Self {
            incarnation,
            user,
            client,
            address: Cell::new(None),
            reconnects: Cell::new(0),
            reads: link.reads(),
            since: now,
            ready_at: Cell::new(None),
            clients: link.clients().clone(),
            link: RefCell::new(link),
            catalog: RefCell::default(),
            told_settings: RefCell::default(),
            tells_of_gone_user: Cell::new(false),
            transport: RefCell::default(),
            waker: RefCell::default(),
            schema_version: Cell::new(0),
            is_dirty: Cell::new(false),
            cut_off: Cell::new(None),
            is_retired: Cell::new(false),
            is_over: Cell::new(false),
            followers: RefCell::default(),
            is_left: Cell::new(false),
        }
    }

    /// A question for the catalog goes over it.
    #[cold]
    pub(super) fn note_catalog(&self, id: RequestId, body: &[u8]) {
        let mut asked = self.catalog.borrow_mut();
        if asked.len() >= CATALOG_QUESTIONS_MAX {
            // Of those that were never answered.
            asked.clear();
        }
        let question = CatalogQuestion::of(&self.user.name, self.user.format, body);
        asked.extend(question.map(|own| (id, own)));
    }

    /// The question for the catalog that this request was.
    #[cold]
    pub(super) fn take_catalog(&self, id: RequestId) -> Option<CatalogQuestion> {
        self.catalog.borrow_mut().remove(&id)
    }

    /// Gives it a socket.
    pub(super) fn set_transport(&self, transport: Box<dyn Transport>) {
        *self.transport.borrow_mut() = Some(transport);
    }

    /// Nothing new goes over it: it ends when it has nothing to do.
    pub(super) fn retire(&self) {
        self.is_retired.set(true);
        self.wake();
    }

    /// Whether requests go to its upstream over other links: since that was lost and found again,
    /// or since requests went elsewhere meanwhile.
    pub(super) fn is_behind(&self, destination: Destination) -> bool {
        let is_its = |own: Incarnation| {
            let is_other = own != self.incarnation || self.is_retired.get();
            own.upstream == self.incarnation.upstream && is_other
        };
        let is_for_all = self.reads != ReadRole::Replica;
        is_for_all && matches!(destination, Destination::To(target) if is_its(target))
    }

    /// Has its task look.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Writes what the socket takes now; its task sees to the rest, and to what waits.
    pub(super) fn flush(&self) {
        let is_all = matches!(self.write(), Ok(true));
        let has_waiting = {
            let mut link = self.link.borrow_mut();
            link.show_waiting();
            link.has_waiting()
        };
        if !is_all || has_waiting {
            self.wake();
        }
    }

    /// Has it end at once, whatever is under way, for this reason; or for another one, if it was to
    /// end already: what came first has cut it off.
    pub(super) fn end_now(&self, why: &'static str) {
        self.cut_off.set(self.cut_off.get().or(Some(why)));
        self.retire();
    }

    /// What is begun and still here is never sent: it cannot be taken back, so the link ends, for
    /// this reason.
    pub(super) fn cut_off_unsent(&self, why: &'static str) {
        if self.link.borrow().unsent_bytes() > 0 {
            // Its task may not run before somebody writes.
            *self.transport.borrow_mut() = None;
            self.end_now(why);
        }
    }

    /// Ends the connection. The sessions that used it last may keep this cell for long.
    pub(super) fn close(&self) {
        *self.transport.borrow_mut() = None;
        *self.waker.borrow_mut() = None;
        self.is_over.set(true);
        self.tell_followers(u64::MAX);
    }

    /// Why a request does not go on over it.
    pub(super) fn returns(&self, request: &KeptRequest) -> Returned {
        match (self.is_over.get(), request.was_sent) {
            (false, _) => Returned::Moved,
            (true, false) => Returned::Unsent,
            (true, true) => Returned::Sent,
        }
    }

    /// Whether its socket has not taken all of this number of bytes, and may still.
    pub(super) fn has_to_write(&self, until: u64) -> bool {
        !self.is_over.get() && self.link.borrow().written() < until
    }

    /// Another link sends nothing of a connection before this one has written this number of bytes,
    /// or has come to its end.
    pub(super) fn be_followed(&self, link: &Rc<Self>, connection: u64, until: u64) {
        if !self.has_to_write(until) {
            return;
        }
        // Nobody else is there as long as it is named here.
        let own = (connection, Rc::as_ptr(link) as usize);
        let is_new = (self.followers.borrow_mut()).follow(own, until, Rc::downgrade(link));
        if is_new {
            link.link.borrow_mut().hold(connection);
        }
    }

    pub(super) fn tell_followers(&self, written: u64) {
        let over = self.followers.borrow_mut().take(written);
        for (connection, link) in over {
            if let Some(link) = link.upgrade() {
                link.link.borrow_mut().let_go(connection);
                link.wake();
            }
        }
    }

    /// Writes what the socket takes; true if that is all.
    fn write(&self) -> io::Result<bool> {
        let written = self.write_some();
        if !self.followers.borrow().is_empty() {
            let written = self.link.borrow().written();
            self.tell_followers(written);
        }
        written
    }

    fn write_some(&self) -> io::Result<bool> {
        let mut link = self.link.borrow_mut();
        let mut transport = self.transport.borrow_mut();
        let Some(transport) = transport.as_mut() else {
            return Ok(false);
        };
        let out = link.out();
        while !out.is_empty() {
            match transport.try_write(out.front()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => out.wrote(count),
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(fault) => return Err(fault),
            }
        }
        Ok(true)
    }

    /// Writes and reads as long as there is something; ready when the connection is of no use any
    /// more, when nobody needs it any more, or when it is ready to be used and `until_ready`.
    pub(super) fn poll(
        &self,
        worker: &WorkerCell,
        gateway: &GatewayCell,
        mailbox: &Mailbox,
        until_ready: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), LinkFault>> {
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        let mut total = 0;
        loop {
            if let Err(fault) = self.poll_send(worker, cx) {
                return Poll::Ready(Err(lost(&fault)));
            }
            if until_ready && self.link.borrow().is_logged_in() {
                return Poll::Ready(Ok(()));
            }
            let is_leaving = self.is_retired.get() || self.is_left.get();
            if is_leaving && self.link.borrow().is_idle() {
                return Poll::Ready(Ok(()));
            }
            if total >= READ_PER_POLL_MAX {
                go_on_behind_reactor(cx);
                return Poll::Pending;
            }
            let was_wanted = self.link.borrow().credits().is_wanted();
            match self.poll_read(worker, gateway, mailbox, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(count)) => {
                    total += count;
                    let upstream = &gateway.sight.upstreams()[self.incarnation.upstream];
                    upstream.links_on(worker.index).reads.add(1);
                }
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
            }
            if was_wanted && !self.link.borrow().credits().is_wanted() {
                // Those that this has woken take what they need first.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    /// Sends and writes what may go and what the socket takes. What is left is seen to when the
    /// socket takes more, or when there are credits.
    fn poll_send(&self, worker: &WorkerCell, cx: &mut Context<'_>) -> io::Result<()> {
        let claims = &worker.shared.counters[worker.index].claims;
        loop {
            let pumped = self.link.borrow_mut().pump(claims);
            self.poll_write(cx)?;
            let link = self.link.borrow();
            match pumped {
                Pumped::ForSocket if link.may_add() => {}
                Pumped::ForCredits => {
                    link.credits().wait(cx.waker());
                    return Ok(());
                }
                _ => return Ok(()),
            }
        }
    }

    /// Writes what the socket takes, and has the task woken when it takes more.
    fn poll_write(&self, cx: &mut Context<'_>) -> io::Result<()> {
        while !self.write()? {
            let mut transport = self.transport.borrow_mut();
            let Some(transport) = transport.as_mut() else {
                return Ok(());
            };
            match transport.poll_write_ready(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => return Ok(()),
            }
        }
        Ok(())
    }

    /// Reads once, and delivers what that brings.
    fn poll_read(
        &self,
        worker: &WorkerCell,
        gateway: &GatewayCell,
        mailbox: &Mailbox,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, LinkFault>> {
        let mut state = worker.state.borrow_mut();
        let mut scratch = state.buffers.take_scratch();
        let mut buffer = ReadBuf::new(&mut scratch);
        let mut transport = self.transport.borrow_mut();
        let poll = match transport.as_mut() {
            Some(transport) => transport.poll_read(cx, &mut buffer),
            None => Poll::Pending,
        };
        let count = buffer.filled().len();
        let read = poll.map(|read| match read {
            Ok(()) if count == 0 => Err(LinkFault::Lost("it has closed the connection".into())),
            Ok(()) => {
                let mut deliveries = Deliveries {
                    link: self,
                    shared: &worker.shared,
                    gateway,
                    worker: &mut state,
                    mailbox,
                    replies: None,
                };
                let now = worker.shared.clock.now();
                let claims = &worker.shared.counters[worker.index].claims;
                let mut link = self.link.borrow_mut();
                link.receive(&scratch[..count], &mut deliveries, claims, now)?;
                Ok(count)
            }
            Err(fault) => Err(lost(&fault)),
        });
        state.buffers.put_scratch(scratch);
        read
    }
}

/// The connection has failed.
pub(super) fn lost(fault: &io::Error) -> LinkFault {
    LinkFault::Lost(fault.to_string())
}
