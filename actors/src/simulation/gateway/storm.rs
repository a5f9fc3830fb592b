//! What happens in a world of a gateway, at random.

use std::time::{Duration, Instant};

use vestibule_wire::keys::RequestType;
use vestibule_wire::msgpack::{write_array_len, write_uint};

use super::model::Process;
use super::options::Options;
use super::stats::GatewayStats;
use super::world::GatewayWorld;
use crate::limits::TIMER_TICK;
use crate::serving::{Role, UpstreamUse};
use crate::simulation::asked::What;
use crate::simulation::clock;
use crate::simulation::engine::{LARGE_REPLY, LARGE_REQUEST};
use crate::simulation::random::Random;
use crate::testing::RequestBuilder;
use crate::transitions::TransitionTarget;
use crate::upstream::{BulkRule, ReadFrom};

const CLIENTS_MAX: usize = 12;

/// Times that something happens in a world.
const ROUNDS: usize = 150;

/// What happens in a world, beside what happens in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mix {
    Nothing,
    /// Whole transactions, and kills of their BEGINs.
    KilledBegins,
    /// New connections are asked for, and clients set something, which gives them others.
    NewLinks,
    /// Upstreams elect the one that takes changes, and tell of it.
    Elections,
    /// Clients that ask for much go over connections for bulk, and back.
    Bulk,
    /// The same, and new connections are asked for.
    BulkAndNewLinks,
}

impl Mix {
    /// What happens in the world of a seed, if nothing else is said.
    pub(super) fn of(seed: u64) -> Self {
        match seed % 16 {
            0 | 4 | 8 | 12 => Self::NewLinks,
            1 | 5 | 9 | 13 => Self::Elections,
            7 => Self::Bulk,
            15 => Self::BulkAndNewLinks,
            _ => Self::Nothing,
        }
    }

    /// What counts as bulk in it.
    fn bulk(self, seed: u64) -> BulkRule {
        match self {
            Self::Nothing | Self::KilledBegins | Self::NewLinks | Self::Elections => {
                BulkRule::of(Duration::ZERO)
            }
            Self::Bulk | Self::BulkAndNewLinks => BulkRule {
                bytes_min: LARGE_REPLY,
                // By a number of its own: others are what they are in worlds without.
                lasts: Random::new(seed ^ 2).millis(20..600),
            },
        }
    }
}

/// Runs a world of this seed to its end.
pub(super) async fn storm(seed: u64, mix: Mix, options: Options) -> GatewayStats {
    let has_elections = mix == Mix::Elections;
    let mut world = GatewayWorld::new(seed, has_elections, mix.bulk(seed), options).await;
    let now = clock::now();
    let has_new_links = matches!(mix, Mix::NewLinks | Mix::BulkAndNewLinks);
    world.fates.has_new_links = has_new_links;
    for upstream in &mut world.upstreams {
        upstream.is_orderly = has_new_links || options.abandons;
        upstream.lags = options.reads.map(|_| Random::new(seed ^ 16));
        upstream.run_on(now, Duration::from_millis(10));
    }
    match mix {
        Mix::Elections => world.begin_elections(),
        _ => world.upstreams[0].set_writable(true, now),
    }
    world.pass(Duration::from_millis(50)).await;
    for _ in 0..ROUNDS {
        for _ in 0..world.random.below(12) {
            if mix == Mix::KilledBegins && world.has_streams && world.random.once_in(3) {
                begin_or_kill(&mut world);
            } else if has_new_links && world.random.once_in(8) {
                reconnect_or_set(&mut world, mix);
            } else if world.fates.reads.are_shared() && world.options.once_in(12) {
                say_who_reads(&mut world);
            } else {
                something_happens(&mut world).await;
            }
        }
        let longest = if world.random.once_in(20) { 250 } else { 12 };
        let time = world.random.millis(1..longest);
        world.pass(time).await;
    }
    world.end().await
}

async fn something_happens(world: &mut GatewayWorld) {
    match world.random.below(1000) {
        0..80 if world.runtime.clients.len() < CLIENTS_MAX => {
            let is_narrow = world.random.once_in(4);
            connect(world, is_narrow);
        }
        0..877 => a_client_acts(world),
        877..880 => read_and_read_not(world),
        880..890 => burst(world),
        890..900 => {
            if let Some(index) = any(world) {
                world.runtime.clients[index].is_reading = world.random.once_in(2);
            }
        }
        900..915 => {
            if let Some(index) = any(world) {
                let gone = world.runtime.clients.swap_remove(index).connection;
                world.fates.ledger.note(|| format!("{gone} goes away"));
            }
        }
        915..920 => ask_for_a_role(world),
        920..922 => world
            .runtime
            .shared
            .serving
            .operator_solo("simulated", clock::now()),
        922..930 => world.runtime.shared.serving.operator_assist(clock::now()),
        930..933 => world.fates.accounts.change(&mut world.random),
        933..940 => drain_or_restore(world),
        _ => an_upstream_acts(world).await,
    }
}

/// Somebody connects: in some worlds where replicas answer SELECTs.
fn connect(world: &mut GatewayWorld, is_narrow: bool) {
    let has_door = world.gateway.config.read_from == ReadFrom::Primary;
    let is_for_reads = has_door && world.options.once_in(2);
    let client = world.runtime.connect_to(is_narrow, is_for_reads);
    if let Some(connection) = client.map(|own| own.connection).filter(|_| is_for_reads) {
        world.fates.reads.came_in(connection);
    }
}

/// A client says by whom its SELECTs are answered.
fn say_who_reads(world: &mut GatewayWorld) {
    let Some(index) = any(world) else { return };
    let read_from = ReadFrom::ALL[world.options.index(2)];
    let client = &mut world.runtime.clients[index];
    if !client.is_mute && !client.is_logging_in() {
        world.fates.reads.want(client.connection, read_from);
        client.read_from(read_from, &world.fates.ledger);
    }
}

fn any(world: &mut GatewayWorld) -> Option<usize> {
    world.runtime.any_client(&mut world.random)
}

/// When a request has to be answered at the latest, wherever it is.
fn due(world: &GatewayWorld) -> Option<Instant> {
    let timeout = world.runtime.settings().request_timeout;
    let late = TIMER_TICK * 2 + Duration::from_millis(12);
    // What is sent behind SELECTs that replicas answer is looked at when these are answered.
    let is_timed = !timeout.is_zero() && !world.fates.reads.are_shared();
    is_timed.then(|| clock::now() + timeout + late)
}

fn a_client_acts(world: &mut GatewayWorld) {
    let Some(index) = any(world) else { return };
    let due = due(world);
    let (draw, many) = (world.random.below(100), world.random.below(4));
    let (number, size) = (world.random.next(), world.random.index(LARGE_REQUEST));
    let victim = any_request(world);
    let has_streams = world.has_streams;
    let (user, password) = world.fates.accounts.any(&mut world.random);
    let are_used = world.fates.accounts.are_used;
    let client = &mut world.runtime.clients[index];
    if client.is_mute || client.is_logging_in() {
        return;
    }
    let ledger = &mut world.fates.ledger;
    match draw {
        0..30 => {
            for _ in 0..=many {
                let key = ledger.key(false);
                let write = |sync| RequestBuilder::replace(sync, key);
                client.ask(ledger, What::Write(key), due, write);
            }
        }
        30..33 => client.write_large(ledger, (size, 0), false, due),
        33..48 => {
            for key in (0..=many).map(|own| number.wrapping_add(own)) {
                world.fates.reads.note(client.connection, key, clock::now());
                client.read(ledger, key, 0, due);
            }
        }
        48..56 => {
            let key = ledger.key(false);
            let mut args = vec![0x91];
            write_uint(&mut args, key);
            let write = |sync| RequestBuilder::call(sync, "write", &args);
            client.ask(ledger, What::Steps(key), due, write);
        }
        56..60 => {
            let call = |sync| RequestBuilder::call(sync, "count", &[0x90]);
            client.ask(ledger, What::Nothing, due, call);
        }
        60..65 => {
            let due = clock::now() + Duration::from_millis(12);
            let due = Some(due).filter(|_| !world.fates.reads.are_shared());
            let ping = |sync| RequestBuilder::new(RequestType::Ping, sync);
            client.ask(ledger, What::Nothing, due, ping);
        }
        65..68 => {
            let kill = |sync| RequestBuilder::call(sync, "vestibule.kill", &victim);
            client.ask(ledger, What::Nothing, None, kill);
        }
        68 => client.end_input(),
        69..71 if are_used => client.log_in(user, &password, ledger),
        71..74 if has_streams => client.pipeline((many, number % 4 > 0), ledger, due),
        74..82 if has_streams => client.begin(ledger, due),
        _ if has_streams => {
            for stream in client.open_streams() {
                match number % 27 {
                    0..15 if client.is_whole(stream) => {
                        (0..=many).for_each(|_| client.statement(stream, ledger, due));
                    }
                    0..25 => client.end(stream, true, ledger, due),
                    _ => client.end(stream, false, ledger, due),
                }
            }
        }
        _ => {}
    }
    world.fates.note_sent(&world.runtime.clients[index]);
}

/// A client sends a whole transaction, or kills the BEGIN of one, its own or another's, that has no
/// answer: mostly one that waits for an upstream.
fn begin_or_kill(world: &mut GatewayWorld) {
    let Some(index) = any(world) else { return };
    let due = due(world);
    let (statements, is_kill) = (1 + world.random.below(3), world.random.once_in(2));
    let begins = world.runtime.clients.iter();
    let begins = begins.filter_map(|own| Some((own.connection, own.waiting_begin()?)));
    let begins: Vec<_> = begins.collect();
    let client = &mut world.runtime.clients[index];
    if client.is_mute || client.is_logging_in() {
        return;
    }
    let ledger = &mut world.fates.ledger;
    if !is_kill {
        client.pipeline((statements, true), ledger, due);
    } else if !begins.is_empty() {
        let (connection, sync) = begins[world.random.index(begins.len())];
        let mut args = vec![0x92];
        write_uint(&mut args, connection);
        write_uint(&mut args, sync);
        let kill = |sync| RequestBuilder::call(sync, "vestibule.kill", &args);
        client.ask(ledger, What::Nothing, None, kill);
    }
    world.fates.note_sent(&world.runtime.clients[index]);
}

/// New connections to an upstream are asked for, or a client sets something.
fn reconnect_or_set(world: &mut GatewayWorld, mix: Mix) {
    if world.random.once_in(2) || mix == Mix::BulkAndNewLinks {
        let upstream = world.random.index(world.upstreams.len());
        (world.fates.ledger).note(|| format!("asks for new connections to {upstream}"));
        world.gateway.reconnect(upstream);
        world.stats.reconnects += 1;
        return;
    }
    let Some(index) = any(world) else { return };
    let due = due(world);
    let client = &mut world.runtime.clients[index];
    if !client.is_mute && !client.is_logging_in() {
        client.set(&world.fates.ledger, due);
    }
}

/// What names a request that has no answer, for a kill, or now and then all of a connection.
fn any_request(world: &mut GatewayWorld) -> Vec<u8> {
    let number = world.random.next();
    let client = any(world).map(|own| &world.runtime.clients[own]);
    let sync = client.and_then(|own| own.any_waiting(number));
    let sync = sync.filter(|_| !number.is_multiple_of(8));
    let mut args = Vec::new();
    write_array_len(&mut args, 1 + u32::from(sync.is_some()));
    write_uint(&mut args, client.map_or(0, |own| own.connection));
    sync.into_iter().for_each(|own| write_uint(&mut args, own));
    args
}

/// A client asks for more than is kept for it, and does not read.
fn read_and_read_not(world: &mut GatewayWorld) {
    let Some(index) = any(world) else { return };
    let number = world.random.next() >> 1;
    let client = &mut world.runtime.clients[index];
    let memory_max = world
        .runtime
        .shared
        .settings
        .load()
        .connection_limits
        .memory_max;
    // What it gets in small pieces it would not have got at the end.
    let may = client.hears_at_once() && !client.is_mute && !client.is_logging_in();
    if !may || memory_max < 1 << 20 {
        return;
    }
    client.read_late();
    for key in number..number + 400 {
        world.fates.reads.note(client.connection, key, clock::now());
        client.read(&world.fates.ledger, key, 0, None);
    }
}

/// An upstream is taken out of use, or into it again.
fn drain_or_restore(world: &mut GatewayWorld) {
    let index = world.random.index(world.upstreams.len());
    let wanted = match world.random.once_in(2) {
        true => UpstreamUse::Drained,
        false => UpstreamUse::Used,
    };
    let grace = world.random.millis(0..60);
    world.ask(TransitionTarget::Upstream(index, wanted), grace);
}

/// What clients do right before a stop: it meets what is open, and what is on its way.
pub(super) async fn last_words(world: &mut GatewayWorld) {
    for _ in 0..2 {
        (0..40).for_each(|_| a_client_acts(world));
        let time = world.random.millis(1..8);
        world.pass(time).await;
    }
}

/// More than an upstream may have at a time.
fn burst(world: &mut GatewayWorld) {
    let Some(index) = any(world) else { return };
    let due = due(world);
    let client = &mut world.runtime.clients[index];
    let is_busy = client.is_mute || client.is_logging_in();
    if is_busy
        || world
            .runtime
            .shared
            .settings
            .load()
            .connection_limits
            .memory_max
            < 1 << 20
    {
        return;
    }
    let ledger = &mut world.fates.ledger;
    for _ in 0..400 {
        let key = ledger.key(false);
        let write = |sync| RequestBuilder::replace(sync, key);
        client.ask(ledger, What::Write(key), due, write);
    }
    world.fates.note_sent(&world.runtime.clients[index]);
}

fn ask_for_a_role(world: &mut GatewayWorld) {
    // A demotion tells as well that an outcome is unknown.
    if world.closes() {
        return;
    }
    let is_replica = world.runtime.shared.serving.load().role == Role::Replica;
    let role = if is_replica {
        Role::Primary
    } else {
        Role::Replica
    };
    let grace = world.random.millis(0..40);
    world.ask(TransitionTarget::Role(role), grace);
}

/// Something befalls an upstream, or its operator acts.
async fn an_upstream_acts(world: &mut GatewayWorld) {
    let index = world.random.index(world.upstreams.len());
    let other = world.random.index(world.upstreams.len());
    let now = clock::now();
    let loads = world.random.millis(0..60);
    let states: Vec<_> = world.upstreams.iter().map(|own| own.process()).collect();
    (world.fates.ledger).note(|| format!("something befalls {index}, or {other}, of {states:?}"));
    match world.random.below(100) {
        0..14 => world.upstreams[index].lose_a_connection(now),
        14..20 => world.upstreams[index].lose_at_end(loads.as_millis().is_multiple_of(2)),
        20..25 => world.upstreams[index].babble(now),
        25..30 => world.upstreams[index].change_schema(),
        30..38 => promote(world, index),
        // As it should be done: none takes changes before all that was done is everywhere.
        38..56 => {
            world
                .upstreams
                .iter_mut()
                .for_each(|own| own.set_writable(false, now));
            let gap = world.random.millis(1..30);
            world.pass(gap).await;
            promote(world, other);
        }
        56..61 => world.upstreams[index].hang(now),
        61..67 => {
            world.upstreams[index].crash();
            if world.random.once_in(2) {
                promote(world, other);
            }
        }
        67..70 => {
            world.upstreams[index].leave();
            let gap = world.random.millis(1..30);
            world.pass(gap).await;
            world.upstreams[index].crash();
        }
        _ => {
            let down = [Process::Gone, Process::Hung].map(|own| world.find(own));
            for index in down.into_iter().flatten() {
                world.upstreams[index].run_on(now, loads);
            }
            (0..world.upstreams.len()).for_each(|own| world.catch_up(own));
        }
    }
}

/// One takes changes, and so does now and then another that does not know it.
fn promote(world: &mut GatewayWorld, index: usize) {
    if world.elections.is_some() {
        return world.elect(index);
    }
    let now = clock::now();
    for (at, upstream) in world.upstreams.iter_mut().enumerate() {
        // Who hangs hears nothing.
        if at == index || upstream.process() == Process::Runs {
            upstream.set_writable(at == index, now);
        }
    }
}
