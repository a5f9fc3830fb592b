//! What is held: tuples by key, changes above them, and every space with its tuples.
//!
//! | module | what |
//! |---|---|
//! | `tree` | tuples by key |
//! | `index_build` | the tree of an index, from tuples that are there already |
//! | `garbage` | what a turn left behind |
//! | `layer` | changes that are not in the image yet |
//! | `image` | every space with its tuples, as far as they are durable |
//! | `side_effects` | what follows for spaces from rows of the system spaces |
//! | `referrers` | which spaces refer to which |
//! | `redefine` | spaces of the image as the rows of `_space` and `_index` define them |
//! | `shared_map` | a hash map whose clones share what neither has changed |
//! | `shared_image` | the image between threads |
//! | `versions` | versions of the image that are kept, and what they cost |
//! | `snapshot` | the data as seen through layers |

pub(crate) mod garbage;
pub(crate) mod image;
pub(crate) mod index_build;
pub(crate) mod layer;
pub(crate) mod redefine;
pub(crate) mod referrers;
pub(crate) mod shared_image;
pub(crate) mod shared_map;
pub(crate) mod side_effects;
pub(crate) mod snapshot;
pub(crate) mod tree;
pub(crate) mod versions;
