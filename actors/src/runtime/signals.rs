//! Serving until a signal ends it: signals, order and report in one call.
//!
//! ```text
//!   first signal ─▶ what goes before (a web server's stop) ─▶ drain ─▶ report
//!   second ───────▶ the stop ends now
//! ```

use std::future::Future;
use std::io;
use std::pin::pin;

use futures::future::{Either, FutureExt as _, select, select_all};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::handle::RuntimeHandle;
use crate::transitions::StopReport;

/// What ends a process in an orderly way, and what that is called.
const ENDING: [(&str, SignalKind); 3] = [
    ("SIGTERM", SignalKind::terminate()),
    ("SIGINT", SignalKind::interrupt()),
    ("SIGQUIT", SignalKind::quit()),
];

/// The signals that end a process, as they come.
#[derive(Debug)]
pub struct EndingSignals(Vec<(&'static str, Signal)>);

impl EndingSignals {
    /// The signals from now on, heard for the whole process and for good.
    ///
    /// # Errors
    ///
    /// A signal that cannot be waited for.
    pub fn new() -> io::Result<Self> {
        let one = |(name, kind): (&'static str, SignalKind)| Ok((name, signal(kind)?));
        ENDING
            .into_iter()
            .map(one)
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// The name of the next one.
    pub async fn next(&mut self) -> &'static str {
        let each = self.0.iter_mut().map(|(name, signal)| {
            let name = *name;
            async move {
                signal.recv().await;
                name
            }
            .boxed_local()
        });
        select_all(each).await.0
    }
}

impl<E: 'static> RuntimeHandle<E> {
    /// Serves until SIGTERM, SIGINT or SIGQUIT, or until somebody else has stopped the runtime;
    /// then drains it with the configured grace, and returns the report. A second signal ends the
    /// stop at once: what still runs is cut off.
    ///
    /// The runtime itself installs no signal handler; this does, for the whole process and for
    /// good. Call it on the System that the runtime was started on, and let the System end after
    /// it.
    ///
    /// # Errors
    ///
    /// A signal that cannot be waited for.
    pub async fn serve_until_signal(&self) -> io::Result<StopReport> {
        self.serve_until_signal_then(|| async {}).await
    }

    /// As [`serve_until_signal`](Self::serve_until_signal), for a runtime that is not alone: after
    /// the signal, and before the runtime is drained, `first` has its time. A web server stops
    /// there, whose handlers use the engine until they are done. A second signal does not wait for
    /// it.
    ///
    /// If somebody else stops the runtime, without a signal, `first` has its time after that: the
    /// web server is to end as well, and its handlers are refused meanwhile. The report comes when
    /// `first` is done, or with a signal.
    ///
    /// With actix-web, call `HttpServer::disable_signals`: otherwise it ends the System by itself.
    ///
    /// ```text
    /// let server = HttpServer::new(app).disable_signals().bind(address)?.run();
    /// let web = server.handle();
    /// actix_web::rt::spawn(server);
    /// let report = runtime.serve_until_signal_then(|| web.stop(true)).await?;
    /// ```
    ///
    /// `examples/actix-web/` of the repository is the whole program.
    ///
    /// # Errors
    ///
    /// As those of [`serve_until_signal`](Self::serve_until_signal).
    pub async fn serve_until_signal_then<F: Future<Output = ()>>(
        &self,
        first: impl FnOnce() -> F,
    ) -> io::Result<StopReport> {
        let mut signals = EndingSignals::new()?;
        Ok(self.serve_until(async || signals.next().await, first).await)
    }

    pub(super) async fn serve_until<F: Future<Output = ()>>(
        &self,
        mut next: impl AsyncFnMut() -> &'static str,
        first: impl FnOnce() -> F,
    ) -> StopReport {
        let mut stopped = pin!(self.stopped());
        let ended = match select(pin!(next()), stopped.as_mut()).await {
            Either::Left((signal, _)) => Ok(signal),
            Either::Right((report, _)) => Err(report),
        };
        let signal = match ended {
            Ok(signal) => signal,
            Err(report) => {
                // Stopped from elsewhere: what goes before a drain comes too late, and has to end.
                select(pin!(first()), pin!(next())).await;
                return report;
            }
        };
        let drained = async {
            first().await;
            self.begin_drain(None, signal);
            stopped.as_mut().await
        };
        let mut drained = pin!(drained);
        match select(pin!(next()), drained.as_mut()).await {
            Either::Left((signal, _)) => {
                log::warn!("{signal} again: the stop ends now");
                self.stop_now(signal);
                // What goes before may take its time still.
                self.stopped().await
            }
            Either::Right((report, _)) => report,
        }
    }
}
