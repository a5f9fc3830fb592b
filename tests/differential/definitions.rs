//! Requests on definitions: by calls, and by writing the system spaces.

use vestibule_wire::keys::{self, RequestType};
use vestibule_wire::msgpack::{
    write_array_len, write_bool, write_map_len, write_nil, write_str, write_uint,
};

use crate::data::part_kind;
use crate::generator::{FIELDS, Known};
use crate::request::{Effect, KnownIndex, Request};
use crate::rng::Rng;
use crate::values::KINDS;

/// `_space`
pub(crate) const SPACE: u64 = 280;
/// `_index`
pub(crate) const INDEX: u64 = 288;
/// `_truncate`
pub(crate) const TRUNCATE: u64 = 330;
/// `_vspace` and `_vindex`
pub(crate) const VIEWS: [u64; 2] = [281, 289];

/// Indexes have numbers below this one.
pub(crate) const INDEX_ID_END: u32 = 5;

/// The owner of what is made by writing: `guest`, as it is of what is made by calls.
const OWNER: u64 = 0;

/// A new space with its primary index and mostly some more.
pub(crate) fn set_up(rng: &mut Rng, space: &Known) -> Vec<Request> {
    let mut known = space.clone();
    let mut made = vec![make_space(rng, &mut known)];
    for id in 0..1 + rng.below(4) as u32 {
        made.push(make_index(rng, &known, id));
    }
    made
}

fn make_space(rng: &mut Rng, space: &mut Known) -> Request {
    let has_format = rng.percent(50);
    let field_count = if rng.percent(10) { FIELDS as u64 } else { 0 };
    let mut out = Vec::new();
    if rng.percent(50) {
        write_array_len(&mut out, 2);
        write_str(&mut out, &space.name);
        write_map_len(&mut out, 2 + u32::from(has_format));
        write_str(&mut out, "id");
        write_uint(&mut out, u64::from(space.id));
        write_str(&mut out, "field_count");
        write_uint(&mut out, field_count);
        if has_format {
            write_str(&mut out, "format");
            space.names = write_format(rng, space, &mut out);
        }
        let call = Request::call("box.schema.space.create", out);
        return call
            .about(space.id)
            .effect(Effect::Format(space.names.clone()));
    }
    let names = write_space_row(rng, space, field_count, has_format, &mut out);
    let insert = Request::new(RequestType::Insert).about(space.id);
    let insert = insert.uint(keys::SPACE_ID, SPACE).raw(keys::TUPLE, out);
    insert.effect(Effect::Format(names))
}

fn write_space_row(
    rng: &mut Rng,
    space: &Known,
    field_count: u64,
    has_format: bool,
    out: &mut Vec<u8>,
) -> Vec<String> {
    write_array_len(out, 7);
    write_uint(out, u64::from(space.id));
    write_uint(out, OWNER);
    write_str(out, &space.name);
    let engine = if rng.percent(2) { "nothing" } else { "memtx" };
    write_str(out, engine);
    write_uint(out, field_count);
    write_map_len(out, 0);
    if has_format {
        write_format(rng, space, out)
    } else {
        write_array_len(out, 0);
        Vec::new()
    }
}

/// Appends a format that mostly suits the fields; returns the names.
fn write_format(rng: &mut Rng, space: &Known, out: &mut Vec<u8>) -> Vec<String> {
    let size = 1 + rng.below(FIELDS);
    write_array_len(out, size as u32);
    let mut names = Vec::new();
    for at in 0..size {
        let kind = match rng.below(50) {
            0 => rng.of(&KINDS),
            1 => "scalar",
            2..=5 => "any",
            6 if rng.percent(10) => "nothing",
            _ => space.kinds[at],
        };
        let name = match rng.below(150) {
            0 => "f0".to_owned(),
            1 => String::new(),
            _ => format!("f{at}"),
        };
        let is_nullable = at >= space.soft || rng.percent(15);
        write_map_len(out, 2 + u32::from(is_nullable));
        write_str(out, "name");
        write_str(out, &name);
        write_str(out, "type");
        write_str(out, kind);
        if is_nullable {
            write_str(out, "is_nullable");
            write_bool(out, true);
        }
        names.push(name);
    }
    names
}

/// What an index is made of, before it is written in one form or the other.
struct Plan {
    name: String,
    kind: &'static str,
    is_unique: bool,
    parts: Vec<(usize, &'static str, bool)>,
}

fn plan(rng: &mut Rng, space: &Known, id: u32) -> Plan {
    let count = rng.weighed(&[(6, 1), (3, 2), (1, 3)]);
    let mut parts: Vec<(usize, &'static str, bool)> = Vec::new();
    for _ in 0..2 * count {
        if parts.len() == count {
            break;
        }
        let field = rng.below(FIELDS);
        let is_taken = parts.iter().any(|(own, ..)| *own == field);
        // A null in a primary key is refused.
        let is_refused = id == 0 && field >= space.soft;
        if (is_taken && !rng.percent(3)) || (is_refused && !rng.percent(5)) {
            continue;
        }
        let is_nullable = field >= space.soft;
        parts.push((field, part_kind(rng, space.kinds[field]), is_nullable));
    }
    if parts.is_empty() {
        // Tarantool 2.6 crashes on an index without parts.
        parts.push((0, part_kind(rng, space.kinds[0]), false));
    }
    let mut kind = rng.weighed(&[(14, "tree"), (6, "hash"), (1, "TREE"), (1, "nothing")]);
    let is_mixed = |kind: &str| matches!(kind, "number" | "scalar");
    match kind {
        // The hash of a decimal is not that of an equal number.
        "hash" if parts.iter().any(|(_, kind, _)| is_mixed(kind)) => kind = "tree",
        // Tarantool looks its name up beyond the end of a table.
        "nothing" => parts.iter_mut().for_each(|part| part.2 = false),
        _ => {}
    }
    Plan {
        name: format!("i{id}"),
        kind,
        is_unique: rng.percent(if id == 0 { 97 } else { 50 }),
        parts,
    }
}

fn make_index(rng: &mut Rng, space: &Known, id: u32) -> Request {
    let plan = plan(rng, space, id);
    let known = KnownIndex {
        id,
        name: plan.name.clone(),
        is_hash: plan.kind == "hash",
        parts: plan
            .parts
            .iter()
            .map(|(field, kind, _)| (*field, *kind))
            .collect(),
    };
    let mut out = Vec::new();
    let request = if rng.percent(50) {
        write_array_len(&mut out, 2);
        write_str(&mut out, &plan.name);
        write_map_len(&mut out, 4);
        write_str(&mut out, "id");
        write_uint(&mut out, u64::from(id));
        write_options(&plan, space, rng.percent(30), &mut out);
        Request::call(&format!("box.space.{}:create_index", space.name), out)
    } else {
        write_array_len(&mut out, 6);
        write_uint(&mut out, u64::from(space.id));
        write_uint(&mut out, u64::from(id));
        write_str(&mut out, &plan.name);
        write_str(&mut out, plan.kind);
        write_map_len(&mut out, 1);
        write_str(&mut out, "unique");
        write_bool(&mut out, plan.is_unique);
        write_row_parts(&plan, &mut out);
        let kind = rng.of(&[RequestType::Insert, RequestType::Replace]);
        Request::new(kind)
            .uint(keys::SPACE_ID, INDEX)
            .raw(keys::TUPLE, out)
    };
    request.about(space.id).effect(Effect::Index(known))
}

/// `type`, `unique` and `parts` as calls take them.
fn write_options(plan: &Plan, space: &Known, by_name: bool, out: &mut Vec<u8>) {
    write_str(out, "type");
    write_str(out, plan.kind);
    write_str(out, "unique");
    write_bool(out, plan.is_unique);
    write_str(out, "parts");
    write_array_len(out, plan.parts.len() as u32);
    for (field, kind, is_nullable) in &plan.parts {
        write_map_len(out, 3);
        write_str(out, "field");
        match space.names.get(*field) {
            Some(name) if by_name => write_str(out, name),
            _ => write_uint(out, *field as u64 + 1),
        }
        write_str(out, "type");
        write_str(out, kind);
        write_str(out, "is_nullable");
        write_bool(out, *is_nullable);
    }
}

/// Parts as they stand in `_index`.
fn write_row_parts(plan: &Plan, out: &mut Vec<u8>) {
    write_array_len(out, plan.parts.len() as u32);
    for (field, kind, is_nullable) in &plan.parts {
        if !is_nullable {
            write_array_len(out, 2);
            write_uint(out, *field as u64);
            write_str(out, kind);
            continue;
        }
        write_map_len(out, 3);
        write_str(out, "field");
        write_uint(out, *field as u64);
        write_str(out, "type");
        write_str(out, kind);
        write_str(out, "is_nullable");
        write_bool(out, true);
    }
}

pub(crate) fn drop_space(space: &Known) -> Request {
    let call = Request::call(&format!("box.space.{}:drop", space.name), vec![0x90]);
    call.about(space.id).effect(Effect::Gone)
}

/// One change of a definition by a call.
pub(crate) fn by_call(rng: &mut Rng, space: &mut Known) -> Request {
    let method = |name: &str, method: &str, args| {
        Request::call(&format!("box.space.{name}:{method}"), args).about(space.id)
    };
    match rng.below(20) {
        0 => drop_space(space),
        1 | 2 => method(&space.name, "truncate", vec![0x90]),
        3 => {
            space.named += 1;
            let name = format!("r{}_{}", space.id, space.named);
            let request = method(&space.name, "rename", texts(&[&name]));
            request.effect(Effect::SpaceName(name))
        }
        4 => method(&space.name, "format", vec![0x90]),
        5..=7 => {
            let mut out = vec![0x91];
            let names = write_format(rng, space, &mut out);
            method(&space.name, "format", out).effect(Effect::Format(names))
        }
        8 => method(&space.name, "nothing", vec![0x90]),
        9 => {
            let args = texts(&[&space.name]);
            Request::call("box.schema.space.create", args).about(space.id)
        }
        10..=12 => {
            let id = rng.below(INDEX_ID_END as usize) as u32;
            make_index(rng, space, id)
        }
        _ => index_by_call(rng, space),
    }
}

fn index_by_call(rng: &mut Rng, space: &mut Known) -> Request {
    let Some(index) = (!space.indexes.is_empty()).then(|| rng.of(&space.indexes)) else {
        return Request::call(
            &format!("box.space.{}.index.none:drop", space.name),
            vec![0x90],
        )
        .about(space.id);
    };
    let path = format!("box.space.{}.index.{}", space.name, index.name);
    let request = match rng.below(4) {
        0 => Request::call(&format!("{path}:drop"), vec![0x90]).effect(Effect::NoIndex(index.id)),
        1 => {
            space.named += 1;
            let name = if rng.percent(20) {
                "i0".to_owned()
            } else {
                format!("n{}", space.named)
            };
            let request = Request::call(&format!("{path}:rename"), texts(&[&name]));
            request.effect(Effect::IndexName(index.id, name))
        }
        _ => {
            let plan = plan(rng, space, index.id);
            let mut out = vec![0x91];
            write_map_len(&mut out, 3);
            write_options(&plan, space, false, &mut out);
            let parts = plan
                .parts
                .iter()
                .map(|(field, kind, _)| (*field, *kind))
                .collect();
            let is_hash = plan.kind == "hash";
            let altered = KnownIndex {
                parts,
                is_hash,
                ..index
            };
            Request::call(&format!("{path}:alter"), out).effect(Effect::Index(altered))
        }
    };
    request.about(space.id)
}

fn texts(values: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    write_array_len(&mut out, values.len() as u32);
    values.iter().for_each(|value| write_str(&mut out, value));
    out
}

/// One change of a definition by writing a system space.
pub(crate) fn by_write(rng: &mut Rng, space: &mut Known) -> Request {
    match rng.below(8) {
        0..=2 => {
            let id = rng.below(INDEX_ID_END as usize) as u32;
            make_index(rng, space, id)
        }
        3 => {
            let id = rng.below(INDEX_ID_END as usize) as u32;
            let key = numbers(&[space.id, id]);
            let delete = Request::new(RequestType::Delete).uint(keys::SPACE_ID, INDEX);
            delete
                .raw(keys::KEY, key)
                .about(space.id)
                .effect(Effect::NoIndex(id))
        }
        4 => {
            // Only a space without indexes goes like this.
            let delete = Request::new(RequestType::Delete).uint(keys::SPACE_ID, SPACE);
            let delete = delete.raw(keys::KEY, numbers(&[space.id]));
            delete.about(space.id).effect(Effect::Gone)
        }
        5 | 6 => {
            let mut out = Vec::new();
            let field_count = if rng.percent(10) {
                rng.below(7) as u64
            } else {
                0
            };
            let names = write_space_row(rng, space, field_count, true, &mut out);
            let replace = Request::new(RequestType::Replace).uint(keys::SPACE_ID, SPACE);
            let replace = replace.raw(keys::TUPLE, out).about(space.id);
            replace.effect(Effect::Format(names))
        }
        _ => {
            let mut ops = vec![0x91, 0x93];
            write_str(&mut ops, "=");
            write_uint(&mut ops, 2);
            match rng.below(5) {
                0 => write_str(&mut ops, ""),
                1 => write_nil(&mut ops),
                _ => write_str(&mut ops, &space.name),
            }
            let update = Request::new(RequestType::Update).uint(keys::SPACE_ID, SPACE);
            let update = update
                .raw(keys::KEY, numbers(&[space.id]))
                .raw(keys::TUPLE, ops);
            update.about(space.id)
        }
    }
}

fn numbers(values: &[u32]) -> Vec<u8> {
    rmp_serde::to_vec(values).expect("plain numbers")
}

/// A look at a definition.
pub(crate) fn look(rng: &mut Rng, space: &mut Known) -> Request {
    let from = rng.of(&[SPACE, INDEX, VIEWS[0], VIEWS[1]]);
    Request::new(RequestType::Select)
        .uint(keys::SPACE_ID, from)
        .uint(keys::LIMIT, 100)
        .raw(keys::KEY, numbers(&[space.id]))
        .about(space.id)
}

/// Whether it asks the catalog.
pub(crate) fn is_look(request: &Request) -> bool {
    request.code == RequestType::Select as u64 && request.is_of_system()
}
