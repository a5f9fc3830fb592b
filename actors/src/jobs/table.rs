//! The jobs that are under way, and the transition that they are in.
//!
//! ```text
//!   insert ─▶ queued ─┬─ Tx: claim ─▶ started ─┬─ finish ─▶ Tx tells the result
//!                     │                        └─ cut off, Tx died ─▶ outcome unknown
//!                     └─ taken back: by its caller, a state, a transition ─▶ refused
//! ```
//!
//! Who takes an entry out tells its caller, so each is told once. The lock is held for moments.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use vestibule_wire::ErrorCode;

use super::error::EngineError;
use crate::admission::{Class, Verdict, admit};
use crate::limits::JOBS_MAX;
use crate::messages::{SupervisorHandle, WorkerReport};
use crate::serving::{Admitted, Serving};
use crate::shared::{STOPPING, Shared};
use crate::transitions::{CutOffCounts, TransitionScope, WaitedFor};

/// The jobs of one runtime.
pub(crate) struct JobTable {
    shared: Arc<Shared>,
    supervisor: SupervisorHandle,
    /// As which worker the Supervisor knows it: the one after the last.
    lane: usize,
    credits: Arc<Semaphore>,
    jobs: Mutex<Jobs>,
}

#[derive(Default)]
struct Jobs {
    by_number: HashMap<u64, JobEntry>,
    last: u64,
    transition: Option<JobTransition>,
}

/// A transition that the jobs are in.
struct JobTransition {
    serial: u64,
    scope: TransitionScope,
}

/// A job that is under way.
struct JobEntry {
    class: Class,
    admitted: Admitted,
    is_started: bool,
    /// The transition under way has counted it.
    is_waited_for: bool,
    told: oneshot::Sender<EngineError>,
    _credit: OwnedSemaphorePermit,
}

impl JobEntry {
    /// Whether a transition waits for its end.
    fn is_concerned(&self, scope: TransitionScope) -> bool {
        match scope {
            TransitionScope::Everything => true,
            TransitionScope::Writers => !self.admitted.is_read_only(),
            // There are none in a gateway.
            TransitionScope::Upstream(_) => false,
        }
    }
}

impl std::fmt::Debug for JobTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobTable").finish_non_exhaustive()
    }
}

impl JobTable {
    pub(crate) fn new(shared: Arc<Shared>, supervisor: SupervisorHandle) -> Arc<Self> {
        Arc::new(Self {
            lane: shared.counters.len(),
            shared,
            supervisor,
            credits: Arc::new(Semaphore::new(JOBS_MAX)),
            jobs: Mutex::default(),
        })
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(super) fn credits(&self) -> Arc<Semaphore> {
        self.credits.clone()
    }

    // Nothing panics between two changes of it.
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells operators how many there are. After every change of it, inside of the lock.
    fn publish_count(&self, jobs: &Jobs) {
        let count = jobs.by_number.len();
        self.shared.jobs.store(count, Ordering::Relaxed);
    }

    /// Whether a job waits for Tx.
    pub(crate) fn has_queued(&self) -> bool {
        let jobs = self.jobs();
        jobs.by_number.values().any(|own| !own.is_started)
    }

    /// Whether a job of this class would go to Tx now.
    ///
    /// # Errors
    ///
    /// Why it would not.
    pub(crate) fn check(&self, class: Class) -> Result<Serving, EngineError> {
        let serving = self.shared.serving.load();
        let code = match admit(serving, class, false) {
            Verdict::Answer | Verdict::Forward | Verdict::ViewOrForward => return Ok(serving),
            Verdict::Busy | Verdict::ViewOrBusy => ErrorCode::LOADING,
            Verdict::Reject(code) => code,
            Verdict::Close => ErrorCode::SHUTDOWN,
        };
        Err(self.refusal(code))
    }

    pub(crate) fn refusal(&self, code: ErrorCode) -> EngineError {
        let status = self.shared.serving.status(self.shared.clock.now());
        EngineError::Refused(status.error(code))
    }

    /// Admits a job, which the next transition knows of: the state is looked at inside of the lock.
    pub(super) fn insert(
        self: &Arc<Self>,
        class: Class,
        credit: OwnedSemaphorePermit,
        told: oneshot::Sender<EngineError>,
    ) -> Result<JobTicket, EngineError> {
        let mut jobs = self.jobs();
        let admitted = Admitted::under(self.check(class)?);
        let admitted = match class {
            Class::Read => admitted.read_only(),
            _ => admitted,
        };
        jobs.last += 1;
        let number = jobs.last;
        let entry = JobEntry {
            class,
            admitted,
            is_started: false,
            is_waited_for: false,
            told,
            _credit: credit,
        };
        jobs.by_number.insert(number, entry);
        self.publish_count(&jobs);
        let table = self.clone();
        Ok(JobTicket { table, number })
    }

    /// Takes a job back that Tx has not begun; false if it has.
    pub(super) fn revoke(&self, number: u64) -> bool {
        let mut jobs = self.jobs();
        let is_queued = |own: &JobEntry| !own.is_started;
        if !jobs.by_number.get(&number).is_some_and(is_queued) {
            return false;
        }
        let revoked = jobs.by_number.remove(&number);
        self.publish_count(&jobs);
        self.tell_if_quiet(&mut jobs);
        drop(jobs);
        drop(revoked);
        true
    }

    /// A transition begins that ends what it waits for: tells the Supervisor what that is.
    pub(crate) fn quiesce(&self, serial: u64, scope: TransitionScope) {
        let mut jobs = self.jobs();
        let mut waiting = WaitedFor::default();
        for job in jobs.by_number.values_mut() {
            job.is_waited_for = job.is_concerned(scope);
            if job.is_waited_for {
                waiting.requests.add(job.class);
            }
        }
        jobs.transition = Some(JobTransition { serial, scope });
        self.report(serial, WorkerReport::Quiesced(waiting));
        self.tell_if_quiet(&mut jobs);
    }

    /// The deadline of the transition: who still waits is told, whatever Tx does.
    pub(crate) fn cut_off(&self, serial: u64, scope: TransitionScope) {
        let (refused, unknown) = if scope.is_stop() {
            let unknown = self.shared.outcome_unknown(ErrorCode::SHUTDOWN, STOPPING);
            (ErrorCode::SHUTDOWN, unknown)
        } else {
            let reason = "the server becomes a replica";
            let unknown = self.shared.outcome_unknown(ErrorCode::SYSTEM, reason);
            (ErrorCode::READONLY, unknown)
        };
        let refused = self.refusal(refused);
        let mut counts = CutOffCounts::default();
        let mut jobs = self.jobs();
        let all = &mut jobs.by_number;
        let concerned: Vec<_> = all
            .extract_if(|_, own| own.is_concerned(scope))
            .map(|(_, own)| own)
            .collect();
        self.publish_count(&jobs);
        for own in &concerned {
            counts.joins(own.class, own.is_waited_for);
            let phase = if own.is_started {
                &mut counts.killed
            } else {
                &mut counts.revoked
            };
            phase.add(own.class);
        }
        self.report(serial, WorkerReport::CutOff(counts));
        self.tell_if_quiet(&mut jobs);
        // Nobody is told inside of the lock: a waker may do anything.
        drop(jobs);
        for own in concerned {
            let told = if own.is_started {
                EngineError::OutcomeUnknown(unknown.clone())
            } else {
                refused.clone()
            };
            // Its caller may have lost interest.
            let _ = own.told.send(told);
        }
    }

    /// Tells the Supervisor, once, that nothing is left that the transition waits for.
    fn tell_if_quiet(&self, jobs: &mut Jobs) {
        let scope = jobs.transition.as_ref().map(|own| own.scope);
        let is_left = |scope| jobs.by_number.values().any(|own| own.is_concerned(scope));
        if !scope.is_none_or(is_left)
            && let Some(transition) = jobs.transition.take()
        {
            self.report(transition.serial, WorkerReport::Quiet);
        }
    }

    fn report(&self, serial: u64, report: WorkerReport) {
        self.supervisor.report(self.lane, serial, report);
    }

    /// Tx begins the job; `None` if it was taken back.
    fn claim(&self, number: u64) -> Option<Admitted> {
        let mut jobs = self.jobs();
        let job = jobs.by_number.get_mut(&number)?;
        job.is_started = true;
        Some(job.admitted)
    }

    /// The job is over; `None` if its caller was told something else already.
    fn take(&self, number: u64) -> Option<JobEntry> {
        let mut jobs = self.jobs();
        let job = jobs.by_number.remove(&number);
        self.publish_count(&jobs);
        self.tell_if_quiet(&mut jobs);
        job
    }
}

/// The right of one job to be executed, and to be told of. Dropped unused, its caller is told that
/// it was refused or that its outcome is unknown, by how far it has come.
#[derive(Debug)]
pub(crate) struct JobTicket {
    table: Arc<JobTable>,
    number: u64,
}

impl JobTicket {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Tx begins the job; `None` if it was taken back.
    #[must_use = "a job that was taken back must not be executed"]
    pub(crate) fn claim(&self) -> Option<Admitted> {
        self.table.claim(self.number)
    }

    /// The job is over; false if its caller was told something else already.
    #[must_use = "a caller is told once"]
    pub(crate) fn finish(self) -> bool {
        self.table.take(self.number).is_some()
    }
}

impl Drop for JobTicket {
    fn drop(&mut self) {
        let Some(own) = self.table.take(self.number) else {
            return;
        };
        let told = if own.is_started {
            let reason = "Tx died while it executed the request";
            let error = self.table.shared.outcome_unknown(ErrorCode::SYSTEM, reason);
            EngineError::OutcomeUnknown(error)
        } else {
            self.table.refusal(ErrorCode::LOADING)
        };
        let _ = own.told.send(told);
    }
}
