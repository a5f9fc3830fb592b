//! What threads share with each other: words and lists, each changed by one operation.
//!
//! | file | what |
//! |---|---|
//! | `claims` | started or revoked: one word per forwarded request |
//! | `fence` | nothing that is too old is written |
//! | `heartbeat` | Tx goes on |
//! | `live` | a value that is replaced as a whole |
//! | `pulse` | when a thread was seen to go on last |
//! | `recent_durations` | how long transactions took |
//! | `reservation_list` | what operators see of reservations |
//! | `traffic` | what workers count, for monitoring |
//! | `tx_counts` | what Tx counts, for monitoring |

pub(crate) mod claims;
pub(crate) mod fence;
pub(crate) mod heartbeat;
pub(crate) mod live;
pub(crate) mod pulse;
pub(crate) mod recent_durations;
pub(crate) mod reservation_list;
pub(crate) mod traffic;
pub(crate) mod tx_counts;
