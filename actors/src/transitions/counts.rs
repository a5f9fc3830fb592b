//! Requests by class, as transitions count them.

use serde::Serialize;

use crate::admission::Class;

/// How many requests of each class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// SELECT.
    pub read: usize,
    /// INSERT, REPLACE, UPDATE, DELETE, UPSERT.
    pub write: usize,
    /// BEGIN.
    pub begin: usize,
    /// COMMIT and ROLLBACK.
    pub commit: usize,
    /// CALL.
    pub call: usize,
}

impl Counts {
    pub(crate) fn add(&mut self, class: Class) {
        match class {
            Class::Read => self.read += 1,
            Class::Write | Class::TemporaryWrite => self.write += 1,
            Class::Begin => self.begin += 1,
            Class::Finish => self.commit += 1,
            Class::Call => self.call += 1,
            // Never on its way to Tx.
            Class::Local => {}
        }
    }

    /// Of all classes.
    #[must_use]
    pub fn total(&self) -> usize {
        // A new field has to be added here.
        let Self {
            read,
            write,
            begin,
            commit,
            call,
        } = self;
        read + write + begin + commit + call
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        *self = self.and(other);
    }

    /// With these as well.
    pub(crate) fn and(&self, other: &Self) -> Self {
        self.with(other, |own, other| own + other)
    }

    /// What is left when these are taken away.
    pub(crate) fn without(&self, other: &Self) -> Self {
        self.with(other, usize::saturating_sub)
    }

    fn with(&self, other: &Self, combine: impl Fn(usize, usize) -> usize) -> Self {
        Self {
            read: combine(self.read, other.read),
            write: combine(self.write, other.write),
            begin: combine(self.begin, other.begin),
            commit: combine(self.commit, other.commit),
            call: combine(self.call, other.call),
        }
    }
}
