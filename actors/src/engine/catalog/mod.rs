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
//! | `paging` | positions between rows |
//!
//! An immutable snapshot: a connector can fetch its schema and log in while Tx is busy. Who may see
//! what of it is the engine's to say, by a [`Visibility`].

mod paging;
mod row;
pub mod system;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use vestibule_wire::auth::PasswordHash;
use vestibule_wire::msgpack::{write_array_len, write_bool, write_map_len, write_str, write_uint};
use vestibule_wire::reply::Rows;
use vestibule_wire::request::{IdOrName, IteratorType, Select};
use vestibule_wire::{Error, ErrorCode};

use self::row::SystemRow;
use self::system::{INDEX, SPACE, SYSTEM_SPACES, SystemSpace};

pub use self::system::USER_SPACE_ID_MIN;

/// The user of a connection that has not authenticated.
pub const GUEST: &str = "guest";

/// A snapshot of the system spaces and of the users.
#[derive(Debug, Clone)]
pub struct Catalog {
    spaces: BTreeMap<u32, ShownSpace>,
    users: HashMap<Arc<str>, Option<PasswordHash>>,
    visibility: Arc<dyn Visibility>,
}

/// Who may see what of a catalog, and who may log in. Asked by sessions, on their own threads, of
/// the catalog that is the newest at the time. By default everybody may, and sees everything.
pub trait Visibility: fmt::Debug + Send + Sync + 'static {
    /// How a user sees a system space or view, given by its number and its name.
    ///
    /// # Errors
    ///
    /// The reply to the SELECT: [`ErrorCode::ACCESS_DENIED`] if the user may not read the space,
    /// [`ErrorCode::NO_SUCH_USER`] if the user is gone.
    fn rows(&self, user: &str, space: u32, name: &str) -> Result<RowVisibility<'_>, Error> {
        let _ = (user, space, name);
        Ok(RowVisibility::Everything)
    }

    /// Whether a user may log in. Asked after the password was found right, so the answer may tell
    /// that there is such a user.
    ///
    /// # Errors
    ///
    /// The reply to AUTH.
    fn may_log_in(&self, user: &str) -> Result<(), Error> {
        let _ = user;
        Ok(())
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

impl Default for Catalog {
    fn default() -> Self {
        CatalogBuilder::new().build()
    }
}

/// A system space or the view on one, with its rows.
#[derive(Debug, Clone)]
struct ShownSpace {
    id: u32,
    name: &'static str,
    rows: Arc<Vec<SystemRow>>,
    /// Of a view, the space that it shows.
    system: &'static SystemSpace,
}

impl Catalog {
    /// Whether sessions answer SELECT on this space.
    #[must_use]
    pub fn has_system_space(&self, space: IdOrName<'_>) -> bool {
        self.find(space).is_some()
    }

    fn find(&self, space: IdOrName<'_>) -> Option<&ShownSpace> {
        match space {
            IdOrName::Id(id) if id >= USER_SPACE_ID_MIN => None,
            IdOrName::Id(id) => self.spaces.get(&id),
            IdOrName::Name(name) => self.spaces.values().find(|space| space.name == name),
        }
    }

    /// The stored password hash of a user; the outer `None` means that there is no such user.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<(Arc<str>, Option<PasswordHash>)> {
        self.users
            .get_key_value(name)
            .map(|(name, hash)| (name.clone(), *hash))
    }

    /// Whether a user may log in.
    ///
    /// # Errors
    ///
    /// Why not, as the engine puts it.
    pub fn may_log_in(&self, user: &str) -> Result<(), Error> {
        self.visibility.may_log_in(user)
    }

    /// Answers a SELECT on a system space, with what this user may see.
    ///
    /// # Errors
    ///
    /// In the order in which they are looked for:
    /// * [`ErrorCode::NO_SUCH_SPACE`] if sessions do not answer for the space,
    /// * [`ErrorCode::ACCESS_DENIED`] if the user may not read it,
    /// * [`ErrorCode::NO_SUCH_INDEX_NAME`] if it has no index of the name,
    /// * [`ErrorCode::ILLEGAL_PARAMS`] for an iterator that does not exist,
    /// * [`ErrorCode::NO_SUCH_INDEX_ID`] if it has no index of the number,
    /// * [`ErrorCode::KEY_PART_COUNT`] or [`ErrorCode::KEY_PART_TYPE`] for a key that does not fit,
    /// * [`ErrorCode::UNSUPPORTED_INDEX_FEATURE`] for an iterator of other kinds of indexes,
    /// * [`ErrorCode::ITERATOR_POSITION`] for a position outside of the range.
    pub fn select(&self, select: &Select<'_>, user: &str, out: &mut Vec<u8>) -> Result<(), Error> {
        let space = self.find(select.space).ok_or_else(|| match select.space {
            IdOrName::Id(id) => Error::no_such_space(id),
            IdOrName::Name(name) => Error::no_such_space(name),
        })?;
        let visible = self.visibility.rows(user, space.id, space.name)?;
        if let IdOrName::Id(_) = select.index {
            IteratorType::from_code(select.iterator)?;
        }
        let at = space.resolve_index(select.index)?;
        let iterator = IteratorType::from_code(select.iterator)?;
        let key = row::read_key(space.system, at, select.key)?;
        space.check_iterator(at, iterator)?;
        let mut found: Vec<&SystemRow> = space
            .rows
            .iter()
            .filter(|row| row.matches(at, iterator, &key) && visible.shows(&row.tuple))
            .collect();
        if at > 0 {
            found.sort_by(|left, right| left.keys[at].cmp(&right.keys[at]));
        }
        let is_reverse = matches!(
            iterator,
            IteratorType::Req | IteratorType::Lt | IteratorType::Le | IteratorType::PreviousPrefix
        );
        if is_reverse {
            found.reverse();
        }
        let passed = match paging::after(space.system, at, select)? {
            None => 0,
            Some(row) if !row.matches(at, iterator, &key) => return Err(paging::invalid()),
            Some(row) => paging::passed(&found, &row, at, is_reverse),
        };
        let limit = usize::try_from(select.limit).unwrap_or(usize::MAX);
        let offset = usize::try_from(select.offset).unwrap_or(usize::MAX);
        let (mut rows, mut last) = (Rows::begin(out), None);
        for row in found.into_iter().skip(passed).skip(offset).take(limit) {
            rows.push(&row.tuple);
            last = Some(row);
        }
        let last = last.filter(|_| select.fetch_position);
        rows.finish(last.map(|row| paging::position(row, at)).as_deref());
        Ok(())
    }
}

impl ShownSpace {
    /// The index's place in the description.
    fn resolve_index(&self, index: IdOrName<'_>) -> Result<usize, Error> {
        let mut indexes = self.system.indexes.iter();
        let found = match index {
            IdOrName::Id(id) => indexes.position(|own| own.id == id),
            IdOrName::Name(name) => indexes.position(|own| own.name == name),
        };
        found.ok_or_else(|| match index {
            IdOrName::Id(id) => Error::no_such_index_id(u64::from(id), self.name),
            IdOrName::Name(name) => Error::new(
                ErrorCode::NO_SUCH_INDEX_NAME,
                format!("No index '{name}' is defined in space '{}'", self.name),
            ),
        })
    }

    /// System spaces have indexes of one kind.
    fn check_iterator(&self, at: usize, iterator: IteratorType) -> Result<(), Error> {
        use IteratorType::{BitsAllNotSet, BitsAllSet, BitsAnySet, Neighbor, Overlaps};
        if !matches!(
            iterator,
            BitsAllSet | BitsAnySet | BitsAllNotSet | Overlaps | Neighbor
        ) {
            return Ok(());
        }
        let index = self.system.indexes[at].name;
        // A view has the indexes of its space.
        let space = self.system.name;
        Err(Error::new(
            ErrorCode::UNSUPPORTED_INDEX_FEATURE,
            format!(
                "Index '{index}' (TREE) of space '{space}' (memtx) does not support requested \
                 iterator type"
            ),
        ))
    }
}

/// Collects what a catalog holds.
#[derive(Debug)]
pub struct CatalogBuilder {
    rows: BTreeMap<u32, Vec<Vec<u8>>>,
    users: HashMap<Arc<str>, Option<PasswordHash>>,
    visibility: Arc<dyn Visibility>,
}

impl Default for CatalogBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl CatalogBuilder {
    /// A catalog with no spaces of its own, and the user `guest` without a password.
    #[must_use]
    pub fn new() -> Self {
        let guest = PasswordHash::of("");
        Self {
            rows: BTreeMap::new(),
            users: HashMap::from([(GUEST.into(), Some(guest))]),
            visibility: Arc::new(OpenToAll),
        }
    }

    /// Says who may see what, and who may log in.
    #[must_use]
    pub fn visibility(mut self, visibility: Arc<dyn Visibility>) -> Self {
        self.visibility = visibility;
        self
    }

    /// Adds a tuple of a [system space](system) that has a view, as raw MessagePack. The view shows
    /// it too.
    #[must_use]
    pub fn row(mut self, space: u32, tuple: Vec<u8>) -> Self {
        self.rows.entry(space).or_default().push(tuple);
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

    /// Adds a user; without a hash nobody can log in as it.
    #[must_use]
    pub fn user(mut self, name: &str, password: Option<PasswordHash>) -> Self {
        self.users.insert(name.into(), password);
        self
    }

    /// The finished snapshot. A row whose key fields are not of the system's types is left out.
    #[must_use]
    pub fn build(mut self) -> Catalog {
        let mut spaces = BTreeMap::new();
        let shown = SYSTEM_SPACES.iter().filter(|space| space.view.is_some());
        for system in shown {
            let rows = self.rows.remove(&system.id).unwrap_or_default();
            let rows = rows.into_iter();
            let mut rows: Vec<_> = rows.filter_map(|tuple| row::row(system, tuple)).collect();
            rows.sort_by(|left, right| left.keys[0].cmp(&right.keys[0]));
            let rows = Arc::new(rows);
            for (id, name) in system.names() {
                let rows = rows.clone();
                let space = ShownSpace {
                    id,
                    name,
                    rows,
                    system,
                };
                spaces.insert(id, space);
            }
        }
        Catalog {
            spaces,
            users: self.users,
            visibility: self.visibility,
        }
    }
}

#[cfg(test)]
mod tests;
