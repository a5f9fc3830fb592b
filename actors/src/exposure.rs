//! What other machines reach: a guest who may do everything is refused there.
//!
//! ```text
//!   start        a listener that they reach, and a factory that says so  ─▶ StartError
//!   recovery     a listener that they reach, and a catalog that says so  ─▶ the start fails
//!   a request    a connection that comes from there, and the same        ─▶ refused, log in first
//! ```
//!
//! Who has logged in is none of this module's business.

use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;

use vestibule_wire::{Error, ErrorCode};

use crate::config::ExposedGuest;
use crate::engine::Fault;
use crate::engine::catalog::GUEST;

/// Whether other machines reach an address, or come from it.
fn is_elsewhere(address: IpAddr) -> bool {
    !address.to_canonical().is_loopback()
}

/// What is known of the listeners.
#[derive(Debug, Default)]
pub(crate) struct Exposure {
    /// One that other machines reach.
    listener: OnceLock<SocketAddr>,
}

impl Exposure {
    /// There is a listener at this address.
    pub(crate) fn note_listener(&self, address: SocketAddr) {
        if is_elsewhere(address.ip()) {
            self.listener.get_or_init(|| address);
        }
    }

    /// Lets an engine serve behind these listeners, if guest does not come to do everything, or
    /// may.
    ///
    /// # Errors
    ///
    /// What to do about it.
    pub(crate) fn check_guest(
        &self,
        exposed_guest: ExposedGuest,
        power: impl FnOnce() -> Option<String>,
    ) -> Result<(), Fault> {
        let exposed = self
            .listener
            .get()
            .filter(|own| refuses(exposed_guest, own.ip()));
        match exposed.and_then(|own| Some((*own, power()?))) {
            Some((address, power)) => Err(Fault::from(refusal(address, &power))),
            None => Ok(()),
        }
    }
}

/// Whether a guest who may do everything is refused at this address, or from it.
pub(crate) fn refuses(exposed_guest: ExposedGuest, address: IpAddr) -> bool {
    exposed_guest == ExposedGuest::Refused && is_elsewhere(address)
}

/// Why a runtime does not start.
pub(crate) fn refusal(address: SocketAddr, power: &str) -> String {
    format!(
        "{address} is reachable from other machines, and the user 'guest', who needs no password, \
         may change all data ({power}): listen on 127.0.0.1, take that from guest, for example \
         with box.schema.user.revoke('guest', 'super') or \
         box.schema.user.revoke('guest', 'write', 'universe'), or allow it by \
         Config::exposed_guest"
    )
}

/// What guest is told on a connection from elsewhere.
#[cold]
pub(crate) fn refused_request(power: &str) -> Error {
    let text = format!(
        "User '{GUEST}' is refused on connections from other machines, as it may change all data \
         ({power}): log in first"
    );
    Error::new(ErrorCode::ACCESS_DENIED, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_this_machine_is_told_from_what_is_not() {
        for (address, expected) in [
            ("127.0.0.1:1", false),
            ("127.9.9.9:1", false),
            ("[::1]:1", false),
            ("[::ffff:127.0.0.1]:1", false),
            ("0.0.0.0:1", true),
            ("[::]:1", true),
            ("192.0.2.1:1", true),
            ("[::ffff:192.0.2.1]:1", true),
        ] {
            assert_eq!(
                is_elsewhere(address.parse::<SocketAddr>().unwrap().ip()),
                expected,
                "{address}"
            );
        }
    }

    #[test]
    fn an_engine_serves_where_others_are_if_guest_is_harmless_or_allowed() {
        let power = || Some("by its own rights".to_owned());
        let exposure = Exposure::default();
        exposure.note_listener(([127, 0, 0, 1], 1).into());
        assert!(exposure.check_guest(ExposedGuest::Refused, power).is_ok());
        exposure.note_listener(([192, 0, 2, 1], 3301).into());
        assert!(exposure.check_guest(ExposedGuest::Refused, || None).is_ok());
        let told = exposure
            .check_guest(ExposedGuest::Refused, power)
            .unwrap_err()
            .to_string();
        for part in [
            "192.0.2.1:3301",
            "by its own rights",
            "Config::exposed_guest",
        ] {
            assert!(told.contains(part), "{told}");
        }
        assert!(exposure.check_guest(ExposedGuest::Allowed, power).is_ok());
    }
}
