//! Watched keys.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use tokio::sync::watch;
use vestibule_wire::features::Feature;

use crate::client::Client;
use crate::error::Error;
use crate::link::{Holder, Observed, lacks};
use crate::pack;

/// A key that is watched, over all connections: after a reconnect its value is told again.
///
/// Values that are overtaken by newer ones before they are taken are left out.
pub struct Watcher<T> {
    holder: Arc<Holder>,
    key: Arc<str>,
    told: watch::Receiver<Observed>,
    value: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for Watcher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watcher").field(&self.key).finish()
    }
}

impl Client {
    /// Watches a key: the first value is the present one. Through a pool, that of one instance.
    ///
    /// # Errors
    ///
    /// There is no connection in time, the server tells no events, or
    /// [`WATCHES_MAX`](crate::limits::WATCHES_MAX) keys are watched.
    pub async fn watch<T: DeserializeOwned>(&self, key: &str) -> Result<Watcher<T>, Error> {
        let key: Arc<str> = key.into();
        let begun = async {
            let holder = self.route.holder().await?;
            let session = holder.0.wait_up().await?;
            if !session.has(Feature::Watchers) {
                return Err(lacks(&session, Feature::Watchers));
            }
            let told = holder.0.observe(&key)?;
            Ok((holder, told))
        };
        let (holder, told) = self.route.in_time(begun).await?;
        Ok(Watcher {
            holder,
            key,
            told,
            value: PhantomData,
        })
    }
}

impl<T: DeserializeOwned> Watcher<T> {
    /// The key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Waits for the next value, the present one first; `None` if the key has none.
    ///
    /// # Errors
    ///
    /// The value is of another type, the server does not tell this key, or the client was closed.
    pub async fn next(&mut self) -> Result<Option<T>, Error> {
        let closed = self.holder.0.until_closed();
        tokio::select! {
            changed = self.told.changed() => {
                debug_assert!(changed.is_ok(), "the link is held, and tells");
            }
            error = closed => return Err(error),
        }
        let observed = self.told.borrow_and_update().clone();
        match (observed.fault, observed.value) {
            (Some(fault), _) => Err(fault),
            (None, Some(value)) => pack::read(&value),
            (None, None) => Ok(None),
        }
    }
}

impl<T> Drop for Watcher<T> {
    fn drop(&mut self) {
        self.holder.0.forget(&self.key);
    }
}
