//! Clients that have links of their own: because all have, or because they have set something in
//! their sessions upstream, which counts for nobody else.
//!
//! ```text
//!   a request that sets something ─▶ a place? ─▶ pinned ─▶ a new link ─▶ what was set ─▶ it
//!                                     │              └ again, when that is lost, or requests go
//!                                     └ none: refused   elsewhere
//! ```

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use vestibule_wire::keys::RequestType;
use vestibule_wire::{Error, ErrorCode};

use super::callers::{Pin, SessionCaller, session_of};
use super::cell::{LinkCell, ToldSetting};
use super::hub::{Hub, Links};
use super::pause::RefusedSetting;
use super::refusals::NoLink;
use super::taking::Taking;
use crate::cells::claims::Claims;
use crate::limits::{
    LINKS_PER_UPSTREAM_MAX, PINNED_LINKS_FEW, PINNED_LINKS_RESERVE, SHARED_LINKS_RESERVE,
};
use crate::messages::tx::BatchEntry;
use crate::monitoring::{PinInfo, PinReason};
use crate::upstream::{
    Destination, Forward, ForwardBody, Incarnation, Kind, LinkClient, LinkFault, LinkMode,
    ParkedRequest, Refusal, SessionRequest, SettingRequest,
};

/// The number of the type of SQL.
const EXECUTE: u16 = RequestType::Execute as u16;

impl Taking<'_> {
    /// A request that does something to its session upstream.
    #[cold]
    pub(super) fn take_of_session(
        &mut self,
        entry: &BatchEntry,
        request: SessionRequest,
        body: ForwardBody<'_>,
    ) {
        if !request.is_set() {
            return self.take_plain(entry, body);
        }
        if !self.has_place_for(entry) {
            // Its client goes on as before.
            return self.refused.push((entry.id, NoLink::Paused));
        }
        if let Err(error) = self.pin_for(entry, request, body.bytes()) {
            return self.told.answers.push((entry.id, entry.sync, Err(error)));
        }
        self.is_setting = true;
        self.take_plain(entry, body);
        self.is_setting = false;
    }

    /// Whether the client may have a link of its own, as far as that can be known now.
    fn has_place_for(&self, entry: &BatchEntry) -> bool {
        let (Some(caller), Destination::To(target)) =
            (self.hub.callers.get(entry.session), self.destination)
        else {
            return true;
        };
        let client = LinkClient {
            pinned: Some(caller.connection()),
            is_bulk: false,
            ..caller.client()
        };
        caller.is_pinned() || self.hub.has_place(target.upstream, &client, entry.session)
    }

    /// From here on, this client has links of its own.
    ///
    /// # Errors
    ///
    /// What it sets would count for others, or there is no room to keep it.
    fn pin_for(
        &mut self,
        entry: &BatchEntry,
        request: SessionRequest,
        body: &[u8],
    ) -> Result<(), Error> {
        let claims = self.claims;
        let Some(caller) = self.hub.callers.get_mut(entry.session) else {
            return Ok(());
        };
        let key = caller.key(entry.session, entry.stream);
        if !caller.is_pinned() && key.stream != 0 && caller.may_be_open(key) {
            let text = "vestibule does not support a session's first setting in a transaction";
            return Err(Error::new(ErrorCode::UNSUPPORTED, text));
        }
        // Of what nobody waits for any more it is not known whether it was accepted.
        caller.settings.is_unused(|own| claims.phase(own).is_some());
        let setting = SettingRequest {
            code: entry.code,
            body: Bytes::copy_from_slice(body),
        };
        caller.settings.begin(entry.id, request, setting)?;
        let pin = Pin {
            reason: PinReason::Settings,
            since: Some(self.worker.shared.clock.now()),
        };
        caller.pin(pin);
        self.hub.has_pins = true;
        Ok(())
    }
}

impl SessionCaller {
    /// From here on, it has links of its own: the next request opens one.
    fn pin(&mut self, pin: Pin) {
        if self.pin.is_none() {
            self.pin = Some(pin);
            self.is_outdated = true;
        }
    }

    /// Something is set for it over this link. One that it has by now as another user may have been
    /// opened before that was sent, and lacks it: the next request opens another one.
    fn leave_unset(&self, cell: &LinkCell) {
        let is_other = |own: &&Rc<LinkCell>| {
            own.client.pinned.is_some() && own.client.user != cell.client.user
        };
        if let Some(link) = self.link.as_ref().filter(is_other) {
            link.retire();
        }
    }

    /// Shares links again, if it has one of its own for nothing: it has set nothing, nothing that
    /// sets something is under way, and the link that it had, if it had one, is over.
    pub(super) fn unpin_unused(&mut self, claims: &Claims) {
        let is_for_settings = |own: &Pin| own.reason == PinReason::Settings;
        let has_link = || {
            let link = self.link.as_ref();
            link.is_some_and(|own| own.client.pinned.is_some() && !own.is_retired.get())
        };
        if self.pin.as_ref().is_some_and(is_for_settings)
            && !has_link()
            && self.settings.is_unused(|own| claims.phase(own).is_some())
        {
            self.pin = None;
        }
    }
}

impl Hub {
    /// A client has a new link of its own: its session becomes what it has set before.
    pub(super) fn begin_pinned(&mut self, cell: &LinkCell, session: u32, claims: &Claims) {
        let caller = self.callers.get(session);
        let caller = caller.filter(|own| Some(own.connection()) == cell.client.pinned);
        let Some(caller) = caller else { return };
        cell.address.set(Some(caller.address));
        let key = caller.key(session, 0);
        for SettingRequest { code, body } in caller.settings.iter(|own| claims.is_started(own)) {
            // It is charged for as when it was sent first.
            let kind = match *code == EXECUTE {
                true => Kind::Call,
                false => Kind::Other,
            };
            let forward = Forward {
                kind,
                is_setting: true,
                ..Forward::of_ours(key, *code)
            };
            let mut link = cell.link.borrow_mut();
            link.set_again(forward, body.clone(), claims);
        }
    }

    /// A link has not come about: others like it are left for a while. Where it is for what one
    /// client has set, that one alone waits.
    pub(super) fn pause_after(&mut self, cell: &LinkCell, fault: &LinkFault, now: Instant) {
        if cell.cut_off.get().is_some() {
            // It was not to come about.
            return;
        }
        let is_of_setting = matches!(fault, LinkFault::Refused(Refusal::Setting(_)));
        let Some(connection) = cell.client.pinned.filter(|_| is_of_setting) else {
            return self.pause_of(cell).fail(cell.incarnation.number, now);
        };
        let Some(caller) = self.callers.of_connection(connection) else {
            return;
        };
        let upstream = cell.incarnation.upstream;
        let refused = caller.refused.get_or_insert_default();
        if refused.upstream != upstream {
            **refused = RefusedSetting::default();
            refused.upstream = upstream;
        }
        refused.pause.fail(cell.incarnation.number, now);
    }

    /// Whether a client may have a link of its own, by when what it has set was refused on one.
    pub(super) fn may_set_again(
        &self,
        client: &LinkClient,
        session: u32,
        target: Incarnation,
        now: Instant,
    ) -> bool {
        let caller = self
            .callers
            .get(session)
            .filter(|_| client.pinned.is_some());
        let refused = caller.and_then(|own| own.refused.as_ref());
        let is_over = |own: &RefusedSetting| own.pause.is_over(target.number, now);
        refused.is_none_or(|own| own.upstream != target.upstream || is_over(own))
    }

    /// Something that waits goes over the link that its client has by now: as what waits in a link
    /// does. As another user than it was sent by it does not.
    pub(super) fn follow_caller(&mut self, own: &mut ParkedRequest, claims: &Claims) {
        if let Some(caller) = self.callers.of(session_of(own.request.forward.key)) {
            caller.unpin_unused(claims);
            let client = caller.client();
            own.client.pinned = client.pinned;
            own.client.is_bulk = false;
            if own.client.user == client.user {
                own.client.format = client.format;
                own.client.is_bulk = client.is_bulk;
            }
        }
    }

    /// An upstream has answered over this link what was to set something.
    fn end_settings(&mut self, cell: &LinkCell, told: Vec<ToldSetting>) {
        for ToldSetting {
            id,
            key,
            is_accepted,
        } in told
        {
            if let Some(caller) = self.callers.of(session_of(key)) {
                caller.settings.end(id, is_accepted);
                if is_accepted {
                    caller.leave_unset(cell);
                }
            }
        }
    }

    /// Whether there is a place for one more link to an upstream that is one client's: nobody takes
    /// all of them, and in default mode those who share links have some too.
    pub(super) fn has_place(&self, upstream: usize, client: &LinkClient, session: u32) -> bool {
        let max = match self.mode {
            LinkMode::Pinned => LINKS_PER_UPSTREAM_MAX,
            LinkMode::Shared => LINKS_PER_UPSTREAM_MAX - SHARED_LINKS_RESERVE,
        };
        let address = self.callers.get(session).map(|own| own.address);
        let places = self.open[upstream].iter();
        let places = places.filter(|own| own.client.pinned.is_some());
        let (mut all, mut of_user, mut of_address) = (0, 0, 0);
        for own in places {
            all += 1;
            of_user += usize::from(own.client.user == client.user);
            of_address += usize::from(is_same_address(own.address.get(), address));
        }
        let has_few = of_user < PINNED_LINKS_FEW && of_address < PINNED_LINKS_FEW;
        let reserve = if has_few { 0 } else { PINNED_LINKS_RESERVE };
        all + reserve < max
    }
}

/// Whether both are of one machine. Of this one many may be, by a proxy.
fn is_same_address(one: Option<IpAddr>, other: Option<IpAddr>) -> bool {
    one == other && one.is_some_and(|own| !own.is_loopback())
}

impl Links {
    /// Notes what an upstream has answered to what was to set something.
    #[inline]
    pub(super) fn note_settings(&self, cell: &LinkCell) {
        let told = cell.told_settings.take();
        if !told.is_empty() {
            self.state.borrow_mut().end_settings(cell, told);
        }
    }

    /// The clients that have links of their own, at most `limit`.
    pub(crate) fn pins(&self, now: Instant, limit: usize) -> Vec<PinInfo> {
        let thread = self.worker.upgrade().map_or(0, |own| own.index);
        let hub = self.state.borrow();
        let pinned = hub.callers.iter().filter(|own| own.is_pinned());
        let row = pinned.filter_map(|caller| {
            let pin = caller.pin?;
            let is_its = |own: &&Rc<LinkCell>| own.client.pinned.is_some();
            let link = caller.link.as_ref().filter(is_its);
            let since = pin.since.or(link.map(|own| own.since));
            let upstream = link.map(|own| self.gateway.upstream(own.incarnation.upstream));
            Some(PinInfo {
                connection: caller.connection(),
                user: caller.user.name.to_string(),
                reason: pin.reason,
                upstream: upstream.map(|own| own.name.clone()),
                thread,
                age: since.map(|since| now.saturating_duration_since(since)),
            })
        });
        row.take(limit).collect()
    }
}
