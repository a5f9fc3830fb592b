//! What data is: keys, fields, tuples, and the definitions of indexes and spaces.
//!
//! | module | what |
//! |---|---|
//! | `field` | types of fields |
//! | `memory` | what allocations take |
//! | `key` | keys as bytes in the order of the values |
//! | `tuple` | a tuple, shared by all indexes that hold it |
//! | `foreign_key` | what a tuple needs in another space, and who needs it there |
//! | `index` | definition of an index: from a tuple or a client's key to a key |
//! | `space` | definition of a space: what its tuples must look like, and its indexes |

pub(crate) mod field;
pub(crate) mod foreign_key;
pub(crate) mod index;
pub(crate) mod key;
pub(crate) mod memory;
pub(crate) mod space;
pub(crate) mod tuple;
