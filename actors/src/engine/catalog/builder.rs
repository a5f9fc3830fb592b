//! A catalog from nothing: what an engine begins with, and what tests need.

use std::sync::Arc;

use vestibule_wire::auth::PasswordHash;
use vestibule_wire::msgpack::{write_array_len, write_bool, write_map_len, write_str, write_uint};

use super::system::{INDEX, SPACE};
use super::{Catalog, User, Visibility};

/// How an index finds tuples: what clients are told of it, who choose iterators by that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IndexKind {
    /// In order.
    Tree,
    /// By whole keys.
    Hash,
    /// By the bits of a number.
    Bitset,
    /// By points and rectangles.
    Rtree,
}

impl IndexKind {
    /// The name that clients know it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tree => "tree",
            Self::Hash => "hash",
            Self::Bitset => "bitset",
            Self::Rtree => "rtree",
        }
    }
}

/// Collects what a catalog holds.
///
/// ```
/// use vestibule_actors::catalog::CatalogBuilder;
/// use vestibule_actors::wire::auth::PasswordHash;
///
/// let catalog = CatalogBuilder::new()
///     .space_with_format(512, "users", &[("id", "unsigned"), ("name", "string")])
///     .index(512, 0, "primary", &[(0, "unsigned")])
///     .user("ann", Some(PasswordHash::of("secret")))
///     .build();
/// # drop(catalog);
/// ```
#[derive(Debug)]
pub struct CatalogBuilder(Catalog);

impl Default for CatalogBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl CatalogBuilder {
    /// A catalog with no spaces of its own, and the user `guest` without a password.
    #[must_use]
    pub fn new() -> Self {
        let mut catalog = Catalog::empty();
        catalog.put_user(User::guest(), Some(PasswordHash::of("")));
        Self(catalog)
    }

    /// Says who may see what, and who may log in.
    #[must_use]
    pub fn visibility(mut self, visibility: Arc<dyn Visibility>) -> Self {
        self.0.set_visibility(visibility);
        self
    }

    /// Adds a tuple, as [`Catalog::put_row`] does.
    #[must_use]
    pub fn row(mut self, space: u32, tuple: Vec<u8>) -> Self {
        self.0.put_row(space, tuple);
        self
    }

    /// Adds a space whose fields have no names.
    #[must_use]
    pub fn space(self, id: u32, name: &str) -> Self {
        self.space_with_format(id, name, &[])
    }

    /// Adds a space whose first fields have these names and types: connectors show rows by them.
    #[must_use]
    pub fn space_with_format(self, id: u32, name: &str, fields: &[(&str, &str)]) -> Self {
        let mut tuple = Vec::new();
        write_array_len(&mut tuple, 7);
        write_uint(&mut tuple, u64::from(id));
        write_uint(&mut tuple, 1);
        write_str(&mut tuple, name);
        write_str(&mut tuple, "memtx");
        write_uint(&mut tuple, 0);
        write_map_len(&mut tuple, 0);
        write_array_len(&mut tuple, fields.len() as u32);
        for (name, kind) in fields {
            write_map_len(&mut tuple, 2);
            write_str(&mut tuple, "name");
            write_str(&mut tuple, name);
            write_str(&mut tuple, "type");
            write_str(&mut tuple, kind);
        }
        self.row(SPACE, tuple)
    }

    /// Adds a unique TREE index over fields of the given types, the first field being 0.
    #[must_use]
    pub fn index(self, space: u32, id: u32, name: &str, parts: &[(u32, &str)]) -> Self {
        self.index_of_kind(space, id, name, IndexKind::Tree, true, parts)
    }

    /// The same for an index of any kind, unique or not.
    #[must_use]
    pub fn index_of_kind(
        self,
        space: u32,
        id: u32,
        name: &str,
        kind: IndexKind,
        is_unique: bool,
        parts: &[(u32, &str)],
    ) -> Self {
        let mut tuple = Vec::new();
        write_array_len(&mut tuple, 6);
        write_uint(&mut tuple, u64::from(space));
        write_uint(&mut tuple, u64::from(id));
        write_str(&mut tuple, name);
        write_str(&mut tuple, kind.name());
        write_map_len(&mut tuple, 1);
        write_str(&mut tuple, "unique");
        write_bool(&mut tuple, is_unique);
        write_array_len(&mut tuple, parts.len() as u32);
        for (field, kind) in parts {
            write_array_len(&mut tuple, 2);
            write_uint(&mut tuple, u64::from(*field));
            write_str(&mut tuple, kind);
        }
        self.row(INDEX, tuple)
    }

    /// Adds a user that is known by the name alone; without a hash nobody can log in as it.
    #[must_use]
    pub fn user(mut self, name: &str, password: Option<PasswordHash>) -> Self {
        self.0.put_user(User::named(name), password);
        self
    }

    /// The finished snapshot.
    #[must_use]
    pub fn build(self) -> Catalog {
        self.0
    }
}
