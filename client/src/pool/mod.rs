//! Several instances of one database: a request goes to one that has the role it needs.
//!
//! ```text
//!   request ──▶ choice ──▶ a connection that serves, of the role, with the fewest under way
//!                 ▲
//!               roles ◀── box.status where the server tells it, else box.info now and then
//! ```
//!
//! | module | what |
//! |---|---|
//! | `choice` | which instance a request goes to: a pure function |
//! | `roles` | a task for each instance that learns its role |
//! | `members` | the instances, and those who wait for one |

mod choice;
mod members;
mod roles;

use std::sync::Arc;

pub use choice::{Mode, Role};
pub use members::Member;

use crate::address::Target;
use crate::client::Client;
use crate::error::{Error, ErrorKind};
use crate::limits::POOL_MEMBERS_MAX;
use crate::options::{Options, option_setters};
use crate::request::{Choose as _, Route};
use members::{Members, Seat};

/// Connections to several instances. Cheap to clone; closed when it and its clients are dropped.
///
/// ```no_run
/// use vestibule_client::{Mode, Pool};
///
/// # async fn example() -> Result<(), vestibule_client::Error> {
/// let pool = Pool::builder(["app:secret@db1:3301", "app:secret@db2:3301"]).connect().await?;
/// let writes = pool.client(Mode::Primary);
/// let reads = pool.client(Mode::PreferReplica);
/// writes.space::<(u64, String)>("users").insert(&(1, "Ada".into())).await?;
/// let ada = reads.space::<(u64, String)>("users").get(1).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Pool {
    members: Arc<Members>,
}

/// How a pool is made.
#[derive(Debug, Clone)]
pub struct PoolBuilder {
    urls: Vec<String>,
    options: Options,
}

impl Pool {
    /// A pool of the instances at these URLs, of the forms of [`Target`], yet to be told how to
    /// behave.
    #[must_use]
    pub fn builder<U: Into<String>>(urls: impl IntoIterator<Item = U>) -> PoolBuilder {
        PoolBuilder {
            urls: urls.into_iter().map(Into::into).collect(),
            options: Options::default(),
        }
    }

    /// A client whose requests each go to an instance that fits the mode when they are sent. While
    /// there is none, they wait for one.
    #[must_use]
    pub fn client(&self, mode: Mode) -> Client {
        let seat = Seat::new(Arc::clone(&self.members), mode);
        Client::new(Route::Any(Arc::new(seat)))
    }

    /// A client of one instance that fits the mode now.
    ///
    /// # Errors
    ///
    /// There is none: [`ErrorKind::NoInstance`].
    pub fn get(&self, mode: Mode) -> Result<Client, Error> {
        let holder = self.members.pick(mode);
        let holder = holder.ok_or_else(|| self.members.unavailable(mode))?;
        Ok(Client::new(Route::One(holder)))
    }

    /// Adds the instance at this URL, of the forms of [`Target`], and connects to it in the
    /// background: requests go there when it is connected and has told its role. False if there is
    /// one with its address, which stays as it is.
    ///
    /// # Errors
    ///
    /// It is not the URL of a server, or there are [`POOL_MEMBERS_MAX`] instances.
    ///
    /// # Panics
    ///
    /// If it is called outside of a tokio runtime.
    pub fn add(&self, url: &str) -> Result<bool, Error> {
        self.members.add(url)
    }

    /// Takes out the instance with the address of this URL; false if there is none. What is under
    /// way there is answered, and new requests go to others, or wait for one. Its connection is
    /// closed when the last request, stream, watch and [`get`](Self::get) of it has ended.
    ///
    /// # Errors
    ///
    /// It is not the URL of a server.
    pub fn remove(&self, url: &str) -> Result<bool, Error> {
        self.members.remove(url)
    }

    /// The instances, as they are now.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        self.members.list()
    }
}

impl PoolBuilder {
    option_setters!();

    /// How often an instance that tells no events is asked for its role.
    #[must_use]
    pub fn role_interval(mut self, interval: std::time::Duration) -> Self {
        self.options.role_interval = interval;
        self
    }

    /// A pool that connects in the background, to all instances at once: requests wait for it.
    ///
    /// # Errors
    ///
    /// A URL is not that of a server, there is none, or there are more than
    /// [`POOL_MEMBERS_MAX`].
    ///
    /// # Panics
    ///
    /// If it is called outside of a tokio runtime.
    pub fn open(self) -> Result<Pool, Error> {
        if self.urls.is_empty() || self.urls.len() > POOL_MEMBERS_MAX {
            let text = format!("a pool has from 1 to {POOL_MEMBERS_MAX} instances");
            return Err(Error::not_sent(ErrorKind::Limit, text));
        }
        let target = |url: &String| self.options.target(url);
        let targets: Result<Vec<Target>, Error> = self.urls.iter().map(target).collect();
        Ok(Pool {
            members: Members::open(targets?, self.options),
        })
    }

    /// A pool of which one instance at least is connected and has told its role, if it can.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and if no instance can be reached within the time limit to connect.
    pub async fn connect(self) -> Result<Pool, Error> {
        let limit = self.options.connect_timeout;
        let pool = self.open()?;
        let any = Seat::new(Arc::clone(&pool.members), Mode::Any);
        match tokio::time::timeout(limit, any.wait()).await {
            Ok(holder) => holder.map(|_| pool),
            Err(_) => Err(any.unavailable()),
        }
    }
}
