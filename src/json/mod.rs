//! MessagePack as JSON and back, to the same bytes.
//!
//! | MessagePack | JSON |
//! |---|---|
//! | nil, boolean, integer, array | the same; integers of 64 bits are written in full |
//! | float 64 | a number with a point or an exponent: `1.0`, `1e300`, `-0.0` |
//! | string | a string |
//! | map with strings as keys | an object, in the same order |
//! | float 64 that is not finite | `{"$f64": "inf"}`, `"-inf"`, `"nan"` |
//! | float 32 | `{"$f32": 0.5}`, or a text as above |
//! | binary | `{"$bin": "<base64>"}` |
//! | string that is not UTF-8 | `{"$str": "<base64>"}` |
//! | UUID, datetime | `{"$uuid": "…-…"}`, `{"$datetime": [seconds, nanoseconds, offset, zone]}` |
//! | any other extension | `{"$ext": [type, "<base64>"]}` |
//! | map with other keys, or a key twice, or a `$` first | `{"$map": [[key, value], …]}` |
//! | not the shortest form, or below 32 levels of nesting | `{"$msgpack": "<base64>"}` |
//!
//! An object whose first key begins with `$` is always one of these; base64 is the standard one,
//! with padding. The last row makes the encoding total: whatever else cannot be told apart in JSON
//! keeps its bytes.
//!
//! | file | what it is |
//! |---|---|
//! | `shared` | the version of the format, and what both ways must agree on |
//! | `read` | JSON to MessagePack |
//! | `write` | MessagePack to JSON |

mod read;
mod shared;
mod write;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use read::Packed;
pub(crate) use shared::DUMP_VERSION;
pub(crate) use write::{write_text, write_value};
