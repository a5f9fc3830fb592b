//! The catalog: what clients are told about spaces, indexes, collations and users.
//!
//! ```text
//!   engine ── after a DDL commit ──▶ Arc<Catalog> ──▶ every session, by one atomic version check
//!                                      └ SELECT on _vspace, _vindex, …, AUTH: answered without Tx
//! ```
//!
//! | file | what |
//! |---|---|
//! | `system` | the system spaces, described |
//! | `row` | a row of one, and its keys |
//! | `table` | the rows of one, in the order of each index |
//! | `select` | SELECTs, in steps |
//! | `paging` | positions between rows |
//! | `user` | who users are, whatever they are called |
//! | `builder` | a catalog from nothing |
//!
//! An immutable snapshot: a connector can fetch its schema and log in while Tx is busy. The next
//! one is made of a copy, which shares everything that is not changed. Who may see what of it is
//! the engine's to say, by a [`Visibility`].

mod builder;
mod paging;
mod row;
mod select;
pub mod system;
mod table;
mod user;

use std::fmt;
use std::sync::Arc;

use vestibule_wire::Error;
use vestibule_wire::auth::PasswordHash;
use vestibule_wire::request::{IdOrName, IteratorType};

use self::row::Part;
use self::system::{SYSTEM_SPACES, SystemSpace, VSPACE};
use self::table::Table;
use crate::shared_tree::SharedTree;

pub use self::builder::{CatalogBuilder, IndexKind};
pub(crate) use self::select::CatalogScan;
pub use self::system::{SYSTEM_SPACE_ID_MAX, SYSTEM_SPACE_ID_MIN};
pub use self::user::{GUEST, User};

/// A snapshot of the system spaces and of the users. To clone it takes the same time whatever it
/// holds, and to change a clone takes time for the change.
#[derive(Debug, Clone)]
pub struct Catalog {
    /// Of the system spaces that have a view, in their order.
    tables: Box<[Arc<Table>]>,
    /// By name.
    users: SharedTree<(User, Option<PasswordHash>)>,
    visibility: Arc<dyn Visibility>,
}

/// Who may see what of a catalog, and who may log in. Asked by sessions, on their own threads, of
/// the catalog that is the newest at the time. By default everybody may, and sees everything.
pub trait Visibility: fmt::Debug + Send + Sync + 'static {
    /// How a user sees a system space or view, given by its number and its name.
    ///
    /// # Errors
    ///
    /// The reply to the SELECT: error 42 (access denied) if the user may not read the space, 45 (no
    /// such user) if the user is gone.
    fn rows(&self, user: &User, space: u32, name: &str) -> Result<RowVisibility<'_>, Error> {
        let _ = (user, space, name);
        Ok(RowVisibility::Everything)
    }

    /// Whether a user may log in. Asked after the password was found right, so the answer may tell
    /// that there is such a user.
    ///
    /// # Errors
    ///
    /// The reply to AUTH.
    fn may_log_in(&self, user: &User) -> Result<(), Error> {
        let _ = user;
        Ok(())
    }

    /// How guest, who needs no password, comes to do everything, or to change all data; `None` if
    /// there is no way to it. Asked where other machines are, which a powerful guest is not served
    /// for unless [`Config::exposed_guest`](crate::Config::exposed_guest) allows it. Who forbids
    /// nothing keeps the default.
    fn guest_power(&self) -> Option<String> {
        Some("the engine forbids it nothing".to_owned())
    }
}

/// What a user sees of a system space.
pub enum RowVisibility<'a> {
    /// Every row.
    Everything,
    /// The rows for which this is true. A row is a tuple as raw MessagePack.
    Rows(RowFilter<'a>),
}

/// Whether a row is shown.
pub type RowFilter<'a> = Box<dyn Fn(&[u8]) -> bool + 'a>;

impl RowVisibility<'_> {
    fn shows(&self, row: &[u8]) -> bool {
        match self {
            Self::Everything => true,
            Self::Rows(shows) => shows(row),
        }
    }
}

impl fmt::Debug for RowVisibility<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Everything => "Everything",
            Self::Rows(_) => "Rows",
        })
    }
}

/// Lets everybody log in and see everything.
#[derive(Debug, Clone, Copy, Default)]
struct OpenToAll;

impl Visibility for OpenToAll {}

/// A system space or the view on one.
#[derive(Debug, Clone, Copy)]
struct Shown<'a> {
    id: u32,
    name: &'static str,
    table: &'a Table,
}

impl Default for Catalog {
    fn default() -> Self {
        CatalogBuilder::new().build()
    }
}

impl Catalog {
    /// Nothing, and nobody.
    fn empty() -> Self {
        Self {
            tables: viewed().map(|system| Arc::new(Table::of(system))).collect(),
            users: SharedTree::default(),
            visibility: Arc::new(OpenToAll),
        }
    }

    /// Puts a tuple of a [system space](system) that has a view, as raw MessagePack, in place of
    /// the one with the same primary key. The view shows it too. A tuple whose key fields are not
    /// of the system's types is left out.
    pub fn put_row(&mut self, space: u32, tuple: Vec<u8>) {
        if let Some(table) = self.table_mut(space) {
            table.put(&tuple);
        }
    }

    /// Removes the tuple with the primary key of this one.
    pub fn remove_row(&mut self, space: u32, tuple: &[u8]) {
        if let Some(table) = self.table_mut(space) {
            table.remove(tuple);
        }
    }

    /// Puts a user, in place of the one of the same name; without a hash nobody can log in as it.
    pub fn put_user(&mut self, user: User, password: Option<PasswordHash>) {
        let name = user.name.clone();
        self.users
            .insert((user, password), |(own, _)| own.name.cmp(&name));
    }

    /// Removes the user of a name.
    pub fn remove_user(&mut self, name: &str) {
        self.users.remove(|(own, _)| (*own.name).cmp(name));
    }

    /// Says who may see what, and who may log in.
    pub fn set_visibility(&mut self, visibility: Arc<dyn Visibility>) {
        self.visibility = visibility;
    }

    fn table_mut(&mut self, space: u32) -> Option<&mut Table> {
        let at = viewed().position(|system| system.id == space)?;
        Some(Arc::make_mut(&mut self.tables[at]))
    }

    /// Whether sessions answer SELECT on this space.
    #[must_use]
    pub fn has_system_space(&self, space: IdOrName<'_>) -> bool {
        self.find(space).is_some()
    }

    fn find(&self, space: IdOrName<'_>) -> Option<Shown<'_>> {
        if matches!(space, IdOrName::Id(id) if id > SYSTEM_SPACE_ID_MAX) {
            return None;
        }
        let is_it = |(id, name): &(u32, &str)| match space {
            IdOrName::Id(asked) => asked == *id,
            IdOrName::Name(asked) => asked == *name,
        };
        self.tables.iter().find_map(|table| {
            let (id, name) = table.system.names().find(is_it)?;
            Some(Shown { id, name, table })
        })
    }

    /// A user by the name, with the stored password hash.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<(User, Option<PasswordHash>)> {
        self.users.get(|(own, _)| (*own.name).cmp(name)).cloned()
    }

    /// Whether a user may log in.
    ///
    /// # Errors
    ///
    /// Why not, as the engine puts it.
    pub fn may_log_in(&self, user: &User) -> Result<(), Error> {
        self.visibility.may_log_in(user)
    }

    /// How guest comes to do everything, if there is a way to it.
    pub(crate) fn guest_power(&self) -> Option<String> {
        self.visibility.guest_power()
    }

    /// Whether this user sees a space whose content is not durable.
    #[must_use]
    pub fn shows_temporary(&self, space: IdOrName<'_>, user: &User) -> bool {
        let Some(spaces) = self.find(IdOrName::Id(VSPACE)) else {
            return false;
        };
        let (index, key) = match space {
            IdOrName::Id(id) => (0, Part::Uint(u64::from(id))),
            IdOrName::Name(name) => (2, Part::Str(name.as_bytes().to_vec())),
        };
        let key = [key];
        let mut found = spaces.table.walk(index, IteratorType::Eq, &key, None);
        let Some(row) = found.next().filter(|row| row.is_temporary()) else {
            return false;
        };
        let visible = self.visibility.rows(user, VSPACE, spaces.name);
        visible.is_ok_and(|visible| visible.shows(&row.tuple))
    }
}

/// The system spaces that sessions answer for.
fn viewed() -> impl Iterator<Item = &'static SystemSpace> {
    SYSTEM_SPACES.iter().filter(|space| space.view.is_some())
}

#[cfg(test)]
mod tests;
