//! A door to a scripted runtime, and a client for it.

#![allow(dead_code, reason = "each test file takes its own part of it")]

pub(crate) mod client;
pub(crate) mod events;

use std::net::SocketAddr;

use vestibule_actors::ListenAddress;
use vestibule_actors::testing::Harness;
use vestibule_http::{HttpConfig, HttpHandle, Sources, serve};

/// A door that listens on any port of this machine.
pub(crate) fn door(harness: &Harness) -> (HttpHandle, SocketAddr) {
    open(harness, HttpConfig::new([any_port()]))
}

pub(crate) fn any_port() -> ListenAddress {
    ListenAddress::Tcp(([127, 0, 0, 1], 0).into())
}

pub(crate) fn open(harness: &Harness, config: HttpConfig) -> (HttpHandle, SocketAddr) {
    open_with(harness, config, Sources::new("1.2.3"))
}

pub(crate) fn open_with(
    harness: &Harness,
    config: HttpConfig,
    sources: Sources,
) -> (HttpHandle, SocketAddr) {
    let door = serve(harness.handle(), config, sources).expect("it opens");
    let ListenAddress::Tcp(address) = door.addresses()[0].clone() else {
        panic!("it listens on a port");
    };
    (door, address)
}
