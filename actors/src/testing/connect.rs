//! How connections in memory come to a worker: without an Acceptor.

use actix::{Handler, Message};

use super::pipe::ServerEnd;
use crate::incoming::Origin;
use crate::slots::ConnectionSlot;
use crate::worker::Worker;

/// A connection for a worker.
#[derive(Debug)]
pub(crate) struct Connect {
    pub(crate) transport: ServerEnd,
    pub(crate) origin: Origin,
    pub(crate) slot: ConnectionSlot,
}

impl Message for Connect {
    type Result = ();
}

impl Handler<Connect> for Worker {
    type Result = ();

    fn handle(&mut self, connect: Connect, _ctx: &mut Self::Context) {
        let Connect {
            transport,
            origin,
            slot,
        } = connect;
        self.serve(slot, origin, Box::new(transport))
            .expect("the system has random numbers");
    }
}
