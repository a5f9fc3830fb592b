//! Requests that change what an upstream keeps by session, and what they do. Pure.
//!
//! | | what it does |
//! |---|---|
//! | UPDATE of `_session_settings` | sets something: its client has a link of its own then |
//! | EXECUTE of `SET SESSION …` | the same |
//! | PREPARE of such a text | makes what will set something: the same |
//! | EXECUTE of such a statement by its number | the same |
//!
//! What code does that is called is not seen here.

use vestibule_wire::keys::{self, RequestType};
use vestibule_wire::msgpack::Reader;

const UPDATE: u16 = RequestType::Update as u16;
const EXECUTE: u16 = RequestType::Execute as u16;
const PREPARE: u16 = RequestType::Prepare as u16;

/// The space by which settings of a session are set.
const SETTINGS_ID: u64 = 380;
const SETTINGS_NAME: &[u8] = b"_session_settings";

/// What a request does to its session upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionRequest {
    /// Nothing.
    Nothing,
    /// Something is set that counts for what comes behind it.
    Set,
    /// A statement is prepared that will set something.
    PrepareSet,
    /// A prepared statement is named by its number: it may set something.
    ByNumber,
}

impl SessionRequest {
    /// What a request of this type with this body does.
    #[inline]
    pub(crate) fn of(code: u16, body: &[u8]) -> Self {
        match code {
            UPDATE => Self::of_update(body),
            EXECUTE | PREPARE => Self::of_sql(code, body),
            _ => Self::Nothing,
        }
    }

    /// Whether it sets something, or makes what does.
    pub(crate) fn is_set(self) -> bool {
        matches!(self, Self::Set | Self::PrepareSet)
    }

    fn of_update(body: &[u8]) -> Self {
        let mut is_meant = false;
        let _ = each(body, |key, reader| match key {
            keys::SPACE_ID => is_meant = reader.read_uint().is_ok_and(|id| id == SETTINGS_ID),
            keys::SPACE_NAME => {
                let name = reader.read_str_bytes();
                is_meant = name.is_ok_and(|name| name == SETTINGS_NAME);
            }
            _ => {}
        });
        if is_meant { Self::Set } else { Self::Nothing }
    }

    fn of_sql(code: u16, body: &[u8]) -> Self {
        let (mut is_set, mut is_by_number) = (false, false);
        let _ = each(body, |key, reader| match key {
            keys::SQL_TEXT => is_set = reader.read_str_bytes().is_ok_and(sets),
            keys::STMT_ID => is_by_number = true,
            _ => {}
        });
        match is_set {
            false if is_by_number => Self::ByNumber,
            false => Self::Nothing,
            true if code == PREPARE => Self::PrepareSet,
            true => Self::Set,
        }
    }
}

/// What a request sets, so that those of one name are known: one that is not understood sets what
/// is the same byte for byte.
pub(crate) fn setting_name(code: u16, body: &[u8]) -> Vec<u8> {
    let name = match code {
        UPDATE => name_of_update(body),
        _ => name_of_sql(body),
    };
    let (kind, name) = name.unwrap_or((b'?', body));
    [&[kind], name].concat()
}

/// The key of an UPDATE that does nothing but set a value.
fn name_of_update(body: &[u8]) -> Option<(u8, &[u8])> {
    let (mut key, mut is_plain) = (None, false);
    each(body, |field, reader| match field {
        keys::KEY => key = reader.skip().ok(),
        keys::TUPLE => {
            let one = reader.read_array_len() == Ok(1) && reader.read_array_len() == Ok(3);
            is_plain = one && reader.read_str_bytes() == Ok(b"=");
        }
        _ => {}
    })?;
    key.filter(|_| is_plain).map(|own| (b'u', own))
}

/// The identifier behind SET SESSION, as it is written.
fn name_of_sql(body: &[u8]) -> Option<(u8, &[u8])> {
    let mut text = None;
    each(body, |field, reader| {
        if field == keys::SQL_TEXT {
            text = reader.read_str_bytes().ok();
        }
    })?;
    let text = without_comments(text?);
    let text = without_comments(text.get(3..)?);
    let (session, text) = text.split_at_checked(b"SESSION".len())?;
    if !session.eq_ignore_ascii_case(b"SESSION") {
        return None;
    }
    let text = without_comments(text);
    let end = match text.first()? {
        // Its closing quote belongs to it.
        b'"' => text[1..].iter().position(|own| *own == b'"')? + 2,
        _ => {
            let is_part = |own: &u8| own.is_ascii_alphanumeric() || *own == b'_' || *own >= 0x80;
            text.iter().position(|own| !is_part(own))?
        }
    };
    // A quote within it is written twice.
    let is_whole = end > 0 && text.get(end) != Some(&b'"');
    is_whole.then_some((b's', &text[..end]))
}

/// Shows each value of a map, by its key. What is behind something that is none is not seen.
pub(super) fn each<'a>(body: &'a [u8], mut show: impl FnMut(u64, &mut Reader<'a>)) -> Option<()> {
    let mut reader = Reader::new(body);
    for _ in 0..reader.read_map_len().ok()? {
        let key = reader.read_uint().ok()?;
        let value = reader.skip().ok()?;
        show(key, &mut Reader::new(value));
    }
    Some(())
}

/// Whether a statement is a SET: there is one kind, of the session.
pub(super) fn sets(text: &[u8]) -> bool {
    let word = without_comments(text);
    let is_longer = |own: &u8| own.is_ascii_alphanumeric() || *own == b'_';
    word.len() > 3 && word[..3].eq_ignore_ascii_case(b"SET") && !is_longer(&word[3])
}

/// A statement without the blanks that it begins with: Tarantool skips those of Unicode too.
fn without_blanks(mut text: &[u8]) -> &[u8] {
    loop {
        // No character has more.
        let first = &text[..text.len().min(4)];
        let valid = first.utf8_chunks().next().map_or("", |own| own.valid());
        match valid.chars().next() {
            Some(own) if own.is_whitespace() => text = &text[own.len_utf8()..],
            _ => return text,
        }
    }
}

/// A statement from its first word on.
fn without_comments(mut text: &[u8]) -> &[u8] {
    loop {
        // As Tarantool has it: SQL statements may be empty.
        text = without_blanks(text);
        let end = match text {
            [b'-', b'-', ..] => text.iter().position(|own| *own == b'\n').map(|at| at + 1),
            [b'/', b'*', ..] => {
                let ends = text[2..].windows(2).position(|own| own == b"*/");
                ends.map(|at| at + 4)
            }
            [b';', ..] => Some(1),
            _ => return text,
        };
        text = &text[end.unwrap_or(text.len())..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(code: RequestType, text: &str) -> SessionRequest {
        let mut body = vec![0x82, keys::SQL_BIND as u8, 0x90, keys::SQL_TEXT as u8];
        vestibule_wire::msgpack::write_str(&mut body, text);
        SessionRequest::of(code as u16, &body)
    }

    #[test]
    fn updates_of_the_settings_set_something_by_number_and_by_name() {
        let of = |body: &[u8]| SessionRequest::of(UPDATE, body);
        let ops = [0x21, 0x90];
        let by_id = [&[0x83, 0x10, 0xcd, 1, 0x7c, 0x20, 0x90][..], &ops].concat();
        assert_eq!(of(&by_id), SessionRequest::Set);
        let later = [&[0x83][..], &ops, &[0x10, 0xce, 0, 0, 1, 0x7c, 0x20, 0x90]].concat();
        assert_eq!(of(&later), SessionRequest::Set);
        // The last one counts, as it does upstream.
        let twice = [&[0x83, 0x10, 0xcd, 2, 0][..], &ops, &[0x10, 0xcd, 1, 0x7c]].concat();
        assert_eq!(of(&twice), SessionRequest::Set);
        let mut by_name = vec![0x82, keys::SPACE_NAME as u8];
        vestibule_wire::msgpack::write_str(&mut by_name, "_session_settings");
        by_name.extend(ops);
        assert_eq!(of(&by_name), SessionRequest::Set);
        let other = [&[0x82, 0x10, 0xcd, 2, 0][..], &ops].concat();
        for body in [
            &other[..],
            &[0x82, 0x10, 7, 0x21, 0x90],
            &[],
            &[0xc0],
            &[0x81],
        ] {
            assert_eq!(of(body), SessionRequest::Nothing, "{body:?}");
        }
        let replace = RequestType::Replace as u16;
        assert_eq!(SessionRequest::of(replace, &by_id), SessionRequest::Nothing);
    }

    #[test]
    fn what_is_set_is_known_by_its_name_whatever_the_value_is() {
        let of = |text: &str| {
            let mut body = vec![0x81, keys::SQL_TEXT as u8];
            vestibule_wire::msgpack::write_str(&mut body, text);
            setting_name(EXECUTE, &body)
        };
        let quoted = of("SET SESSION \"a\" = 1");
        assert_eq!(of("-- x\n set /**/ session\n\"a\"=2;"), quoted);
        assert_eq!(of("set session a = 1"), of("SET SESSION a=false"));
        let others = [
            "a = 1",
            "\"b\" = 1",
            "\"a\"\"\" = 1",
            "\"a = 1",
            "",
            "ab = 1",
        ];
        let mut all: Vec<_> = others.map(|own| of(&format!("set session {own}"))).into();
        all.extend([quoted, of("set a = 1"), of("set sess")]);
        all.sort_unstable();
        let count = all.len();
        all.dedup();
        assert_eq!(all.len(), count, "they are told apart");
    }

    #[test]
    fn an_update_is_known_by_its_key_if_it_sets_a_value_and_nothing_else() {
        let update = |key: u8, ops: &[u8]| {
            let body = [
                &[0x83, 0x10, 0xcd, 1, 0x7c, 0x20, 0x91, 0xa1, key, 0x21],
                ops,
            ]
            .concat();
            setting_name(UPDATE, &body)
        };
        let set = |value| [0x91, 0x93, 0xa1, b'=', 1, value];
        assert_eq!(update(b'x', &set(1)), update(b'x', &set(2)));
        assert_ne!(update(b'x', &set(1)), update(b'y', &set(1)));
        let splice = |value| [0x91, 0x93, 0xa1, b':', 1, value];
        assert_ne!(update(b'x', &splice(1)), update(b'x', &splice(2)));
        assert_ne!(update(b'x', &[0x90]), update(b'x', &set(1)));
        assert_ne!(setting_name(UPDATE, &[0xc0]), setting_name(UPDATE, &[]));
    }

    #[test]
    fn a_statement_by_its_number_may_set_something() {
        for code in [EXECUTE, PREPARE] {
            let of = |body: &[u8]| SessionRequest::of(code, body);
            assert_eq!(of(&[0x81, 0x43, 7]), SessionRequest::ByNumber);
            assert_eq!(of(&[0x81, 0x41, 0x90]), SessionRequest::Nothing);
        }
    }

    #[test]
    fn a_statement_that_sets_is_known_behind_blanks_and_comments() {
        let set = [
            "SET SESSION \"sql_full_column_names\" = true",
            " \n set/**/session x = 1",
            "-- a\n/* b */ ; SeT SESSION x = 1",
            "\u{b}SET SESSION x = 1",
            "\u{a0}\u{2028} SET SESSION x = 1",
        ];
        for text in set {
            assert_eq!(
                sql(RequestType::Execute, text),
                SessionRequest::Set,
                "{text}"
            );
            let prepared = sql(RequestType::Prepare, text);
            assert_eq!(prepared, SessionRequest::PrepareSet);
        }
        for text in [
            "",
            "SETS",
            "set",
            "SELECT 1",
            "UPDATE t SET a = 1",
            "-- SET",
            "/* SET x",
        ] {
            assert_eq!(
                sql(RequestType::Execute, text),
                SessionRequest::Nothing,
                "{text}"
            );
            let prepared = sql(RequestType::Prepare, text);
            assert_eq!(prepared, SessionRequest::Nothing);
        }
    }
}
