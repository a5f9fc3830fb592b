use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::admission::Class;
use crate::cells::claims::RequestId;
use crate::clock::Clock;
use crate::endpoints::PeerAddress;
use crate::engine::Caller;
use crate::engine::catalog::User;
use crate::serving::{Admitted, Role, ServingCell};
use crate::upstream::ReplicaRead;

const CONNECTIONS: u64 = 4;
const BODY: usize = MEMORY_SMALL;

#[derive(Debug, Clone)]
enum Step {
    Push { connection: u64, is_resumed: bool },
    TakeBack { nth: usize },
    Wake { connection: u64 },
    Look,
    Leave { connection: u64 },
    Run { roomy: u8, most: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let connection = || 1..=CONNECTIONS;
    prop_oneof![
        8 => (connection(), any::<bool>())
            .prop_map(|(connection, is_resumed)| Step::Push { connection, is_resumed }),
        4 => any::<usize>().prop_map(|nth| Step::TakeBack { nth }),
        1 => connection().prop_map(|connection| Step::Wake { connection }),
        2 => Just(Step::Look),
        1 => connection().prop_map(|connection| Step::Leave { connection }),
        3 => (any::<u8>(), 1..6usize).prop_map(|(roomy, most)| Step::Run { roomy, most }),
    ]
}

/// A backlog beside what has to be in it.
struct Model {
    backlog: Backlog,
    memory: Arc<Memory>,
    now: Instant,
    admitted: Admitted,
    accounts: BTreeMap<u64, Rc<ReplyAccount>>,
    /// What waits and was not taken back, of each connection: resumed, and fresh.
    waiting: BTreeMap<u64, [VecDeque<u32>; 2]>,
    wanted: BTreeSet<u32>,
    /// Connections that have left, and are to be told when nothing of them waits.
    leaving: BTreeSet<u64>,
    left: BTreeSet<u64>,
    last: u32,
}

impl Model {
    fn new() -> Self {
        let memory = Arc::new(Memory::new(1 << 30));
        let serving = ServingCell::new(Role::Primary, Clock::SYSTEM);
        let account = |connection| (connection, ReplyAccount::new(Arc::default()));
        Self {
            backlog: Backlog::new(memory.clone()),
            memory,
            now: Instant::now(),
            admitted: Admitted::under(serving.load()),
            accounts: (1..=CONNECTIONS).map(account).collect(),
            waiting: BTreeMap::new(),
            wanted: BTreeSet::new(),
            leaving: BTreeSet::new(),
            left: BTreeSet::new(),
            last: 0,
        }
    }

    fn request(&self, connection: u64) -> WaitingRequest {
        let id = RequestId {
            index: self.last,
            generation: 1,
        };
        WaitingRequest {
            worker: 0,
            entry: BatchEntry {
                id,
                session: 0,
                request: RequestType::Replace,
                code: RequestType::Replace as u16,
                meaning: RequestType::Replace,
                class: Class::Write,
                sync: 1,
                stream: 0,
                admitted: self.admitted,
                catalog: 0,
                replica_read: ReplicaRead::No,
                is_large: false,
                start: 0,
                end: BODY as u32,
            },
            body: vec![0; BODY],
            caller: Arc::new(Caller {
                connection,
                user: User::guest(),
                peer: PeerAddress::Local,
                is_administrator: false,
            }),
            replies: self.accounts[&connection].clone(),
            charge: None,
            is_refused: false,
        }
    }

    fn push(&mut self, connection: u64, is_resumed: bool) {
        // Nothing comes of one that has left.
        if self.leaving.contains(&connection) || self.left.contains(&connection) {
            return;
        }
        self.last += 1;
        let request = self.request(connection);
        let own = self.waiting.entry(connection).or_default();
        own[usize::from(!is_resumed)].push_back(self.last);
        self.wanted.insert(self.last);
        let wanted = &self.wanted;
        if is_resumed {
            self.backlog.push_resumed(request, self.now);
        } else {
            let is_wanted = |own: &WaitingRequest| wanted.contains(&own.entry.id.index);
            self.backlog.push(request, self.now, is_wanted);
        }
    }

    fn look(&mut self) {
        self.now += BACKLOG_LOOK_PERIOD;
        let wanted = &self.wanted;
        let is_wanted = |own: &WaitingRequest| wanted.contains(&own.entry.id.index);
        self.backlog.look(self.now, is_wanted);
        let bytes = self.wanted.len() * BODY;
        assert_eq!(
            self.backlog.bytes(),
            bytes,
            "what was taken back is dropped"
        );
    }

    fn leave(&mut self, connection: u64) {
        if self.leaving.contains(&connection) || self.left.contains(&connection) {
            return;
        }
        if self.backlog.leave(connection) {
            self.leaving.insert(connection);
        } else {
            let own = self.waiting.get(&connection);
            assert!(own.is_none_or(|own| own.iter().all(VecDeque::is_empty)));
            self.left.insert(connection);
        }
    }

    /// Runs up to `most` requests of the connections that have room; true if that was all.
    fn run(&mut self, roomy: u8, most: usize) -> bool {
        let mut run = 0;
        loop {
            while let Some(gone) = self.backlog.finish_next() {
                assert!(self.leaving.remove(&gone), "told once");
                self.left.insert(gone);
            }
            let Some(request) = self.backlog.peek() else {
                assert!(!self.backlog.has_ready(), "nobody is in the way of others");
                return true;
            };
            let connection = request.caller.connection;
            if roomy & (1 << connection) == 0 {
                self.backlog.leave_next();
                continue;
            }
            if run == most {
                return false;
            }
            run += 1;
            let popped = self.backlog.pop().expect("it was seen");
            self.backlog.spend(connection, 1);
            self.check(connection, popped.entry.id.index);
        }
    }

    /// What runs is the first of its connection that was not taken back.
    fn check(&mut self, connection: u64, index: u32) {
        if self.wanted.remove(&index) {
            let own = self.waiting.get_mut(&connection).expect("it was pushed");
            let first = own.iter_mut().find_map(VecDeque::pop_front);
            assert_eq!(first, Some(index));
        }
    }

    fn take_back(&mut self, nth: usize) {
        let count = self.wanted.len().max(1);
        let Some(index) = self.wanted.iter().nth(nth % count).copied() else {
            return;
        };
        self.wanted.remove(&index);
        for own in self.waiting.values_mut().flatten() {
            own.retain(|own| *own != index);
        }
    }
}

proptest! {
    /// Whatever happens in whatever order: everything runs once and in order, nobody starves,
    /// and nothing is left over.
    #[test]
    fn all_that_waits_runs_in_order_and_nothing_is_left_over(
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let mut model = Model::new();
        for step in steps {
            match step {
                Step::Push { connection, is_resumed } => model.push(connection, is_resumed),
                Step::TakeBack { nth } => model.take_back(nth),
                Step::Wake { connection } => model.backlog.wake(connection),
                Step::Look => model.look(),
                Step::Leave { connection } => model.leave(connection),
                Step::Run { roomy, most } => {
                    model.run(roomy, most);
                }
            }
            prop_assert_eq!(model.memory.used(), model.backlog.bytes());
        }
        model.look();
        while !model.run(u8::MAX, 3) {}
        prop_assert!(model.wanted.is_empty(), "nobody starves");
        prop_assert!(model.leaving.is_empty(), "all that left have left");
        prop_assert!(model.accounts.values().all(|own| !own.is_waiting()));
        prop_assert_eq!((model.backlog.bytes(), model.memory.used()), (0, 0));
    }
}

/// Dead ones alone, more than a connection may have on its way: they are swept when the next
/// comes.
#[test]
fn a_connection_is_swept_when_more_waits_of_it_than_can_be_on_its_way() {
    let mut model = Model::new();
    for _ in 0..=2 * CONNECTION_REQUESTS_MAX {
        model.push(1, false);
        model.take_back(0);
    }
    assert!(model.backlog.bytes() > 4 * CONNECTION_BYTES_MAX);
    model.push(1, false);
    assert_eq!(model.backlog.bytes(), BODY);
    assert!(model.run(0, 1) && model.backlog.has(1));
}
