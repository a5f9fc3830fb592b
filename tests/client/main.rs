//! The client against real servers: vestibule's binary and Debian's Tarantool.
//!
//! | module | what |
//! |---|---|
//! | `examples` | the examples, run as their heads say |
//! | `suite` | what has to hold on both |
//! | `groups` | large requests and replies beside small ones |
//! | `ledger` | writers that remember what each request was told, held against the data |
//! | `vestibule` | vestibule's own: busy, transitions, transactions, watches, a pool |
//! | `tarantool` | Tarantool's own: Lua, SQL, pushes, changes of definitions, unix sockets |

mod examples;
mod groups;
mod ledger;
mod suite;
#[path = "../support/mod.rs"]
mod support;
mod tarantool;
mod vestibule;
