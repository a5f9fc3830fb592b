//! What clients do to the server, and what must come of it.
//!
//! One connection sends everything, so requests are executed one after the other: after a crash the
//! data must be what some first part of the requests makes of it, with every acknowledged one in
//! it.

use std::collections::BTreeMap;

use fastrand::Rng;
use vestibule_actors::testing::RequestBuilder;
use vestibule_actors::wire::keys::{self, RequestType};
use vestibule_actors::wire::msgpack::{write_array_len, write_map_len, write_str, write_uint};

/// Rows of a space are written here one by one.
pub(crate) const ROWS: &str = "rows";
/// Rows of this one come in groups of [`GROUP`] with one value, a transaction each.
pub(crate) const GROUPS: &str = "groups";
/// Rows with one value.
pub(crate) const GROUP: u64 = 4;

const KEYS: u64 = 300;

/// A space.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Space {
    /// Values by key.
    pub(crate) rows: BTreeMap<u64, u64>,
    /// Whether there is a primary index.
    pub(crate) has_primary: bool,
    /// Whether there is an index by the value.
    pub(crate) has_secondary: bool,
}

/// Everything, by the names of spaces.
pub(crate) type State = BTreeMap<String, Space>;

/// What one request, or one transaction, does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    Replace(String, u64, u64),
    Delete(String, u64),
    /// [`GROUP`] rows from a key on get a value, in a transaction.
    Group(u64, u64),
    Create(String),
    CreatePrimary(String),
    CreateSecondary(String),
    DropSecondary(String),
    Truncate(String),
    Drop(String),
}

impl Operation {
    /// Picks what is possible in a state. `number` makes values and names unique.
    pub(crate) fn pick(random: &mut Rng, state: &State, number: u64) -> Self {
        if !state.contains_key(ROWS) {
            return Self::Create(ROWS.to_owned());
        }
        if !state.contains_key(GROUPS) {
            return Self::Create(GROUPS.to_owned());
        }
        if let Some((name, _)) = state.iter().find(|(_, space)| !space.has_primary) {
            return Self::CreatePrimary(name.clone());
        }
        let names: Vec<&String> = state.keys().filter(|name| *name != GROUPS).collect();
        let name = names[random.usize(..names.len())].clone();
        let key = random.u64(..KEYS);
        match random.u64(..100) {
            0..=64 => Self::Replace(name, key, number),
            65..=79 => Self::Delete(name, key),
            80..=91 => Self::Group(key / GROUP * GROUP, number),
            92 if names.len() < 6 => Self::Create(format!("space{number}")),
            93..=94 if state[&name].has_secondary => Self::DropSecondary(name),
            93..=94 => Self::CreateSecondary(name),
            95 => Self::Truncate(name),
            96 if name != ROWS => Self::Drop(name),
            _ => Self::Replace(name, key, number),
        }
    }

    /// The requests. The last one's reply acknowledges them all.
    pub(crate) fn requests(&self, sync: u64) -> Vec<RequestBuilder> {
        let call = |method: &str, space: &str, args: &[u8]| {
            RequestBuilder::call(sync, &format!("box.space.{space}:{method}"), args)
        };
        let one = match self {
            Self::Replace(space, key, value) => replace(sync, space, *key, *value),
            Self::Delete(space, key) => RequestBuilder::new(RequestType::Delete, sync)
                .text(keys::SPACE_NAME, space)
                .pair(keys::KEY, &numbers(&[*key])),
            Self::Group(from, value) => {
                let plain = |kind| RequestBuilder::new(kind, sync).stream(1);
                let rows =
                    (*from..from + GROUP).map(|key| replace(sync, GROUPS, key, *value).stream(1));
                let mut all = vec![plain(RequestType::Begin)];
                all.extend(rows);
                all.push(plain(RequestType::Commit));
                return all;
            }
            Self::Create(space) => {
                let mut args = vec![0x91];
                write_str(&mut args, space);
                RequestBuilder::call(sync, "box.schema.space.create", &args)
            }
            Self::CreatePrimary(space) => call("create_index", space, b"\x91\xa1p"),
            Self::CreateSecondary(space) => {
                let mut args = vec![0x92];
                write_str(&mut args, "s");
                write_map_len(&mut args, 2);
                write_str(&mut args, "unique");
                args.push(0xc2);
                write_str(&mut args, "parts");
                write_array_len(&mut args, 1);
                write_array_len(&mut args, 2);
                write_uint(&mut args, 2);
                write_str(&mut args, "unsigned");
                call("create_index", space, &args)
            }
            Self::DropSecondary(space) => {
                RequestBuilder::call(sync, &format!("box.space.{space}.index.s:drop"), &[0x90])
            }
            Self::Truncate(space) => call("truncate", space, &[0x90]),
            Self::Drop(space) => call("drop", space, &[0x90]),
        };
        vec![one]
    }

    /// What it makes of a state.
    pub(crate) fn apply(&self, state: &mut State) {
        match self {
            Self::Replace(name, key, value) => {
                of(state, name).rows.insert(*key, *value);
            }
            Self::Delete(name, key) => {
                of(state, name).rows.remove(key);
            }
            Self::Group(from, value) => {
                let rows = (*from..from + GROUP).map(|key| (key, *value));
                of(state, GROUPS).rows.extend(rows);
            }
            Self::Create(name) => {
                state.insert(name.clone(), Space::default());
            }
            Self::CreatePrimary(name) => of(state, name).has_primary = true,
            Self::CreateSecondary(name) => of(state, name).has_secondary = true,
            Self::DropSecondary(name) => of(state, name).has_secondary = false,
            Self::Truncate(name) => of(state, name).rows.clear(),
            Self::Drop(name) => {
                state.remove(name);
            }
        }
    }
}

fn of<'s>(state: &'s mut State, name: &str) -> &'s mut Space {
    let space = state.get_mut(name);
    space.expect("only what is possible is picked")
}

fn replace(sync: u64, space: &str, key: u64, value: u64) -> RequestBuilder {
    RequestBuilder::new(RequestType::Replace, sync)
        .text(keys::SPACE_NAME, space)
        .pair(keys::TUPLE, &numbers(&[key, value]))
}

fn numbers(values: &[u64]) -> Vec<u8> {
    rmp_serde::to_vec(values).expect("plain numbers")
}
