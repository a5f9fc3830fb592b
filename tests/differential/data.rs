//! Requests on data: tuples, keys, iterators and update operations, right and wrong.

use vestibule_wire::keys::{self, RequestType};
use vestibule_wire::msgpack::{write_array_len, write_int, write_map_len, write_str, write_uint};

use crate::generator::{FIELDS, Known};
use crate::request::{KnownIndex, Request};
use crate::rng::Rng;
use crate::values::{self, KINDS, Range};

/// Names of iterators, as calls take them; the last is none.
const ITERATORS: [&str; 9] = ["EQ", "REQ", "ALL", "LT", "LE", "GE", "GT", "ge", "FOO"];

fn on(space: &Known, kind: RequestType) -> Request {
    Request::new(kind)
        .about(space.id)
        .uint(keys::SPACE_ID, u64::from(space.id))
}

fn array(items: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    write_array_len(&mut out, items.len() as u32);
    items.iter().for_each(|item| out.extend_from_slice(item));
    out
}

fn value(rng: &mut Rng, kind: &str, range: Range) -> Vec<u8> {
    let mut out = Vec::new();
    values::write(rng, kind, range, &mut out);
    out
}

fn tuple(rng: &mut Rng, space: &Known, range: Range) -> Vec<u8> {
    let size = match rng.below(20) {
        0 => 0,
        1 | 2 => rng.below(FIELDS),
        3 => FIELDS + 1 + rng.below(3),
        _ => FIELDS,
    };
    let kind = |at: usize| space.kinds.get(at).copied().unwrap_or("any");
    let fields: Vec<_> = (0..size).map(|at| value(rng, kind(at), range)).collect();
    array(&fields)
}

fn key(rng: &mut Rng, index: Option<&KnownIndex>, range: Range) -> Vec<u8> {
    let parts = index.map_or(&[][..], |index| &index.parts);
    let size = match rng.below(20) {
        0 => parts.len() + 1,
        1..=3 => rng.below(parts.len() + 1),
        _ => parts.len(),
    };
    let kind = |at: usize| parts.get(at).map_or("unsigned", |(_, kind)| kind);
    let items: Vec<_> = (0..size).map(|at| value(rng, kind(at), range)).collect();
    array(&items)
}

/// One of the space's indexes, mostly the primary one, or rarely one that is not there.
fn index(rng: &mut Rng, space: &Known) -> (u32, Option<KnownIndex>) {
    if rng.percent(3) {
        return (rng.of(&[7, 130, 1000]), None);
    }
    let primary = space.indexes.iter().find(|index| index.id == 0);
    let found = match primary {
        Some(primary) if rng.percent(50) => primary.clone(),
        _ if space.indexes.is_empty() => return (0, None),
        _ => rng.of(&space.indexes),
    };
    (found.id, Some(found))
}

pub(crate) fn store(rng: &mut Rng, space: &mut Known, kind: RequestType) -> Request {
    on(space, kind).raw(keys::TUPLE, tuple(rng, space, Range::All))
}

pub(crate) fn select(rng: &mut Rng, space: &mut Known) -> Request {
    let (id, index) = index(rng, space);
    let iterator = match rng.below(20) {
        0 => 7 + rng.below(5) as u64,
        // From 14 on, there are none.
        1 => rng.of(&[14, 255, 1000]),
        _ => rng.below(7) as u64,
    };
    let key = key(rng, index.as_ref(), Range::All);
    let is_hash = space.is_unsettled || index.is_some_and(|index| index.is_hash);
    let mut request = on(space, RequestType::Select)
        .of_hash(is_hash)
        .uint(keys::INDEX_ID, u64::from(id))
        .uint(keys::LIMIT, rng.of(&[0, 1, 2, 5, 100, u64::from(u32::MAX)]))
        .uint(keys::ITERATOR, iterator)
        .raw(keys::KEY, key);
    if rng.percent(30) {
        request = request.uint(keys::OFFSET, rng.of(&[0, 1, 2, 5, u64::from(u32::MAX)]));
    }
    request
}

pub(crate) fn delete(rng: &mut Rng, space: &mut Known) -> Request {
    let (id, index) = index(rng, space);
    on(space, RequestType::Delete)
        .uint(keys::INDEX_ID, u64::from(id))
        .raw(keys::KEY, key(rng, index.as_ref(), Range::All))
}

pub(crate) fn update(rng: &mut Rng, space: &mut Known) -> Request {
    let (id, index) = index(rng, space);
    let base = rng.below(2);
    let mut request = on(space, RequestType::Update)
        .uint(keys::INDEX_ID, u64::from(id))
        .raw(keys::KEY, key(rng, index.as_ref(), Range::All))
        .raw(keys::TUPLE, operations(rng, space, base, Range::All));
    if base == 1 || rng.percent(20) {
        request = request.uint(keys::INDEX_BASE, base as u64);
    }
    request
}

/// Everything in a space, to see what an UPSERT did, which it does not tell.
pub(crate) fn probe(space: u32, is_hash: bool) -> Request {
    Request::new(RequestType::Select)
        .about(space)
        .uint(keys::SPACE_ID, u64::from(space))
        .uint(keys::LIMIT, u64::from(u32::MAX))
        .uint(keys::ITERATOR, 2)
        .raw(keys::KEY, vec![0x90])
        .of_hash(is_hash)
        .probing()
}

pub(crate) fn upsert(rng: &mut Rng, space: &mut Known) -> Request {
    let base = rng.below(2);
    on(space, RequestType::Upsert)
        .raw(keys::TUPLE, tuple(rng, space, Range::All))
        .raw(keys::OPS, apart(rng, space, base, Range::All))
        .uint(keys::INDEX_BASE, base as u64)
}

fn operations(rng: &mut Rng, space: &Known, base: usize, range: Range) -> Vec<u8> {
    let count = rng.weighed(&[(1, 0), (12, 1), (5, 2), (2, 3)]);
    let items: Vec<_> = (0..count)
        .map(|_| operation(rng, space, base, range))
        .collect();
    array(&items)
}

fn operation(rng: &mut Rng, space: &Known, base: usize, range: Range) -> Vec<u8> {
    if rng.percent(2) {
        return broken_operation(rng);
    }
    let symbol = rng.weighed(&[
        (8, "="),
        (4, "!"),
        (3, "#"),
        (5, "+"),
        (5, "-"),
        (2, "&"),
        (2, "|"),
        (2, "^"),
        (4, ":"),
    ]);
    let number = rng.below(FIELDS);
    let kind = space.kinds[number];
    let mut items = vec![string(symbol), field(rng, space, number, base)];
    match symbol {
        "=" | "!" => items.push(value(rng, kind, range)),
        "#" => {
            // Tarantool takes the lower 32 bits.
            let mut out = Vec::new();
            write_uint(&mut out, rng.of(&[0, 1, 1, 2, 5, u64::from(u32::MAX)]));
            items.push(if rng.percent(90) { out } else { string("x") });
        }
        "+" | "-" if range == Range::Lua => items.push(argument(rng, &["unsigned"], range)),
        "+" | "-" => items.push(argument(rng, &["integer", "double", "decimal"], range)),
        "&" | "|" | "^" => items.push(argument(rng, &["unsigned"], range)),
        _ => {
            for _ in 0..2 {
                let mut out = Vec::new();
                write_int(&mut out, rng.of(&[0, 1, 2, 5, 100, -1, -2, -9]));
                items.push(out);
            }
            items.push(argument(rng, &["string"], range));
        }
    }
    array(&items)
}

fn argument(rng: &mut Rng, kinds: &[&str], range: Range) -> Vec<u8> {
    let kind = rng.of(kinds);
    let mut out = Vec::new();
    values::write_argument(rng, kind, range, &mut out);
    out
}

/// A field by number, by negative number, or by name.
fn field(rng: &mut Rng, space: &Known, number: usize, base: usize) -> Vec<u8> {
    let mut out = Vec::new();
    match rng.below(20) {
        0 => write_int(&mut out, -(rng.below(8) as i64)),
        1 => write_uint(&mut out, rng.of(&[0, 5, 6, 7, 100])),
        2 => write_str(&mut out, "nothing"),
        3 => write_int(&mut out, i64::from(i32::MIN)),
        4..=7 if !space.names.is_empty() => write_str(&mut out, &rng.of(&space.names)),
        _ => write_uint(&mut out, (number + base) as u64),
    }
    out
}

/// Operations of an UPSERT, each on a field of its own: what 2.6 makes of two on one field cannot
/// be told from the reply.
fn apart(rng: &mut Rng, space: &Known, base: usize, range: Range) -> Vec<u8> {
    if rng.percent(60) {
        return array(&[operation(rng, space, base, range)]);
    }
    let mut items = Vec::new();
    for number in 0..FIELDS {
        if !rng.percent(40) {
            continue;
        }
        let mut field = Vec::new();
        write_uint(&mut field, (number + base) as u64);
        items.push(if rng.percent(70) {
            array(&[string("="), field, value(rng, space.kinds[number], range)])
        } else {
            array(&[string("+"), field, argument(rng, &["unsigned"], range)])
        });
    }
    array(&items)
}

fn broken_operation(rng: &mut Rng) -> Vec<u8> {
    let number = vec![1];
    let whole = [string("="), number.clone(), number.clone()];
    match rng.below(9) {
        0 => array(&[]),
        1 => number,
        2 => array(&[number.clone(), number.clone(), number]),
        3 => array(&whole[..2]),
        4 => array(&[&whole[..], &whole[..]].concat()),
        5 => array(&[string("?"), number.clone(), number]),
        6 => array(&[string("=="), number.clone(), number]),
        7 => array(&[string(""), number.clone(), number]),
        _ => array(&[string("="), vec![0xc3], number]),
    }
}

fn string(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write_str(&mut out, text);
    out
}

/// Data by CALL. Numbers are such that Lua gives back as it got them.
pub(crate) fn call(rng: &mut Rng, space: &mut Known) -> Request {
    let (_, index) = index(rng, space);
    let range = Range::Lua;
    let is_hash = space.may_be_hash();
    let key = key(rng, index.as_ref(), range);
    let tuple = tuple(rng, space, range);
    let ops = operations(rng, space, 1, range);
    let upsert_ops = apart(rng, space, 1, range);
    let name = &space.name;
    let mut is_walk = false;
    let (method, args) = match rng.below(12) {
        0 => ("insert", vec![tuple]),
        1 => ("replace", vec![tuple]),
        2 => ("update", vec![key, ops]),
        3 => ("upsert", vec![tuple, upsert_ops]),
        4 => ("delete", vec![key]),
        5 => ("get", vec![key]),
        6 => {
            is_walk = is_hash;
            ("select", vec![key])
        }
        7 => {
            is_walk = is_hash;
            ("select", vec![key, options(rng)])
        }
        8 => ("count", vec![key]),
        9 => ("len", vec![]),
        10 => (
            rng.of(&["insert", "update", "get", "upsert", "delete"]),
            vec![],
        ),
        _ => {
            let method = rng.of(&["min", "max", "count", "get", "delete"]);
            let index = index.map_or_else(|| "nothing".to_owned(), |index| index.name);
            let call = Request::call(
                &format!("box.space.{name}.index.{index}:{method}"),
                array(&[key]),
            );
            return call.about(space.id);
        }
    };
    Request::call(&format!("box.space.{name}:{method}"), array(&args))
        .about(space.id)
        .of_hash(is_walk)
}

fn options(rng: &mut Rng) -> Vec<u8> {
    let mut out = Vec::new();
    write_map_len(&mut out, 2);
    write_str(&mut out, "iterator");
    write_str(&mut out, rng.of(&ITERATORS));
    write_str(&mut out, "limit");
    write_uint(&mut out, rng.of(&[0, 1, 3, 100]));
    out
}

/// The types that an index part over a field of this kind may have.
pub(crate) fn part_kind(rng: &mut Rng, kind: &'static str) -> &'static str {
    if rng.percent(4) {
        return rng.of(&KINDS);
    }
    match kind {
        "any" | "array" | "map" => rng.of(&["unsigned", "string", "scalar"]),
        kind if rng.percent(10) && kind != "any" => "scalar",
        kind => kind,
    }
}
