//! Finds or creates the space of the measurement, and fills it.

use std::io::{IsTerminal, stderr};

use vestibule_wire::ErrorCode;
use vestibule_wire::msgpack::{
    Reader, write_array_len, write_bool, write_map_len, write_str, write_uint,
};

use crate::client::BlockingClient;
use crate::error::BenchError;
use crate::requests::{self, KeyedTemplate, select};

const VSPACE: u32 = 281;
const VSPACE_NAME: u32 = 2;
const VINDEX: u32 = 289;
/// Small enough for the answers to fit into the buffers of the socket, so that writing a whole
/// batch before reading cannot lock up.
const PRELOAD_BATCH: u32 = 250;

/// The number of the space with this name, with a primary index, created when missing.
pub(crate) fn find_or_create(client: &mut BlockingClient, name: &str) -> Result<u32, BenchError> {
    find_or_create_as(client, name, false)
}

/// The same of a space whose rows no journal has.
pub(crate) fn find_or_create_temporary(
    client: &mut BlockingClient,
    name: &str,
) -> Result<u32, BenchError> {
    find_or_create_as(client, name, true)
}

fn find_or_create_as(
    client: &mut BlockingClient,
    name: &str,
    is_temporary: bool,
) -> Result<u32, BenchError> {
    let mut refused = None;
    if find(client, name)?.is_none() {
        refused = create_space(client, name, is_temporary).err();
    }
    let Some(space) = find(client, name)? else {
        return Err(refused.unwrap_or_else(|| {
            BenchError::Protocol(format!("space '{name}' was created and does not exist"))
        }));
    };
    if !has_index(client, space, 0)? {
        let refused = create_index(client, name, "primary", 1, true).err();
        if !has_index(client, space, 0)? {
            return Err(refused.unwrap_or_else(|| {
                BenchError::Protocol(format!("space '{name}' still has no primary index"))
            }));
        }
    }
    Ok(space)
}

/// The same with a second, non-unique index over the second field.
pub(crate) fn find_or_create_indexed(
    client: &mut BlockingClient,
    name: &str,
) -> Result<u32, BenchError> {
    let space = find_or_create(client, name)?;
    if !has_index(client, space, 1)? {
        create_index(client, name, "second", 2, false)?;
    }
    Ok(space)
}

/// Writes every key once, in order.
pub(crate) fn preload(
    client: &mut BlockingClient,
    space: u32,
    keys: u32,
) -> Result<(), BenchError> {
    let template = KeyedTemplate::replace(space);
    let mut progress = Progress::new(keys);
    let mut batch = Vec::new();
    for first in (0..keys).step_by(PRELOAD_BATCH as usize) {
        let end = keys.min(first.saturating_add(PRELOAD_BATCH));
        batch.clear();
        for key in first..end {
            template.append(&mut batch, key, key);
        }
        client
            .exchange(&batch, (end - first) as usize, "filling the space", |_| ())
            .map_err(explain)?;
        progress.show(end);
    }
    Ok(())
}

fn find(client: &mut BlockingClient, name: &str) -> Result<Option<u32>, BenchError> {
    let mut by_name = Vec::new();
    write_array_len(&mut by_name, 1);
    write_str(&mut by_name, name);
    let doing = format!("looking up the space '{name}'");
    let body = select(VSPACE, VSPACE_NAME, &by_name);
    let rows = client.request(&body, &doing).map_err(explain)?;
    first_field(&rows).map_err(|()| unreadable(&doing))
}

fn has_index(client: &mut BlockingClient, space: u32, index: u32) -> Result<bool, BenchError> {
    let mut key = Vec::new();
    write_array_len(&mut key, 2);
    write_uint(&mut key, u64::from(space));
    write_uint(&mut key, u64::from(index));
    let doing = "looking up an index";
    let body = select(VINDEX, 0, &key);
    let rows = client.request(&body, doing).map_err(explain)?;
    first_field(&rows)
        .map(|found| found.is_some())
        .map_err(|()| unreadable(doing))
}

/// The number at the front of the first row of a select, if there is a row.
fn first_field(rows: &[u8]) -> Result<Option<u32>, ()> {
    let mut reader = Reader::new(rows);
    if reader.read_array_len().map_err(drop)? == 0 {
        return Ok(None);
    }
    reader.read_array_len().map_err(drop)?;
    let number = reader.read_uint().map_err(drop)?;
    u32::try_from(number).map(Some).map_err(|_| ())
}

fn create_space(
    client: &mut BlockingClient,
    name: &str,
    is_temporary: bool,
) -> Result<(), BenchError> {
    let mut arguments = Vec::new();
    write_array_len(&mut arguments, 2);
    write_str(&mut arguments, name);
    write_map_len(&mut arguments, 2);
    write_str(&mut arguments, "if_not_exists");
    write_bool(&mut arguments, true);
    write_str(&mut arguments, "temporary");
    write_bool(&mut arguments, is_temporary);
    call(
        client,
        "box.schema.space.create",
        &arguments,
        &format!("creating the space '{name}'"),
    )
}

/// An index over one field, which is an unsigned number.
fn create_index(
    client: &mut BlockingClient,
    space: &str,
    name: &str,
    field: u64,
    is_unique: bool,
) -> Result<(), BenchError> {
    let mut arguments = Vec::new();
    write_array_len(&mut arguments, 2);
    write_str(&mut arguments, name);
    write_map_len(&mut arguments, 3);
    write_str(&mut arguments, "unique");
    write_bool(&mut arguments, is_unique);
    write_str(&mut arguments, "parts");
    write_array_len(&mut arguments, 1);
    write_array_len(&mut arguments, 2);
    write_uint(&mut arguments, field);
    write_str(&mut arguments, "unsigned");
    write_str(&mut arguments, "if_not_exists");
    write_bool(&mut arguments, true);
    let function = format!("box.space.{space}:create_index");
    call(
        client,
        &function,
        &arguments,
        &format!("creating the index '{name}' of the space '{space}'"),
    )
}

fn call(
    client: &mut BlockingClient,
    function: &str,
    arguments: &[u8],
    doing: &str,
) -> Result<(), BenchError> {
    client
        .request(&requests::call(function, arguments), doing)
        .map(drop)
        .map_err(explain)
}

fn unreadable(doing: &str) -> BenchError {
    BenchError::Protocol(format!("unreadable answer while {doing}"))
}

/// Adds what to do about a lack of rights, the usual reason with a plain Tarantool.
pub(crate) fn explain(error: BenchError) -> BenchError {
    match error {
        BenchError::Refused {
            doing,
            code: code @ (ErrorCode::ACCESS_DENIED | ErrorCode::NO_SUCH_PROC),
            text,
        } => {
            let text = format!(
                "{text}. The user needs the right to create, write and read: on Tarantool run \
                 box.schema.user.grant('guest', 'super') once, or create the space with an \
                 unsigned primary index, or give --user and --password-file"
            );
            BenchError::Refused { doing, code, text }
        }
        other => other,
    }
}

/// Progress on a terminal; scripts are spared.
struct Progress {
    total: u32,
    shown: bool,
    percent: u64,
}

impl Progress {
    fn new(total: u32) -> Self {
        Progress {
            total,
            shown: stderr().is_terminal(),
            percent: 0,
        }
    }

    fn show(&mut self, done: u32) {
        let percent = u64::from(done) * 100 / u64::from(self.total);
        if self.shown && percent != self.percent {
            self.percent = percent;
            let end = if done == self.total { "\n" } else { "" };
            eprint!("\rfilling the space: {done} of {} rows{end}", self.total);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply;
    use crate::reply::tests::reply;

    fn first(frame: &[u8]) -> Result<Option<u32>, ()> {
        let reply = reply::read(frame).unwrap().unwrap();
        first_field(reply.data().unwrap_or_default())
    }

    #[test]
    fn the_first_field_of_a_select() {
        let row = [0x81, 0x30, 0xdd, 0, 0, 0, 1, 0x92, 0xcd, 2, 0, 0xa0];
        assert_eq!(first(&reply(0, 1, false, &row)), Ok(Some(512)));
        let none = [0x81, 0x30, 0xdd, 0, 0, 0, 0];
        assert_eq!(first(&reply(0, 1, true, &none)), Ok(None));
        assert_eq!(first(&reply(0, 1, true, &[0x80])), Err(()));
    }

    #[test]
    fn only_a_lack_of_rights_is_explained() {
        let refused = |code| BenchError::Refused {
            doing: "calling".to_owned(),
            code,
            text: "no".to_owned(),
        };
        assert!(
            explain(refused(ErrorCode::ACCESS_DENIED))
                .to_string()
                .contains("box.schema.user.grant")
        );
        assert!(
            !explain(refused(ErrorCode::TUPLE_FOUND))
                .to_string()
                .contains("box.schema.user.grant")
        );
    }
}
