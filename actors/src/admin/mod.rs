//! What operators call: the control procedures, which sessions answer whatever Tx does.
//!
//! ```text
//!   CALL ──▶ session ── find ──▶ procedures: name, audience, arguments, run
//!               ▲                                                      │
//!               └── Answer: the body, or what is to be done first ◀────┘
//! ```
//!
//! | file | what |
//! |---|---|
//! | `call` | a call of one, and what becomes of it |
//! | `args` | their arguments |
//! | `state` | the whole server: `vestibule.state`, `box.info` |
//! | `traffic` | `box.stat`, `box.stat.net` |
//! | `session` | `box.session.peer`, `box.session.sync` |
//! | `events` | `box.broadcast` |
//! | `operate` | solo, assist, kill, set |
//! | `show` | `vestibule.show`: what can be shown, and its rows |
//! | `transitions` | drain, demote, promote, also of an upstream |
//! | `reload` | the program's configuration, loaded again |
//! | `procedures` | the table of all of them |

mod args;
mod call;
mod events;
mod operate;
mod procedures;
mod reload;
mod session;
mod show;
mod state;
mod traffic;
mod transitions;

pub(crate) use call::{Answer, ControlCall, ControlProcedure, Setting};
pub(crate) use procedures::find;
