//! Clients that have links of their own: because all have, or because they have set something in
//! their sessions upstream, which counts for nobody else.
//!
//! ```text
//!   a request that sets something ─▶ pinned ─▶ a new link ─▶ what was set before ─▶ the request
//!                                └ again, when that is lost, or requests go elsewhere
//! ```

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use vestibule_wire::{Error, ErrorCode};

use super::callers::{Pin, session_of};
use super::cell::LinkCell;
use super::hub::{Hub, Links};
use super::taking::Taking;
use crate::cells::claims::Claims;
use crate::limits::{
    LINKS_PER_UPSTREAM_MAX, PINNED_LINKS_FEW, PINNED_LINKS_RESERVE, SESSION_SETTINGS_BYTES_MAX,
    SHARED_LINKS_RESERVE,
};
use crate::messages::tx::BatchEntry;
use crate::monitoring::{PinInfo, PinReason};
use crate::upstream::{
    Forward, ForwardBody, LinkClient, LinkMode, ParkedRequest, SessionRequest, SettingRequest,
};

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
        if let Err(error) = self.pin_for(entry, body.bytes().len()) {
            return self.told.answers.push((entry.id, entry.sync, Err(error)));
        }
        let setting = SettingRequest {
            code: entry.code,
            body: Bytes::copy_from_slice(body.bytes()),
        };
        self.take_plain(entry, body);
        // Not before: a link that is opened for it has it once.
        if request == SessionRequest::Set
            && let Some(caller) = self.hub.callers.get_mut(entry.session)
        {
            caller.settings.keep(setting);
        }
    }

    /// From here on, this client has links of its own.
    ///
    /// # Errors
    ///
    /// What it sets would count for others, or there is no room to keep it.
    fn pin_for(&mut self, entry: &BatchEntry, size: usize) -> Result<(), Error> {
        let Some(caller) = self.hub.callers.get_mut(entry.session) else {
            return Ok(());
        };
        let key = caller.key(entry.session, entry.stream);
        if !caller.is_pinned() && key.stream != 0 && caller.bound_to(key).is_some() {
            let text = "vestibule does not support a session's first setting in a transaction";
            return Err(Error::new(ErrorCode::UNSUPPORTED, text));
        }
        if !caller.settings.has_room(size) {
            let text =
                format!("Settings of a session take more than {SESSION_SETTINGS_BYTES_MAX} bytes");
            return Err(Error::new(ErrorCode::MEMORY_ISSUE, text));
        }
        let pin = Pin {
            reason: PinReason::Settings,
            since: Some(self.worker.shared.clock.now()),
        };
        caller.pin(pin, entry.session, self.claims, &mut self.told.aborted);
        self.hub.has_pins = true;
        Ok(())
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
        for SettingRequest { code, body } in caller.settings.iter() {
            let body = ForwardBody::Own(body.clone());
            let mut link = cell.link.borrow_mut();
            link.submit(Forward::of_ours(key, *code), body, claims);
        }
    }

    /// Something that waits goes over the link that its client has by now.
    pub(super) fn follow_pin(&mut self, own: &mut ParkedRequest) {
        let caller = self.callers.of(session_of(own.request.forward.key));
        let pinned = caller.and_then(|own| own.client().pinned);
        own.client.pinned = own.client.pinned.or(pinned);
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
