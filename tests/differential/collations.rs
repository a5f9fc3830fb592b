//! Texts of many scripts in secondary indexes with every collation: order and equality.
//!
//! The two have tables of different years (Debian's ICU 72: Unicode 15; here: Unicode 18), and what
//! differs is left out of the texts here, with the reason, which docs/differences.md has too:
//!
//! - Marks after a letter in another than their canonical order: ICU leaves them so, here they are
//!   put in order.
//! - Hebrew geresh and gershayim, numerals of the scripts of India and Ethiopia: their weights are
//!   others since.
//! - Han, but for some: strokes and pinyin of some were corrected.

use vestibule_wire::keys::{self, RequestType};
use vestibule_wire::msgpack::{
    Reader, write_array_len, write_bool, write_map_len, write_str, write_str_bytes, write_uint,
};

use crate::definitions::{INDEX, SPACE};
use crate::request::Request;
use crate::run::{Verdict, judge};
use crate::servers::Servers;

const COLLATION: u64 = 276;
/// The space whose texts are put in order; two behind it are looked up.
const OWN: u64 = 2000;
/// Requests that are on their way at a time.
const BATCH: usize = 32;

/// Languages whose collations are refused here, as their order is another one.
pub(crate) const OTHER: [&str; 10] = [
    "haw",
    "kl",
    "lkt",
    "ln",
    "lv",
    "nso",
    "se",
    "tn",
    "zh__big5han",
    "zh__gb2312han",
];

/// Letters: the first and the last of each range.
const LETTERS: [(char, char); 22] = [
    (' ', '~'),
    ('¡', 'ɏ'),
    ('Ά', 'ώ'),
    ('Ѐ', 'ѯ'),
    ('Ա', 'և'),
    ('א', 'ת'),
    ('ء', 'ي'),
    ('अ', 'ह'),
    ('অ', 'হ'),
    ('ਅ', 'ਹ'),
    ('અ', 'હ'),
    ('அ', 'ஹ'),
    ('అ', 'హ'),
    ('ಅ', 'ಹ'),
    ('അ', 'ഹ'),
    ('අ', 'ෆ'),
    ('ก', 'ฮ'),
    ('ა', 'ჰ'),
    ('ሀ', 'ሆ'),
    ('ぁ', 'ヺ'),
    ('가', '갚'),
    ('Ḁ', 'ỹ'),
];

/// What letters alone do not show.
const WORDS: [&str; 104] = [
    "",
    "\0",
    "a\0",
    "\u{200b}",
    "a\u{ad}b",
    "ab",
    "a b",
    "a-b",
    "a.b",
    "A B",
    "co-op",
    "coop",
    "CO-OP",
    "co op",
    "Straße",
    "Strasse",
    "STRASSE",
    "straße",
    "sz",
    "ae",
    "AE",
    "oe",
    "ue",
    "ij",
    "IJ",
    "aa",
    "Aa",
    "AA",
    "ch",
    "Ch",
    "CH",
    "ci",
    "cz",
    "ll",
    "Ll",
    "lm",
    "lz",
    "rr",
    "ss",
    "sch",
    "dz",
    "dž",
    "DŽ",
    "dzs",
    "ddzs",
    "gy",
    "ggy",
    "ly",
    "ny",
    "nny",
    "sz",
    "ty",
    "zs",
    "zzs",
    "lj",
    "nj",
    "ng",
    "gb",
    "kp",
    "th",
    "rh",
    "xh",
    "côte",
    "coté",
    "cote",
    "côté",
    "resume",
    "résumé",
    "Résumé",
    "e\u{301}",
    "E\u{301}",
    "ẹ\u{301}",
    "a\u{30a}",
    "n\u{303}",
    "и\u{306}",
    "е\u{308}",
    "ελληνικά",
    "Ελληνικα",
    "οδος",
    "οδός",
    "ΟΔΟΣ",
    "ёлка",
    "елка",
    "Ёлка",
    "жук",
    "йод",
    "иод",
    "がき",
    "カキ",
    "ｶｷ",
    "ガギ",
    "かき",
    "เก",
    "แก",
    "กา",
    "1",
    "10",
    "2",
    "１",
    "²",
    "½",
    "Ⅳ",
    "IV",
    "🙂",
];

/// Emoji, Han whose place has not changed, and what is no UTF-8.
const OTHERS: [&[u8]; 16] = [
    "😀".as_bytes(),
    "👨\u{200d}👩\u{200d}👧".as_bytes(),
    "👍🏽".as_bytes(),
    "🇩🇪".as_bytes(),
    "一".as_bytes(),
    "丁".as_bytes(),
    "中".as_bytes(),
    "人".as_bytes(),
    "国".as_bytes(),
    "山".as_bytes(),
    b"\xff",
    b"a\xc3",
    b"\xc3a",
    b"\xf0\x90\x80",
    b"\xed\xa0\x80",
    b"\xe2\x82z",
];

/// How a run went.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) compared: usize,
    pub(crate) collations: usize,
    pub(crate) differences: String,
}

/// Asks both servers.
pub(crate) fn run(servers: &mut Servers) -> Told {
    let mut told = Told::default();
    let texts = texts();
    ask(servers, &mut told, &[space(OWN), index(OWN, 0, None, true)]);
    let stored = (1..).zip(&texts).map(|(id, text)| insert(OWN, id, text));
    ask(servers, &mut told, &stored.collect::<Vec<_>>());
    for (number, name) in collations(servers, &mut told) {
        let is_of = |own: &str| name.starts_with(&format!("unicode_{own}_s"));
        if OTHER.iter().any(|own| is_of(own)) {
            continue;
        }
        told.collations += 1;
        let all = [
            index(OWN, 1, Some(number), false),
            select(OWN, 2, None),
            drop_index(OWN, 1),
        ];
        ask(servers, &mut told, &all);
    }
    for (own, collation) in [(OWN + 1, 1), (OWN + 2, 2)] {
        look_up(servers, &mut told, own, collation, &texts);
    }
    told
}

/// What is asked of the indexes of one collation, in a space of their own.
fn look_up(servers: &mut Servers, told: &mut Told, own: u64, collation: u64, texts: &[Vec<u8>]) {
    ask(servers, told, &[index(OWN, 1, Some(collation), false)]);
    let equal = texts.iter().map(|text| select(OWN, 0, Some(text)));
    ask(servers, told, &equal.collect::<Vec<_>>());
    let some = texts.iter().step_by(19);
    let walks = some.flat_map(|text| [1, 3, 4, 5, 6].map(|walk| select(OWN, walk, Some(text))));
    ask(servers, told, &walks.collect::<Vec<_>>());
    let is_unique = true;
    ask(
        servers,
        told,
        &[
            index(OWN, 2, Some(collation), is_unique),
            drop_index(OWN, 1),
        ],
    );
    // Of texts that are not told apart, only the first goes in.
    let made = [
        space(own),
        index(own, 0, None, true),
        index(own, 1, Some(collation), is_unique),
    ];
    ask(servers, told, &made);
    let stored = (1..).zip(texts).map(|(id, text)| insert(own, id, text));
    ask(servers, told, &stored.collect::<Vec<_>>());
    let found = texts.iter().map(|text| select(own, 0, Some(text)));
    ask(servers, told, &found.collect::<Vec<_>>());
    let gone = texts.iter().step_by(7).map(|text| delete(own, text));
    ask(servers, told, &gone.collect::<Vec<_>>());
    ask(servers, told, &[select(own, 2, None)]);
}

fn space(id: u64) -> Request {
    let mut row = Vec::new();
    write_array_len(&mut row, 7);
    write_uint(&mut row, id);
    write_uint(&mut row, 0);
    write_str(&mut row, &format!("collated{id}"));
    write_str(&mut row, "memtx");
    write_uint(&mut row, 0);
    write_map_len(&mut row, 0);
    write_array_len(&mut row, 0);
    put(SPACE, row)
}

/// An index over the text, or over the number if that is the primary one.
fn index(space: u64, id: u64, collation: Option<u64>, is_unique: bool) -> Request {
    let mut row = Vec::new();
    write_array_len(&mut row, 6);
    write_uint(&mut row, space);
    write_uint(&mut row, id);
    write_str(&mut row, &format!("i{id}"));
    write_str(&mut row, "tree");
    write_map_len(&mut row, 1);
    write_str(&mut row, "unique");
    write_bool(&mut row, is_unique);
    write_array_len(&mut row, 1);
    match collation {
        None => {
            write_array_len(&mut row, 2);
            write_uint(&mut row, 0);
            write_str(&mut row, "unsigned");
        }
        Some(collation) => {
            write_map_len(&mut row, 3);
            write_str(&mut row, "field");
            write_uint(&mut row, 1);
            write_str(&mut row, "type");
            write_str(&mut row, "string");
            write_str(&mut row, "collation");
            write_uint(&mut row, collation);
        }
    }
    put(INDEX, row)
}

fn drop_index(space: u64, id: u64) -> Request {
    let mut key = vec![0x92];
    write_uint(&mut key, space);
    write_uint(&mut key, id);
    let delete = about(RequestType::Delete, INDEX).uint(keys::INDEX_ID, 0);
    delete.raw(keys::KEY, key)
}

fn insert(space: u64, id: u64, text: &[u8]) -> Request {
    let mut row = vec![0x92];
    write_uint(&mut row, id);
    write_str_bytes(&mut row, text);
    put(space, row)
}

fn put(space: u64, row: Vec<u8>) -> Request {
    about(RequestType::Insert, space).raw(keys::TUPLE, row)
}

fn select(space: u64, iterator: u64, text: Option<&[u8]>) -> Request {
    let select = about(RequestType::Select, space).uint(keys::INDEX_ID, 1);
    let limit = if iterator == 2 {
        u64::from(u32::MAX)
    } else {
        20
    };
    let select = select
        .uint(keys::ITERATOR, iterator)
        .uint(keys::LIMIT, limit);
    select.raw(keys::KEY, text.map_or_else(|| vec![0x90], key))
}

fn delete(space: u64, text: &[u8]) -> Request {
    let delete = about(RequestType::Delete, space).uint(keys::INDEX_ID, 1);
    delete.raw(keys::KEY, key(text))
}

fn about(kind: RequestType, space: u64) -> Request {
    Request::new(kind).uint(keys::SPACE_ID, space)
}

fn key(text: &[u8]) -> Vec<u8> {
    let mut key = vec![0x91];
    write_str_bytes(&mut key, text);
    key
}

/// Sends requests, and tells where answers differ.
fn ask(servers: &mut Servers, told: &mut Told, requests: &[Request]) {
    // Tarantool does other things while it builds an index.
    let size = if requests.iter().any(Request::is_of_system) {
        1
    } else {
        BATCH
    };
    for batch in requests.chunks(size) {
        for (request, pair) in batch.iter().zip(servers.ask(batch).pairs) {
            told.compared += 1;
            if matches!(judge(request, &pair), Verdict::Different) {
                told.differences += &format!(
                    "{}\n    Tarantool: {}\n    vestibule: {}\n\n",
                    request.describe(),
                    pair.reference,
                    pair.ours
                );
            }
        }
    }
}

/// Numbers and names of the collations, once both have told the same rows.
fn collations(servers: &mut Servers, told: &mut Told) -> Vec<(u64, String)> {
    let all = Request::new(RequestType::Select)
        .uint(keys::SPACE_ID, COLLATION)
        .uint(keys::INDEX_ID, 0)
        .uint(keys::LIMIT, 1000)
        .raw(keys::KEY, vec![0x90]);
    ask(servers, told, std::slice::from_ref(&all));
    let answered = servers.ask(&[all]);
    let rows = answered.pairs[0]
        .ours
        .data
        .clone()
        .expect("the space is there");
    let mut reader = Reader::new(&rows);
    let count = reader.read_array_len().expect("rows");
    let mut row = || {
        let mut row = Reader::new(reader.skip().ok()?);
        row.read_array_len().ok()?;
        Some((row.read_uint().ok()?, row.read_str().ok()?.to_owned()))
    };
    (0..count)
        .map(|_| row().expect("a row has a number and a name"))
        .collect()
}

fn texts() -> Vec<Vec<u8>> {
    let letters = LETTERS.iter().flat_map(|(first, last)| *first..=*last);
    let letters = letters.filter(|own| own.is_alphanumeric() || own.is_ascii());
    let letters = letters.map(|own| own.to_string().into_bytes());
    let words = WORDS.iter().map(|word| word.as_bytes().to_vec());
    let others = OTHERS.iter().map(|text| text.to_vec());
    letters.chain(words).chain(others).collect()
}
