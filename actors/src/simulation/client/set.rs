//! What a client sets in its session.

use std::time::Instant;

use vestibule_wire::keys::{self, RequestType};
use vestibule_wire::msgpack::{write_array_len, write_str, write_uint};

use super::Client;
use crate::simulation::asked::What;
use crate::simulation::ledger::Ledger;
use crate::testing::RequestBuilder;
use crate::upstream::ReadFrom;

/// The space by which settings of a session are set.
pub(in crate::simulation) const SETTINGS: u32 = 380;

impl Client {
    /// Sets something in its session: the number of its connection, which tells whose it is.
    pub(in crate::simulation) fn set(&mut self, ledger: &Ledger, due: Option<Instant>) {
        let mut ops = vec![0x91, 0x93, 0xa1, b'=', 1];
        write_uint(&mut ops, self.connection);
        self.ask(ledger, What::Setting, due, |sync| {
            RequestBuilder::new(RequestType::Update, sync)
                .uint(keys::SPACE_ID, SETTINGS.into())
                .pair(keys::KEY, &[0x91, 0xa1, b'x'])
                .pair(keys::TUPLE, &ops)
        });
    }
    /// Says by whom its SELECTs are to be answered.
    pub(in crate::simulation) fn read_from(&mut self, own: ReadFrom, ledger: &Ledger) {
        let mut args = Vec::new();
        write_array_len(&mut args, 2);
        write_str(&mut args, "read_from");
        write_str(&mut args, own.name());
        self.ask(ledger, What::ReadFrom(own), None, |sync| {
            RequestBuilder::call(sync, "vestibule.set", &args)
        });
    }
}
