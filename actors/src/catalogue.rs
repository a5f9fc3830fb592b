//! The catalogue: what clients are told about spaces, indexes, collations and users.
//!
//! ```text
//!   engine ── after a DDL commit ──▶ Arc<Catalogue> ──▶ every session, by one atomic version check
//!                                        └ SELECT on _vspace, _vindex, …, AUTH: answered without Tx
//! ```
//!
//! An immutable snapshot: a connector can fetch its schema and log in while Tx is busy.

mod paging;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use vestibule_wire::auth::PasswordHash;
use vestibule_wire::msgpack::{
    Reader, write_array_len, write_bool, write_map_len, write_str, write_uint,
};
use vestibule_wire::reply::Rows;
use vestibule_wire::request::{Iterator as Walk, Select, Target};
use vestibule_wire::{Error, ErrorCode};

/// First number of a space that is not the system's.
pub const USER_SPACE_ID_MIN: u32 = 512;

/// The user of a connection that has not authenticated.
pub const GUEST: &str = "guest";

/// A snapshot of the system spaces and of the users.
#[derive(Debug, Clone)]
pub struct Catalogue {
    spaces: BTreeMap<u32, SystemSpace>,
    users: HashMap<Arc<str>, Option<PasswordHash>>,
}

impl Default for Catalogue {
    fn default() -> Self {
        CatalogueBuilder::new().build()
    }
}

/// The layout of one system space that sessions answer for.
#[derive(Debug)]
struct Layout {
    /// The space, and the view that shows the same rows.
    ids: [u32; 2],
    names: [&'static str; 2],
    /// Fields of the primary key.
    primary: &'static [usize],
    /// Number of the index by name, and its fields.
    by_name: (u32, &'static [usize]),
    /// Fields of either that are texts; the others are numbers.
    texts: &'static [usize],
}

/// Spaces with rows come first; the rest are there because clients ask for them.
static LAYOUTS: [Layout; 7] = [
    Layout {
        ids: [280, 281],
        names: ["_space", "_vspace"],
        primary: &[0],
        by_name: (2, &[2]),
        texts: &[2],
    },
    Layout {
        ids: [288, 289],
        names: ["_index", "_vindex"],
        primary: &[0, 1],
        by_name: (2, &[0, 2]),
        texts: &[2],
    },
    Layout {
        ids: [276, 277],
        names: ["_collation", "_vcollation"],
        primary: &[0],
        by_name: (1, &[1]),
        texts: &[1],
    },
    Layout {
        ids: [304, 305],
        names: ["_user", "_vuser"],
        primary: &[0],
        by_name: (2, &[2]),
        texts: &[2],
    },
    Layout {
        ids: [296, 297],
        names: ["_func", "_vfunc"],
        primary: &[0],
        by_name: (2, &[2]),
        texts: &[2],
    },
    Layout {
        ids: [284, 286],
        names: ["_sequence", "_vsequence"],
        primary: &[0],
        by_name: (2, &[2]),
        texts: &[2],
    },
    Layout {
        ids: [340, 341],
        names: ["_space_sequence", "_vspace_sequence"],
        primary: &[0],
        by_name: (1, &[1]),
        texts: &[],
    },
];

#[derive(Debug, Clone)]
struct SystemSpace {
    name: &'static str,
    rows: Arc<Vec<SystemRow>>,
    layout: &'static Layout,
}

/// A tuple with the keys it is found by, decoded once.
#[derive(Debug, Clone)]
struct SystemRow {
    primary: Vec<Part>,
    by_name: Vec<Part>,
    tuple: Vec<u8>,
}

/// A part of a key of a system space.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Uint(u64),
    Str(Vec<u8>),
}

impl Catalogue {
    /// Whether sessions answer SELECT on this space.
    #[must_use]
    pub fn has_system_space(&self, space: Target<'_>) -> bool {
        self.find(space).is_some()
    }

    fn find(&self, space: Target<'_>) -> Option<&SystemSpace> {
        match space {
            Target::Id(id) if id >= USER_SPACE_ID_MIN => None,
            Target::Id(id) => self.spaces.get(&id),
            Target::Name(name) => self.spaces.values().find(|space| space.name == name),
        }
    }

    /// The stored password hash of a user; the outer `None` means that there is no such user.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<(Arc<str>, Option<PasswordHash>)> {
        self.users
            .get_key_value(name)
            .map(|(name, hash)| (name.clone(), *hash))
    }

    /// Answers a SELECT on a system space.
    ///
    /// # Errors
    ///
    /// 148 for an index that is not there by name, 1 for an iterator that does not exist, 35 for an
    /// index that is not there by number, 31 or 18 for a key that does not fit, 112 for an iterator
    /// of other kinds of indexes, 247 for a position that is not inside what is walked over, in this
    /// order.
    pub fn select(&self, select: &Select<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        let space = self.find(select.space).ok_or_else(|| match select.space {
            Target::Id(id) => Error::no_such_space(id),
            Target::Name(name) => Error::no_such_space(name),
        })?;
        if let Target::Id(_) = select.index {
            Walk::from_code(select.iterator)?;
        }
        let by_name = space.resolve_index(select.index)?;
        let walk = Walk::from_code(select.iterator)?;
        let key = space.layout.read_key(by_name, select.key)?;
        space.check_walk(by_name, walk)?;
        let mut found: Vec<&SystemRow> = space
            .rows
            .iter()
            .filter(|row| row.matches(by_name, walk, &key))
            .collect();
        if by_name {
            found.sort_by(|left, right| left.by_name.cmp(&right.by_name));
        }
        let is_reverse = matches!(walk, Walk::Req | Walk::Lt | Walk::Le | Walk::PreviousPrefix);
        if is_reverse {
            found.reverse();
        }
        let passed = match paging::after(space.layout, by_name, select)? {
            None => 0,
            Some(row) if !row.matches(by_name, walk, &key) => return Err(paging::invalid()),
            Some(row) => paging::passed(&found, &row, by_name, is_reverse),
        };
        let limit = usize::try_from(select.limit).unwrap_or(usize::MAX);
        let offset = usize::try_from(select.offset).unwrap_or(usize::MAX);
        let (mut rows, mut last) = (Rows::begin(out), None);
        for row in found.into_iter().skip(passed).skip(offset).take(limit) {
            rows.push(&row.tuple);
            last = Some(row);
        }
        let last = last.filter(|_| select.fetch_position);
        rows.finish(last.map(|row| paging::position(row, by_name)).as_deref());
        Ok(())
    }
}

impl SystemSpace {
    /// Whether the index is the one by name (else it is the primary one).
    fn resolve_index(&self, index: Target<'_>) -> Result<bool, Error> {
        match index {
            Target::Id(0) | Target::Name("primary") => Ok(false),
            Target::Id(id) if id == self.layout.by_name.0 => Ok(true),
            Target::Name("name") => Ok(true),
            Target::Id(id) => Err(Error::no_such_index_id(u64::from(id), self.name)),
            Target::Name(name) => Err(Error::new(
                ErrorCode::NO_SUCH_INDEX_NAME,
                format!("No index '{name}' is defined in space '{}'", self.name),
            )),
        }
    }
}

impl SystemSpace {
    /// System spaces have indexes of one kind.
    fn check_walk(&self, by_name: bool, walk: Walk) -> Result<(), Error> {
        use Walk::{BitsAllNotSet, BitsAllSet, BitsAnySet, Neighbor, Overlaps};
        if !matches!(
            walk,
            BitsAllSet | BitsAnySet | BitsAllNotSet | Overlaps | Neighbor
        ) {
            return Ok(());
        }
        let index = if by_name { "name" } else { "primary" };
        // A view has the indexes of its space.
        let space = self.layout.names[0];
        Err(Error::new(
            ErrorCode::UNSUPPORTED_INDEX_FEATURE,
            format!(
                "Index '{index}' (TREE) of space '{space}' (memtx) does not support requested \
                 iterator type"
            ),
        ))
    }
}

impl SystemRow {
    fn key(&self, by_name: bool) -> &[Part] {
        if by_name {
            &self.by_name
        } else {
            &self.primary
        }
    }

    fn matches(&self, by_name: bool, walk: Walk, key: &[Part]) -> bool {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let own = self.key(by_name);
        let shared = &own[..own.len().min(key.len())];
        let order = shared.cmp(key);
        match walk {
            _ if key.is_empty() => true,
            Walk::Eq | Walk::Req => order == Equal,
            Walk::Ge | Walk::All => order != Less,
            Walk::Gt => order == Greater,
            Walk::Le => order != Greater,
            Walk::Lt | Walk::PreviousPrefix => order == Less,
            Walk::NextPrefix => order == Greater && !begins_with(shared, key),
            _ => false,
        }
    }
}

/// Whether a key continues the text that another one ends with.
fn begins_with(own: &[Part], key: &[Part]) -> bool {
    match (own.split_last(), key.split_last()) {
        (Some((Part::Str(own), rest)), Some((Part::Str(text), same))) => {
            rest == same && own.starts_with(text)
        }
        _ => false,
    }
}

fn read_part(reader: &mut Reader<'_>) -> Option<Part> {
    match reader.read_uint() {
        Ok(number) => Some(Part::Uint(number)),
        Err(_) => reader
            .read_str_bytes()
            .ok()
            .map(|text| Part::Str(text.to_vec())),
    }
}

/// Collects what a catalogue holds.
#[derive(Debug, Default)]
pub struct CatalogueBuilder {
    rows: BTreeMap<u32, Vec<Vec<u8>>>,
    users: HashMap<Arc<str>, Option<PasswordHash>>,
}

impl CatalogueBuilder {
    /// A catalogue with no spaces of its own, and the user `guest` without a password.
    #[must_use]
    pub fn new() -> Self {
        let guest = PasswordHash::of("");
        Self {
            rows: BTreeMap::new(),
            users: HashMap::from([(GUEST.into(), Some(guest))]),
        }
    }

    /// Adds a tuple of a system space (`_space` 280, `_index` 288, `_collation` 276, `_user` 304, …),
    /// as raw MessagePack. The view of the space (281, 289, …) shows it too.
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
        self.row(280, tuple)
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
        self.row(288, tuple)
    }

    /// Adds a user; without a hash nobody can log in as it.
    #[must_use]
    pub fn user(mut self, name: &str, password: Option<PasswordHash>) -> Self {
        self.users.insert(name.into(), password);
        self
    }

    /// The finished snapshot. A row whose key fields are not of the system's types is left out.
    #[must_use]
    pub fn build(mut self) -> Catalogue {
        let mut spaces = BTreeMap::new();
        for layout in &LAYOUTS {
            let rows = self.rows.remove(&layout.ids[0]).unwrap_or_default();
            let mut rows: Vec<_> = rows
                .into_iter()
                .filter_map(|tuple| layout.row(tuple))
                .collect();
            rows.sort_by(|left, right| left.primary.cmp(&right.primary));
            let rows = Arc::new(rows);
            for (id, name) in layout.ids.into_iter().zip(layout.names) {
                spaces.insert(
                    id,
                    SystemSpace {
                        name,
                        rows: rows.clone(),
                        layout,
                    },
                );
            }
        }
        Catalogue {
            spaces,
            users: self.users,
        }
    }
}

impl Layout {
    fn read_key(&self, by_name: bool, key: &[u8]) -> Result<Vec<Part>, Error> {
        let fields = if by_name {
            self.by_name.1
        } else {
            self.primary
        };
        let mut reader = Reader::new(key);
        let count = reader.read_array_len();
        let count = count.map_err(|_| Error::invalid_msgpack("packet body"))? as usize;
        let most = fields.len();
        if count > most {
            return Err(Error::new(
                ErrorCode::KEY_PART_COUNT,
                format!("Invalid key part count (expected [0..{most}], got {count})"),
            ));
        }
        let read = |(part, field): (usize, &usize)| self.read_key_part(part, *field, &mut reader);
        fields.iter().take(count).enumerate().map(read).collect()
    }

    fn read_key_part(
        &self,
        part: usize,
        field: usize,
        reader: &mut Reader<'_>,
    ) -> Result<Part, Error> {
        let is_text = self.texts.contains(&field);
        let found = read_part(reader).filter(|found| matches!(found, Part::Str(_)) == is_text);
        found.ok_or_else(|| {
            let expected = if is_text { "string" } else { "unsigned" };
            Error::new(
                ErrorCode::KEY_PART_TYPE,
                format!(
                    "Supplied key type of part {part} does not match index part type: expected \
                     {expected}"
                ),
            )
        })
    }

    fn row(&self, tuple: Vec<u8>) -> Option<SystemRow> {
        let mut reader = Reader::new(&tuple);
        let count = reader.read_array_len().ok()?;
        let mut fields = Vec::new();
        for _ in 0..count.min(4) {
            let mut ahead = reader;
            fields.push(read_part(&mut ahead));
            reader.skip().ok()?;
        }
        let pick = |wanted: &[usize]| -> Option<Vec<Part>> {
            wanted
                .iter()
                .map(|field| fields.get(*field).cloned().flatten())
                .collect()
        };
        Some(SystemRow {
            primary: pick(self.primary)?,
            by_name: pick(self.by_name.1)?,
            tuple,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vestibule_wire::request::After;

    fn told(space: u32, index: u32, iterator: u64, key: &[u8]) -> String {
        let catalogue = CatalogueBuilder::new().space(512, "s").build();
        let select = Select {
            space: Target::Id(space),
            index: Target::Id(index),
            limit: 1,
            offset: 0,
            iterator,
            key,
            fetch_position: false,
            after: After::Start,
        };
        match catalogue.select(&select, &mut Vec::new()) {
            Ok(()) => "ok".to_owned(),
            Err(error) => format!("{}: {}", error.code().0, error.message()),
        }
    }

    /// Pages of two rows, by position or by the last tuple, until there is no more.
    fn pages(by_position: bool, iterator: Walk, index: u32, key: &[u8]) -> Vec<u8> {
        let names = ["a", "ab", "abc", "b", "c"];
        let spaces = names.into_iter().zip(1..);
        let catalogue = spaces.fold(CatalogueBuilder::new(), |builder, (name, id)| {
            builder.space(id, name)
        });
        let catalogue = catalogue.build();
        let (mut found, mut after) = (Vec::new(), Vec::new());
        loop {
            let mut body = Vec::new();
            let select = Select {
                space: Target::Id(281),
                index: Target::Id(index),
                limit: 2,
                offset: 0,
                iterator: iterator as u64,
                key,
                fetch_position: by_position,
                after: match by_position {
                    _ if after.is_empty() => After::Start,
                    true => After::Position(&after),
                    false => After::Tuple(&after),
                },
            };
            catalogue.select(&select, &mut body).unwrap();
            let mut reader = Reader::new(&body);
            let keys = reader.read_map_len().unwrap();
            reader.read_uint().unwrap();
            let count = reader.read_array_len().unwrap();
            for _ in 0..count {
                after = reader.skip().unwrap().to_vec();
                found.push(after[1]);
            }
            assert_eq!(keys, if by_position && count > 0 { 2 } else { 1 });
            assert!(found.len() <= names.len(), "a page came twice");
            if count < 2 {
                return found;
            }
            if by_position {
                reader.read_uint().unwrap();
                after = reader.read_str_bytes().unwrap().to_vec();
            }
        }
    }

    #[test]
    fn system_spaces_are_read_page_by_page() {
        for by_position in [true, false] {
            for index in [0, 2] {
                assert_eq!(
                    pages(by_position, Walk::All, index, &[0x90]),
                    [1, 2, 3, 4, 5]
                );
                assert_eq!(
                    pages(by_position, Walk::Le, index, &[0x90]),
                    [5, 4, 3, 2, 1]
                );
            }
            assert_eq!(pages(by_position, Walk::Ge, 0, &[0x91, 2]), [2, 3, 4, 5]);
            let a = &[0x91, 0xa1, b'a'];
            assert_eq!(pages(by_position, Walk::NextPrefix, 2, a), [4, 5]);
            let b = &[0x91, 0xa1, b'b'];
            assert_eq!(pages(by_position, Walk::PreviousPrefix, 2, b), [3, 2, 1]);
        }
    }

    #[test]
    fn a_position_outside_of_what_is_walked_over_is_refused() {
        let catalogue = CatalogueBuilder::new().space(512, "s").build();
        let told = |key: &[u8], after| {
            let select = Select {
                space: Target::Id(281),
                index: Target::Id(0),
                limit: 1,
                offset: 0,
                iterator: Walk::Ge as u64,
                key,
                fetch_position: false,
                after,
            };
            let told = catalogue.select(&select, &mut Vec::new());
            told.map_err(|error| error.code().0)
        };
        let row = [0x93, 2, 1, 0xa1, b's'];
        assert_eq!(told(&[0x90], After::Tuple(&row)), Ok(()));
        assert_eq!(told(&[0x91, 3], After::Tuple(&row)), Err(247));
        assert_eq!(told(&[0x90], After::Tuple(&[0x91, 2])), Err(247));
        assert_eq!(told(&[0x90], After::Tuple(&[2])), Err(247));
        for position in [&b"?"[..], b"AAAA", b"kgEB"] {
            assert_eq!(told(&[0x90], After::Position(position)), Err(247));
        }
    }

    #[test]
    fn faults_of_a_request_are_told_as_of_any_space() {
        let wrong = "18: Supplied key type of part 0 does not match index part type: expected ";
        for (space, index, iterator, key, expected) in [
            (
                281,
                77,
                14,
                &[0x90][..],
                "1: Invalid iterator type".to_owned(),
            ),
            (281, 0, 0, &[0x91, 0xa1, b'x'], format!("{wrong}unsigned")),
            (281, 2, 0, &[0x91, 1], format!("{wrong}string")),
            (281, 2, 7, &[0x91, 1], format!("{wrong}string")),
            (341, 1, 0, &[0x91, 1], "ok".into()),
            (289, 2, 0, &[0x92, 1, 0xa1, b'x'], "ok".into()),
            (
                281,
                0,
                0,
                &[0x92, 1, 2],
                "31: Invalid key part count (expected [0..1], got 2)".into(),
            ),
            (
                281,
                0,
                7,
                &[0x90],
                "112: Index 'primary' (TREE) of space '_space' (memtx) does not support \
                 requested iterator type"
                    .into(),
            ),
        ] {
            assert_eq!(told(space, index, iterator, key), expected);
        }
    }
}
