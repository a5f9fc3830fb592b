//! The catalog of an upstream, read in pages: whether it is that of another one, and which spaces
//! have rows that replicas have as well.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use vestibule_wire::ErrorCode;
use vestibule_wire::client::{ReplyFrame, RequestHeader};
use vestibule_wire::msgpack::{DecodeError, Kind, Reader, write_array_len, write_uint};
use vestibule_wire::request::{After, Body, IdOrName, IteratorType, Select};

use crate::engine::catalog::{SYSTEM_SPACE_ID_MAX, system};
use crate::limits::{CATALOG_PAGE_ROWS, CATALOG_REFUSED_WAIT};
use crate::upstream::CatalogDigest;

/// The sync of a question for a page.
pub(super) const CATALOG_SYNC: u64 = 4;

/// Engines whose rows are replicated.
const ENGINES: [&str; 2] = ["memtx", "vinyl"];

/// What has come of a catalog.
#[derive(Default)]
struct Reading {
    /// Which of the two spaces is read.
    space: u32,
    /// Behind which key.
    key: [u32; 2],
    hasher: DefaultHasher,
    /// The upstream's number of its catalog, as its first page has told it.
    number: Option<u64>,
    spaces: HashSet<u32>,
}

/// Reads the catalog of an upstream.
#[derive(Default)]
pub(super) struct CatalogReader {
    reading: Option<Reading>,
    /// When it was refused last, since it was read.
    refused: Option<Instant>,
}

/// What a page has brought.
pub(super) enum CatalogPage {
    /// More is asked for.
    More,
    /// The last one has come.
    Done(CatalogDigest),
    /// The catalog has changed meanwhile: it is read from its beginning another time.
    Changed,
    /// The page did not come, for a reason that may be over soon: the same.
    Failed(String),
    /// The upstream does not let it be read, or writes it as nobody does: it is asked again after
    /// a while. `is_new`: the time before it did.
    Refused { why: String, is_new: bool },
}

impl CatalogReader {
    /// Whether it may be begun: it is not under way, and was not refused just now. A refusal may be
    /// taken back, so it does not count for ever.
    pub(super) fn may_begin(&self, now: Instant) -> bool {
        let is_over = |at| now.saturating_duration_since(at) >= CATALOG_REFUSED_WAIT;
        self.reading.is_none() && self.refused.is_none_or(is_over)
    }

    /// Asks for the first page.
    pub(super) fn begin(&mut self, out: &mut Vec<u8>) {
        let own = self.reading.insert(Reading {
            space: system::SPACE,
            key: [SYSTEM_SPACE_ID_MAX, 0],
            ..Reading::default()
        });
        own.ask(out);
    }

    /// A page has come; the next one is asked for, if there is one.
    pub(super) fn take(
        &mut self,
        frame: &ReplyFrame<'_>,
        out: &mut Vec<u8>,
        now: Instant,
    ) -> CatalogPage {
        let Some(mut own) = self.reading.take() else {
            return CatalogPage::Changed;
        };
        if let Some(error) = frame.error() {
            return match error.code() {
                ErrorCode::ACCESS_DENIED => self.refuse(error.to_string(), now),
                _ => CatalogPage::Failed(error.to_string()),
            };
        }
        let Some(number) = frame.schema_version else {
            return self.refuse("it tells no version of its catalog".to_owned(), now);
        };
        if *own.number.get_or_insert(number) != number {
            return CatalogPage::Changed;
        }
        match own.add(frame.data().unwrap_or(&[0x90])) {
            Err(fault) => return self.refuse(fault.to_string(), now),
            Ok(rows) if rows >= CATALOG_PAGE_ROWS => {}
            Ok(_) if own.space == system::SPACE => {
                (own.space, own.key) = (system::INDEX, [SYSTEM_SPACE_ID_MAX, u32::MAX]);
            }
            Ok(_) => {
                self.refused = None;
                return CatalogPage::Done(CatalogDigest {
                    number,
                    hash: own.hasher.finish(),
                    spaces: Arc::new(own.spaces),
                });
            }
        }
        own.ask(out);
        self.reading = Some(own);
        CatalogPage::More
    }

    fn refuse(&mut self, why: String, now: Instant) -> CatalogPage {
        let is_new = self.refused.replace(now).is_none();
        CatalogPage::Refused { why, is_new }
    }
}

impl Reading {
    fn ask(&self, out: &mut Vec<u8>) {
        let parts = if self.space == system::SPACE { 1 } else { 2 };
        let mut key = Vec::new();
        write_array_len(&mut key, parts);
        let parts = self.key.iter().take(parts as usize);
        parts.for_each(|own| write_uint(&mut key, u64::from(*own)));
        let select = Body::Select(Select {
            space: IdOrName::Id(self.space),
            index: IdOrName::Id(0),
            limit: u64::from(CATALOG_PAGE_ROWS),
            offset: 0,
            iterator: IteratorType::Gt as u64,
            key: &key,
            fetch_position: false,
            after: After::Start,
        });
        RequestHeader::with_sync(CATALOG_SYNC).write(out, &select);
    }

    /// Adds the rows of a page; returns how many they are.
    fn add(&mut self, rows: &[u8]) -> Result<u32, DecodeError> {
        let mut reader = Reader::new(rows);
        let count = reader.read_array_len()?;
        for _ in 0..count {
            let row = reader.skip()?;
            row.hash(&mut self.hasher);
            let mut fields = Reader::new(row);
            fields.read_array_len()?;
            let id = fields.read_uint()? as u32;
            let index = match self.space {
                system::SPACE if is_replicated(&mut fields)? => {
                    self.spaces.insert(id);
                    0
                }
                system::SPACE => 0,
                _ => fields.read_uint()? as u32,
            };
            self.key = [id, index];
        }
        Ok(count)
    }
}

/// Whether the rows of a space are replicated, by the rest of its row in `_space`: its owner, name,
/// engine, number of fields, and flags.
fn is_replicated(fields: &mut Reader<'_>) -> Result<bool, DecodeError> {
    fields.skip()?;
    fields.skip()?;
    let engine = fields.read_str()?;
    fields.skip()?;
    Ok(ENGINES.contains(&engine) && !has_flags_of_one_instance(fields)?)
}

/// Whether flags say that the rows of a space are those of one instance alone.
fn has_flags_of_one_instance(fields: &mut Reader<'_>) -> Result<bool, DecodeError> {
    if fields.peek()? != Kind::Map {
        return Ok(false);
    }
    let mut is_of_one = false;
    for _ in 0..fields.read_map_len()? {
        let key = fields.read_str()?;
        let value = fields.skip()?;
        is_of_one |= match key {
            // What is neither false nor a space that is replicated.
            "temporary" => value != [0xc2],
            "group_id" => value != [0x00],
            "type" => value != b"\xa6normal",
            _ => false,
        };
    }
    Ok(is_of_one)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vestibule_wire::Error;
    use vestibule_wire::msgpack::{write_map_len, write_str};
    use vestibule_wire::reply::ReplyHeader;

    use super::*;

    /// A row of `_space`, with one flag.
    fn space(id: u64, engine: &str, flag: Option<(&str, &[u8])>) -> Vec<u8> {
        let mut row = Vec::new();
        write_array_len(&mut row, 7);
        write_uint(&mut row, id);
        write_uint(&mut row, 1);
        write_str(&mut row, "rows");
        write_str(&mut row, engine);
        write_uint(&mut row, 0);
        write_map_len(&mut row, u32::from(flag.is_some()));
        if let Some((key, value)) = flag {
            write_str(&mut row, key);
            row.extend_from_slice(value);
        }
        row.push(0x90);
        row
    }

    fn index(space: u64, id: u64) -> Vec<u8> {
        let mut row = Vec::new();
        write_array_len(&mut row, 2);
        write_uint(&mut row, space);
        write_uint(&mut row, id);
        row
    }

    /// Reads what these pages bring, each with the number of the catalog.
    fn read(pages: &[(u64, &[Vec<u8>])]) -> Vec<CatalogPage> {
        let (mut own, mut out) = (CatalogReader::default(), Vec::new());
        own.begin(&mut out);
        let mut told = Vec::new();
        for (number, rows) in pages {
            let mut body = vec![0x81, 0x30];
            write_array_len(&mut body, rows.len() as u32);
            rows.iter().for_each(|row| body.extend_from_slice(row));
            let header = ReplyHeader {
                sync: CATALOG_SYNC,
                schema_version: *number,
            };
            let mut bytes = Vec::new();
            header.pass_on(&mut bytes, 0, &body);
            let frame = ReplyFrame::read(&bytes, 1 << 20).unwrap().unwrap();
            told.push(own.take(&frame, &mut out, Instant::now()));
        }
        assert_eq!(
            own.reading.is_some(),
            matches!(told.last(), Some(CatalogPage::More))
        );
        told
    }

    fn digest(spaces: &[Vec<u8>], indexes: &[Vec<u8>]) -> CatalogDigest {
        match read(&[(80, spaces), (80, indexes)]).pop() {
            Some(CatalogPage::Done(digest)) => digest,
            _ => panic!("it is the last page"),
        }
    }

    #[test]
    fn spaces_whose_rows_are_those_of_one_instance_are_told_apart() {
        let all = [
            space(512, "memtx", None),
            space(513, "vinyl", Some(("temporary", &[0xc2]))),
            space(514, "memtx", Some(("temporary", &[0xc3]))),
        ];
        let more = [
            space(515, "memtx", Some(("group_id", &[1]))),
            space(516, "memtx", Some(("type", b"\xaedata-temporary"))),
            space(517, "blackhole", None),
        ];
        let mut spaces: Vec<u32> = digest(&all, &[]).spaces.iter().copied().collect();
        spaces.sort_unstable();
        assert_eq!(spaces, [512, 513]);
        assert!(digest(&more, &[]).spaces.is_empty());
    }

    #[test]
    fn after_a_refusal_it_is_asked_again_by_and_by_and_after_any_other_error_at_once() {
        let (mut own, mut out, at) = (CatalogReader::default(), Vec::new(), Instant::now());
        let mut told = |own: &mut CatalogReader, code: ErrorCode, now| {
            own.begin(&mut out);
            let header = ReplyHeader {
                sync: CATALOG_SYNC,
                schema_version: 80,
            };
            let mut bytes = Vec::new();
            header.write_error(&mut bytes, &Error::new(code, "no"));
            let frame = ReplyFrame::read(&bytes, 1 << 20).unwrap().unwrap();
            own.take(&frame, &mut out, now)
        };
        for code in [ErrorCode::LOADING, ErrorCode::PROC] {
            let page = told(&mut own, code, at);
            assert!(matches!(page, CatalogPage::Failed(_)) && own.may_begin(at));
        }
        for (now, expected) in [(at, true), (at + CATALOG_REFUSED_WAIT, false)] {
            let page = told(&mut own, ErrorCode::ACCESS_DENIED, now);
            assert!(matches!(page, CatalogPage::Refused { is_new, .. } if is_new == expected));
            assert!(!own.may_begin(now + CATALOG_REFUSED_WAIT - Duration::from_millis(1)));
            assert!(own.may_begin(now + CATALOG_REFUSED_WAIT));
        }
    }

    #[test]
    fn catalogs_are_the_same_if_all_their_spaces_and_indexes_are() {
        let (spaces, indexes) = ([space(512, "memtx", None)], [index(512, 0)]);
        let own = digest(&spaces, &indexes);
        assert_eq!((own.number, own.hash), (80, digest(&spaces, &indexes).hash));
        let two = [index(512, 0), index(512, 1)];
        assert_ne!(own.hash, digest(&spaces, &two).hash);
        assert_ne!(
            own.hash,
            digest(&[space(513, "memtx", None)], &indexes).hash
        );
    }

    #[test]
    fn a_full_page_has_another_behind_it_and_a_change_between_them_is_seen() {
        let page: Vec<_> = (512..512 + u64::from(CATALOG_PAGE_ROWS))
            .map(|id| space(id, "memtx", None))
            .collect();
        let told = read(&[(80, &page), (80, &[]), (80, &[])]);
        let [
            CatalogPage::More,
            CatalogPage::More,
            CatalogPage::Done(digest),
        ] = &told[..]
        else {
            panic!("two pages of spaces, and one of indexes")
        };
        assert_eq!(digest.spaces.len(), page.len());
        let told = read(&[(80, &page), (81, &[])]);
        assert!(matches!(told[1], CatalogPage::Changed));
    }
}
