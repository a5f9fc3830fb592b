//! What time it is: the system's monotonic clock, or in a simulation the one that is wound by hand.
//!
//! Everything of the runtime that decides by the time asks here. Pure parts are told (`now`).

#[cfg(not(test))]
use std::time::Instant;

/// Now.
#[cfg(not(test))]
#[inline]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
pub(crate) use crate::simulation::clock::now;
