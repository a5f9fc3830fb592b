//! One call of a procedure, on its way to Tx.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{oneshot, watch};

use super::error::EngineError;
use crate::engine::{Caller, Cancellation};

/// A procedure that an embedder calls.
pub(crate) struct JobCall {
    pub(crate) caller: Arc<Caller>,
    pub(crate) name: String,
    /// One array.
    pub(crate) args: Vec<u8>,
    pub(crate) waiting: Arc<Waiting>,
    /// Told the results, one array.
    pub(crate) told: oneshot::Sender<Result<Vec<u8>, EngineError>>,
}

/// Whether somebody waits for a call: as long as the other end of this lives.
#[derive(Debug)]
pub(crate) struct Waiting(watch::Receiver<()>);

impl Waiting {
    /// With the end that the caller keeps.
    pub(super) fn new() -> (watch::Sender<()>, Arc<Self>) {
        let (caller, waiting) = watch::channel(());
        (caller, Arc::new(Self(waiting)))
    }

    /// Ends when nobody waits any more.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + use<> {
        let mut waiting = self.0.clone();
        async move { while waiting.changed().await.is_ok() {} }
    }
}

impl Cancellation for Waiting {
    fn is_cancelled(&self, _key: u64) -> bool {
        self.0.has_changed().is_err()
    }
}
