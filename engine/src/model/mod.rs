//! What data is: keys, fields, tuples, and the definitions of indexes and spaces.
//!
//! | module | what |
//! |---|---|
//! | `collated` | how much text collations order of one tuple, or of one key |
//! | `collation` | orders of texts that are not that of their bytes |
//! | `field` | types of fields |
//! | `memory` | what allocations take |
//! | `key` | keys as bytes in the order of the values |
//! | `path` | paths into fields, token by token |
//! | `part_path` | paths of index parts |
//! | `inside` | what these ask of the inside of a field |
//! | `tuple` | a tuple, shared by all indexes that hold it |
//! | `foreign_key` | what a tuple needs in another space, and who needs it there |
//! | `index` | definition of an index: from a tuple or a client's key to a key |
//! | `multikey` | the keys of an index over the elements of an array |
//! | `space` | definition of a space: what its tuples must look like, and its indexes |

mod collated;
pub(crate) mod collation;
pub(crate) mod field;
pub(crate) mod foreign_key;
pub(crate) mod index;
mod inside;
pub(crate) mod key;
pub(crate) mod memory;
mod multikey;
pub(crate) mod part_path;
pub(crate) mod path;
pub(crate) mod space;
pub(crate) mod tuple;
