//! Tx's thread in step with the world: one of them runs, the other waits.
//!
//! ```text
//!   world ──Run(now)──▶ Tx's arbiter: everything that is ready and due ──Idle──▶ world
//!                          └ in the engine: a gate ──Parked──▶ world … other things happen
//!                                              ◀──Resume(now)── world
//! ```
//!
//! A parked Tx stands still in the middle of a request, of a journal write or of its recovery, as a
//! real one that is busy or blocked does. Nothing depends on how the system schedules threads.

use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_rt::Arbiter;

use super::clock;

/// In real time: longer than any turn on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where Tx stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Halt {
    Recovery,
    Request,
    Commit,
    Close,
}

#[derive(Debug)]
enum Command {
    Run(Instant),
    Resume(Instant),
}

#[derive(Debug)]
enum Rest {
    Idle,
    Parked(Halt),
}

/// What an engine stands still at. On Tx's thread.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    commands: Arc<Mutex<Receiver<Command>>>,
    rests: Sender<Rest>,
}

impl Gate {
    fn command(&self) -> Option<Command> {
        let commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        commands.recv().ok()
    }

    /// Stands still until the world lets it go on; time has passed then.
    pub(super) fn park(&self, halt: Halt) {
        // Without a world there is nothing to wait for.
        if self.rests.send(Rest::Parked(halt)).is_err() {
            return;
        }
        match self.command() {
            Some(Command::Resume(now)) => clock::tell(now),
            Some(Command::Run(_)) => unreachable!("a parked Tx is resumed"),
            None => {}
        }
    }

    /// What Tx's arbiter does besides its actors.
    async fn drive(self) {
        while let Some(command) = self.command() {
            let Command::Run(now) = command else {
                unreachable!("Tx is not parked");
            };
            clock::tell(now);
            // Its clock is paused: it comes to this time when nothing is ready any more.
            actix_rt::time::sleep_until(now.into()).await;
            if self.rests.send(Rest::Idle).is_err() {
                return;
            }
        }
    }
}

/// Tx's thread as the world sees it.
#[derive(Debug)]
pub(super) struct TxThread {
    pub(super) arbiter: Rc<Arbiter>,
    commands: Sender<Command>,
    rests: Receiver<Rest>,
    pub(super) parked: Option<Halt>,
}

/// A runtime whose clock stands still unless nothing else is to do.
pub(super) fn paused_runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let built = builder.enable_all().start_paused(true).build();
    built.expect("the system has a descriptor left")
}

impl TxThread {
    /// On a running System.
    pub(super) fn start() -> (Self, Gate) {
        let (commands, received) = channel();
        let (tell, rests) = channel();
        let gate = Gate {
            commands: Arc::new(Mutex::new(received)),
            rests: tell,
        };
        let arbiter = Arbiter::with_tokio_rt(paused_runtime);
        arbiter.spawn(gate.clone().drive());
        let thread = Self {
            arbiter: Rc::new(arbiter),
            commands,
            rests,
            parked: None,
        };
        (thread, gate)
    }

    /// Lets it run until it is idle or parked. Time must have passed since the last call.
    pub(super) fn run(&mut self, now: Instant) {
        let command = match self.parked.take() {
            Some(_) => Command::Resume(now),
            None => Command::Run(now),
        };
        self.commands.send(command).expect("Tx's arbiter lives");
        self.parked = match self.rests.recv_timeout(PATIENCE) {
            Ok(Rest::Idle) => None,
            Ok(Rest::Parked(halt)) => Some(halt),
            Err(fault) => panic!("Tx's thread does not come to rest: {fault}"),
        };
    }

    /// Ends the thread.
    pub(super) fn end(self) {
        assert!(self.parked.is_none(), "a parked thread cannot end");
        drop(self.commands);
        self.arbiter.stop();
    }
}
