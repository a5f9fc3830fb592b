//! What operators see of a runtime, as values: the one source of the control procedures' answers
//! and of what an embedder asks [`RuntimeHandle`](crate::RuntimeHandle) for.
//!
//! All of it is read from cells: nobody is asked but the session threads, for what each of them
//! alone knows (connections and requests). Tx is never asked, so that everything is told while it
//! is blocked. Every value is `Serialize`, with the keys and the units that the procedure of its
//! kind has, and more fields may come.
//!
//! | file | what |
//! |---|---|
//! | `status` | the whole server in short: `vestibule.state` |
//! | `instance` | who it is: `box.info` |
//! | `metrics` | plain numbers for monitoring, of which `box.stat` and `box.stat.net` are a part |
//! | `connections` | connections, requests, and what a kill has come to |
//! | `bounds` | limits, descriptors |
//! | `threads` | the session threads |

mod bounds;
mod connections;
mod instance;
mod metrics;
mod status;
mod threads;

pub use bounds::{DescriptorInfo, DescriptorShare, LimitInfo};
pub use connections::{ConnectionInfo, ConnectionPlace, Killed, RequestInfo, RequestState};
pub use instance::{Instance, InstanceInfo};
pub use metrics::{Count, MemoryUse, Metrics, TrafficMetrics};
pub use status::ServerStatus;
pub use threads::SessionThread;

pub use crate::cells::reservation_list::{ReservationInfo, ReservationKind};
pub use crate::quotas::{QuotaInfo, QuotaKind};
