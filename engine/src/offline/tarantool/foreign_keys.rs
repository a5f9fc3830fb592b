//! Foreign keys as SQL of Tarantool 2.x keeps them, in a space of their own, made those of a tuple.
//!
//! ```text
//!   ["name", child, parent, is deferred, match, on delete, on update, [own fields], [its fields]]
//!      └─▶ options of the child: {"foreign_key": {"name": {"space": parent, "field": {own: its}}}}
//! ```
//!
//! One that refuses what would leave children without parents means the same here. One that changes
//! or deletes children, or looks at them at the end of a transaction only, does not.

use std::collections::HashMap;

use vestibule_wire::msgpack::{Reader, write_map_len, write_str, write_uint};

use super::model::{FOREIGN_KEY as SQL_FOREIGN_KEYS, Model};
use crate::schema::system::rows::FOREIGN_KEY as OPTION;

/// Where options stand in a row of `_space`.
const OPTIONS_FIELD: u32 = 5;

/// Foreign keys of SQL, by the spaces that they are of.
#[derive(Debug, Default)]
pub(super) struct SqlForeignKeys {
    by_child: HashMap<u32, Vec<SqlForeignKey>>,
    /// Keys that mean something else than any here, in words.
    pub(super) unheld: Vec<String>,
}

#[derive(Debug)]
struct SqlForeignKey {
    name: String,
    child: u32,
    parent: u32,
    /// Own fields, and those that they refer to.
    fields: Vec<(u32, u32)>,
}

impl SqlForeignKeys {
    pub(super) fn of(model: &Model, shown: impl Fn(&[u8]) -> String) -> Self {
        let mut all = Self::default();
        for row in model.rows(SQL_FOREIGN_KEYS) {
            match SqlForeignKey::read(row) {
                Ok(key) => all.by_child.entry(key.child).or_default().push(key),
                Err(reason) => all
                    .unheld
                    .push(format!("foreign key {}: {reason}", shown(row))),
            }
        }
        all
    }

    /// A row of `_space` with the foreign keys of its space in its options; `None` if there are
    /// none, or if the row is none.
    pub(super) fn within(&self, space: u32, row: &[u8]) -> Option<Vec<u8>> {
        let keys = self.by_child.get(&space)?;
        let mut reader = Reader::new(row);
        if reader.read_array_len().ok()? <= OPTIONS_FIELD {
            return None;
        }
        for _ in 0..OPTIONS_FIELD {
            reader.skip().ok()?;
        }
        let before = row.len() - reader.rest().len();
        let options = reader.read_map_len().ok()?;
        let mut out = row[..before].to_vec();
        write_map_len(&mut out, options + 1);
        write_str(&mut out, OPTION);
        write_map_len(&mut out, keys.len() as u32);
        keys.iter().for_each(|key| key.write(&mut out));
        out.extend_from_slice(reader.rest());
        Some(out)
    }
}

impl SqlForeignKey {
    fn read(row: &[u8]) -> Result<Self, &'static str> {
        let malformed = |_| "it is none";
        let mut reader = Reader::new(row);
        if reader.read_array_len().map_err(malformed)? < 9 {
            return Err("it is none");
        }
        let name = reader.read_str().map_err(malformed)?.to_owned();
        let mut spaces = [0; 2];
        for space in &mut spaces {
            let id = reader.read_uint().map_err(malformed)?;
            *space = u32::try_from(id).map_err(|_| "it is none")?;
        }
        if reader.skip().map_err(malformed)? != [0xc2] {
            return Err("that it is deferred is not supported");
        }
        // How nulls match: always like this.
        reader.skip().map_err(malformed)?;
        for action in [
            "what it does ON DELETE is not supported",
            "what it does ON UPDATE is not supported",
        ] {
            let does = reader.read_str().map_err(malformed)?;
            if !matches!(does, "no_action" | "restrict") {
                return Err(action);
            }
        }
        let own = read_fields(&mut reader).ok_or("it is none")?;
        let its = read_fields(&mut reader).ok_or("it is none")?;
        if own.is_empty() || own.len() != its.len() {
            return Err("it is none");
        }
        let [child, parent] = spaces;
        Ok(Self {
            name,
            child,
            parent,
            fields: own.into_iter().zip(its).collect(),
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_str(out, &self.name);
        let is_own = self.parent == self.child;
        write_map_len(out, if is_own { 1 } else { 2 });
        if !is_own {
            write_str(out, "space");
            write_uint(out, u64::from(self.parent));
        }
        write_str(out, "field");
        write_map_len(out, self.fields.len() as u32);
        for (own, its) in &self.fields {
            write_uint(out, u64::from(*own));
            write_uint(out, u64::from(*its));
        }
    }
}

fn read_fields(reader: &mut Reader<'_>) -> Option<Vec<u32>> {
    let count = reader.read_array_len().ok()?;
    let field = |_| u32::try_from(reader.read_uint().ok()?).ok();
    (0..count).map(field).collect()
}
