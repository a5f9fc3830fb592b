//! Which instance a request goes to: a pure function of what is known of them.

/// What an instance does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Role {
    /// Not known: it has not said, or may not be asked.
    #[default]
    Unknown,
    /// Takes changes.
    Primary,
    /// Takes no changes.
    Replica,
}

/// Which instances a request may go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Any that is connected.
    Any,
    /// The primary only.
    Primary,
    /// A replica only.
    Replica,
    /// The primary, or any other while there is none.
    PreferPrimary,
    /// A replica, or any other while there is none.
    PreferReplica,
}

/// What is known of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) is_connected: bool,
    /// Says that it is loading or busy: others come first.
    pub(super) is_busy: bool,
    pub(super) role: Role,
    /// Requests that are under way.
    pub(super) pending: usize,
}

impl Mode {
    /// How well a role fits, 0 best; `None` if not at all.
    fn rank(self, role: Role) -> Option<u8> {
        match (self, role) {
            (Self::Any, _)
            | (Self::Primary | Self::PreferPrimary, Role::Primary)
            | (Self::Replica | Self::PreferReplica, Role::Replica) => Some(0),
            (Self::Primary | Self::Replica, _) => None,
            (Self::PreferPrimary | Self::PreferReplica, Role::Unknown) => Some(2),
            (Self::PreferPrimary, _) | (Self::PreferReplica, _) => Some(1),
        }
    }
}

/// The best of those that fit: not busy, of the role that is wanted most, with the fewest requests
/// under way. Among equals the choice goes around by `turn`.
pub(super) fn choose(candidates: &[Candidate], mode: Mode, turn: usize) -> Option<usize> {
    let count = candidates.len();
    let around = (0..count).map(|step| (turn + step) % count);
    around
        .filter_map(|at| {
            let own = candidates[at];
            let rank = mode.rank(own.role).filter(|_| own.is_connected)?;
            Some((own.is_busy, rank, own.pending, at))
        })
        .min_by_key(|(is_busy, rank, pending, _)| (*is_busy, *rank, *pending))
        .map(|(_, _, _, at)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MODES: [Mode; 5] = [
        Mode::Any,
        Mode::Primary,
        Mode::Replica,
        Mode::PreferPrimary,
        Mode::PreferReplica,
    ];

    fn up(role: Role, pending: usize) -> Candidate {
        Candidate {
            is_connected: true,
            is_busy: false,
            role,
            pending,
        }
    }

    #[test]
    fn a_mode_chooses_by_role_and_prefers_where_it_may() {
        let all = [
            up(Role::Replica, 0),
            up(Role::Primary, 9),
            up(Role::Unknown, 0),
        ];
        let chosen = MODES.map(|mode| choose(&all, mode, 0));
        assert_eq!(chosen, [Some(0), Some(1), Some(0), Some(1), Some(0)]);
        let replicas = [up(Role::Replica, 1), up(Role::Replica, 0)];
        let chosen = MODES.map(|mode| choose(&replicas, mode, 0));
        assert_eq!(chosen, [Some(1), None, Some(1), Some(1), Some(1)]);
    }

    #[test]
    fn a_busy_instance_is_the_last_choice() {
        let busy = Candidate {
            is_busy: true,
            ..up(Role::Primary, 0)
        };
        let all = [busy, up(Role::Replica, 5)];
        assert_eq!(choose(&all, Mode::Any, 0), Some(1));
        assert_eq!(choose(&all, Mode::PreferPrimary, 0), Some(1));
        assert_eq!(choose(&all, Mode::Primary, 0), Some(0));
    }

    #[test]
    fn equals_take_turns() {
        let all = [up(Role::Replica, 0); 3];
        let chosen: Vec<_> = (0..4).map(|turn| choose(&all, Mode::Any, turn)).collect();
        assert_eq!(chosen, [Some(0), Some(1), Some(2), Some(0)]);
        assert_eq!(choose(&[], Mode::Any, 7), None);
    }

    fn candidate() -> impl Strategy<Value = Candidate> {
        let role = prop::sample::select(vec![Role::Unknown, Role::Primary, Role::Replica]);
        (any::<bool>(), any::<bool>(), role, 0..3usize).prop_map(
            |(is_connected, is_busy, role, pending)| Candidate {
                is_connected,
                is_busy,
                role,
                pending,
            },
        )
    }

    proptest! {
        #[test]
        fn one_that_fits_is_chosen_if_there_is_one(
            all in prop::collection::vec(candidate(), 0..8),
            mode in prop::sample::select(MODES.to_vec()),
            turn in 0..1000usize,
        ) {
            let fits = |own: &Candidate| own.is_connected && mode.rank(own.role).is_some();
            match choose(&all, mode, turn) {
                Some(at) => {
                    prop_assert!(fits(&all[at]));
                    let better = |own: &&Candidate| {
                        fits(own) && own.role == all[at].role && own.is_busy == all[at].is_busy
                    };
                    let fewest = all.iter().filter(better).map(|own| own.pending).min();
                    prop_assert_eq!(Some(all[at].pending), fewest.min(Some(all[at].pending)));
                }
                None => prop_assert!(!all.iter().any(fits)),
            }
        }
    }
}
