//! Settings that are replaced while the runtime runs.

use super::handle::RuntimeHandle;
use crate::config::{ConfigError, Settings};

impl<E: 'static> RuntimeHandle<E> {
    /// The settings that hold now.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings::clone(&self.shared.settings.load())
    }

    /// Goes by other settings from now on: all of them, or none if one of them cannot be. From any
    /// thread; nobody is interrupted.
    ///
    /// What begins after this has returned goes by them, on connections that are there as well. A
    /// request, a transaction or a stop that has begun keeps the times that it began with. Bounds
    /// that are lowered take nothing from those who hold more: they get no more until they are
    /// below. Who is an administrator is judged again, by the next request of each connection.
    ///
    /// Of changes at the same time one is last, and holds.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use vestibule_actors::config::{ConfigError, Grace};
    /// use vestibule_actors::testing::{Harness, RequestBuilder};
    ///
    /// let harness = Harness::start();
    /// let mut peer = harness.connect();
    /// let runtime = harness.handle();
    /// let settings = runtime.settings().request_timeout(Duration::from_millis(20));
    /// runtime.reconfigure(settings.clone())?;
    /// // Tx does not answer this one.
    /// let late = peer.ask(&RequestBuilder::call(1, "never", &[0x90]));
    /// assert_eq!(late.error_code(), Some(78));
    ///
    /// let [min, max] = [2, 1].map(Duration::from_secs);
    /// let wrong = settings.shutdown_grace_period(Grace::Auto { min, max });
    /// assert_eq!(runtime.reconfigure(wrong), Err(ConfigError::GraceBounds { min, max }));
    /// # Ok::<(), ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: the first field that cannot be what it is. Nothing is changed then.
    pub fn reconfigure(&self, settings: Settings) -> Result<(), ConfigError> {
        settings.check()?;
        self.shared.reconfigure(settings);
        self.peers.supervisor.reconfigured();
        Ok(())
    }
}
