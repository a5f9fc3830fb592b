//! What clients do, at random.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use vestibule_wire::keys::RequestType;
use vestibule_wire::msgpack::{write_array_len, write_map_len, write_str, write_uint};

use super::asked::What;
use super::client::Client;
use super::clock;
use super::engine::LARGE_REQUEST;
use super::ledger::Ledger;
use super::random::Random;
use super::world::{STEP_MAX, World};
use crate::limits::TIMER_TICK;
use crate::testing::RequestBuilder;

/// One of the clients.
pub(super) fn any(world: &mut World) -> Option<usize> {
    world.runtime.any_client(&mut world.random)
}

/// When a request that needs Tx has to be answered at the latest, held or not.
pub(super) fn due(world: &World) -> Option<Instant> {
    let timeout = world.runtime.settings().request_timeout;
    let late = TIMER_TICK * 2 + Duration::from_millis(STEP_MAX);
    (!timeout.is_zero()).then(|| clock::now() + timeout + late)
}

/// One of the clients does something.
pub(super) fn a_client_acts(world: &mut World) {
    let Some(index) = any(world) else { return };
    let due = due(world);
    let victim = any(world).map_or(0, |own| world.runtime.clients[own].connection);
    let victims = &mut world.victims;
    let client = &mut world.runtime.clients[index];
    if client.is_mute {
        return;
    }
    let act = Act {
        client,
        ledger: &mut world.engine.ledger(),
        random: &mut world.random,
        due,
        victims,
    };
    act.carry_out(victim);
}

/// One of the clients ends a transaction that there is not: that goes to Tx in a stop too, if the
/// connection is there still.
pub(super) fn somebody_rolls_back(world: &mut World) {
    let Some(index) = any(world) else { return };
    let due = due(world);
    let client = &mut world.runtime.clients[index];
    if client.is_mute {
        return;
    }
    let ledger = world.engine.ledger();
    client.ask(&ledger, What::Nothing, due, |sync| {
        RequestBuilder::new(RequestType::Rollback, sync).stream(beyond_transactions(1))
    });
}

struct Act<'a> {
    client: &'a mut Client,
    ledger: &'a mut Ledger,
    random: &'a mut Random,
    due: Option<Instant>,
    victims: &'a mut BTreeSet<u64>,
}

impl Act<'_> {
    fn carry_out(mut self, victim: u64) {
        match self.random.below(100) {
            0..20 => self.write(),
            20..25 => self.write_large(),
            25..35 => self.read(),
            35..43 => self.call(What::Nothing, "work", &[0x90]),
            43..47 => self.write_in_steps(),
            47 => self.call(What::Unending, "never", &[0x90]),
            48..63 => self.client.begin(self.ledger, self.due),
            63..90 => self.go_on_in_streams(),
            90..92 => self.ping(),
            92..94 => self.kill(victim),
            94..96 => self.demote(),
            96..98 => self.promote(),
            98 if self.random.once_in(2) => self.client.send_half(),
            98 if self.client.may_end_input() => self.client.end_input(),
            98 => {}
            _ => self.call(What::Unending, "vestibule.lock", &[0x91, 0xa1, b'a']),
        }
    }

    fn ask(&mut self, what: What, request: impl FnOnce(u64) -> RequestBuilder) {
        self.client.ask(self.ledger, what, self.due, request);
    }

    fn call(&mut self, what: What, name: &str, args: &[u8]) {
        self.ask(what, |sync| RequestBuilder::call(sync, name, args));
    }

    fn write(&mut self) {
        for _ in 0..=self.random.below(4) {
            let key = self.ledger.key(false);
            self.ask(What::Write(key), |sync| RequestBuilder::replace(sync, key));
        }
    }

    /// Some keys, in some of five streams and outside of them.
    fn read(&mut self) {
        for _ in 0..=self.random.below(3) {
            let (key, stream) = (self.random.next(), self.random.below(6));
            self.client
                .read(self.ledger, key, beyond_transactions(stream), self.due);
        }
    }

    fn write_large(&mut self) {
        let size = self.random.index(LARGE_REQUEST);
        let stream = beyond_transactions(self.random.below(4));
        let is_given_up = self.random.once_in(6);
        self.client
            .write_large(self.ledger, (size, stream), is_given_up, self.due);
    }

    fn write_in_steps(&mut self) {
        let key = self.ledger.key(false);
        let mut args = vec![0x91];
        write_uint(&mut args, key);
        self.call(What::Steps(key), "write", &args);
    }

    /// Statements, COMMIT or ROLLBACK in every open transaction.
    fn go_on_in_streams(&mut self) {
        let (draw, many) = (self.random.below(27), self.random.below(4));
        for stream in self.client.open_streams() {
            // What is refused is mostly ended.
            let is_over = !self.client.is_whole(stream) && !self.random.once_in(4);
            match draw {
                0..15 if !is_over => {
                    (0..=many).for_each(|_| self.client.statement(stream, self.ledger, self.due))
                }
                0..25 => self.client.end(stream, true, self.ledger, self.due),
                _ => self.client.end(stream, false, self.ledger, self.due),
            }
        }
    }

    /// Answered at once, whatever Tx does.
    fn ping(&mut self) {
        self.due = Some(clock::now() + Duration::from_millis(STEP_MAX));
        self.ask(What::Nothing, |sync| {
            RequestBuilder::new(RequestType::Ping, sync)
        });
    }

    /// A connection, or one of its requests.
    fn kill(&mut self, victim: u64) {
        self.victims.insert(victim);
        let is_connection = self.random.once_in(2);
        let mut args = Vec::new();
        write_array_len(&mut args, 2 - u32::from(is_connection));
        write_uint(&mut args, victim);
        if !is_connection {
            write_uint(&mut args, self.random.below(20));
        }
        self.due = None;
        self.call(What::Nothing, "vestibule.kill", &args);
    }

    /// With a grace of some hundredths of a second, and a second of patience.
    fn demote(&mut self) {
        let grace = self.random.below(5) as f64 / 100.0;
        let mut args = Vec::new();
        write_array_len(&mut args, 1);
        write_map_len(&mut args, 2);
        write_str(&mut args, "grace");
        args.push(0xcb);
        args.extend_from_slice(&grace.to_be_bytes());
        write_str(&mut args, "timeout");
        write_uint(&mut args, 1);
        self.wait_for_a_transition();
        self.call(What::Nothing, "vestibule.demote", &args);
    }

    fn promote(&mut self) {
        self.wait_for_a_transition();
        let args = [
            0x91, 0x81, 0xa7, b't', b'i', b'm', b'e', b'o', b'u', b't', 1,
        ];
        self.call(What::Nothing, "vestibule.promote", &args);
    }

    /// No grace here is longer.
    fn wait_for_a_transition(&mut self) {
        self.due = Some(clock::now() + Duration::from_millis(1000 + 100));
    }
}

/// A stream that no transaction of a client gets to; 0 for none.
fn beyond_transactions(stream: u64) -> u64 {
    if stream > 0 { stream + (1 << 32) } else { 0 }
}
