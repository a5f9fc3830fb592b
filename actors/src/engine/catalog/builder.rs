//! A catalog from nothing: what an engine begins with, and what tests need.

use std::sync::Arc;

use vestibule_wire::auth::PasswordHash;
use vestibule_wire::msgpack::{write_array_len, write_bool, write_map_len, write_str, write_uint};

use super::system::{INDEX, SPACE};
use super::{Catalog, User, Visibility};

/// Collects what a catalog holds.
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
        let mut tuple = Vec::new();
        write_array_len(&mut tuple, 7);
        write_uint(&mut tuple, u64::from(id));
        write_uint(&mut tuple, 1);
        write_str(&mut tuple, name);
        write_str(&mut tuple, "memtx");
        write_uint(&mut tuple, 0);
        write_map_len(&mut tuple, 0);
        write_array_len(&mut tuple, 0);
        self.row(SPACE, tuple)
    }

    /// Adds a unique TREE index over fields of the given types, the first field being 0.
    #[must_use]
    pub fn index(self, space: u32, id: u32, name: &str, parts: &[(u32, &str)]) -> Self {
        let mut tuple = Vec::new();
        write_array_len(&mut tuple, 6);
        write_uint(&mut tuple, u64::from(space));
        write_uint(&mut tuple, u64::from(id));
        write_str(&mut tuple, name);
        write_str(&mut tuple, "tree");
        write_map_len(&mut tuple, 1);
        write_str(&mut tuple, "unique");
        write_bool(&mut tuple, true);
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
