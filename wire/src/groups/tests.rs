//! The scheduler against what it promises, with messages of all sizes.

use std::collections::HashMap;

use proptest::prelude::*;

use super::Group;
use super::scheduler::{Message, Scheduler};
use crate::limits::{CHUNK_PAYLOAD_MAX, GROUP_QUANTUM, GROUP_QUEUES_KEPT_MAX};

/// A message that may be cut or not, and what is left of it.
#[derive(Debug, Clone)]
struct Bytes {
    name: u64,
    left: usize,
    may_be_cut: bool,
    is_stopped: bool,
}

impl Bytes {
    fn whole(name: u64, left: usize) -> Self {
        let (may_be_cut, is_stopped) = (false, false);
        Self {
            name,
            left,
            may_be_cut,
            is_stopped,
        }
    }

    fn cut(name: u64, left: usize) -> Self {
        Self {
            may_be_cut: true,
            ..Self::whole(name, left)
        }
    }
}

impl Message for Bytes {
    fn size(&self) -> usize {
        self.left
    }
}

/// The next piece: its group, its message's name, its bytes.
fn next(scheduler: &mut Scheduler<Bytes>) -> Option<(Group, (u64, usize))> {
    scheduler.pick(CHUNK_PAYLOAD_MAX, |group, message: &mut Bytes, size| {
        if message.is_stopped {
            return None;
        }
        let piece = if message.may_be_cut {
            message.left.min(size)
        } else {
            message.left
        };
        message.left -= piece;
        Some((group, (message.name, piece)))
    })
}

fn stream(id: u64) -> Group {
    Group::stream(id).expect("streams begin at 1")
}

/// Jain's fairness index of these shares: 1 when all are equal.
fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    sum * sum / (squares * shares.len() as f64)
}

/// Sends 100 MB of groups that always have messages of their size; each group's bytes.
fn share(sizes: &[usize], make: fn(u64, usize) -> Bytes) -> Vec<f64> {
    let mut scheduler = Scheduler::default();
    let mut sent = vec![0.0; sizes.len()];
    for (index, &size) in sizes.iter().enumerate() {
        scheduler.push(stream(index as u64 + 1), make(index as u64, size));
        scheduler.push(stream(index as u64 + 1), make(index as u64, size));
    }
    while sent.iter().sum::<f64>() < 100e6 {
        let (group, (index, bytes)) = next(&mut scheduler).expect("all have messages");
        sent[index as usize] += bytes as f64;
        if scheduler.size_of(group) <= sizes[index as usize] {
            scheduler.push(group, make(index, sizes[index as usize]));
        }
    }
    sent
}

#[test]
fn m03_groups_with_messages_of_all_sizes_share_by_bytes() {
    let sizes = [100, 10_000, 1_000_000];
    for make in [Bytes::cut, Bytes::whole] {
        let shares = share(&sizes, make);
        assert!(jain(&shares) >= 0.99, "{shares:?}");
    }
    let many: Vec<usize> = (0..21).map(|index| sizes[index % 3]).collect();
    let shares = share(&many, Bytes::cut);
    assert!(jain(&shares) >= 0.99, "{shares:?}");
}

#[test]
fn a_new_group_waits_for_one_piece_whatever_the_others_send() {
    let mut scheduler = Scheduler::default();
    for id in 1..=20 {
        scheduler.push(stream(id), Bytes::cut(id, 48_000_000));
    }
    for _ in 0..20 {
        next(&mut scheduler).expect("each is new once, and has its quantum");
    }
    for id in 100..200 {
        let (_, (name, bytes)) = next(&mut scheduler).expect("there is more");
        assert!(name <= 20 && bytes <= GROUP_QUANTUM);
        scheduler.push(stream(id), Bytes::cut(id, 1000));
        assert_eq!(next(&mut scheduler), Some((stream(id), (id, 1000))));
    }
}

#[test]
fn ending_and_beginning_again_gains_nothing() {
    // One group sends a piece and waits until it is gone, the other always has more.
    for size in [GROUP_QUANTUM, GROUP_QUANTUM / 2, GROUP_QUANTUM * 2 / 3] {
        let mut scheduler = Scheduler::default();
        let mut sent = [0.0; 2];
        scheduler.push(stream(1), Bytes::cut(0, size));
        scheduler.push(stream(2), Bytes::cut(1, 200_000_000));
        while sent.iter().sum::<f64>() < 100e6 {
            let (group, (name, bytes)) = next(&mut scheduler).expect("there is more");
            sent[name as usize] += bytes as f64;
            if group == stream(1) {
                scheduler.push(group, Bytes::cut(0, size));
            }
        }
        assert!(jain(&sent) >= 0.99, "{size}: {sent:?}");
    }

    // The same with messages that cannot be cut: who is in debt pays before it is new again.
    let mut scheduler = Scheduler::default();
    let mut sent = [0.0; 2];
    scheduler.push(stream(1), Bytes::whole(0, 5_000_000));
    scheduler.push(stream(2), Bytes::cut(1, 200_000_000));
    while sent.iter().sum::<f64>() < 100e6 {
        let (group, (name, bytes)) = next(&mut scheduler).expect("there is more");
        sent[name as usize] += bytes as f64;
        if group == stream(1) {
            scheduler.push(group, Bytes::whole(0, 5_000_000));
        }
    }
    assert!(jain(&sent) >= 0.99, "{sent:?}");
}

#[test]
fn who_asks_little_again_and_again_waits_for_one_piece_each_time() {
    let mut scheduler = Scheduler::default();
    for id in 1..=20 {
        scheduler.push(stream(id), Bytes::cut(id, 48_000_000));
    }
    for _ in 0..20 {
        next(&mut scheduler).expect("each is new once, and has its quantum");
    }
    for round in 0..1000 {
        // Nothing else is sent between some of its requests.
        for name in 0..round % 4 {
            scheduler.push(stream(100), Bytes::cut(name, 100));
            assert_eq!(
                next(&mut scheduler),
                Some((stream(100), (name, 100))),
                "{round}"
            );
        }
        let (group, _) = next(&mut scheduler).expect("there is more");
        assert_ne!(group, stream(100));
    }
    // Nor for many others that begin at the same time, with more.
    for id in 200..220 {
        scheduler.push(stream(id), Bytes::cut(id, GROUP_QUANTUM + 1));
    }
    scheduler.push(stream(100), Bytes::cut(1, 100));
    assert_eq!(next(&mut scheduler), Some((stream(100), (1, 100))));
    let new: Vec<Group> = (0..3)
        .filter_map(|_| next(&mut scheduler).map(|own| own.0))
        .collect();
    assert_eq!(new, [200, 201, 202].map(stream), "they come next");
}

#[test]
fn groups_that_never_end_to_begin_leave_the_others_half() {
    // With little, with much, and both.
    for sizes in [&[10_000][..], &[20_000], &[10_000, 20_000]] {
        let mut scheduler = Scheduler::default();
        scheduler.push(stream(1), Bytes::cut(0, 200_000_000));
        next(&mut scheduler).expect("it is new once");
        let (mut sent, mut ids) = ([0; 2], 2..);
        for _ in 0..10_000 {
            // Some wait all the time, each of which is new.
            while scheduler.size() - scheduler.size_of(stream(1)) < 100_000 {
                for (id, size) in ids.by_ref().zip(sizes) {
                    scheduler.push(stream(id), Bytes::cut(1, *size));
                }
            }
            let (_, (name, bytes)) = next(&mut scheduler).expect("there is more");
            sent[name as usize] += bytes;
        }
        let [of_old, of_new] = sent;
        // Those that begin with much are ahead of it, and behind those that begin with little; the
        // rest of what they began with is not.
        let part = 1 << sizes.len();
        let least = (of_old + of_new) / part * 3 / 4;
        assert!(of_old >= least && of_new >= least, "{sizes:?}: {sent:?}");
    }
}

#[test]
fn m04_control_is_ahead_of_data_and_takes_at_most_a_quarter() {
    let mut scheduler = Scheduler::default();
    scheduler.push(stream(1), Bytes::cut(1, 100_000_000));
    scheduler.push(stream(2), Bytes::whole(2, 1_000_000));
    for _ in 0..10 {
        next(&mut scheduler).expect("there is more");
        scheduler.push(Group::Control, Bytes::whole(0, 50));
        assert_eq!(
            next(&mut scheduler).expect("there is more").0,
            Group::Control
        );
    }
    // A flood of them: data goes on.
    let (mut control, mut data) = (0, 0);
    for _ in 0..10_000 {
        while scheduler.size_of(Group::Control) < 5000 {
            scheduler.push(Group::Control, Bytes::whole(0, 50));
        }
        let (group, (_, bytes)) = next(&mut scheduler).expect("there is more");
        *(if group == Group::Control {
            &mut control
        } else {
            &mut data
        }) += bytes;
    }
    assert!(
        control * 3 <= data + 4 * GROUP_QUANTUM,
        "{control} of control, {data} of data"
    );
    assert!(
        control * 3 >= data / 2,
        "{control} of control, {data} of data"
    );
}

#[test]
fn m06_a_group_that_may_not_send_stands_still_alone() {
    let mut scheduler = Scheduler::default();
    scheduler.push(
        stream(1),
        Bytes {
            is_stopped: true,
            ..Bytes::cut(1, 100_000)
        },
    );
    assert!(next(&mut scheduler).is_none());
    scheduler.push(stream(1), Bytes::cut(1, 10));
    scheduler.push(stream(2), Bytes::cut(2, 100_000));
    scheduler.push(Group::Control, Bytes::whole(0, 10));
    let mut order = Vec::new();
    while let Some((group, (_, bytes))) = next(&mut scheduler) {
        order.push((group, bytes));
    }
    assert_eq!(order.first(), Some(&(Group::Control, 10)));
    assert!(order[1..].iter().all(|(group, _)| *group == stream(2)));
    assert_eq!(
        order[1..].iter().map(|(_, bytes)| bytes).sum::<usize>(),
        100_000
    );
    assert_eq!(
        (scheduler.size(), scheduler.size_of(stream(1))),
        (100_010, 100_010)
    );

    // It is woken, and still may not; then what stops it is cancelled.
    scheduler.wake(stream(1));
    assert!(next(&mut scheduler).is_none());
    scheduler.retain(stream(1), |message| !message.is_stopped);
    assert_eq!(next(&mut scheduler), Some((stream(1), (1, 10))));
    assert!(scheduler.is_empty() && next(&mut scheduler).is_none());
}

#[test]
fn m14_a_hundred_thousand_groups_come_and_go_and_leave_nothing() {
    let mut scheduler = Scheduler::default();
    for id in 1..=100_000 {
        scheduler.push(stream(id), Bytes::cut(id, 100));
    }
    for id in 1..=100_000 {
        assert_eq!(next(&mut scheduler), Some((stream(id), (id, 100))));
    }
    assert!(scheduler.is_empty());
    // Each was looked at once to be served, and once to find nothing more, whatever their number.
    assert!(scheduler.looks() <= 200_000, "{} looks", scheduler.looks());
    scheduler.rest();
    assert_eq!(scheduler.slots_in_memory(), 0);
    // Nor do they pile up where something always waits.
    scheduler.push(stream(1), Bytes::cut(1, usize::MAX / 2));
    let looks = scheduler.looks();
    for id in 2..=100_000 {
        scheduler.push(stream(id), Bytes::cut(id, 100));
        assert!(next(&mut scheduler).is_some());
    }
    assert!(
        scheduler.looks() - looks <= 300_000,
        "no more for each when many are idle"
    );
    let slots = scheduler.slots_in_memory();
    assert!(slots <= 1000, "{slots}");
    // What is kept of many is bounded.
    for id in 1..=2 * GROUP_QUEUES_KEPT_MAX as u64 {
        scheduler.push(stream(id), Bytes::cut(id, 100));
    }
    scheduler.retain(stream(1), |_| false);
    while next(&mut scheduler).is_some() {}
    scheduler.rest();
    assert_eq!(scheduler.slots_in_memory(), 0);
}

#[derive(Debug, Clone)]
enum Step {
    Push {
        group: u64,
        size: usize,
        may_be_cut: bool,
    },
    Next,
    Remove {
        group: u64,
        name: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![0..200usize, 0..100_000usize];
    prop_oneof![
        (0..5u64, size, any::<bool>()).prop_map(|(group, size, may_be_cut)| Step::Push {
            group,
            size,
            may_be_cut
        }),
        Just(Step::Next),
        Just(Step::Next),
        (0..5u64, 0..60u64).prop_map(|(group, name)| Step::Remove { group, name }),
    ]
}

proptest! {
    #[test]
    fn nothing_is_lost_or_doubled_and_groups_stay_in_order(
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut scheduler = Scheduler::default();
        let mut model: HashMap<Group, Vec<(u64, usize)>> = HashMap::new();
        let check = |model: &mut HashMap<Group, Vec<(u64, usize)>>, sent: Option<_>| {
            let Some((group, (name, bytes))) = sent else {
                return model.values().all(Vec::is_empty);
            };
            let queue = model.get_mut(&group).expect("what was pushed");
            let (first, left) = queue.first_mut().expect("what was pushed");
            let is_next = *first == name && *left >= bytes;
            *left -= bytes;
            if *left == 0 {
                queue.remove(0);
            }
            is_next
        };
        for (name, step) in (0..).zip(steps) {
            match step {
                Step::Push { group, size, may_be_cut } => {
                    let group = Group::stream(group).unwrap_or(Group::Control);
                    let message = Bytes { may_be_cut, ..Bytes::whole(name, size) };
                    scheduler.push(group, message);
                    model.entry(group).or_default().push((name, size));
                }
                Step::Next => prop_assert!(check(&mut model, next(&mut scheduler))),
                Step::Remove { group, name } => {
                    let group = Group::stream(group).unwrap_or(Group::Control);
                    scheduler.retain(group, |message| message.name != name);
                    model.entry(group).or_default().retain(|(other, _)| *other != name);
                }
            }
            let bytes: usize = model.values().flatten().map(|(_, size)| size).sum();
            prop_assert_eq!(scheduler.size(), bytes);
            for (&group, queue) in &model {
                let bytes: usize = queue.iter().map(|(_, size)| size).sum();
                prop_assert_eq!(scheduler.size_of(group), bytes);
            }
        }
        while !scheduler.is_empty() {
            prop_assert!(check(&mut model, next(&mut scheduler)));
        }
        prop_assert!(check(&mut model, next(&mut scheduler)));
    }
}
