//! Sockets that a service manager hands over: what each is for, by the name that it is given there,
//! and where it listens.

use std::fmt;
use std::net::SocketAddr;

use vestibule_actors::ListenAddress;

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SocketUse {
    /// Clients, as those of `--listen`.
    Clients,
    /// Administrators, as those of `--admin-listen`.
    Administrators,
    /// Clients who agree on TLS first, as those of `--tls-listen`.
    Tls,
    /// Clients whose SELECTs replicas answer, as those of `--listen-reads`.
    Reads,
    /// The same who agree on TLS first, as those of `--tls-listen-reads`.
    TlsReads,
    /// The side door, as those of `--http-listen`.
    Http,
}

impl SocketUse {
    /// All of them.
    pub(crate) const ALL: [Self; 6] = [
        Self::Clients,
        Self::Administrators,
        Self::Tls,
        Self::Reads,
        Self::TlsReads,
        Self::Http,
    ];

    /// The name that the service manager has for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Administrators => "admin",
            Self::Tls => "tls",
            Self::Reads => "reads",
            Self::TlsReads => "tls-reads",
            Self::Http => "http",
        }
    }

    /// The one of a name.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|own| own.name() == name)
    }

    /// Whether its clients agree on TLS first.
    pub(crate) fn is_over_tls(self) -> bool {
        matches!(self, Self::Tls | Self::TlsReads)
    }

    /// The option that says the same without a service manager.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Self::Clients => "listen",
            Self::Administrators => "admin_listen",
            Self::Tls => "tls_listen",
            Self::Reads => "listen_reads",
            Self::TlsReads => "tls_listen_reads",
            Self::Http => "http_listen",
        }
    }
}

/// Where the sockets listen that were handed over: at these addresses nothing is opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HandedOver(Vec<(SocketUse, ListenAddress)>);

impl HandedOver {
    /// Where those listen that are for this.
    pub(crate) fn of(&self, use_: SocketUse) -> impl Iterator<Item = &ListenAddress> {
        let own = self.0.iter().filter(move |(own, _)| *own == use_);
        own.map(|(_, address)| address)
    }

    /// Where those listen that stand for an option; none if they do not.
    pub(crate) fn instead_of(&self, option: &str) -> Vec<String> {
        let own = self.0.iter().filter(|(own, _)| own.option() == option);
        own.map(|(_, address)| address.to_string()).collect()
    }

    /// Whether there are any for this.
    pub(crate) fn has(&self, use_: SocketUse) -> bool {
        self.of(use_).next().is_some()
    }

    /// What is to be opened of what an option says: all of it, or nothing where sockets were handed
    /// over for that.
    pub(super) fn or<T: Clone>(&self, use_: SocketUse, said: &[T]) -> Vec<T> {
        match self.has(use_) {
            true => Vec::new(),
            false => said.to_vec(),
        }
    }

    /// The addresses of the network at which clients and administrators come in.
    pub(super) fn network(&self) -> impl Iterator<Item = SocketAddr> {
        let own = self.0.iter().filter(|(own, _)| *own != SocketUse::Http);
        own.filter_map(|(_, address)| address.network())
    }

    /// Whether what an option says is what was handed over, if anything was.
    ///
    /// # Errors
    ///
    /// What both say.
    pub(crate) fn agree(&self, use_: SocketUse, said: &[ListenAddress]) -> Result<(), String> {
        let mut own = self.of(use_);
        let is_same =
            own.all(|own| said.contains(own)) && said.iter().all(|own| self.is(use_, own));
        match is_same || !self.has(use_) {
            true => Ok(()),
            false => Err(format!(
                "the service manager hands over {} as '{}', and here is {}: have them agree, or \
                 leave this option out",
                list(self.of(use_)),
                use_.name(),
                list(said)
            )),
        }
    }

    fn is(&self, use_: SocketUse, address: &ListenAddress) -> bool {
        self.of(use_).any(|own| own == address)
    }
}

impl FromIterator<(SocketUse, ListenAddress)> for HandedOver {
    fn from_iter<I: IntoIterator<Item = (SocketUse, ListenAddress)>>(sockets: I) -> Self {
        Self(sockets.into_iter().collect())
    }
}

impl fmt::Display for HandedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = self.0.iter();
        let texts: Vec<_> = own
            .map(|(use_, address)| format!("{address} for {}", use_.name()))
            .collect();
        f.write_str(&texts.join(", "))
    }
}

fn list<'a>(addresses: impl IntoIterator<Item = &'a ListenAddress>) -> String {
    let texts: Vec<_> = addresses.into_iter().map(ToString::to_string).collect();
    match texts.is_empty() {
        true => "none".to_owned(),
        false => texts.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> ListenAddress {
        text.parse().expect("it is an address")
    }

    #[test]
    fn what_is_said_and_what_is_handed_over_are_the_same_or_one_of_them_is_not_there() {
        let [one, other] = ["127.0.0.1:1", "unix:/run/own"].map(address);
        let handed: HandedOver = [&one, &other]
            .map(|own| (SocketUse::Clients, own.clone()))
            .into_iter()
            .collect();
        let said = |said: &[&ListenAddress]| {
            let said: Vec<_> = said.iter().map(|own| (*own).clone()).collect();
            handed.agree(SocketUse::Clients, &said)
        };
        assert_eq!(said(&[&other, &one]), Ok(()));
        for wrong in [&[][..], &[&one], &[&one, &other, &address("127.0.0.1:2")]] {
            let told = said(wrong).expect_err("they differ");
            assert!(
                told.contains("127.0.0.1:1, unix:/run/own as 'clients'"),
                "{told}"
            );
        }
        assert_eq!(handed.agree(SocketUse::Http, &[one]), Ok(()));
    }

    #[test]
    fn every_use_has_a_name_that_is_found_again() {
        for own in SocketUse::ALL {
            assert_eq!(SocketUse::of_name(own.name()), Some(own));
        }
        for other in ["", "unknown", "Clients", "vestibule.socket"] {
            assert_eq!(SocketUse::of_name(other), None);
        }
    }
}
