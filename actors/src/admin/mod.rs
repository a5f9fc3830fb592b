//! What operators call: the control procedures, answered by sessions, so that they work while Tx is deaf.
//!
//! | file | what |
//! |---|---|
//! | `procedures` | their names |
//! | `run` | runs one |
//! | `args` | what they are given |
//! | `show` | rows of `vestibule.show` |
//! | `transitions` | those that ask for transitions |

mod args;
pub(crate) mod procedures;
pub(crate) mod run;
mod show;
mod transitions;
