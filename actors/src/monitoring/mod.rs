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
//! | `requests` | requests by type and path, errors, and how long requests took |
//! | `tls` | handshakes and certificates |
//! | `tx` | what Tx does, and how transactions ended |
//! | `states` | how long the states lasted |
//! | `connections` | connections, requests, and what a kill has come to |
//! | `bounds` | limits, descriptors |
//! | `threads` | the session threads |
//! | `upstreams` | the upstreams of a gateway, and its links |

mod bounds;
mod connections;
mod instance;
mod metrics;
mod requests;
mod states;
mod status;
mod threads;
mod tls;
mod tx;
mod upstreams;

pub use bounds::{DescriptorInfo, DescriptorShare, LimitInfo};
pub use connections::{ConnectionInfo, ConnectionPlace, Killed, RequestInfo, RequestState};
pub use instance::{Instance, InstanceInfo};
pub use metrics::{Count, MemoryUse, Metrics, TrafficMetrics};
pub use requests::{ErrorCount, RequestCount, RequestMetrics};
pub use states::StateTime;
pub use status::ServerStatus;
pub use threads::{Heartbeats, SessionThread};
pub use tls::TlsMetrics;
pub use tx::TxMetrics;
pub use upstreams::{
    GatewayMetrics, LinkInfo, LinkState, PinInfo, PinReason, UpstreamInfo, UpstreamState,
};

pub use crate::cells::reservation_list::{ReservationInfo, ReservationKind};
pub use crate::cells::traffic::{LoginResult, RequestPath};
pub use crate::cells::tx_counts::TransactionEnd;
pub use crate::counting::durations::{DurationCounts, DurationHistogram};
pub use crate::quotas::{QuotaInfo, QuotaKind};
pub use crate::serving::SoloCounts;
pub use crate::transitions::TransitionCount;
