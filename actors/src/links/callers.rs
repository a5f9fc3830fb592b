//! Who calls from the sessions of a worker, over which link, and what became of their streams.

use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::time::Instant;

use vestibule_wire::features::Features;
use vestibule_wire::keys::RequestType;
use vestibule_wire::{Error, ErrorCode};

use super::cell::LinkCell;
use super::pause::RefusedSetting;
use crate::cells::claims::Claims;
use crate::connection::orphaned::{OrphanFate, OrphanedTransactions, aborted_by};
use crate::engine::catalog::User;
use crate::messages::SessionId;
use crate::messages::tx::{AbortedTransaction, CallerUpdate};
use crate::monitoring::PinReason;
use crate::upstream::{
    BulkUse, ClientStream, Clients, LinkClient, LinkMode, LostStream, SessionSettings, StreamStep,
};

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
    /// By whom that was refused on a new link, and when it may have another one there.
    pub(super) refused: Option<Box<RefusedSetting>>,
    pub(super) link: Option<Rc<LinkCell>>,
    /// The link is for whom this was, and not for whom it is: the next request opens another one.
    pub(super) is_outdated: bool,
    /// Whether it goes over the link for bulk.
    pub(super) is_bulk: bool,
    /// What it has sent, and was sent: something large for as long as it goes over that.
    pub(super) bulk: BulkUse,
    /// The link before that: what is open there may come to its end.
    pub(super) leaving: Option<Rc<LinkCell>>,
    /// When that was looked at for what waits there, by what had come to its end there.
    pub(super) looked: Option<u64>,
    /// What links before may still have to write, which comes before all that it sends: one of
    /// each.
    pub(super) behind: Vec<Unwritten>,
    /// Streams whose transactions are not there any more.
    pub(super) lost: OrphanedTransactions,
    /// Something was asked in a stream.
    pub(super) uses_streams: bool,
}

/// What a link has to write of a connection that has left it, by the number of bytes that are
/// written then of all that there ever were.
pub(super) struct Unwritten {
    /// The connection may do nothing for long: it keeps no link that is over.
    pub(super) link: Weak<LinkCell>,
    pub(super) until: u64,
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
    /// One that has asked nothing yet.
    fn new(connection: u64, user: User, format: Features, address: IpAddr) -> Self {
        Self {
            connection,
            user,
            format,
            address,
            pin: None,
            settings: SessionSettings::default(),
            refused: None,
            link: None,
            is_outdated: false,
            is_bulk: false,
            bulk: BulkUse::default(),
            leaving: None,
            looked: None,
            behind: Vec::new(),
            lost: OrphanedTransactions::default(),
            uses_streams: false,
        }
    }

    /// The transaction that may have been open in a stream is not there any more.
    pub(super) fn lose(
        &mut self,
        lost: LostStream,
        error: Error,
        aborted: &mut Vec<AbortedTransaction>,
    ) {
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
        if lost.is_some() || !StreamStep::of(meaning).may_begin() {
            return lost;
        }
        let max_here = max.saturating_sub(self.lost.aborted());
        if self.has_open_below(max_here) || link.link.borrow().may_be_open(key) {
            return None;
        }
        let text =
            format!("Too many streams of this connection may have a transaction open: {max}");
        Some(Err(Error::new(ErrorCode::ILLEGAL_PARAMS, text)))
    }

    /// Whether a link is for whom it is now, be it for bulk or not.
    pub(super) fn is_client(&self, own: &LinkClient) -> bool {
        let pinned = self.is_pinned().then_some(self.connection);
        (&own.user, own.format, own.pinned) == (&self.user.name, self.format, pinned)
    }

    /// As whom it asks.
    pub(super) fn client(&self) -> LinkClient {
        LinkClient {
            user: self.user.name.clone(),
            format: self.format,
            pinned: self.is_pinned().then_some(self.connection),
            is_bulk: self.is_bulk && !self.is_pinned(),
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

    /// The caller of this connection, which is looked for among all.
    pub(super) fn of_connection(&mut self, connection: u64) -> Option<&mut SessionCaller> {
        let mut all = self.all.iter_mut().flatten();
        all.find(|own| own.connection == connection)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &SessionCaller> {
        self.all.iter().flatten()
    }

    /// Whether somebody calls from this connection.
    pub(super) fn has(&self, connection: u64) -> bool {
        self.iter().any(|own| own.connection == connection)
    }

    /// From here on, this one calls from a session. Whether another user did, on the same
    /// connection.
    pub(super) fn set(
        &mut self,
        update: &CallerUpdate,
        claims: &Claims,
        aborted: &mut Vec<AbortedTransaction>,
    ) -> bool {
        let index = update.session as usize;
        if self.all.len() <= index {
            self.all.resize_with(index + 1, || None);
        }
        let (connection, user) = (update.caller.connection, update.caller.user.clone());
        let gauge = update.gauge.clone();
        self.clients.set(update.session, connection, gauge);
        let before = self.all[index].take();
        let address = update.caller.peer.ip();
        let mut own = SessionCaller::new(connection, user, update.format, address);
        own.pin = (self.mode == LinkMode::Pinned).then_some(Pin {
            reason: PinReason::Mode,
            since: None,
        });
        let own = self.all[index].insert(own);
        let Some(mut before) = before else {
            return false;
        };
        if before.connection != connection {
            // It has ended, and that is told behind this.
            before.leave(Leaving::Gone, claims, aborted);
            return false;
        }
        own.pin = before.pin;
        own.settings = std::mem::take(&mut before.settings);
        own.refused = before.refused.take();
        let is_login = before.user.name != own.user.name;
        if is_login {
            before.leave(Leaving::Login, claims, aborted);
        } else {
            if before.format != own.format {
                before.leave_for_format(claims, aborted);
            }
            own.link = before.link.take();
            own.is_outdated = before.is_outdated;
            (own.is_bulk, own.bulk) = (before.is_bulk, before.bulk);
            own.leaving = before.leaving.take();
            own.looked = before.looked;
            own.behind = std::mem::take(&mut before.behind);
        }
        own.lost = before.lost;
        own.uses_streams = before.uses_streams;
        is_login
    }

    /// A session has ended. Another one may have its number already.
    pub(super) fn forget(&mut self, session: SessionId, claims: &Claims) {
        self.clients.forget(session.index, session.connection);
        let Some(caller) = self.all.get_mut(session.index as usize) else {
            return;
        };
        if let Some(mut ended) = caller.take_if(|own| own.connection == session.connection) {
            // Nobody is told.
            ended.leave(Leaving::Gone, claims, &mut Vec::new());
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
