//! The signals that the server hears: two that stop it, and one that is not to end it.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use vestibule_actors::RuntimeHandle;

use crate::cli::EXIT_CUT_OFF;

/// The signal that a file grew beyond its limit, on Linux.
const SIGXFSZ: i32 = 25;

/// Hears the signal of a write beyond `ulimit -f` as long as the result lives: such a write then
/// fails like any other, instead of ending the process.
pub(crate) fn catch_file_size_limit() -> io::Result<Signal> {
    signal(SignalKind::from_raw(SIGXFSZ))
}

/// The first SIGTERM or SIGINT drains, the second ends the process at once.
pub(crate) async fn stop_on_signal(runtime: &RuntimeHandle) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut next = async || {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    };
    let first = next().await;
    runtime.begin_drain(None, first);
    tokio::select! {
        second = next() => {
            log::warn!("{second} again: ending at once");
            std::process::exit(i32::from(EXIT_CUT_OFF));
        }
        _ = runtime.stopped() => Ok(()),
    }
}
