//! Who calls from the sessions of a worker, over which link, and what became of their streams.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use vestibule_wire::features::Features;
use vestibule_wire::keys::RequestType;
use vestibule_wire::{Error, ErrorCode};

use super::cell::LinkCell;
use super::entries::step;
use crate::cells::claims::Claims;
use crate::connection::orphaned::{OrphanFate, OrphanedTransactions, aborted_by};
use crate::engine::catalog::User;
use crate::messages::SessionId;
use crate::messages::tx::{AbortedTransaction, CallerUpdate};
use crate::monitoring::PinReason;
use crate::upstream::{ClientStream, Clients, LinkClient, LinkMode, LostStream, SessionSettings};

/// Who calls from a session, and the link that was used last: all its streams are bound there.
pub(super) struct SessionCaller {
    /// The number of its connection, which is never used again.
    connection: u64,
    pub(super) user: User,
    /// What its client can do, of what changes how values are written.
    pub(super) format: Features,
    /// Where it comes from.
    pub(super) address: IpAddr,
    /// Why it has links of its own, if it has.
    pub(super) pin: Option<Pin>,
    /// What it has set in its session upstream.
    pub(super) settings: SessionSettings,
    pub(super) link: Option<Rc<LinkCell>>,
    /// The link before that, to an upstream that is being drained: what is open there may come to
    /// its end.
    pub(super) leaving: Option<Rc<LinkCell>>,
    /// Streams whose transactions are not there any more.
    pub(super) lost: OrphanedTransactions,
    /// Something was asked in a stream.
    pub(super) uses_streams: bool,
}

/// Why a client has links of its own, and since when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pin {
    pub(super) reason: PinReason,
    /// `None` if that is so from its beginning.
    pub(super) since: Option<Instant>,
}

/// Why a session leaves its link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    /// Requests go to another upstream.
    Target,
    /// Another user has logged in on the connection.
    Login,
    /// The client has told that it can do something else.
    Format,
    /// The connection is gone.
    Gone,
}

impl Leaving {
    /// What its transactions have been aborted by.
    pub(super) fn error(self) -> Error {
        aborted_by(match self {
            Self::Target => "a change of the upstream that requests go to",
            Self::Format => "an ID that changes how replies are written",
            Self::Login | Self::Gone => "a login as another user",
        })
    }
}

impl SessionCaller {
    /// Has nothing to do with its link any more: what is open there is rolled back. Tells of what
    /// was aborted by that.
    pub(super) fn leave(
        &mut self,
        session: u32,
        why: Leaving,
        claims: &Claims,
        aborted: &mut Vec<AbortedTransaction>,
    ) {
        for link in [self.link.take(), self.leaving.take()] {
            self.leave_link(link, session, why, claims, aborted);
        }
    }

    fn leave_link(
        &mut self,
        link: Option<Rc<LinkCell>>,
        session: u32,
        why: Leaving,
        claims: &Claims,
        aborted: &mut Vec<AbortedTransaction>,
    ) {
        let Some(link) = link else {
            return;
        };
        if link.client.pinned.is_some() {
            // Nobody else has its session.
            link.retire();
        }
        if !self.uses_streams {
            return;
        }
        let lost = (link.link.borrow_mut()).leave(session, self.connection, claims);
        link.wake();
        if why != Leaving::Gone {
            for own in lost {
                self.lose(own, why.error(), aborted);
            }
        }
    }

    /// Requests go over another link from now on. `may_finish`: what is open on the one before may
    /// come to its end there.
    pub(super) fn move_to(
        &mut self,
        link: Rc<LinkCell>,
        session: u32,
        may_finish: impl Fn(&LinkCell) -> bool,
        claims: &Claims,
        aborted: &mut Vec<AbortedTransaction>,
    ) {
        let before = self.link.replace(link);
        self.leave_behind(before, session, may_finish, claims, aborted);
    }

    /// From here on, it has links of its own. What is open on the one before comes to its end.
    pub(super) fn pin(
        &mut self,
        pin: Pin,
        session: u32,
        claims: &Claims,
        aborted: &mut Vec<AbortedTransaction>,
    ) {
        if self.pin.is_none() {
            self.pin = Some(pin);
            let before = self.link.take();
            self.leave_behind(before, session, |_| true, claims, aborted);
        }
    }

    fn leave_behind(
        &mut self,
        before: Option<Rc<LinkCell>>,
        session: u32,
        may_finish: impl Fn(&LinkCell) -> bool,
        claims: &Claims,
        aborted: &mut Vec<AbortedTransaction>,
    ) {
        let connection = self.connection;
        let is_left = |own: &Rc<LinkCell>| own.link.borrow().open_of(connection) > 0;
        let stays = |own: &Rc<LinkCell>| may_finish(own) && is_left(own);
        if before.as_ref().is_some_and(stays) {
            let older = std::mem::replace(&mut self.leaving, before);
            self.leave_link(older, session, Leaving::Target, claims, aborted);
        } else {
            self.leave_link(before, session, Leaving::Target, claims, aborted);
            if !self.leaving.as_ref().is_some_and(stays) {
                let older = self.leaving.take();
                self.leave_link(older, session, Leaving::Target, claims, aborted);
            }
        }
    }

    /// What was open on the link before has come to its end, if it has, or may not any more: that
    /// link is forgotten, so that the session's requests are looked at no longer than before, and
    /// nothing is taken for open there that never goes on.
    pub(super) fn leave_finished(
        &mut self,
        session: u32,
        may_finish: impl Fn(&LinkCell) -> bool,
        claims: &Claims,
        aborted: &mut Vec<AbortedTransaction>,
    ) {
        let connection = self.connection;
        let is_left = |own: &LinkCell| own.link.borrow().open_of(connection) > 0;
        let is_over = |own: &mut Rc<LinkCell>| !(may_finish(own) && is_left(own));
        let over = self.leaving.take_if(is_over);
        self.leave_link(over, session, Leaving::Target, claims, aborted);
    }

    /// The link on which a stream may have a transaction open.
    pub(super) fn bound_to(&self, key: ClientStream) -> Option<&Rc<LinkCell>> {
        let mut links = [&self.leaving, &self.link].into_iter().flatten();
        links.find(|own| own.link.borrow().may_be_open(key))
    }

    /// In how many streams on links a transaction may be open.
    pub(super) fn open(&self) -> usize {
        let links = [&self.leaving, &self.link].into_iter().flatten();
        links
            .map(|own| own.link.borrow().open_of(self.connection))
            .sum()
    }

    /// The transaction that may have been open in a stream is not there any more.
    fn lose(&mut self, lost: LostStream, error: Error, aborted: &mut Vec<AbortedTransaction>) {
        let LostStream { key, begin } = lost;
        self.lost.add(key.stream, OrphanFate::Aborted(error));
        aborted.extend(begin.map(|begin| AbortedTransaction {
            session: session_of(key),
            stream: key.stream,
            begin,
        }));
    }

    /// What a request in a stream is answered whose transaction is not there any more; `None` if it
    /// goes on.
    #[inline]
    pub(super) fn answer_lost(
        &mut self,
        stream: u64,
        meaning: RequestType,
    ) -> Option<Result<(), Error>> {
        if self.lost.is_empty() {
            return None;
        }
        self.lost.answer(stream, meaning)
    }

    /// What a request in a stream is answered here; `None` if it goes on, over this link. `max`
    /// transactions may be open.
    pub(super) fn answer_in_stream(
        &mut self,
        meaning: RequestType,
        key: ClientStream,
        link: &LinkCell,
        max: usize,
    ) -> Option<Result<(), Error>> {
        self.uses_streams = true;
        let lost = self.answer_lost(key.stream, meaning);
        if lost.is_some() || !step(meaning).may_begin() {
            return lost;
        }
        let own = link.link.borrow();
        let open = self.open() + self.lost.aborted();
        if open < max || own.may_be_open(key) {
            return None;
        }
        let text =
            format!("Too many streams of this connection may have a transaction open: {max}");
        Some(Err(Error::new(ErrorCode::ILLEGAL_PARAMS, text)))
    }

    /// As whom it asks.
    pub(super) fn client(&self) -> LinkClient {
        LinkClient {
            user: self.user.name.clone(),
            format: self.format,
            pinned: self.is_pinned().then_some(self.connection),
        }
    }

    /// Whether it has links of its own.
    pub(super) fn is_pinned(&self) -> bool {
        self.pin.is_some()
    }

    /// The number of its connection.
    pub(super) fn connection(&self) -> u64 {
        self.connection
    }

    /// A stream of it.
    #[inline]
    pub(super) fn key(&self, session: u32, stream: u64) -> ClientStream {
        ClientStream {
            session,
            connection: self.connection,
            stream,
        }
    }
}

/// Who calls, by the session's number.
#[cfg_attr(test, derive(Default))]
pub(super) struct SessionCallers {
    all: Vec<Option<SessionCaller>>,
    clients: Rc<Clients>,
    mode: LinkMode,
}

impl SessionCallers {
    /// None yet; `clients` hears of those who come and go.
    pub(super) fn new(clients: Rc<Clients>, mode: LinkMode) -> Self {
        Self {
            all: Vec::new(),
            clients,
            mode,
        }
    }

    #[inline]
    pub(super) fn get(&self, session: u32) -> Option<&SessionCaller> {
        self.all.get(session as usize)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, session: u32) -> Option<&mut SessionCaller> {
        self.all.get_mut(session as usize)?.as_mut()
    }

    /// The caller of this very connection.
    pub(super) fn of(&mut self, session: SessionId) -> Option<&mut SessionCaller> {
        let own = self.get_mut(session.index);
        own.filter(|own| own.connection == session.connection)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &SessionCaller> {
        self.all.iter().flatten()
    }

    /// Whether somebody calls from this connection.
    pub(super) fn has(&self, connection: u64) -> bool {
        self.iter().any(|own| own.connection == connection)
    }

    /// From here on, this one calls from a session.
    pub(super) fn set(
        &mut self,
        update: &CallerUpdate,
        claims: &Claims,
        aborted: &mut Vec<AbortedTransaction>,
    ) {
        let index = update.session as usize;
        if self.all.len() <= index {
            self.all.resize_with(index + 1, || None);
        }
        let (connection, user) = (update.caller.connection, update.caller.user.clone());
        let gauge = update.gauge.clone();
        self.clients.set(update.session, connection, gauge);
        let before = self.all[index].take();
        let own = self.all[index].insert(SessionCaller {
            connection,
            user,
            format: update.format,
            address: update.caller.peer.ip(),
            pin: (self.mode == LinkMode::Pinned).then_some(Pin {
                reason: PinReason::Mode,
                since: None,
            }),
            settings: SessionSettings::default(),
            link: None,
            leaving: None,
            lost: OrphanedTransactions::default(),
            uses_streams: false,
        });
        let Some(mut before) = before else { return };
        if before.connection != connection {
            // It has ended, and that is told behind this.
            return before.leave(update.session, Leaving::Gone, claims, aborted);
        }
        own.pin = before.pin;
        own.settings = std::mem::take(&mut before.settings);
        if before.user.name != own.user.name {
            before.leave(update.session, Leaving::Login, claims, aborted);
        } else if before.format != own.format {
            before.leave(update.session, Leaving::Format, claims, aborted);
        } else {
            own.link = before.link.take();
            own.leaving = before.leaving.take();
        }
        own.lost = before.lost;
        own.uses_streams = before.uses_streams;
    }

    /// A session has ended. Another one may have its number already.
    pub(super) fn forget(&mut self, session: SessionId, claims: &Claims) {
        self.clients.forget(session.index, session.connection);
        let Some(caller) = self.all.get_mut(session.index as usize) else {
            return;
        };
        if let Some(mut ended) = caller.take_if(|own| own.connection == session.connection) {
            // Nobody is told.
            ended.leave(session.index, Leaving::Gone, claims, &mut Vec::new());
        }
    }

    /// Transactions are not there any more, for they were on a link that has ended, or that
    /// requests do not go over any more.
    pub(super) fn lose(
        &mut self,
        lost: Vec<LostStream>,
        error: &Error,
        aborted: &mut Vec<AbortedTransaction>,
    ) {
        for own in lost {
            if let Some(caller) = self.of(session_of(own.key)) {
                caller.lose(own, error.clone(), aborted);
            }
        }
    }

    /// Nobody knows what became of these COMMITs, which are answered with this.
    pub(super) fn lose_commits(&mut self, committing: Vec<ClientStream>, error: &Error) {
        for key in committing {
            if let Some(caller) = self.of(session_of(key)) {
                caller
                    .lost
                    .add(key.stream, OrphanFate::Unknown(error.clone()));
            }
        }
    }
}

/// The session of a stream.
pub(super) fn session_of(key: ClientStream) -> SessionId {
    SessionId {
        index: key.session,
        connection: key.connection,
    }
}

/// What has aborted the transactions on a link that has ended.
pub(super) fn aborted_with_link(upstream: &str) -> Error {
    aborted_by(&format!("the end of the connection to upstream {upstream}"))
}

/// What has aborted those that were open at the deadline of a drain.
pub(super) fn aborted_by_drain(upstream: &str) -> Error {
    aborted_by(&format!("the drain of upstream {upstream}"))
}

/// What has aborted those on one that requests do not go over any more.
pub(super) fn aborted_by_change() -> Error {
    Leaving::Target.error()
}

#[cfg(test)]
mod tests;
