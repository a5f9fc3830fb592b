//! What the door is told that the runtime does not know.

use std::fmt;
use std::sync::Arc;

/// Reads a value that is told as JSON.
type Read = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;

/// What a door tells beside the runtime: what only the program knows.
#[derive(Clone)]
#[non_exhaustive]
pub struct Sources {
    pub(crate) version: String,
    pub(crate) config: Option<Read>,
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
}
