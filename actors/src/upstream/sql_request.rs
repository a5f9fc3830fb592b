//! What EXECUTE and PREPARE do with prepared statements, by their bodies, and the same bodies for
//! another link. Pure.
//!
//! | request | by text | by number |
//! |---|---|---|
//! | PREPARE | prepares it | unprepares it |
//! | EXECUTE | has nothing to do with them | executes one |

use vestibule_wire::keys::{self, RequestType};
use vestibule_wire::msgpack::{Reader, write_map_len, write_str_bytes, write_uint};

use super::session_request::each;

const EXECUTE: u16 = RequestType::Execute as u16;
const PREPARE: u16 = RequestType::Prepare as u16;

/// What a request does with prepared statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatementStep {
    /// Nothing, as far as can be seen here.
    Nothing,
    Prepare,
    /// Executes what its client knows by this number.
    Execute(u32),
    /// Unprepares it.
    Unprepare(u32),
    /// Unprepares what nobody holds any more: one of ours, by the upstream's number.
    Release(u32),
}

impl StatementStep {
    /// What a request of this type with this body does.
    #[inline]
    pub(crate) fn of(code: u16, body: &[u8]) -> Self {
        match code {
            EXECUTE | PREPARE => Self::of_sql(code, body),
            _ => Self::Nothing,
        }
    }

    fn of_sql(code: u16, body: &[u8]) -> Self {
        let (mut has_text, mut id) = (false, None);
        let is_whole = each(body, |key, reader| match key {
            keys::SQL_TEXT => has_text = true,
            keys::STMT_ID => id = reader.read_uint().ok(),
            _ => {}
        });
        // What is wrong with the others the upstream says.
        let id = id.and_then(|id| u32::try_from(id).ok());
        match (id, code) {
            _ if is_whole.is_none() => Self::Nothing,
            (None, PREPARE) if has_text => Self::Prepare,
            (Some(id), PREPARE) if !has_text => Self::Unprepare(id),
            (Some(id), EXECUTE) if !has_text => Self::Execute(id),
            _ => Self::Nothing,
        }
    }
}

/// The text in the body of a PREPARE.
pub(crate) fn text_of(body: &[u8]) -> Option<&[u8]> {
    let mut text = None;
    each(body, |key, reader| {
        if key == keys::SQL_TEXT {
            text = reader.read_str_bytes().ok();
        }
    })?;
    text
}

/// The number in the reply to a PREPARE, of which only the beginning may be there.
pub(crate) fn prepared_id(reply: &[u8]) -> Option<u32> {
    let mut reader = Reader::new(reply);
    for _ in 0..reader.read_map_len().ok()? {
        if reader.read_uint().ok()? == keys::STMT_ID {
            return u32::try_from(reader.read_uint().ok()?).ok();
        }
        reader.skip().ok()?;
    }
    None
}

/// The body of a PREPARE.
pub(crate) fn prepare(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 16);
    write_map_len(&mut out, 1);
    write_uint(&mut out, keys::SQL_TEXT);
    write_str_bytes(&mut out, text);
    out
}

/// The body of one that unprepares.
pub(crate) fn unprepare(id: u32) -> Vec<u8> {
    let mut out = Vec::new();
    write_map_len(&mut out, 1);
    write_uint(&mut out, keys::STMT_ID);
    write_uint(&mut out, u64::from(id));
    out
}

/// The body of an EXECUTE by number, by this number.
pub(crate) fn with_id(body: &[u8], id: u32) -> Vec<u8> {
    with(body, |out| {
        write_uint(out, keys::STMT_ID);
        write_uint(out, u64::from(id));
    })
}

/// The same by this text.
pub(crate) fn with_text(body: &[u8], text: &[u8]) -> Vec<u8> {
    with(body, |out| {
        write_uint(out, keys::SQL_TEXT);
        write_str_bytes(out, text);
    })
}

/// A body with this in place of the number; all else is the same, byte for byte.
fn with(body: &[u8], write: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 64);
    let copy = |out: &mut Vec<u8>| {
        let mut reader = Reader::new(body);
        let count = reader.read_map_len().ok()?;
        write_map_len(out, count);
        for _ in 0..count {
            let key = reader.read_uint().ok()?;
            let value = reader.skip().ok()?;
            if key == keys::STMT_ID {
                write(out);
            } else {
                write_uint(out, key);
                out.extend_from_slice(value);
            }
        }
        Some(())
    };
    // It was read before.
    let is_whole = copy(&mut out).is_some();
    debug_assert!(is_whole, "a body that cannot be read has no number");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const BIND: &[u8] = &[0x41, 0x92, 1, 0xa1, b'x'];

    #[test]
    fn what_a_request_does_is_told_by_its_type_and_by_what_it_names() {
        let of = |code: u16, body: &[u8]| StatementStep::of(code, body);
        let by_id = &[0x81, 0x43, 7][..];
        assert_eq!(of(PREPARE, by_id), StatementStep::Unprepare(7));
        assert_eq!(of(EXECUTE, by_id), StatementStep::Execute(7));
        assert_eq!(of(PREPARE, &prepare(b"x")), StatementStep::Prepare);
        assert_eq!(of(EXECUTE, &prepare(b"x")), StatementStep::Nothing);
        assert_eq!(of(RequestType::Eval as u16, by_id), StatementStep::Nothing);
        for body in [
            &[0x82, 0x43, 7, 0x40, 0xa1, b'x'][..],
            &[0x81, 0x43, 0xcf, 1, 0, 0, 0, 0, 0, 0, 0],
            &[0x81, 0x43, 0xa1, b'x'],
            &[0x82, 0x43, 7],
            &[0x80],
            &[],
        ] {
            assert_eq!(of(EXECUTE, body), StatementStep::Nothing, "{body:?}");
        }
    }

    #[test]
    fn another_name_changes_nothing_else() {
        let body = [&[0x82], BIND, &[0x43, 0xcc, 0xff]].concat();
        assert_eq!(with_id(&body, 5), [&[0x82], BIND, &[0x43, 5]].concat());
        let by_text = [&[0x82], BIND, &[0x40, 0xa1, b'x']].concat();
        assert_eq!(with_text(&body, b"x"), by_text);
    }

    #[test]
    fn the_number_is_found_in_the_beginning_of_a_reply() {
        let reply = [0x84, 0x43, 0xce, 0, 0, 1, 0, 0x34, 0, 0x33];
        assert_eq!(prepared_id(&reply), Some(256));
        assert_eq!(prepared_id(&[0x80]), None, "that of one that unprepares");
        assert_eq!(prepared_id(&reply[..4]), None);
        assert_eq!(text_of(&prepare(b"SELECT 1")), Some(&b"SELECT 1"[..]));
        assert_eq!(
            StatementStep::of(PREPARE, &unprepare(7)),
            StatementStep::Unprepare(7)
        );
    }
}
