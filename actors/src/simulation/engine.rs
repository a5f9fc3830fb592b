//! The engine of a simulated world: it writes keys to the ledger, and stands still, fails and dies
//! as it is told to.

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use vestibule_wire::msgpack::Reader;
use vestibule_wire::request::{Begin, Body};
use vestibule_wire::{Error, ErrorCode};

use super::ledger::Ledger;
use super::lockstep::{Gate, Halt};
use super::random::Random;
use crate::engine::catalog::{Catalog, CatalogBuilder};
use crate::engine::procedures::{ProcedureCall, Procedures};
use crate::engine::{Engine, Fault, Outcome, Progress, RefusedBy, Reply, Request, TransactionId};

/// What befalls the next request, journal write, recovery or end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InjectedFault {
    Stall,
    /// The same, declared.
    StallInSolo,
    Fail,
    Die,
    /// Stands still first.
    StallAndDie,
    /// The write is on the disk, and nobody hears of it.
    DieAfter,
}

/// What befalls Tx next, by halt.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) request: Option<InjectedFault>,
    pub(super) commit: Option<InjectedFault>,
    pub(super) recovery: Option<InjectedFault>,
    pub(super) close: Option<InjectedFault>,
    pub(super) recoveries: u64,
}

impl Plan {
    /// Nothing befalls it any more.
    pub(super) fn forget(&mut self) {
        (self.request, self.commit, self.recovery, self.close) = (None, None, None, None);
    }
}

/// What the engine shares with the world.
#[derive(Debug, Clone)]
pub(super) struct EngineShared {
    pub(super) gate: Gate,
    ledger: Arc<Mutex<Ledger>>,
    plan: Arc<Mutex<Plan>>,
}

impl EngineShared {
    pub(super) fn new(gate: Gate, ledger: Ledger) -> Self {
        Self {
            gate,
            ledger: Arc::new(Mutex::new(ledger)),
            plan: Arc::default(),
        }
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A panic without the noise of one.
fn die() -> ! {
    resume_unwind(Box::new("a scripted death"))
}

/// Bytes of the largest reply to a SELECT, about.
pub(super) const LARGE_REPLY: usize = 64 << 10;

/// The same of the largest request.
pub(super) const LARGE_REQUEST: usize = 100 << 10;

/// The bytes that belong to a key, by which those of another are told from them, and a piece in a
/// wrong place. There are no more than 256 KiB.
pub(super) fn pattern(key: u64, size: usize) -> &'static [u8] {
    const STARTS: usize = 1 << 14;
    static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut random = Random::new(7);
        (0..STARTS + (256 << 10))
            .map(|_| random.next() as u8)
            .collect()
    });
    let start = key as usize % STARTS;
    &BYTES[start..start + size]
}

/// The engine.
#[derive(Debug)]
pub(super) struct SimulatedEngine {
    shared: EngineShared,
    /// Of this turn.
    staged: Vec<u64>,
    open: HashMap<TransactionId, Vec<u64>>,
    is_read_only: bool,
    /// SELECTs so far: some have a large reply.
    selects: usize,
}

impl SimulatedEngine {
    pub(super) fn new(shared: EngineShared) -> Self {
        Self {
            shared,
            staged: Vec::new(),
            open: HashMap::new(),
            is_read_only: false,
            selects: 0,
        }
    }

    fn work(&self, reply: &Reply<'_>) -> Result<(), Error> {
        let fault = self.shared.plan().request.take();
        let gate = &self.shared.gate;
        match fault {
            None | Some(InjectedFault::DieAfter) => {}
            Some(InjectedFault::Stall) => gate.park(Halt::Request),
            Some(InjectedFault::StallInSolo) => {
                let _guard = reply.solo("scripted work");
                gate.park(Halt::Request);
            }
            Some(InjectedFault::Fail) => return Err(Error::illegal_params("scripted failure")),
            Some(InjectedFault::Die) => die(),
            Some(InjectedFault::StallAndDie) => {
                gate.park(Halt::Request);
                die();
            }
        }
        Ok(())
    }

    fn write(&self, keys: &[u64]) -> Result<(), Error> {
        self.shared.ledger().begin_write(keys);
        let fault = self.shared.plan().commit.take();
        if matches!(
            fault,
            Some(InjectedFault::Stall | InjectedFault::StallInSolo | InjectedFault::StallAndDie)
        ) {
            self.shared.gate.park(Halt::Commit);
        }
        if matches!(
            fault,
            Some(InjectedFault::Fail | InjectedFault::Die | InjectedFault::StallAndDie)
        ) {
            self.shared.ledger().give_up_write();
        }
        match fault {
            Some(InjectedFault::Fail) => {
                return Err(Error::new(ErrorCode::WAL_IO, "scripted failure"));
            }
            Some(InjectedFault::Die | InjectedFault::StallAndDie) => die(),
            _ => {}
        }
        self.shared.ledger().end_write(keys);
        if fault == Some(InjectedFault::DieAfter) {
            die();
        }
        Ok(())
    }
}

impl Drop for SimulatedEngine {
    fn drop(&mut self) {
        let fault = self.shared.plan().close.take();
        if fault.is_some() {
            self.shared.gate.park(Halt::Close);
        }
    }
}

impl Engine for SimulatedEngine {
    fn recover(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<(), Fault> {
        let fault = {
            let mut plan = self.shared.plan();
            plan.recoveries += 1;
            plan.recovery.take()
        };
        progress(Progress::of(1, 2));
        if fault.is_some() {
            self.shared.gate.park(Halt::Recovery);
        }
        Ok(())
    }

    fn execute(&mut self, request: &Request<'_>, reply: &mut Reply<'_>) -> Result<Outcome, Error> {
        self.work(reply)?;
        if let Body::Replace(store) = request.body {
            let (key, beside) = read_tuple(store.tuple)?;
            if beside.is_some_and(|bytes| bytes != pattern(key, bytes.len())) {
                let fault = format!("key {key} comes with bytes of another request");
                self.shared.ledger().fault(fault);
            }
            match request.transaction {
                Some(transaction) => self.open.entry(transaction).or_default().push(key),
                None => self.staged.push(key),
            }
        }
        let mut rows = reply.rows();
        if let Body::Select(select) = request.body {
            self.selects += 1;
            let size = LARGE_REPLY / 4 * (self.selects % 5);
            let mut tuple = vec![0x91, 0xc6];
            tuple.extend_from_slice(&(size as u32).to_be_bytes());
            tuple.extend_from_slice(pattern(first_uint(select.key)?, size));
            rows.push_shared(&tuple.into());
        }
        rows.finish(None);
        Ok(Outcome::Done)
    }

    fn commit(&mut self) -> Result<(), Error> {
        if self.staged.is_empty() {
            return Ok(());
        }
        let staged = std::mem::take(&mut self.staged);
        self.write(&staged)
    }

    fn begin(
        &mut self,
        transaction: TransactionId,
        _options: &Begin,
        _caller: &crate::engine::Caller,
    ) -> Result<(), Error> {
        self.open.insert(transaction, Vec::new());
        Ok(())
    }

    fn commit_transaction(&mut self, transaction: TransactionId) -> Result<(), Error> {
        let keys = self.open.remove(&transaction).unwrap_or_default();
        self.staged.extend(keys);
        Ok(())
    }

    fn rollback_transaction(&mut self, transaction: TransactionId) {
        self.open.remove(&transaction);
    }

    fn discard_turn(&mut self) -> Result<(), Fault> {
        self.staged.clear();
        Ok(())
    }

    fn set_read_only(&mut self, read_only: bool) -> RefusedBy {
        self.is_read_only = read_only;
        RefusedBy::Engine
    }

    fn catalog(&self) -> Arc<Catalog> {
        Arc::new(CatalogBuilder::new().space(512, "simulated").build())
    }
}

fn first_uint(array: &[u8]) -> Result<u64, Error> {
    let mut reader = Reader::new(array);
    let fault = |_| Error::illegal_params("the key must be an unsigned number");
    reader.read_array_len().map_err(fault)?;
    reader.read_uint().map_err(fault)
}

/// The key of a tuple, and the bytes beside it if there are some.
fn read_tuple(tuple: &[u8]) -> Result<(u64, Option<&[u8]>), Error> {
    let key = first_uint(tuple)?;
    let mut reader = Reader::new(tuple);
    let fault = |_| Error::illegal_params("the tuple must have a key");
    reader.read_array_len().map_err(fault)?;
    reader.skip().map_err(fault)?;
    Ok((key, reader.read_bin().ok()))
}

/// `work` (what befalls requests befalls it), `steps` (async, in several turns), `never` (async,
/// without an end), `write` (a key, in several steps).
pub(super) fn procedures() -> Procedures<SimulatedEngine> {
    Procedures::default()
        .with_engine("work", |call: &mut ProcedureCall<'_, SimulatedEngine>| {
            call.engine.work(&call.reply)?;
            call.reply.value(&true)
        })
        .async_function("steps", |(steps,): (u32,), context| async move {
            for _ in 0..steps {
                context.engine(|_: &mut SimulatedEngine| Ok(())).await?;
            }
            Ok(steps)
        })
        .async_function("never", |_: Vec<u8>, context| async move {
            context.engine(|_: &mut SimulatedEngine| Ok(())).await?;
            std::future::pending::<()>().await;
            Ok(())
        })
        .async_function("write", |(key,): (u64,), context| async move {
            context.engine(|_: &mut SimulatedEngine| Ok(())).await?;
            let step = move |engine: &mut SimulatedEngine| {
                if engine.is_read_only {
                    return Err(Error::new(ErrorCode::READONLY, "scripted"));
                }
                engine.staged.push(key);
                Ok(())
            };
            context.engine(step).await?;
            Ok(key)
        })
}
