//! Bodies of requests, for both ends.
//!
//! | module | what |
//! |---|---|
//! | `body` | what requests carry, one type each |
//! | `decode` | bytes to bodies, borrowed from the frame: the server reads |
//! | `encode` | bodies to bytes: a client writes |

mod body;
mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use body::{
    After, Auth, Begin, Body, Call, Delete, Eval, Id, IdOrName, IteratorType, Select, Store,
    Update, Upsert,
};
pub use decode::{decode, decode_checked, is_well_formed};
pub(crate) use encode::write_features;
