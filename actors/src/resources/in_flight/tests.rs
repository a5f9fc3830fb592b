use super::*;
use crate::limits::TIMER_TICK;
use crate::limits::{WORKER_REQUESTS_MAX, WORKER_RESERVE};

fn request(sync: u64) -> InFlightRequest {
    InFlightRequest {
        session: SessionId {
            index: 0,
            connection: 1,
        },
        sync,
        stream: 0,
        request_type: RequestType::Replace,
        class: Class::Write,
        is_named: false,
        bytes: 10,
        is_writer: true,
        begin: None,
        effect: Effect::None,
        since: Instant::now(),
        limit: Limit::Request,
        credit: Credit::Shared(Pool::Requests),
        is_waited_for: false,
        is_replica_read: false,
        is_setting: false,
    }
}

fn in_flight() -> (InFlightTable, Arc<Claims>) {
    let claims = Arc::new(Claims::new(WORKER_REQUESTS_MAX + WORKER_RESERVE));
    (InFlightTable::new(claims.clone(), Instant::now()), claims)
}

#[test]
fn only_what_tx_has_not_begun_is_revoked() {
    let (mut in_flight, claims) = in_flight();
    let started = in_flight.insert(request(1), None).unwrap();
    let queued = in_flight.insert(request(2), None).unwrap();
    assert!(claims.claim(started));
    let revoked: Vec<_> = in_flight
        .revoke_queued(|_| true)
        .iter()
        .map(|own| own.sync)
        .collect();
    assert_eq!(revoked, [2]);
    assert!(!claims.claim(queued));
    assert_eq!((in_flight.len(), in_flight.bytes(Pool::Requests)), (1, 10));
    assert_eq!(in_flight.finish(started, |own| own.sync), Some(1));
    assert_eq!((in_flight.len(), in_flight.bytes(Pool::Requests)), (0, 0));
    assert_eq!(in_flight.writers(), 0);
}

#[test]
fn a_late_reply_to_an_abandoned_request_finds_nothing_not_its_successor() {
    let (mut in_flight, claims) = in_flight();
    let first = in_flight.insert(request(1), None).unwrap();
    assert!(claims.claim(first));
    assert_eq!(in_flight.cancel_started(|_| true).len(), 1);
    let second = in_flight.insert(request(2), None).unwrap();
    assert_eq!(first.index, second.index);
    assert!(in_flight.finish(first, |_| ()).is_none());
    assert!(in_flight.finish(second, |_| ()).is_some());
}

#[test]
fn a_wait_without_a_limit_takes_the_limit_of_the_one_before_back() {
    let (mut in_flight, _claims) = in_flight();
    let now = Instant::now();
    let (own, waits) = (now + 8 * TIMER_TICK, now + 2 * TIMER_TICK);
    let timed = in_flight.insert(request(1), Some(own)).unwrap();
    let untimed = in_flight.insert(request(2), None).unwrap();
    for id in [timed, untimed] {
        assert!(in_flight.wait(id, Some(waits)).is_some());
        assert!(in_flight.wait(id, Some(now + TIMER_TICK)).is_none());
        assert!(in_flight.wait(id, None).is_none());
    }
    assert!(in_flight.expire(now + 6 * TIMER_TICK).is_empty());
    let expired = in_flight.expire(now + 20 * TIMER_TICK);
    let expired: Vec<_> = expired
        .iter()
        .map(|own| (own.request.sync, own.request.limit))
        .collect();
    assert_eq!(expired, [(1, Limit::Request)]);
}

/// As long as Tx executes it, a request does not wait, and may take its time.
#[test]
fn what_waited_and_runs_now_is_not_over_with_the_time_of_its_wait() {
    let (mut in_flight, claims) = in_flight();
    let now = Instant::now();
    let ids = [1, 2].map(|sync| in_flight.insert(request(sync), None).unwrap());
    for id in ids {
        assert!(in_flight.wait(id, Some(now + TIMER_TICK)).is_some());
    }
    let [runs, _waits] = ids;
    assert!(claims.claim(runs));
    let expired = in_flight.expire(now + 20 * TIMER_TICK);
    let expired: Vec<_> = expired.iter().map(|own| own.request.sync).collect();
    assert_eq!(expired, [2]);
    assert!(in_flight.finish(runs, |_| ()).is_some());
}

/// QL-01: what runs is listed, and what is over is not.
#[test]
fn the_list_holds_what_runs_and_nothing_else() {
    let (mut in_flight, _claims) = in_flight();
    let first = in_flight.insert(request(1), None).unwrap();
    in_flight.insert(request(2), None).unwrap();
    let syncs = |in_flight: &InFlightTable| -> Vec<_> {
        in_flight.iter().map(|(_, own)| own.sync).collect()
    };
    assert_eq!(syncs(&in_flight), [1, 2]);
    assert!(in_flight.finish(first, |_| ()).is_some());
    assert_eq!(syncs(&in_flight), [2]);
}

/// QL-02: clients choose their syncs, so two requests may have the same; each is still its own.
#[test]
fn of_two_requests_with_one_sync_the_right_one_is_finished() {
    let (mut in_flight, _claims) = in_flight();
    let first = in_flight.insert(request(7), None).unwrap();
    let second = in_flight.insert(request(7), None).unwrap();
    assert!(in_flight.finish(first, |_| ()).is_some());
    let left: Vec<_> = in_flight.iter().map(|(id, _)| id).collect();
    assert_eq!(left, [second]);
    assert!(in_flight.finish(first, |_| ()).is_none());
}

/// RW-01: the count returns to nothing, whichever way each request ends.
#[test]
fn what_was_counted_in_is_counted_out_by_reply_timeout_and_kill() {
    let (mut in_flight, claims) = in_flight();
    let start = Instant::now();
    let replied = in_flight.insert(request(1), None).unwrap();
    let late = in_flight
        .insert(request(2), Some(start + TIMER_TICK))
        .unwrap();
    in_flight.insert(request(3), None).unwrap();
    assert_eq!((in_flight.len(), in_flight.bytes(Pool::Requests)), (3, 30));
    assert!(claims.claim(late));
    assert!(in_flight.finish(replied, |_| ()).is_some());
    let expired = in_flight.expire(start + TIMER_TICK * 3);
    assert_eq!(expired.len(), 1);
    assert!(expired[0].was_started && expired[0].request.sync == 2);
    assert_eq!(claims.phase(late), None, "its token tells");
    let killed = in_flight.cancel(|own| own.sync == 3);
    assert!(!killed[0].was_started);
    assert_eq!((in_flight.len(), in_flight.bytes(Pool::Requests)), (0, 0));
    assert_eq!(in_flight.next_look(), None);
}

#[test]
fn a_reply_in_time_takes_the_deadline_with_it() {
    let (mut in_flight, _claims) = in_flight();
    let start = Instant::now();
    let first = in_flight.insert(request(1), Some(start)).unwrap();
    assert!(in_flight.finish(first, |_| ()).is_some());
    in_flight.insert(request(2), None).unwrap();
    assert!(in_flight.expire(start + TIMER_TICK * 1000).is_empty());
    assert_eq!(in_flight.len(), 1);
}

#[test]
fn what_each_pool_has_under_way_is_counted_by_itself() {
    let (mut in_flight, _claims) = in_flight();
    let credits = [
        Credit::Shared(Pool::Requests),
        Credit::Shared(Pool::Calls),
        Credit::Reserve(Pool::Calls),
        Credit::AdminReserve,
    ];
    let insert = |credit| {
        let own = request(1);
        (in_flight.insert(InFlightRequest { credit, ..own }, None)).unwrap()
    };
    let ids = credits.map(insert);
    let told = |of: &InFlightTable| {
        Pool::ALL.map(|pool| {
            let credits = of.credits();
            (credits.shared[pool], credits.reserve[pool], of.bytes(pool))
        })
    };
    assert_eq!(told(&in_flight), [(1, 0, 20), (1, 1, 20)]);
    in_flight.wait(ids[1], None);
    assert_eq!(told(&in_flight), [(1, 0, 20), (0, 1, 10)]);
    for id in ids {
        assert!(in_flight.finish(id, |_| ()).is_some());
    }
    assert_eq!(told(&in_flight), [(0, 0, 0); 2]);
}

#[test]
fn it_is_bounded() {
    let (mut in_flight, _claims) = in_flight();
    for sync in 0..(WORKER_REQUESTS_MAX + WORKER_RESERVE) as u64 {
        assert!(in_flight.insert(request(sync), None).is_some());
    }
    assert!(in_flight.is_full());
    assert!(in_flight.insert(request(0), None).is_none());
}

/// A step of the session side or of Tx, in any order.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A session forwards a request.
    Forward,
    /// Tx takes its next request and begins it unless it was revoked.
    Begin,
    /// A reply of Tx arrives: the oldest that is begun.
    Reply,
    /// Solo begins: what is queued is answered busy.
    Revoke,
    /// Tx is lost: what it had begun is answered "outcome unknown".
    Lose,
    /// The oldest request on its way is killed, or its time is over.
    Cancel,
}

/// What a client was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Done,
    Refused,
    Unknown,
}

#[derive(Default)]
struct World {
    sent: Vec<RequestId>,
    /// Begun, and not replied to by Tx.
    running: Vec<(RequestId, u64)>,
    executed: std::collections::HashSet<u64>,
    told: HashMap<u64, Told>,
    syncs: HashMap<RequestId, u64>,
}

impl World {
    fn tell(&mut self, sync: u64, told: Told) {
        assert_eq!(self.told.insert(sync, told), None, "one answer per request");
    }

    fn step(&mut self, step: Step, in_flight: &mut InFlightTable, claims: &Claims) {
        match step {
            Step::Forward => {
                let sync = self.syncs.len() as u64;
                let Some(id) = in_flight.insert(request(sync), None) else {
                    return;
                };
                self.syncs.insert(id, sync);
                self.sent.push(id);
            }
            Step::Begin if !self.sent.is_empty() => {
                let id = self.sent.remove(0);
                if claims.claim(id) {
                    let sync = self.syncs[&id];
                    self.executed.insert(sync);
                    self.running.push((id, sync));
                }
            }
            Step::Reply if !self.running.is_empty() => {
                let (id, sync) = self.running.remove(0);
                if let Some(own) = in_flight.finish(id, |own| own.sync) {
                    assert_eq!(own, sync);
                    self.tell(sync, Told::Done);
                }
            }
            Step::Revoke => {
                for own in in_flight.revoke_queued(|_| true) {
                    self.tell(own.sync, Told::Refused);
                }
            }
            Step::Lose => {
                for own in in_flight.cancel_started(|_| true) {
                    self.tell(own.request.sync, Told::Unknown);
                }
            }
            Step::Cancel => {
                let oldest = in_flight.iter().map(|(_, own)| own.sync).min();
                for own in in_flight.cancel(|own| Some(own.sync) == oldest) {
                    let told = if own.was_started {
                        Told::Unknown
                    } else {
                        Told::Refused
                    };
                    self.tell(own.request.sync, told);
                }
            }
            Step::Begin | Step::Reply => {}
        }
    }
}

fn steps() -> impl proptest::strategy::Strategy<Value = Vec<Step>> {
    use proptest::prelude::*;
    let step = prop_oneof![
        8 => Just(Step::Forward),
        6 => Just(Step::Begin),
        6 => Just(Step::Reply),
        1 => Just(Step::Revoke),
        1 => Just(Step::Lose),
        2 => Just(Step::Cancel),
    ];
    proptest::collection::vec(step, 0..400)
}

proptest::proptest! {
    #[test]
    fn no_request_is_both_refused_and_executed_and_each_is_answered_once(steps in steps()) {
        let (mut in_flight, claims) = in_flight();
        let mut world = World::default();
        for step in steps {
            world.step(step, &mut in_flight, &claims);
        }
        // To the end: Tx does what it has, and its replies arrive.
        while !world.sent.is_empty() || !world.running.is_empty() {
            world.step(Step::Begin, &mut in_flight, &claims);
            world.step(Step::Reply, &mut in_flight, &claims);
        }
        assert_eq!(in_flight.len(), 0);
        assert_eq!((in_flight.bytes(Pool::Requests), in_flight.writers()), (0, 0));
        assert_eq!(world.told.len(), world.syncs.len(), "nobody is left waiting");
        for (sync, told) in &world.told {
            let expected = *told != Told::Refused;
            assert_eq!(world.executed.contains(sync), expected, "{told:?}");
        }
    }
}
