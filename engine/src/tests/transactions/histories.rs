//! Random histories of many transactions, checked against their serial execution.
//!
//! ```text
//!   clients ─▶ statements, interleaved; turns commit or fail ─▶ history: what committed, in order
//!   history ─▶ again, one by one, on another engine ─▶ does every statement see the same?
//! ```
//!
//! The order of the commits is the serial order of those that wrote, so whatever one saw has to be
//! what it sees there. One that wrote nothing has to see what it saw at one place of the order,
//! between its beginning and its end. Each workload checks what it means besides.

use fastrand::Rng;
use vestibule_actors::engine::{Engine, TransactionId};

use super::{EQ, GE, LE};
use crate::tests::Rig;

#[derive(Debug, Clone, Copy)]
enum Op {
    Get(u64),
    From(u64, u64),
    To(u64, u64),
    /// Through the secondary index.
    Valued(u64),
    Count,
    Replace(u64, u64),
    Insert(u64, u64),
    Add(u64),
    Upsert(u64),
    Delete(u64),
    /// Of a second space.
    GetTwin(u64),
    ReplaceTwin(u64, u64),
}

impl Op {
    fn run(self, rig: &mut Rig) -> String {
        let call = |rig: &mut Rig, name: &str, args: &[u8]| {
            let result = rig.try_call(name, args);
            result.map_or_else(
                |error| super::told(&error),
                |body| crate::tests::printed(&body),
            )
        };
        match self {
            Self::Get(key) => rig.some(EQ, key, 1),
            Self::From(key, limit) => rig.some(GE, key, limit),
            Self::To(key, limit) => rig.some(LE, key, limit),
            Self::Valued(value) => {
                let args = super::pack(&((value,),));
                call(rig, "box.space.s.index.by_value:select", &args)
            }
            Self::Count => call(rig, "box.space.s:count", &[0x90]),
            Self::Replace(key, value) => rig.replace(&(key, value)),
            Self::Insert(key, value) => rig.insert(&(key, value)),
            Self::Add(key) => rig.update(&(key,), &(("+", 1, 1),)),
            Self::Upsert(key) => rig.upsert(&(key, 1), &(("+", 1, 1),)),
            Self::Delete(key) => rig.delete(&(key,)),
            Self::GetTwin(key) => call(rig, "box.space.twin:get", &super::pack(&((key,),))),
            Self::ReplaceTwin(key, value) => {
                let args = super::pack(&((key, value),));
                call(rig, "box.space.twin:replace", &args)
            }
        }
    }

    /// Whether it wrote something, by what it saw.
    fn has_written(self, seen: &str) -> bool {
        match self {
            Self::Insert(..) => seen.starts_with('['),
            Self::Add(_) | Self::Delete(_) => seen != "[]",
            Self::Replace(..) | Self::ReplaceTwin(..) | Self::Upsert(_) => true,
            _ => false,
        }
    }
}

/// The numbers of some rows, flat.
fn numbers(rows: &str) -> Vec<u64> {
    let digits = rows.split(|c: char| !c.is_ascii_digit());
    digits.filter_map(|digits| digits.parse().ok()).collect()
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Workload {
    /// Anything on a few keys.
    Registers,
    /// Money moves between accounts; none is made or lost.
    Bank,
    /// Everybody adds the number after the largest there is.
    Set,
    /// Everybody adds one, in one of three ways.
    Counter,
    /// Two spaces that always hold the same, and transactions that look at both.
    Twins,
}

const KEYS: u64 = 5;
const MONEY: u64 = 100;

type Done = Vec<(Op, String)>;

impl Workload {
    fn rig(self) -> Rig {
        let mut rig = Rig::with_space(&[(1, "unsigned")]);
        let options = Options {
            parts: [(2, "unsigned")],
            unique: false,
        };
        let made = rig.call("box.space.s:create_index", &("by_value", options));
        assert!(made.starts_with('['), "{made}");
        if self == Self::Twins {
            rig.call("box.schema.space.create", &("twin",));
            rig.call("box.space.twin:create_index", &("pk",));
            for key in 0..KEYS {
                Op::ReplaceTwin(key, 0).run(&mut rig);
            }
        }
        if self != Self::Set {
            for key in 0..KEYS {
                rig.insert(&(key, if self == Self::Bank { MONEY } else { 0 }));
            }
        }
        rig.commit();
        rig
    }

    /// The next statement of a transaction, or nothing if it is complete.
    fn next(self, random: &mut Rng, plan: u64, done: &Done) -> Option<Op> {
        let value = |at: usize, number: usize| numbers(&done[at].1)[number];
        let (from, to) = (plan % KEYS, (plan + 1 + plan / KEYS % (KEYS - 1)) % KEYS);
        match (self, done.len()) {
            (Self::Registers, 4) => None,
            (Self::Registers, _) => Some(any(random)),
            (Self::Bank, 0) if plan.is_multiple_of(3) => Some(Op::From(0, 100)),
            (Self::Bank, 1) if plan.is_multiple_of(3) => None,
            (Self::Bank, 0) => Some(Op::Get(from)),
            (Self::Bank, 1) => Some(Op::Get(to)),
            (Self::Bank, 2) if value(0, 1) > 0 => Some(Op::Replace(from, value(0, 1) - 1)),
            (Self::Bank, 3) => Some(Op::Replace(to, value(1, 1) + 1)),
            (Self::Set, 0) => Some(Op::To(u64::MAX, 1)),
            (Self::Set, 1) => {
                let last = numbers(&done[0].1).first().map_or(0, |last| last + 1);
                Some(Op::Replace(last, last * 1000 + plan % 1000))
            }
            (Self::Counter, 0) if plan.is_multiple_of(3) => Some(Op::Add(0)),
            (Self::Counter, 0) if plan % 3 == 1 => Some(Op::Upsert(0)),
            (Self::Counter, 0) => Some(Op::Get(0)),
            (Self::Counter, 1) if plan % 3 == 2 => Some(Op::Replace(0, value(0, 1) + 1)),
            (Self::Twins, 0) => Some(Op::Get(from)),
            (Self::Twins, 1) if plan.is_multiple_of(2) => Some(Op::Replace(from, plan % 1000)),
            (Self::Twins, 2) if plan.is_multiple_of(2) => Some(Op::ReplaceTwin(from, plan % 1000)),
            (Self::Twins, 1) => Some(Op::GetTwin(from)),
            (Self::Twins, 2) => Some(Op::GetTwin(to)),
            (Self::Twins, 3) if !plan.is_multiple_of(2) => Some(Op::Get(to)),
            _ => None,
        }
    }

    /// A request outside of transactions.
    fn alone(self, random: &mut Rng) -> Op {
        match self {
            Self::Registers => any(random),
            Self::Counter => Op::Add(0),
            Self::Bank | Self::Set | Self::Twins => Op::From(0, 3),
        }
    }

    /// What the rows in the end mean.
    fn check(self, rows: &str, history: &[Done]) -> Result<(), String> {
        let numbers = numbers(rows);
        let values = numbers.iter().skip(1).step_by(2);
        let writers = history.iter().filter(|done| {
            let mut ops = done.iter().map(|(op, _)| op);
            ops.any(|op| matches!(op, Op::Add(_) | Op::Upsert(_) | Op::Replace(..)))
        });
        let is_right = match self {
            Self::Registers | Self::Twins => true,
            Self::Bank => values.sum::<u64>() == KEYS * MONEY,
            Self::Counter => numbers[1] == writers.count() as u64,
            Self::Set => {
                let keys: Vec<_> = numbers.iter().step_by(2).copied().collect();
                keys == (0..writers.count() as u64).collect::<Vec<_>>()
            }
        };
        if is_right {
            return Ok(());
        }
        Err(format!("{self:?} ended with {rows}"))
    }
}

#[derive(serde::Serialize)]
struct Options {
    parts: [(u32, &'static str); 1],
    unique: bool,
}

fn any(random: &mut Rng) -> Op {
    let (key, value) = (random.u64(..KEYS), random.u64(..4));
    match random.u64(..10) {
        0 => Op::Get(key),
        1 => Op::From(key, 1 + value),
        2 => Op::To(key, 1 + value),
        3 => Op::Valued(value),
        4 => Op::Count,
        5 => Op::Replace(key, value),
        6 => Op::Insert(key, value),
        7 => Op::Add(key),
        8 => Op::Upsert(key),
        _ => Op::Delete(key),
    }
}

/// A client, in a transaction or not.
#[derive(Default)]
struct Client {
    open: Option<(TransactionId, u64)>,
    done: Done,
    /// How long the history was when it began.
    since: usize,
}

/// A transaction that committed and wrote nothing.
struct Reader {
    done: Done,
    /// The lengths of the history between which its place is.
    places: std::ops::RangeInclusive<usize>,
}

struct Run {
    rig: Rig,
    random: Rng,
    workload: Workload,
    begun: u64,
    clients: Vec<Client>,
    /// Of the turn: not part of the history unless it commits.
    turn: Vec<Done>,
    history: Vec<Done>,
    /// Of the turn.
    turn_readers: Vec<Reader>,
    readers: Vec<Reader>,
    conflicts: u64,
    /// Transactions forget what they have seen after each step, so that no conflict is found.
    is_validation_off: bool,
}

impl Run {
    fn step(&mut self) {
        self.act();
        if self.is_validation_off {
            self.rig.engine.forget_reads();
        }
    }

    fn act(&mut self) {
        match self.random.u64(..64) {
            0..4 => {
                self.rig.commit();
                self.history.append(&mut self.turn);
                self.readers.append(&mut self.turn_readers);
            }
            4 if !self.rig.engine.is_turn_empty() => {
                self.rig.fail_turn();
                self.turn.clear();
                self.turn_readers.clear();
            }
            5..8 => {
                let op = self.workload.alone(&mut self.random);
                let seen = op.run(&mut self.rig);
                self.turn.push(vec![(op, seen)]);
            }
            _ => self.advance(),
        }
    }

    /// One client's next step.
    fn advance(&mut self) {
        let at = self.random.u64(..self.clients.len() as u64) as usize;
        let Some((id, plan)) = self.clients[at].open else {
            self.begun += 1;
            let id = TransactionId(self.begun);
            self.rig.begin(id);
            let plan = self.random.u64(..1 << 40);
            self.clients[at] = Client {
                open: Some((id, plan)),
                since: self.history.len(),
                done: Done::new(),
            };
            return;
        };
        let client = &mut self.clients[at];
        match self.workload.next(&mut self.random, plan, &client.done) {
            Some(op) => {
                let seen = self.rig.on(id, |rig| op.run(rig));
                if seen.starts_with("97: ") {
                    assert_eq!(self.rig.finish(id), super::CONFLICT);
                    self.conflicts += 1;
                    *client = Client::default();
                } else {
                    client.done.push((op, seen));
                }
            }
            None if self.random.u64(..16) == 0 => {
                self.rig.engine.rollback_transaction(id);
                *client = Client::default();
            }
            None => {
                let Client { done, since, .. } = std::mem::take(client);
                let has_written = done.iter().any(|(op, seen)| op.has_written(seen));
                match &*self.rig.finish(id) {
                    "ok" if has_written => self.turn.push(done),
                    "ok" => {
                        let places = since..=self.history.len() + self.turn.len();
                        self.turn_readers.push(Reader { done, places });
                    }
                    other => {
                        assert_eq!(other, super::CONFLICT);
                        self.conflicts += 1;
                    }
                }
            }
        }
    }

    /// Whether the history is that of a serial execution.
    fn check(&mut self) -> Result<(), String> {
        let mut serial = self.workload.rig();
        for (number, done) in self.history.iter().enumerate() {
            look(&mut serial, &mut self.readers, number);
            for (op, seen) in done {
                let expected = op.run(&mut serial);
                if *seen != expected {
                    return Err(format!("{number}: {op:?} saw {seen}, not {expected}"));
                }
            }
        }
        look(&mut serial, &mut self.readers, self.history.len());
        if let Some(reader) = self.readers.first() {
            let Reader { done, places } = reader;
            return Err(format!("nowhere in {places:?} is there {done:?}"));
        }
        serial.commit();
        self.rig.reopen();
        let rows = self.rig.all();
        if rows != serial.all() {
            return Err(format!("in the end {rows}, not {}", serial.all()));
        }
        let by_value = |rig: &mut Rig| {
            let found = rig.try_call("box.space.s.index.by_value:select", &[0x90]);
            crate::tests::printed(&found.unwrap())
        };
        assert_eq!(by_value(&mut self.rig), by_value(&mut serial));
        self.workload.check(&rows, &self.history)
    }
}

/// Drops the readers that see what they saw at this place of the history.
fn look(serial: &mut Rig, readers: &mut Vec<Reader>, place: usize) {
    const LOOK: TransactionId = TransactionId(0);
    readers.retain(|reader| {
        if !reader.places.contains(&place) {
            return true;
        }
        serial.begin(LOOK);
        let sees = |(op, seen): &(Op, String)| serial.on(LOOK, |rig| op.run(rig)) == *seen;
        let is_right = reader.done.iter().all(sees);
        serial.engine.rollback_transaction(LOOK);
        !is_right
    });
}

const STEPS: usize = 800;

/// Runs a history; returns what committed and what did not.
fn run(workload: Workload, seed: u64, is_validation_off: bool) -> Result<(usize, u64), String> {
    let mut run = Run {
        rig: workload.rig(),
        random: Rng::with_seed(seed),
        workload,
        begun: 0,
        clients: (0..6).map(|_| Client::default()).collect(),
        turn: Vec::new(),
        history: Vec::new(),
        turn_readers: Vec::new(),
        readers: Vec::new(),
        conflicts: 0,
        is_validation_off,
    };
    for _ in 0..STEPS {
        run.step();
    }
    run.rig.commit();
    run.history.append(&mut run.turn);
    run.readers.append(&mut run.turn_readers);
    let committed = run.history.len() + run.readers.len();
    run.check()?;
    Ok((committed, run.conflicts))
}

/// Histories per workload; more of them with `VESTIBULE_HISTORIES`.
fn histories() -> u64 {
    let wanted = std::env::var("VESTIBULE_HISTORIES");
    wanted.ok().and_then(|n| n.parse().ok()).unwrap_or(25)
}

#[test]
fn random_histories_are_serializable() {
    for workload in [
        Workload::Registers,
        Workload::Bank,
        Workload::Set,
        Workload::Counter,
        Workload::Twins,
    ] {
        let (mut committed, mut conflicts) = (0, 0);
        for seed in 1..=histories() {
            let told = run(workload, seed, false);
            let (more, lost) = told.unwrap_or_else(|why| panic!("{workload:?} {seed}: {why}"));
            committed += more;
            conflicts += lost;
        }
        println!("{workload:?}: {committed} committed, {conflicts} conflicts");
        assert!(committed > 100 && conflicts > 10, "nothing was tried");
    }
}

#[test]
fn the_check_finds_anomalies_if_nothing_is_validated() {
    for workload in [
        Workload::Registers,
        Workload::Bank,
        Workload::Set,
        Workload::Counter,
        Workload::Twins,
    ] {
        let found = (1..=histories()).filter(|seed| run(workload, *seed, true).is_err());
        let found = found.count() as u64;
        println!("{workload:?}: anomalies in {found} histories");
        assert!(found > histories() / 2, "{workload:?}: {found}");
    }
}
