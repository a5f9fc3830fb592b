//! The data of Tarantool's files, put into a directory: definitions first, then rights, then rows.
//!
//! ```text
//!   system rows ─▶ without what Tarantool alone is born with ─▶ import ─▶ refused: told,
//!                                                         and what belongs to it passed over
//! ```

use std::collections::HashSet;

use vestibule_actors::engine::Progress;
use vestibule_wire::msgpack::{Reader, write_array_len};
use vestibule_wire::request::IdOrName;

use super::TarantoolData;
use super::error::TarantoolError;
use super::foreign_keys::SqlForeignKeys;
use super::model::{CHECK, FUNCTIONAL_INDEX, Model, TRIGGER, first_number};
use crate::model::collation::KnownCollation;
use crate::offline::{Import, Put};
use crate::print::Printed;
use crate::privileges::ObjectKind;
use crate::schema::system::grant_rows::{Head, PrivRow};
use crate::schema::system::{self, GUEST, PUBLIC, SUPER, USER_ID_MIN};
use crate::store::image::Image;

/// Spaces of Tarantool's system whose rows mean something that is not there here, with what a row
/// of them is.
const FOREIGN: [(u32, &str); 3] = [
    (TRIGGER, "trigger"),
    (CHECK, "check constraint"),
    (FUNCTIONAL_INDEX, "functional index"),
];

/// The role `replication`, which every directory is born with.
const REPLICATION: u64 = 3;

/// Refused rows of data that are told; those behind them are not looked at.
const REFUSALS_TOLD_MAX: usize = 20;

/// Characters of a row that are told.
const ROW_SHOWN_MAX: usize = 200;

/// Rows between two reports of progress.
const PROGRESS_STEP: u64 = 1000;

/// What a conversion did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Converted {
    /// Rows that are new, or in place of others.
    pub written: u64,
    /// Rows that were there already.
    pub same: u64,
}

impl TarantoolData {
    /// Puts everything into a directory, and finishes the import; or abandons it. `progress` is
    /// told rows of data.
    ///
    /// # Errors
    ///
    /// `Unheld` with everything that cannot be held; the disk's.
    pub fn load_into(
        mut self,
        import: Import,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Converted, vestibule_actors::engine::Fault> {
        let mut conversion = Conversion {
            import,
            converted: Converted::default(),
            unheld: Vec::new(),
            refused: HashSet::new(),
        };
        conversion.import.expect_dump();
        let spaces = conversion.definitions(&self);
        conversion.data(&mut self, &spaces, progress);
        if conversion.unheld.is_empty() {
            conversion.import.finish()?;
            return Ok(conversion.converted);
        }
        if let Err(left) = conversion.import.abandon() {
            log::warn!("{left}");
        }
        Err(TarantoolError::Unheld(conversion.unheld).into())
    }
}

struct Conversion {
    import: Import,
    converted: Converted,
    /// What cannot be held, each in words.
    unheld: Vec<String>,
    /// Objects that cannot: what belongs to them is not told again.
    refused: HashSet<(ObjectKind, u64)>,
}

impl Conversion {
    /// Puts a row; whether it is there now.
    fn put(&mut self, space: u32, row: &[u8], what: impl FnOnce() -> String) -> bool {
        match self.import.put(IdOrName::Id(space), row) {
            Ok(Put::Written) => self.converted.written += 1,
            Ok(Put::Same) => self.converted.same += 1,
            Err(error) => {
                self.unheld.push(format!("{}: {}", what(), error.message()));
                return false;
            }
        }
        true
    }

    /// Puts everything but data, and returns the spaces whose rows are to be put.
    fn definitions(&mut self, data: &TarantoolData) -> Vec<u32> {
        let model = &data.model;
        for row in model.rows(system::SCHEMA).filter(|row| is_max_id(row)) {
            self.put(system::SCHEMA, &cut(row, 2), || {
                "the largest space id".to_owned()
            });
        }
        for row in model.rows(system::USER) {
            self.object(ObjectKind::User, system::USER, &cut(row, 5), "user");
        }
        for row in model.rows(system::COLLATION) {
            let number = first_number(row).map_or(0, u64::from);
            if KnownCollation::with_number(number).is_none() {
                let name = named(row);
                self.unheld.push(format!("collation {name}: not supported"));
            }
        }
        for row in model
            .rows(system::FUNC)
            .filter(|row| !is_born_function(row))
        {
            self.object(ObjectKind::Function, system::FUNC, row, "function");
        }
        let mut spaces = self.spaces(model);
        for row in model.rows(system::SEQUENCE) {
            self.object(ObjectKind::Sequence, system::SEQUENCE, row, "sequence");
        }
        for row in model.rows(system::SEQUENCE_DATA) {
            self.part(
                ObjectKind::Sequence,
                system::SEQUENCE_DATA,
                row,
                "value of sequence",
            );
        }
        for row in model.rows(system::INDEX) {
            if first_number(row).is_ok_and(|id| !system::is_system(id))
                && !self.part(ObjectKind::Space, system::INDEX, row, "index of space")
            {
                spaces.retain(|id| Ok(*id) != first_number(row));
            }
        }
        for row in model.rows(system::SPACE_SEQUENCE) {
            self.part(
                ObjectKind::Space,
                system::SPACE_SEQUENCE,
                row,
                "sequence of space",
            );
        }
        for (space, what) in FOREIGN {
            for row in model.rows(space) {
                let row = shown(row);
                self.unheld.push(format!("{what} {row}: not supported"));
            }
        }
        self.rights(data);
        spaces
    }

    /// Puts the definitions of spaces, and returns which are there.
    fn spaces(&mut self, model: &Model) -> Vec<u32> {
        let foreign_keys = SqlForeignKeys::of(model, shown);
        let mut spaces = Vec::new();
        for row in model.rows(system::SPACE) {
            let id = first_number(row).unwrap_or(0);
            let with_keys = foreign_keys.within(id, row);
            let row = with_keys.as_deref().unwrap_or(row);
            if !system::is_system(id) && self.object(ObjectKind::Space, system::SPACE, row, "space")
            {
                spaces.push(id);
            }
        }
        self.unheld.extend(foreign_keys.unheld);
        spaces
    }

    /// Puts a row that begins with a number, an owner and a name.
    fn object(&mut self, kind: ObjectKind, space: u32, row: &[u8], what: &str) -> bool {
        let is_put = self.put(space, row, || format!("{what} {}", named(row)));
        if let (false, Ok(head)) = (is_put, Head::decode(row)) {
            self.refused.insert((kind, head.id));
        }
        is_put
    }

    /// Puts a row that begins with the number of what it belongs to.
    fn part(&mut self, kind: ObjectKind, space: u32, row: &[u8], what: &str) -> bool {
        let id = first_number(row).map_or(u64::MAX, u64::from);
        if self.refused.contains(&(kind, id)) {
            return false;
        }
        self.put(space, row, || format!("{what} {id}, {}", shown(row)))
    }

    fn rights(&mut self, data: &TarantoolData) {
        for row in data.model.rows(system::PRIV) {
            let what = || format!("right {}", shown(row));
            let grant = match PrivRow::decode(row) {
                Ok(grant) => grant,
                Err(error) => {
                    self.unheld.push(format!("{}: {}", what(), error.message()));
                    continue;
                }
            };
            let is_system = is_systems_own(&grant, data);
            let is_refused = |(kind, id): (ObjectKind, Option<u64>)| {
                id.is_some_and(|id| {
                    self.refused.contains(&(kind, id))
                        || (kind == ObjectKind::Role
                            && self.refused.contains(&(ObjectKind::User, id)))
                })
            };
            let grantee = (ObjectKind::User, Some(grant.grantee));
            if is_system || is_refused(grant.object) || is_refused(grantee) {
                continue;
            }
            self.put(system::PRIV, &cut(row, 5), what);
        }
        // What guest may do at first, and here no more.
        let born = Image::new();
        let rows = born.space(system::PRIV).into_iter();
        for row in rows.flat_map(|space| space.rows.tuples()) {
            let Ok(grant) = PrivRow::decode(row) else {
                continue;
            };
            let mut kept = data
                .model
                .rows(system::PRIV)
                .filter_map(|row| PrivRow::decode(row).ok());
            let is_kept =
                kept.any(|own| (own.grantee, own.object) == (grant.grantee, grant.object));
            if grant.grantee == GUEST && !is_kept {
                match self.import.delete(IdOrName::Id(system::PRIV), row) {
                    Ok(Put::Written) => self.converted.written += 1,
                    Ok(Put::Same) => self.converted.same += 1,
                    Err(error) => self.unheld.push(error.message().to_owned()),
                }
            }
        }
    }

    fn data(
        &mut self,
        data: &mut TarantoolData,
        spaces: &[u32],
        progress: &mut dyn FnMut(Progress),
    ) {
        let count = |space: &u32| data.model.rows(*space).count() as u64;
        let (mut done, total) = (0, spaces.iter().map(count).sum());
        let mut refusals = 0;
        for space in spaces {
            for row in data.model.take_rows(*space).into_values() {
                let what = || format!("row {} of space {space}", shown(&row));
                if !self.put(*space, &row, what) {
                    refusals += 1;
                }
                if refusals == REFUSALS_TOLD_MAX {
                    self.unheld.push("and perhaps more rows".to_owned());
                    return;
                }
                done += 1;
                if done % PROGRESS_STEP == 0 {
                    progress(Progress::of(done, total));
                }
            }
        }
    }
}

/// Whether a right is on what only Tarantool has, or one that every directory is born with, and not
/// of those that administrators give.
fn is_systems_own(grant: &PrivRow, data: &TarantoolData) -> bool {
    let is_role = [PUBLIC, REPLICATION, SUPER].contains(&grant.grantee);
    let is_systems = || match grant.object {
        (ObjectKind::Space, Some(id)) => u32::try_from(id).is_ok_and(system::is_system),
        (ObjectKind::Function, Some(id)) => {
            let mut functions = data.model.rows(system::FUNC);
            functions.any(|row| is_born_function(row) && first_number(row).map(u64::from) == Ok(id))
        }
        _ => false,
    };
    match grant.object.0 {
        ObjectKind::Universe => grant.grantee < USER_ID_MIN && grant.grantee != GUEST,
        _ => grant.privileges.is_empty() || (is_role && is_systems()),
    }
}

/// Whether a function is one that Tarantool is born with: those of SQL, one that runs Lua, and one
/// that is born here as well.
fn is_born_function(row: &[u8]) -> bool {
    let mut reader = Reader::new(row);
    let language = || {
        reader.read_array_len().ok()?;
        for _ in 0..4 {
            reader.skip().ok()?;
        }
        reader.read_str().ok()
    };
    let is_sql = { language }() == Some("SQL_BUILTIN");
    let born = ["LUA", "box.schema.user.info"];
    is_sql || Head::decode(row).is_ok_and(|head| head.owner == 1 && born.contains(&head.name))
}

/// A row for people, not longer than they read.
fn shown(row: &[u8]) -> String {
    let mut text = Printed(row).to_string();
    if let Some((end, _)) = text.char_indices().nth(ROW_SHOWN_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Whether a row of `_schema` is the largest number of a space.
fn is_max_id(row: &[u8]) -> bool {
    let mut reader = Reader::new(row);
    reader.read_array_len().is_ok() && reader.read_str() == Ok("max_id")
}

/// The number and name of an object, for people.
fn named(row: &[u8]) -> String {
    match Head::decode(row) {
        Ok(head) => format!("'{}' ({})", head.name, head.id),
        Err(_) => shown(row),
    }
}

/// The first fields of a row: what later versions add behind them is not known here.
fn cut(row: &[u8], fields: u32) -> Vec<u8> {
    let mut reader = Reader::new(row);
    let count = reader.read_array_len().unwrap_or(0).min(fields);
    let mut out = Vec::new();
    write_array_len(&mut out, count);
    for _ in 0..count {
        out.extend_from_slice(reader.skip().unwrap_or_default());
    }
    out
}
