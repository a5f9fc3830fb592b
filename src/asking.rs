//! Asks a server that runs, from a process that does nothing else.

use std::io;

/// Waits for what asks, on a runtime of its own.
///
/// # Errors
///
/// The system has no runtime for it.
pub(crate) fn wait_for<T>(asking: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let told = runtime.block_on(asking);
    // A name that is still looked up is not waited for.
    runtime.shutdown_background();
    Ok(told)
}
