//! Errors as clients see them: a code, a text that is part of the protocol, a stack with fields.
//!
//! Texts are Tarantool's own wherever it has one: connectors and routers match on them. The body
//! is written with both the old text key and the error stack: every client understands one of
//! them.
//!
//! | module | what |
//! |---|---|
//! | `code` | the numbers and their names, in one list |
//! | `stack` | an error with its causes and fields, and how it is written |
//! | `decode` | error stacks as clients read them |
//! | `texts` | the texts that belong to the protocol itself |

mod code;
mod decode;
mod stack;
mod texts;

pub use code::ErrorCode;
pub use stack::{Error, Field};
