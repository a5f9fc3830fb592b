//! How things stand, in words: for people, on the page and in `/status.txt`. Pure.
//!
//! | file | what |
//! |---|---|
//! | `headline` | the state, in a word and a sentence |
//! | `alerts` | what somebody should look at |
//! | `alive` | whether its threads go on |
//! | `words` | times and shares, as people read them |

mod alerts;
mod alive;
mod headline;
mod words;

pub(crate) use alerts::{Alert, Facts, Use, alerts};
pub(crate) use alive::stood_still;
pub(crate) use headline::{Headline, Situation};
pub(crate) use words::time;
