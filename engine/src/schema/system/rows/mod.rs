//! Rows of the system spaces, from and to MessagePack.
//!
//! | module | what |
//! |---|---|
//! | `common` | names, numbers and options |
//! | `options` | options of spaces and indexes, as they were given |
//! | `foreign_key` | foreign keys of fields and of tuples |
//! | `space` | `_space` |
//! | `index` | `_index` |
//! | `user` | `_user` and `_collation` |

mod common;
mod foreign_key;
mod index;
mod options;
mod space;
mod user;

pub(crate) use common::{check_name, is_refused_field_option};
pub(crate) use foreign_key::FOREIGN_KEY;
pub(crate) use index::{IndexRow, has_collations, is_descending};
pub(crate) use options::RowOptions;
pub(crate) use space::{Refuse, SpaceOptions, SpaceRow};
pub(crate) use user::{UserRow, encode_collation};
