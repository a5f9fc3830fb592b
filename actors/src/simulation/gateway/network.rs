//! The network of a simulated gateway: connections to upstreams in memory, and where there is
//! nobody.

use std::cell::RefCell;
use std::io;

use crate::connection::transport::Transport;
use crate::outbound::simulated::{SimulatedNetwork, connect_by};
use crate::simulation::random::Random;
use crate::testing::pipe::{ClientEnd, pipe};

/// What came to one upstream.
#[derive(Debug, Default)]
struct Door {
    /// A process listens: it may do nothing else.
    is_open: bool,
    /// Connections that it has not looked at. The kernel takes them for it.
    accepted: Vec<ClientEnd>,
}

/// Bytes that an upstream is sent ahead of its reading.
pub(super) const ROOM: usize = 4096;

struct Network {
    doors: Vec<Door>,
    random: Random,
}

thread_local! {
    static NETWORK: RefCell<Option<Network>> = const { RefCell::new(None) };
}

fn with<R>(run: impl FnOnce(&mut Network) -> R) -> R {
    NETWORK.with_borrow_mut(|own| run(own.as_mut().expect("a world has a network")))
}

/// This thread connects to this many upstreams in memory.
pub(super) fn begin(upstreams: usize, random: Random) {
    let doors = (0..upstreams).map(|_| Door::default()).collect();
    NETWORK.set(Some(Network { doors, random }));
    connect_by(Some(SimulatedNetwork { dial, chance }));
}

/// This thread connects by sockets again.
pub(super) fn end() {
    connect_by(None);
    NETWORK.set(None);
}

fn dial(upstream: usize) -> io::Result<Box<dyn Transport>> {
    with(|own| {
        let door = &mut own.doors[upstream];
        if !door.is_open {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        // An upstream that is sent more than it reads is no fault of anybody.
        let room = if own.random.once_in(4) { ROOM } else { 1 << 20 };
        let (end, transport) = pipe(room);
        door.accepted.push(end);
        Ok(Box::new(transport) as Box<dyn Transport>)
    })
}

fn chance() -> f64 {
    with(|own| own.random.below(256) as f64 / 255.0)
}

/// Whether anybody listens there. Who does not any more has lost what nobody looked at.
pub(super) fn set_open(upstream: usize, is_open: bool) {
    let lost = with(|own| {
        let door = &mut own.doors[upstream];
        door.is_open = is_open;
        match is_open {
            true => Vec::new(),
            false => std::mem::take(&mut door.accepted),
        }
    });
    drop(lost);
}

/// The connections that came since this was asked.
pub(super) fn accept(upstream: usize) -> Vec<ClientEnd> {
    with(|own| std::mem::take(&mut own.doors[upstream].accepted))
}

/// Connections there that are not closed and that it has not looked at.
pub(super) fn waiting(upstream: usize) -> usize {
    let is_live = |own: &&ClientEnd| !own.is_over();
    with(|own| own.doors[upstream].accepted.iter().filter(is_live).count())
}
