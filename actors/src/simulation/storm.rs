//! What happens in a world, at random.

use std::time::Duration;

use super::actions::{a_client_acts, any, due};
use super::client::Client;
use super::clock;
use super::engine::InjectedFault;
use super::lockstep::Halt;
use super::stats::Stats;
use super::world::{STEP_MAX, World};
use crate::limits::TX_DEATHS_MAX;
use crate::serving::Role;
use crate::transitions::TransitionTarget;

const CLIENTS_MAX: usize = 12;

/// Runs a world of this seed until this many transitions are over, and ends it.
pub(super) async fn storm(seed: u64, transitions: usize) -> Stats {
    let mut world = World::new(seed).await;
    while world.stats.transitions < transitions && !world.is_stopped() {
        for _ in 0..world.random.below(16) {
            something_happens(&mut world);
        }
        if world.runtime.shared.serving.load().role == Role::Replica && world.random.once_in(2) {
            ask_for_a_role(&mut world);
        }
        if world.tx.parked == Some(Halt::Commit) && world.random.once_in(5) {
            let grace = world.random.millis(5..60);
            demote(&mut world, grace);
        }
        let longest = if world.random.once_in(30) {
            150
        } else {
            STEP_MAX
        };
        let time = world.random.millis(1..longest + 1);
        world.pass(time).await;
    }
    world.end().await
}

fn something_happens(world: &mut World) {
    match world.random.below(100) {
        0..8 => connect(world),
        8..12 => a_commit_meets_a_demotion(world),
        12..83 => a_client_acts(world),
        83..91 => befall(world),
        91..94 => ask_for_a_role(world),
        94 => {
            let is_reading = world.random.once_in(2);
            if let Some(client) = any(world) {
                let connection = world.runtime.clients[client].connection;
                let note = || format!("{connection}/reads {is_reading}");
                world.engine.ledger().note(note);
                world.runtime.clients[client].is_reading = is_reading;
            }
        }
        95..97 => {
            if let Some(client) = any(world) {
                world.disconnect(client);
            }
        }
        97 if world.random.once_in(3) => {
            world
                .runtime
                .shared
                .serving
                .operator_solo("simulated", clock::now());
        }
        _ => world.runtime.shared.serving.operator_assist(clock::now()),
    }
}

fn connect(world: &mut World) {
    if world.runtime.clients.len() < CLIENTS_MAX {
        let is_narrow = world.random.once_in(4);
        world.connect(is_narrow);
    }
}

fn ask_for_a_role(world: &mut World) {
    // Mostly the other one.
    let serving = world.runtime.shared.serving.load();
    let is_replica = serving.role == Role::Replica;
    let role = match is_replica != world.random.once_in(6) {
        true => Role::Primary,
        false => Role::Replica,
    };
    let target = TransitionTarget::Role(role);
    let grace = world.random.millis(0..40) * world.random.below(2) as u32;
    let wait = world.random.millis(0..100);
    world.ask(target, Duration::ZERO, grace, wait);
}

/// A transaction ends while a demotion that would wait for it begins, and perhaps stands still.
fn a_commit_meets_a_demotion(world: &mut World) {
    let is_open = |client: &Client| !client.is_mute && !client.open_streams().is_empty();
    let Some(index) = world.runtime.clients.iter().position(is_open) else {
        return;
    };
    let due = due(world);
    if world.random.once_in(2) {
        world.engine.plan().commit = Some(InjectedFault::Stall);
    }
    let client = &mut world.runtime.clients[index];
    {
        let mut ledger = world.engine.ledger();
        for stream in client.open_streams() {
            client.statement(stream, &mut ledger, due);
            client.end(stream, true, &mut ledger, due);
        }
    }
    if world.random.once_in(2) {
        let grace = world.random.millis(5..60);
        demote(world, grace);
    }
}

fn demote(world: &mut World, grace: Duration) {
    let target = TransitionTarget::Role(Role::Replica);
    world.ask(target, Duration::ZERO, grace, Duration::from_millis(20));
}

/// Something befalls Tx.
fn befall(world: &mut World) {
    let may_die = world.deaths < TX_DEATHS_MAX - 1 || world.random.once_in(500);
    let fault = match world.random.below(12) {
        0..6 => InjectedFault::Stall,
        6..8 => InjectedFault::StallInSolo,
        8..10 => InjectedFault::Fail,
        _ if !may_die || !world.random.once_in(10) => InjectedFault::Stall,
        _ => {
            world.deaths += 1;
            [
                InjectedFault::Die,
                InjectedFault::StallAndDie,
                InjectedFault::DieAfter,
            ][world.random.index(3)]
        }
    };
    let is_commit = world.random.once_in(2) || fault == InjectedFault::DieAfter;
    let mut plan = world.engine.plan();
    let slot = if is_commit {
        &mut plan.commit
    } else {
        &mut plan.request
    };
    *slot = Some(fault);
    if world.random.once_in(2) {
        plan.recovery = Some(InjectedFault::Stall);
    }
}
