//! The instances of a pool, and those who wait for one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::choice::{Candidate, Mode, Role, choose};
use super::roles;
use crate::address::{Address, Target};
use crate::error::{Error, ErrorKind};
use crate::limits::POOL_MEMBERS_MAX;
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

/// What is known of one instance, as its task tells it.
#[derive(Debug)]
pub(super) struct Board {
    told: Mutex<Told>,
    changes: Arc<Changes>,
}

/// Counts what changes of a pool: for those who wait.
type Changes = watch::Sender<u64>;

impl Board {
    pub(super) fn tell(&self, told: Told) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = told;
        note(&self.changes);
    }

    fn told(&self) -> Told {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note(changes: &Changes) {
    changes.send_modify(|count| *count += 1);
}

/// An instance of a pool: its connection, and the task that learns its role.
#[derive(Debug)]
struct Place {
    holder: Arc<Holder>,
    board: Arc<Board>,
    task: AbortHandle,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Place {
    fn open(target: Target, options: &Options, changes: &Arc<Changes>) -> Self {
        let options = Options {
            // Who finds an instance gone looks for another one.
            fail_fast: true,
            ..options.clone()
        };
        let link = Link::new(target, options);
        let board = Arc::new(Board {
            told: Mutex::new(Told::default()),
            changes: Arc::clone(changes),
        });
        let task = roles::follow(Arc::clone(&link), Arc::clone(&board));
        Self {
            task: tokio::spawn(task).abort_handle(),
            holder: open(link),
            board,
        }
    }

    fn address(&self) -> &Address {
        &self.holder.0.target.address
    }

    fn candidate(&self) -> Candidate {
        let (told, link) = (self.board.told(), &self.holder.0);
        Candidate {
            is_connected: told.is_known && link.session().is_some(),
            is_busy: told.is_busy,
            role: told.role,
            pending: link.pending(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Members {
    options: Options,
    places: Mutex<Vec<Place>>,
    changes: Arc<Changes>,
    turn: AtomicUsize,
}

impl Members {
    pub(super) fn open(targets: Vec<Target>, options: Options) -> Arc<Self> {
        let changes = Arc::new(watch::Sender::new(0));
        let open = |target| Place::open(target, &options, &changes);
        let places = Mutex::new(targets.into_iter().map(open).collect());
        let turn = AtomicUsize::new(0);
        Arc::new(Self {
            options,
            places,
            changes,
            turn,
        })
    }

    fn places(&self) -> MutexGuard<'_, Vec<Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an instance; false if there is one with its address.
    pub(super) fn add(&self, url: &str) -> Result<bool, Error> {
        let target = self.options.target(url)?;
        let mut places = self.places();
        if places.iter().any(|own| *own.address() == target.address) {
            return Ok(false);
        }
        if places.len() >= POOL_MEMBERS_MAX {
            let text = format!("a pool has at most {POOL_MEMBERS_MAX} instances");
            return Err(Error::not_sent(ErrorKind::Limit, text));
        }
        places.push(Place::open(target, &self.options, &self.changes));
        Ok(true)
    }

    /// Takes out all instances with the address of this URL; false if there is none.
    pub(super) fn remove(&self, url: &str) -> Result<bool, Error> {
        let address = self.options.target(url)?.address;
        let mut places = self.places();
        let before = places.len();
        places.retain(|own| *own.address() != address);
        let is_removed = places.len() < before;
        drop(places);
        if is_removed {
            note(&self.changes);
        }
        Ok(is_removed)
    }

    pub(super) fn pick(&self, mode: Mode) -> Option<Arc<Holder>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let places = self.places();
        let candidates: Vec<_> = places.iter().map(Place::candidate).collect();
        let at = choose(&candidates, mode, turn)?;
        Some(Arc::clone(&places[at].holder))
    }

    pub(super) fn list(&self) -> Vec<Member> {
        let member = |place: &Place| {
            let own = place.candidate();
            Member {
                address: place.address().clone(),
                role: own.role,
                is_connected: own.is_connected,
                is_busy: own.is_busy,
                error: place.holder.0.last_error(),
            }
        };
        self.places().iter().map(member).collect()
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
        let members = match members.is_empty() {
            true => "the pool has none".to_owned(),
            false => members.join("; "),
        };
        let text = format!("no instance for {mode:?}: {members}");
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
        let mut changes = self.members.changes.subscribe();
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
