//! Which user of a number is meant: connections outlive users, and engines.
//!
//! Numbers of users are given again, and so are names. Who was logged in as a user that was dropped
//! is not the next user of the same number, so each user that is made gets a generation of its own.
//! It is kept beside the engine: one that takes a dead one's place finds the same users under the
//! same generations, and connections stay logged in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::schema::system::USER_ID_MIN;

/// Generations of the users of one data directory.
#[derive(Debug, Clone, Default)]
pub(crate) struct UserGenerations(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    last: u64,
    /// Of the users that are there, by number; those that are built in have none.
    of: HashMap<u64, u64>,
}

impl UserGenerations {
    fn known(&self) -> MutexGuard<'_, Known> {
        // Each change is one insertion or removal: a panic leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The generation of a user that is there; a new one if none was known.
    pub(super) fn of(&self, id: u64) -> u64 {
        if id < USER_ID_MIN {
            return 0;
        }
        let known = &mut *self.known();
        *known.of.entry(id).or_insert_with(|| {
            known.last += 1;
            known.last
        })
    }

    /// A user is gone: the next one of this number is another one.
    pub(super) fn end(&self, id: u64) {
        self.known().of.remove(&id);
    }

    /// There are no other users than these.
    pub(super) fn retain(&self, is_there: impl Fn(u64) -> bool) {
        self.known().of.retain(|id, _| is_there(*id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_user_of_a_number_is_another_one() {
        let generations = UserGenerations::default();
        let first = generations.of(32);
        assert_ne!(first, generations.of(33));
        // Another engine of the same directory asks.
        assert_eq!(generations.clone().of(32), first);
        generations.end(32);
        let second = generations.of(32);
        assert_ne!(first, second);
        generations.retain(|id| id == 33);
        assert!(![first, second].contains(&generations.of(32)));
        assert_eq!((generations.of(0), generations.of(31)), (0, 0));
    }
}
