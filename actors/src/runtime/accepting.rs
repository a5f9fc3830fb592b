//! Which threads accept connections, for tests that must not wait for themselves.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

/// The thread that accepts what comes to an address. An address that is over is replaced when it
/// is used again.
static ACCEPTING: Mutex<Option<HashMap<SocketAddr, ThreadId>>> = Mutex::new(None);

/// This thread accepts what comes to these addresses.
pub(super) fn accept_here(addresses: impl Iterator<Item = SocketAddr>) {
    let own = thread::current().id();
    let mut accepting = lock();
    let accepting = accepting.get_or_insert_default();
    accepting.extend(addresses.map(|address| (address, own)));
}

/// Whether it is this thread that accepts what comes to an address.
pub(crate) fn is_accepted_here(address: SocketAddr) -> bool {
    let accepting = lock();
    let own = accepting.as_ref().and_then(|all| all.get(&address));
    own.is_some_and(|own| *own == thread::current().id())
}

fn lock() -> MutexGuard<'static, Option<HashMap<SocketAddr, ThreadId>>> {
    ACCEPTING.lock().unwrap_or_else(PoisonError::into_inner)
}
