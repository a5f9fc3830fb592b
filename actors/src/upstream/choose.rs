//! To which upstream requests go, and why to none. Pure.

use super::scout::{Condition, ElectionTerm};

/// Chooses among upstreams by how they are; none if none will do. `present` is where requests go
/// now: as long as it takes changes it stays, although others say that they take some too, so that
/// no two are written to in turns. Who tells a later election than it takes its place all the same:
/// a leader that is cut off from the others does not hear that they have another one. Where it does
/// not take changes, `preferred` goes before others of the same election.
pub(crate) fn choose(
    conditions: &[Condition],
    terms: &[ElectionTerm],
    present: Option<usize>,
    preferred: Option<usize>,
) -> Option<usize> {
    let all = |is_wanted: fn(Condition) -> bool| {
        let first = present.into_iter().chain(preferred);
        let in_turn = first.chain(0..conditions.len());
        in_turn.filter(move |at| conditions.get(*at).copied().is_some_and(is_wanted))
    };
    let term = |at: usize| terms.get(at).copied().flatten();
    let is_later = |at, than| {
        term(at)
            .zip(term(than))
            .is_some_and(|(own, than)| own > than)
    };
    let writer = all(Condition::is_writable)
        .reduce(|best, own| if is_later(own, best) { own } else { best });
    // All that are in use are there and read-only: one of them tells so those who write.
    let reader = || {
        let mut in_use = conditions.iter().filter(|own| !own.is_drained());
        let is_all = in_use.all(|own| own.is_serving());
        is_all.then(|| all(Condition::is_serving).next()).flatten()
    };
    writer.or_else(reader)
}

/// How many say that they take changes: more than one is worth a warning.
pub(crate) fn count_writable(conditions: &[Condition]) -> usize {
    conditions.iter().filter(|own| own.is_writable()).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::scout::in_a_letter::{A, D, G, L, R, S, W};

    #[test]
    fn whoever_takes_changes_is_chosen_and_stays_as_long_as_it_does() {
        for (conditions, present, expected) in [
            (&[W][..], None, Some(0)),
            (&[R, W], None, Some(1)),
            (&[W, W], Some(1), Some(1)),
            (&[W, R], Some(1), Some(0)),
            (&[W, S], Some(1), Some(0)),
            (&[A, L, W], Some(0), Some(2)),
            (&[R], None, Some(0)),
            (&[R, R], Some(1), Some(1)),
            (&[R, A], Some(0), None),
            (&[S], Some(0), None),
            (&[A, L, S], None, None),
            (&[D, R], Some(0), Some(1)),
            (&[G, A], Some(0), None),
            (&[W, G], Some(1), Some(0)),
            (&[D], Some(0), None),
        ] {
            assert_eq!(
                choose(conditions, &[], present, None),
                expected,
                "{conditions:?} {present:?}"
            );
        }
        assert_eq!(count_writable(&[W, R, W, S]), 2);
    }

    #[test]
    fn of_those_that_take_changes_the_one_of_the_latest_election_is_chosen() {
        for (conditions, terms, present, expected) in [
            (&[W, W][..], &[Some(4), Some(5)][..], Some(0), Some(1)),
            (&[W, W], &[Some(5), Some(4)], Some(0), Some(0)),
            (&[W, W], &[Some(5), Some(5)], Some(1), Some(1)),
            (&[W, W], &[Some(4), Some(5)], None, Some(1)),
            (&[W, W, W], &[Some(4), Some(5), Some(6)], Some(0), Some(2)),
            // Who takes no changes is no leader, whatever it has heard of.
            (&[W, R], &[Some(4), Some(5)], Some(0), Some(0)),
            (&[W, S], &[Some(4), Some(5)], Some(0), Some(0)),
            (&[R, R], &[Some(4), Some(5)], Some(0), Some(0)),
            // What is not told is not compared.
            (&[W, W], &[None, Some(5)], Some(0), Some(0)),
            (&[W, W], &[Some(4), None], Some(0), Some(0)),
        ] {
            let chosen = choose(conditions, terms, present, None);
            assert_eq!(chosen, expected, "{conditions:?} {terms:?} {present:?}");
        }
    }

    #[test]
    fn who_is_preferred_goes_before_others_of_the_same_election_and_not_before_the_present_one() {
        for (conditions, terms, present, expected) in [
            (&[W, W, W][..], &[][..], None, Some(2)),
            (&[W, W, W], &[], Some(1), Some(1)),
            (&[W, R, W], &[], Some(1), Some(2)),
            (&[W, W, R], &[], None, Some(0)),
            (&[R, R, R], &[], None, Some(2)),
            (&[W, W, W], &[Some(4), Some(4), Some(4)], Some(9), Some(2)),
            (&[W, W, W], &[Some(4), Some(5), Some(4)], None, Some(1)),
        ] {
            let chosen = choose(conditions, terms, present, Some(2));
            assert_eq!(chosen, expected, "{conditions:?} {terms:?} {present:?}");
        }
    }

    /// Over all of three upstreams in every condition.
    #[test]
    fn nothing_goes_to_who_does_not_serve_nor_to_a_reader_beside_a_writer() {
        let all = [W, R, S, A, L, G, D];
        let count = all.len();
        for at in 0..count.pow(3) {
            let conditions = [at, at / count, at / count / count].map(|at| all[at % count]);
            for present in [None, Some(0), Some(1), Some(2), Some(9)] {
                let has_writer = conditions.contains(&W);
                let in_use = conditions.iter().filter(|own| !own.is_drained());
                let is_all_readers =
                    in_use.clone().count() > 0 && in_use.clone().all(|own| *own == R);
                for preferred in [None, Some(0), Some(2)] {
                    match choose(&conditions, &[], present, preferred) {
                        Some(at) if has_writer => assert_eq!(conditions[at], W),
                        Some(at) => assert!(is_all_readers && conditions[at] == R),
                        None => assert!(!has_writer && !is_all_readers),
                    }
                }
            }
        }
    }
}
