//! Spaces with indexes inside of fields and over arrays, asked at random.
//!
//! Kept apart from the other stream: Tarantool 2.6 crashes where a path may be null in one index
//! and not in another, or is taken back while others need it, so that nothing here is altered.

use vestibule_wire::keys::{self, RequestType};
use vestibule_wire::msgpack::{
    write_array_len, write_bool, write_map_len, write_nil, write_str, write_uint,
};

use crate::definitions::{INDEX, SPACE};
use crate::request::Request;
use crate::rng::Rng;
use crate::run::{Verdict, judge};
use crate::servers::Servers;

/// Spaces of a run.
const SPACES: u32 = 60;
/// Requests on the data of a space.
const LIFE: usize = 120;
/// Requests that are on their way at a time.
const BATCH: usize = 32;
/// Numbers in documents and keys are below this one, so that many are equal.
const NUMBERS: usize = 5;
const TEXTS: [&str; 4] = ["", "a", "ab", "b"];

/// Field, path in its spellings, type.
type Choice = (u64, &'static [&'static str], &'static str);

const INSIDE: [Choice; 5] = [
    (1, &["a", ".a", "[\"a\"]"], "unsigned"),
    (1, &["b.c", "b['c']"], "string"),
    (1, &["b.d[1]"], "unsigned"),
    (1, &["b.d[2]", "[\"b\"].d[2]"], "scalar"),
    (1, &["a.x"], "string"),
];
const ELEMENTS: [Choice; 3] = [
    (2, &["[*].k", "[*]['k']"], "unsigned"),
    (2, &["[*].s"], "string"),
    (2, &["[*]"], "unsigned"),
];
const ODD: [&str; 6] = ["a..b", "[0]", "[*].a[*]", "a[", "a b", "."];

/// An index that is asked for.
struct Wanted {
    id: u64,
    parts: Vec<&'static str>,
}

/// How a run went.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) compared: usize,
    /// How often the reference refused.
    pub(crate) refused: usize,
    /// What was asked before the answers to a space parted, and these.
    pub(crate) differences: String,
}

/// Asks both servers about some spaces.
pub(crate) fn run(servers: &mut Servers, seed: u64) -> Told {
    let (mut rng, mut told) = (Rng::new(seed), Told::default());
    for space in 1000..1000 + SPACES {
        let requests = stream(&mut rng, space);
        let mut at = 0;
        'space: for batch in requests.chunks(BATCH) {
            for (request, pair) in batch.iter().zip(servers.ask(batch).pairs) {
                at += 1;
                told.compared += 1;
                told.refused += usize::from(pair.reference.is_error());
                match judge(request, &pair) {
                    Verdict::Different => {}
                    // From here on, the two have different data.
                    Verdict::Accepted(own) if own.can_part && pair.are_apart() => break 'space,
                    Verdict::Accepted(_) | Verdict::Same => continue,
                }
                let asked = requests[..at].iter().map(Request::describe);
                let asked: Vec<_> = asked.collect();
                told.differences += &format!(
                    "{}\n    Tarantool: {}\n    vestibule: {}\n\n",
                    asked.join("\n"),
                    pair.reference,
                    pair.ours
                );
                break 'space;
            }
        }
    }
    told
}

/// All requests about one space.
fn stream(rng: &mut Rng, space: u32) -> Vec<Request> {
    let mut out = vec![make_space(space), make_index(rng, space, 0, &[])];
    let mut indexes = Vec::new();
    // Nullable or not is a matter of the path, in all indexes of the space.
    let nullable: Vec<bool> = (0..8).map(|_| rng.percent(50)).collect();
    for id in 1..=2 + rng.below(3) as u64 {
        let mut parts = Vec::new();
        for _ in 0..1 + rng.below(2) {
            let at = rng.below(nullable.len());
            let choice = INSIDE
                .get(at)
                .unwrap_or_else(|| &ELEMENTS[at - INSIDE.len()]);
            parts.push((*choice, nullable[at]));
        }
        let kinds = parts.iter().map(|((_, _, kind), _)| *kind).collect();
        out.push(make_index(rng, space, id, &parts));
        indexes.push(Wanted { id, parts: kinds });
    }
    for _ in 0..LIFE {
        out.push(ask(rng, space, &indexes));
    }
    out
}

fn make_space(space: u32) -> Request {
    let mut row = Vec::new();
    write_array_len(&mut row, 7);
    write_uint(&mut row, u64::from(space));
    write_uint(&mut row, 0);
    write_str(&mut row, &format!("paths{space}"));
    write_str(&mut row, "memtx");
    write_uint(&mut row, 0);
    write_map_len(&mut row, 0);
    write_array_len(&mut row, 0);
    insert(SPACE, row).about(space)
}

fn insert(space: u64, row: Vec<u8>) -> Request {
    Request::new(RequestType::Insert)
        .uint(keys::SPACE_ID, space)
        .raw(keys::TUPLE, row)
}

fn make_index(rng: &mut Rng, space: u32, id: u64, parts: &[(Choice, bool)]) -> Request {
    let mut row = Vec::new();
    write_array_len(&mut row, 6);
    write_uint(&mut row, u64::from(space));
    write_uint(&mut row, id);
    write_str(&mut row, &format!("i{id}"));
    write_str(&mut row, "tree");
    write_map_len(&mut row, 1);
    write_str(&mut row, "unique");
    write_bool(&mut row, id == 0 || rng.percent(40));
    if parts.is_empty() {
        row.extend([0x91, 0x92, 0x00]);
        write_str(&mut row, "unsigned");
        return insert(INDEX, row).about(space);
    }
    write_array_len(&mut row, parts.len() as u32);
    for ((field, paths, kind), is_nullable) in parts {
        let path = if rng.percent(4) {
            rng.of(&ODD)
        } else {
            rng.of(paths)
        };
        write_map_len(&mut row, 3 + u32::from(*is_nullable));
        write_str(&mut row, "field");
        write_uint(&mut row, *field);
        write_str(&mut row, "type");
        write_str(&mut row, kind);
        if *is_nullable {
            write_str(&mut row, "is_nullable");
            write_bool(&mut row, true);
        }
        write_str(&mut row, "path");
        write_str(&mut row, path);
    }
    insert(INDEX, row).about(space)
}

fn ask(rng: &mut Rng, space: u32, indexes: &[Wanted]) -> Request {
    let about = |kind| {
        Request::new(kind)
            .about(space)
            .uint(keys::SPACE_ID, u64::from(space))
    };
    match rng.below(10) {
        0..4 => {
            let kind = rng.of(&[
                RequestType::Insert,
                RequestType::Replace,
                RequestType::Replace,
            ]);
            about(kind).raw(keys::TUPLE, tuple(rng))
        }
        4 => {
            let mut key = vec![0x91];
            write_uint(&mut key, rng.below(8) as u64);
            about(RequestType::Delete)
                .uint(keys::INDEX_ID, 0)
                .raw(keys::KEY, key)
        }
        5 => {
            let (mut key, mut ops) = (vec![0x91], vec![0x91, 0x93]);
            write_uint(&mut key, rng.below(8) as u64);
            write_str(&mut ops, "=");
            let field = 1 + rng.below(2);
            write_uint(&mut ops, field as u64);
            document(rng, field, &mut ops);
            let update = about(RequestType::Update).uint(keys::INDEX_ID, 0);
            update.raw(keys::KEY, key).raw(keys::TUPLE, ops)
        }
        6 => {
            let own = &indexes[rng.below(indexes.len())];
            let delete = about(RequestType::Delete).uint(keys::INDEX_ID, own.id);
            delete.raw(keys::KEY, key(rng, own, own.parts.len()))
        }
        _ => {
            let own = &indexes[rng.below(indexes.len())];
            let parts = rng.below(own.parts.len() + 1);
            let select = about(RequestType::Select).uint(keys::INDEX_ID, own.id);
            let select = select.uint(keys::ITERATOR, rng.below(7) as u64);
            let limit = rng.of(&[1, 3, 100]);
            select
                .uint(keys::LIMIT, limit)
                .raw(keys::KEY, key(rng, own, parts))
        }
    }
}

fn key(rng: &mut Rng, index: &Wanted, parts: usize) -> Vec<u8> {
    let mut out = Vec::new();
    write_array_len(&mut out, parts as u32);
    for kind in &index.parts[..parts] {
        let kind = if rng.percent(3) { "string" } else { kind };
        if rng.percent(10) {
            write_nil(&mut out);
        } else if kind == "string" {
            write_str(&mut out, rng.of(&TEXTS));
        } else {
            write_uint(&mut out, rng.below(NUMBERS) as u64);
        }
    }
    out
}

fn tuple(rng: &mut Rng) -> Vec<u8> {
    let mut out = Vec::new();
    let fields = rng.weighed(&[(1, 1), (2, 2), (20, 3)]);
    write_array_len(&mut out, fields);
    write_uint(&mut out, rng.below(8) as u64);
    for field in 1..fields as usize {
        document(rng, field, &mut out);
    }
    out
}

/// What stands in a field: mostly what paths lead through, and now and then something else.
fn document(rng: &mut Rng, field: usize, out: &mut Vec<u8>) {
    if rng.percent(4) {
        return leaf(rng, out);
    }
    if field == 1 {
        let names = some_of(rng, &["a", "b", "z"]);
        write_map_len(out, names.len() as u32);
        for name in names {
            write_str(out, name);
            match name {
                "b" if rng.percent(95) => inner(rng, out),
                _ => leaf(rng, out),
            }
        }
        return;
    }
    let count = rng.below(4);
    let are_maps = rng.percent(70);
    write_array_len(out, count as u32);
    for _ in 0..count {
        if !are_maps || rng.percent(3) {
            leaf(rng, out);
            continue;
        }
        let names = some_of(rng, &["k", "s"]);
        write_map_len(out, names.len() as u32);
        for name in names {
            write_str(out, name);
            typed(rng, name == "s", out);
        }
    }
}

fn inner(rng: &mut Rng, out: &mut Vec<u8>) {
    let names = some_of(rng, &["d", "c"]);
    write_map_len(out, names.len() as u32);
    for name in names {
        write_str(out, name);
        if name == "c" || rng.percent(4) {
            typed(rng, true, out);
            continue;
        }
        let count = rng.below(3);
        write_array_len(out, count as u32);
        for _ in 0..count {
            leaf(rng, out);
        }
    }
}

fn some_of(rng: &mut Rng, names: &[&'static str]) -> Vec<&'static str> {
    let names = names.iter().copied();
    names.filter(|_| rng.percent(90)).collect()
}

fn typed(rng: &mut Rng, is_text: bool, out: &mut Vec<u8>) {
    if is_text && rng.percent(95) {
        write_str(out, rng.of(&TEXTS));
    } else {
        leaf(rng, out);
    }
}

/// Mostly a number.
fn leaf(rng: &mut Rng, out: &mut Vec<u8>) {
    match rng.below(30) {
        0 => write_nil(out),
        1 => write_str(out, rng.of(&TEXTS)),
        _ => write_uint(out, rng.below(NUMBERS) as u64),
    }
}
