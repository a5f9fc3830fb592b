//! What the paths answer.
//!
//! | file | what |
//! |---|---|
//! | `probes` | whether it lives, has started, is to be sent clients |
//! | `status` | the state and all numbers, in their formats |
//! | `lists` | connections, requests, transitions, options |

pub(crate) mod lists;
pub(crate) mod probes;
pub(crate) mod status;
