//! The signals that the server hears: three that stop it, one that has it load its configuration
//! again, and one that is not to end it.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use vestibule_actors::RuntimeHandle;
use vestibule_actors::internal::EndingSignals;

use crate::cli::EXIT_CUT_OFF;

/// The signal that a file grew beyond its limit, on Linux.
const SIGXFSZ: i32 = 25;

/// Hears the signal of a write beyond `ulimit -f` as long as the result lives: such a write then
/// fails like any other, instead of ending the process.
pub(crate) fn catch_file_size_limit() -> io::Result<Signal> {
    signal(SignalKind::from_raw(SIGXFSZ))
}

/// How long the runtime has for a stop without grace. It needs some hundredths of a second.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// The first SIGTERM, SIGINT or SIGQUIT drains; the second takes what is left of the announcement
/// and of the grace, so that the stop ends now, with its record and its exit code; the third ends
/// the process. SIGHUP is told, and ends nothing.
pub(crate) async fn stop_on_signal<E: 'static>(
    runtime: &RuntimeHandle<E>,
    on_hang_up: impl Fn(),
) -> io::Result<()> {
    let mut ending = EndingSignals::new()?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut next = async || loop {
        tokio::select! {
            signal = ending.next() => return signal,
            _ = hang_up.recv() => on_hang_up(),
        }
    };
    let first = next().await;
    runtime.begin_drain(None, first);
    let second = tokio::select! {
        second = next() => second,
        _ = runtime.stopped() => return Ok(()),
    };
    log::warn!("{second} again: the stop ends now");
    runtime.stop_now(second);
    tokio::select! {
        third = next() => log::error!("{third} again: ending at once"),
        () = tokio::time::sleep(LAST_WAIT) => log::error!("the stop does not end: ending at once"),
        _ = runtime.stopped() => return Ok(()),
    }
    std::process::exit(i32::from(EXIT_CUT_OFF));
}
