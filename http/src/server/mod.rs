//! The server: its listeners, its connections, and the way of a request.
//!
//! ```text
//!   listener ─▶ place ─▶ [TLS] ─▶ head, 5 s ─▶ method, host, who ─▶ route ─▶ page ─▶ answer
//!                 └ none: the oldest that has asked nothing, or does not read, gives its own
//! ```
//!
//! Everything is on one thread, which is no arbiter of actix and asks none of them but for lists of
//! connections and requests: it answers while Tx is blocked, and the last when the server stops.
//!
//! | file | what |
//! |---|---|
//! | `listen` | sockets: addresses, and files of unix sockets |
//! | `places` | who is connected, and who has to go |
//! | `request` | what may be asked, by whom |
//! | `routes` | the table of paths |
//! | `secured` | TLS, before the head of a request |
//! | `serve` | the thread |

mod listen;
mod places;
mod request;
mod routes;
#[cfg(feature = "tls")]
mod secured;
mod serve;

pub use serve::{HttpControl, HttpError, HttpHandle, serve};
