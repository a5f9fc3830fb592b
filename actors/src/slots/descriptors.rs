//! Who may have how many of the process's descriptors: pure, decided once at the start.
//!
//! ```text
//!   limit ─┬─ runtime         its threads, listeners, standard streams
//!          ├─ engine          held back, so that it can open a file at any moment
//!          ├─ reserved        held back for what the embedder has beside it
//!          ├─ administrators  connections that are not counted among the clients
//!          ├─ spare           one for telling a connection that there is no slot for it
//!          └─ clients         the rest, or what is configured if that is less
//! ```

use std::fmt;

use crate::config::DescriptorLimits;
use crate::limits::{
    CONNECTIONS_MAX, CROWDED_SHARE, RUNTIME_DESCRIPTORS, SPARE_DESCRIPTORS, THREAD_DESCRIPTORS,
};

/// For whom a listener accepts connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListenerKind {
    /// An address for everybody.
    Clients,
    /// An address of the administrators' own.
    Administrators,
}

/// The budget. They add up to no more than the limit, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DescriptorBudget {
    /// Descriptors that the process may have; `None` if nobody told.
    pub(crate) limit: Option<usize>,
    pub(crate) runtime: usize,
    pub(crate) engine: usize,
    pub(crate) reserved: usize,
    pub(crate) administrators: usize,
    pub(crate) spare: usize,
    pub(crate) clients: usize,
    /// The most that there can be of them.
    pub(crate) clients_max: usize,
    /// From this many clients on, descriptors are scarce; `None` if they cannot be.
    pub(crate) crowded: Option<usize>,
}

/// The limit leaves no slot for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooFewDescriptors {
    limit: usize,
    needed: usize,
}

impl fmt::Display for TooFewDescriptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, needed } = self;
        write!(
            f,
            "{limit} descriptors are too few: at least {needed} are needed (ulimit -n)"
        )
    }
}

impl DescriptorBudget {
    /// Divides the limit among a runtime with a number of session threads and listeners, its engine
    /// and its connections.
    ///
    /// # Errors
    ///
    /// Not one client would have a slot.
    pub(crate) fn divide(
        limits: &DescriptorLimits,
        connections_max: usize,
        session_threads: usize,
        listeners: usize,
    ) -> Result<Self, TooFewDescriptors> {
        // The System's thread and Tx's have a reactor each, too.
        let threads = session_threads + 2;
        let runtime = RUNTIME_DESCRIPTORS + threads * THREAD_DESCRIPTORS + listeners;
        let reserved =
            runtime + limits.engine + limits.reserved + limits.administrators + SPARE_DESCRIPTORS;
        let limit = (limits.process > 0).then_some(limits.process);
        let rest = match limit {
            None => CONNECTIONS_MAX,
            Some(limit) if limit > reserved => (limit - reserved).min(CONNECTIONS_MAX),
            Some(limit) => {
                let needed = reserved + 1;
                return Err(TooFewDescriptors { limit, needed });
            }
        };
        let own = Self {
            limit,
            runtime,
            engine: limits.engine,
            reserved: limits.reserved,
            administrators: limits.administrators,
            spare: SPARE_DESCRIPTORS,
            clients: rest,
            clients_max: rest,
            crowded: limit.map(|_| rest - rest / CROWDED_SHARE),
        };
        Ok(own.for_clients(connections_max))
    }

    /// The same with this number of clients at most, or, for 0, as many as there can be.
    pub(crate) fn for_clients(self, connections_max: usize) -> Self {
        let clients = match connections_max {
            0 => self.clients_max,
            max => self.clients_max.min(max),
        };
        Self { clients, ..self }
    }

    /// What is told if there are fewer connections of clients than were asked for (0:
    /// as many as there can be).
    pub(crate) fn shortage(&self, wanted: usize) -> Option<String> {
        let own = self.clients;
        (own < wanted).then(|| match self.limit {
            Some(limit) if own < CONNECTIONS_MAX => format!(
                "{own} connections of clients at most, of {wanted} asked for: the limit of \
                 {limit} descriptors has no room for more (ulimit -n)"
            ),
            _ => format!("{own} connections of clients at most, of {wanted} asked for"),
        })
    }

    /// ConnectionSlots of those who come in by this listener.
    pub(crate) fn of(&self, listener: ListenerKind) -> usize {
        match listener {
            ListenerKind::Clients => self.clients,
            ListenerKind::Administrators => self.administrators,
        }
    }
}

impl fmt::Display for DescriptorBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.limit {
            Some(limit) => write!(f, "{limit} descriptors")?,
            None => f.write_str("descriptors, limit not known")?,
        }
        write!(
            f,
            ": {} for clients, {} for administrators, {} for the engine, {} for the runtime, \
             {} spare",
            self.clients, self.administrators, self.engine, self.runtime, self.spare
        )?;
        match self.reserved {
            0 => Ok(()),
            own => write!(f, ", {own} reserved"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(process: usize) -> DescriptorLimits {
        DescriptorLimits::default().process(process)
    }

    #[test]
    fn the_shares_never_exceed_the_limit_and_leave_a_slot_for_a_client() {
        for descriptors in [1, 40, 64, 256, 1024, 65_536, 1 << 30] {
            for connections_max in [0, 1, 100, 1 << 30] {
                for threads in [1, 2, 7, 64] {
                    for listeners in [0, 1, 5] {
                        let limits = limits(descriptors);
                        let divided =
                            DescriptorBudget::divide(&limits, connections_max, threads, listeners);
                        match divided {
                            Ok(own) => check(&own, &limits, connections_max),
                            Err(TooFewDescriptors { limit, needed }) => {
                                assert_eq!(limit, descriptors);
                                assert!(needed > descriptors);
                            }
                        }
                    }
                }
            }
        }
    }

    fn check(own: &DescriptorBudget, limits: &DescriptorLimits, connections_max: usize) {
        let sum = own.runtime + own.engine + own.administrators + own.spare + own.clients;
        assert!(sum <= limits.process, "{own}");
        assert!(own.clients >= 1 && own.clients <= CONNECTIONS_MAX, "{own}");
        assert_eq!(own.engine, limits.engine);
        assert_eq!(own.administrators, limits.administrators);
        assert!(connections_max == 0 || own.clients <= connections_max);
        assert_eq!(own.for_clients(connections_max), *own);
        assert_eq!(own.for_clients(0).clients, own.clients_max);
        // A cap that is far below the limit does not make descriptors scarce.
        assert!(own.crowded.is_some_and(|crowded| crowded >= 1));
    }

    #[test]
    fn what_was_asked_for_and_cannot_be_had_is_told() {
        let shortage = |descriptors, wanted| {
            let budget = DescriptorBudget::divide(&limits(descriptors), wanted, 1, 1).unwrap();
            (budget.clients, budget.shortage(wanted))
        };
        let (own, told) = shortage(64, 1000);
        let expected = format!(
            "{own} connections of clients at most, of 1000 asked for: the limit of 64 descriptors \
             has no room for more (ulimit -n)"
        );
        assert_eq!(told, Some(expected));
        for enough in [0, 1, own] {
            assert_eq!(shortage(64, enough).1, None);
        }
        let told = shortage(0, 1 << 30).1.unwrap();
        assert!(told.ends_with("of 1073741824 asked for"), "{told}");
    }

    #[test]
    fn with_64_descriptors_and_one_thread_there_is_room_for_clients() {
        let budget = DescriptorBudget::divide(&limits(64), 0, 1, 1).unwrap();
        assert!(budget.clients >= 8, "{budget}");
    }

    #[test]
    fn one_descriptor_more_than_the_reserves_is_enough() {
        let TooFewDescriptors { needed, .. } =
            DescriptorBudget::divide(&limits(1), 0, 3, 2).unwrap_err();
        assert_eq!(
            DescriptorBudget::divide(&limits(needed), 0, 3, 2)
                .unwrap()
                .clients,
            1
        );
        assert!(DescriptorBudget::divide(&limits(needed - 1), 0, 3, 2).is_err());
    }

    #[test]
    fn without_a_known_limit_the_number_of_connections_is_still_bounded() {
        let budget = DescriptorBudget::divide(&limits(0), 0, 1, 1).unwrap();
        assert_eq!((budget.clients, budget.crowded), (CONNECTIONS_MAX, None));
        assert_eq!(
            DescriptorBudget::divide(&limits(0), 5, 1, 1).map(|own| own.clients),
            Ok(5)
        );
    }
}
