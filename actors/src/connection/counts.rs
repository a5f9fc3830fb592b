//! Requests of one connection that are in flight, counted for its bounds and for reads of its own
//! writes.

use crate::admission::Class;
use crate::limits::{CONNECTION_BYTES_MAX, RESERVE_REQUESTS_MAX};
use crate::upstream::{ReadFrom, ReplicaRead};

/// Requests of one connection that are forwarded and not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InFlightCounts {
    /// All of them.
    pub(crate) all: usize,
    /// Bytes of their bodies.
    pub(crate) bytes: usize,
    /// Requests that write by themselves.
    pub(crate) writes: usize,
    /// Requests that call a procedure.
    pub(crate) calls: usize,
    /// Requests that wait for something else than Tx, and have no credit.
    pub(crate) waiting: usize,
    /// SELECTs that replicas may answer.
    pub(crate) replica_reads: usize,
    /// One that may change data was begun, and nobody waits for it any more: it may happen yet.
    has_unknown: bool,
    /// The client has a session upstream of its own: replicas answer nothing of it.
    reads_alone: bool,
    /// Where its SELECTs are answered, as it says.
    pub(crate) read_from: ReadFrom,
    /// How many there may be.
    max: usize,
}

impl InFlightCounts {
    /// None, where there may be this number.
    pub(crate) fn up_to(max: usize) -> Self {
        Self {
            all: 0,
            bytes: 0,
            writes: 0,
            calls: 0,
            waiting: 0,
            replica_reads: 0,
            has_unknown: false,
            reads_alone: false,
            read_from: ReadFrom::Replica,
            max,
        }
    }

    /// One was forwarded.
    pub(crate) fn add(&mut self, class: Class, bytes: usize) {
        self.all += 1;
        self.bytes += bytes;
        if let Some(count) = self.of(class) {
            *count += 1;
        }
    }

    /// One was answered.
    pub(crate) fn remove(&mut self, class: Class, bytes: usize) {
        self.all -= 1;
        self.bytes -= bytes;
        if let Some(count) = self.of(class) {
            *count -= 1;
        }
    }

    /// The count of a class, if it has one of its own.
    #[inline]
    fn of(&mut self, class: Class) -> Option<&mut usize> {
        match class {
            Class::Write | Class::TemporaryWrite => Some(&mut self.writes),
            Class::Call => Some(&mut self.calls),
            Class::Local | Class::Finish | Class::Read | Class::Begin => None,
        }
    }

    /// One of them waits from now on.
    pub(crate) fn wait(&mut self) {
        self.waiting += 1;
    }

    /// One of those that waited was answered.
    pub(crate) fn end_wait(&mut self) {
        self.waiting -= 1;
    }

    /// One of this class was begun, and nobody waits for it any more.
    pub(crate) fn give_up(&mut self, class: Class) {
        self.has_unknown |= class != Class::Read;
    }

    /// From now on, no replica answers.
    pub(crate) fn read_alone(&mut self) {
        self.reads_alone = true;
    }

    /// From now on, SELECTs are answered there.
    pub(crate) fn read_from(&mut self, read_from: ReadFrom) {
        self.read_from = read_from;
    }

    /// Which SELECT one is that a replica may answer and that comes now, and is to be answered
    /// there; `No` if something else is under way, which may change what it has to see.
    pub(crate) fn next_replica_read(self, read_from: ReadFrom) -> ReplicaRead {
        match self.all {
            _ if self.has_unknown || self.reads_alone => ReplicaRead::No,
            _ if read_from == ReadFrom::Primary => ReplicaRead::No,
            0 => ReplicaRead::First,
            all if all == self.replica_reads => ReplicaRead::Behind,
            _ => ReplicaRead::No,
        }
    }

    /// Whether one more may be forwarded.
    pub(crate) fn has_credit(self) -> bool {
        self.all < self.max && self.bytes < CONNECTION_BYTES_MAX
    }

    /// Whether one more may be forwarded by a credit of the reserve.
    pub(crate) fn is_light(self) -> bool {
        self.all - self.waiting < RESERVE_REQUESTS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_answer_what_comes_behind_nothing_but_what_they_may_answer() {
        let mut own = InFlightCounts::up_to(9);
        assert_eq!(own.next_replica_read(ReadFrom::Replica), ReplicaRead::First);
        own.add(Class::Read, 1);
        own.replica_reads = 1;
        assert_eq!(
            own.next_replica_read(ReadFrom::Replica),
            ReplicaRead::Behind
        );
        for class in [Class::Read, Class::Write, Class::Call, Class::Finish] {
            own.add(class, 1);
            assert_eq!(
                own.next_replica_read(ReadFrom::Replica),
                ReplicaRead::No,
                "{class:?}"
            );
            own.remove(class, 1);
        }
    }

    #[test]
    fn replicas_answer_nobody_any_more_whose_request_may_change_data_yet() {
        let mut own = InFlightCounts::up_to(9);
        own.give_up(Class::Read);
        assert_eq!(own.next_replica_read(ReadFrom::Replica), ReplicaRead::First);
        own.give_up(Class::Finish);
        assert_eq!(own.next_replica_read(ReadFrom::Replica), ReplicaRead::No);
    }

    #[test]
    fn replicas_answer_nobody_who_has_a_session_upstream_of_his_own() {
        let mut own = InFlightCounts::up_to(9);
        assert_eq!(own.next_replica_read(ReadFrom::Replica), ReplicaRead::First);
        own.read_alone();
        assert_eq!(own.next_replica_read(ReadFrom::Replica), ReplicaRead::No);
    }

    #[test]
    fn replicas_answer_nobody_who_wants_the_one_that_takes_changes_to_do_it() {
        let own = InFlightCounts::up_to(9);
        assert_eq!(own.next_replica_read(ReadFrom::Primary), ReplicaRead::No);
        let first = own.next_replica_read(ReadFrom::Replica);
        assert_eq!(first, ReplicaRead::First);
    }
}
