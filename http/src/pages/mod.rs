//! What the paths answer.
//!
//! | file | what |
//! |---|---|
//! | `probes` | whether it lives, has started, is to be sent clients |
//! | `status` | the state and all numbers, in their formats |
//! | `events` | the same as it changes |
//! | `page` | the page that shows it |
//! | `lists` | connections, requests, transitions, options |

pub(crate) mod events;
pub(crate) mod lists;
pub(crate) mod page;
pub(crate) mod probes;
pub(crate) mod status;
