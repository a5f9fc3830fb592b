//! Putting the actors together on an actix System that is already there, and stopping them.
//!
//! | file | what |
//! |---|---|
//! | `start_error` | why a runtime does not start |
//! | `accepting` | which threads accept connections; there only for tests |
//! | `looks` | whether all know of a change, and look at what is due; there only for tests |
//! | `handle`, `work`, `call` | what an embedder does with a running one |
//! | `reconfigure` | settings that are replaced meanwhile |
//! | `observe` | what operators see, for the embedder |
//! | `transition`, `upstreams` | transitions that an embedder asks for, also of upstreams |
//! | `assemble` | how the actors are put together |
//! | `builder` | what a runtime is made of |
//! | `certificates` | files of TLS, looked at now and then |
//! | `gateway` | a runtime without an engine, before upstreams |
//! | `signals` | serving until a signal ends it |

#[cfg(feature = "testing")]
mod accepting;
mod assemble;
mod builder;
mod call;
#[cfg(feature = "tls")]
mod certificates;
mod gateway;
mod handle;
#[cfg(feature = "testing")]
mod looks;
mod observe;
mod reconfigure;
#[cfg(feature = "signals")]
mod signals;
mod start_error;
#[cfg(test)]
mod tests;
mod transition;
mod upstreams;
mod work;

use crate::config::Config;
use crate::engine::procedures::Procedures;
use crate::engine::{Engine, EngineFactory};

#[cfg(feature = "testing")]
pub(crate) use accepting::is_accepted_here;
#[cfg(feature = "testing")]
pub(crate) use assemble::Timing;
#[cfg(feature = "testing")]
pub(crate) use assemble::{Mailboxes, follow_cell, spawner};
pub use builder::RuntimeBuilder;
pub use gateway::{Gateway, GatewayBuilder, start_gateway};
pub use handle::RuntimeHandle;
#[cfg(feature = "signals")]
pub use signals::EndingSignals;
pub use start_error::StartError;
pub use transition::Transition;

/// Starts a runtime: listeners, workers, Supervisor and Tx. What else can be given to it,
/// [`RuntimeBuilder`] takes.
///
/// Call it on a running actix System. The engine is made and recovered on Tx's own thread, so this
/// returns at once, in state `Loading`, with its listeners already open. The System itself is never
/// touched.
///
/// # Errors
///
/// [`StartError`]: a configuration or procedures that cannot be, no System on this thread, a
/// listener that cannot be opened, too few descriptors. Nothing runs then.
pub fn start<E: Engine>(
    config: Config,
    engine: impl EngineFactory<E>,
    procedures: Procedures<E>,
) -> Result<RuntimeHandle<E>, StartError> {
    RuntimeBuilder::new(config, engine, procedures).start()
}
