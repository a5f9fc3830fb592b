//! What the door is told that the runtime does not know.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::reloads::Reloads;

/// Reads a value, whenever somebody asks for it.
type Read<T> = Arc<dyn Fn() -> T + Send + Sync>;

/// What a door tells beside the runtime: what only the program knows.
#[derive(Clone)]
#[non_exhaustive]
pub struct Sources {
    pub(crate) version: String,
    pub(crate) config: Option<Read<serde_json::Value>>,
    pub(crate) reloads: Option<Read<Reloads>>,
    pub(crate) certificates: Option<Read<Vec<(String, SystemTime)>>>,
    pub(crate) guest_may_do_everything: bool,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl Sources {
    /// With the version of the program.
    pub fn new(version: impl Into<String>) -> Self {
        Self {
            version: version.into(),
            config: None,
            reloads: None,
            certificates: None,
            guest_may_do_everything: false,
        }
    }

    /// Has `/config.json` tell this, a value by serde of [`Serialize`](serde::Serialize): secrets
    /// left out. Asked whenever somebody asks, on the thread of the door.
    #[must_use]
    pub fn config<T: serde::Serialize>(
        mut self,
        read: impl Fn() -> T + Send + Sync + 'static,
    ) -> Self {
        self.config = Some(Arc::new(move || {
            serde_json::to_value(read()).unwrap_or_else(|error| error.to_string().into())
        }));
        self
    }

    /// Has the page warn of certificates that end soon, besides those by which the runtime speaks
    /// TLS: their names, and when they end.
    #[must_use]
    pub fn certificates(
        mut self,
        read: impl Fn() -> Vec<(String, SystemTime)> + Send + Sync + 'static,
    ) -> Self {
        self.certificates = Some(Arc::new(read));
        self
    }

    /// Has the page note that those may do everything who have not logged in, if they may.
    #[must_use]
    pub fn guest_may_do_everything(mut self, they_may: bool) -> Self {
        self.guest_may_do_everything = they_may;
        self
    }

    /// Has metrics and status tell what became of reloads of the configuration. Asked for each
    /// answer, on the thread of the door.
    #[must_use]
    pub fn reloads(mut self, read: impl Fn() -> Reloads + Send + Sync + 'static) -> Self {
        self.reloads = Some(Arc::new(read));
        self
    }
}
