//! The instances of a pool, and those who wait for one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::choice::{Candidate, Mode, Role, choose};
use super::roles;
use crate::address::{Address, Target};
use crate::error::{Error, ErrorKind};
use crate::link::{Holder, Link, open};
use crate::options::Options;
use crate::request::{BoxFuture, Choose};

/// An instance of a pool, as it is now.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Member {
    /// Where it listens.
    pub address: Address,
    /// What it does, as far as it is known.
    pub role: Role,
    /// Whether requests can be sent to it.
    pub is_connected: bool,
    /// Whether it says that it is loading or busy.
    pub is_busy: bool,
    /// Why it is not connected, if an attempt has failed.
    pub error: Option<Error>,
}

/// What an instance has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Told {
    pub(super) role: Role,
    pub(super) is_busy: bool,
    /// Has told something, or cannot.
    pub(super) is_known: bool,
}

/// What is known of all instances, as their tasks tell it.
#[derive(Debug)]
pub(super) struct Board {
    told: Mutex<Vec<Told>>,
    /// Something has changed: for those who wait.
    changes: watch::Sender<u64>,
}

impl Board {
    pub(super) fn tell(&self, at: usize, told: Told) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)[at] = told;
        self.changes.send_modify(|count| *count += 1);
    }

    fn told(&self) -> Vec<Told> {
        self.told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[derive(Debug)]
pub(super) struct Members {
    options: Options,
    holders: Vec<Arc<Holder>>,
    board: Arc<Board>,
    tasks: Vec<AbortHandle>,
    turn: AtomicUsize,
}

impl Drop for Members {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Members {
    pub(super) fn open(targets: Vec<Target>, options: Options) -> Arc<Self> {
        let own = Options {
            // Who finds an instance gone looks for another one.
            fail_fast: true,
            ..options.clone()
        };
        let links: Vec<Arc<Link>> = targets
            .into_iter()
            .map(|target| Link::new(target, own.clone()))
            .collect();
        let board = Arc::new(Board {
            told: Mutex::new(vec![Told::default(); links.len()]),
            changes: watch::Sender::new(0),
        });
        let task = |(at, link): (usize, &Arc<Link>)| {
            let task = roles::follow(Arc::clone(link), at, Arc::clone(&board));
            tokio::spawn(task).abort_handle()
        };
        let tasks = links.iter().enumerate().map(task).collect();
        Arc::new(Self {
            options,
            holders: links.into_iter().map(open).collect(),
            board,
            tasks,
            turn: AtomicUsize::new(0),
        })
    }

    fn candidates(&self) -> Vec<Candidate> {
        let told = self.board.told().into_iter();
        let candidate = |(holder, told): (&Arc<Holder>, Told)| Candidate {
            is_connected: told.is_known && holder.0.session().is_some(),
            is_busy: told.is_busy,
            role: told.role,
            pending: holder.0.pending(),
        };
        self.holders.iter().zip(told).map(candidate).collect()
    }

    pub(super) fn pick(&self, mode: Mode) -> Option<Arc<Holder>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let at = choose(&self.candidates(), mode, turn)?;
        Some(Arc::clone(&self.holders[at]))
    }

    pub(super) fn list(&self) -> Vec<Member> {
        let pairs = self.holders.iter().zip(self.candidates());
        pairs
            .map(|(holder, own)| Member {
                address: holder.0.target.address.clone(),
                role: own.role,
                is_connected: own.is_connected,
                is_busy: own.is_busy,
                error: holder.0.last_error(),
            })
            .collect()
    }

    /// The error of a request that finds no instance: with what is known of each.
    pub(super) fn unavailable(&self, mode: Mode) -> Error {
        let member = |member: Member| {
            let Member { address, role, .. } = &member;
            match (member.is_connected, &member.error) {
                (true, _) => format!("{address} is {role:?}"),
                (false, Some(error)) => format!("{address}: {error}"),
                (false, None) => format!("{address} is not connected"),
            }
        };
        let members: Vec<String> = self.list().into_iter().map(member).collect();
        let text = format!("no instance for {mode:?}: {}", members.join("; "));
        let error = Error::not_sent(ErrorKind::NoInstance, text);
        match self.list().into_iter().find_map(|member| member.error) {
            Some(source) => error.with_source(source),
            None => error,
        }
    }
}

/// A pool and a mode: what requests go through.
#[derive(Debug)]
pub(super) struct Seat {
    members: Arc<Members>,
    mode: Mode,
}

impl Seat {
    pub(super) fn new(members: Arc<Members>, mode: Mode) -> Self {
        Self { members, mode }
    }

    /// An instance that fits, waited for.
    pub(super) async fn wait(&self) -> Result<Arc<Holder>, Error> {
        let mut changes = self.members.board.changes.subscribe();
        loop {
            changes.borrow_and_update();
            if let Some(holder) = self.members.pick(self.mode) {
                return Ok(holder);
            }
            if changes.changed().await.is_err() {
                return Err(self.unavailable());
            }
        }
    }
}

impl Choose for Seat {
    fn options(&self) -> &Options {
        &self.members.options
    }

    fn choose(&self) -> BoxFuture<'_, Result<Arc<Holder>, Error>> {
        Box::pin(async {
            if self.members.options.fail_fast {
                let holder = self.members.pick(self.mode);
                return holder.ok_or_else(|| self.unavailable());
            }
            self.wait().await
        })
    }

    fn unavailable(&self) -> Error {
        self.members.unavailable(self.mode)
    }
}
