//! A door to a scripted runtime, and a client for it.

pub(crate) mod client;

use std::net::SocketAddr;

use vestibule_actors::testing::Harness;
use vestibule_http::{HttpAddress, HttpConfig, HttpHandle, Sources, serve};

/// A door that listens on any port of this machine.
pub(crate) fn door(harness: &Harness) -> (HttpHandle, SocketAddr) {
    open(harness, HttpConfig::new([any_port()]))
}

pub(crate) fn any_port() -> HttpAddress {
    HttpAddress::Tcp(([127, 0, 0, 1], 0).into())
}

pub(crate) fn open(harness: &Harness, config: HttpConfig) -> (HttpHandle, SocketAddr) {
    let door = serve(harness.handle(), config, Sources::new("1.2.3")).expect("it opens");
    let HttpAddress::Tcp(address) = door.addresses()[0].clone() else {
        panic!("it listens on a port");
    };
    (door, address)
}
