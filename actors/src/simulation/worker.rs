//! The door of a simulated world: connections come without an Acceptor.

use std::net::SocketAddr;

use actix::{Handler, Message};

use super::pipe::Transport;
use crate::slots::ConnectionSlot;
use crate::worker::Worker;

/// A connection for a session arbiter.
#[derive(Debug)]
pub(crate) struct Plug {
    pub(crate) slot: ConnectionSlot,
    pub(crate) peer: SocketAddr,
    pub(crate) transport: Transport,
}

impl Message for Plug {
    type Result = ();
}

impl Handler<Plug> for Worker {
    type Result = ();

    fn handle(&mut self, plug: Plug, _ctx: &mut Self::Context) {
        let Plug {
            slot,
            peer,
            transport,
        } = plug;
        self.plug(slot, peer, transport);
    }
}
