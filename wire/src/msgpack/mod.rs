//! MessagePack as IPROTO uses it: a borrowing reader and append-only writers.
//!
//! | module | what |
//! |---|---|
//! | `value` | the types of values, and integers as wide as MessagePack allows |
//! | `reader` | a cursor that never allocates and never trusts a length |
//! | `extension` | whether the content of an extension value is what its type says |
//! | `writer` | one function per type, which appends the shortest form |

mod extension;
mod reader;
mod value;
mod writer;

pub use extension::PackedDecimal;
pub(crate) use reader::split_wide_uint;
pub use reader::{DecodeError, Reader};
pub use value::{Integer, Kind};
pub use writer::{
    write_array_len, write_bin, write_bin_len, write_bool, write_ext, write_f64, write_int,
    write_integer, write_map_len, write_nil, write_str, write_str_bytes, write_str_len, write_uint,
};
