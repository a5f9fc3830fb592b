//! Operations that are each cheap are cheap together: the steps of a request grow with what it
//! carries and with the tuple, and not with their product.

use super::*;
use crate::query::update::steps;
use vestibule_wire::msgpack::write_map_len;

const OPERATIONS: usize = UPDATE_OPERATIONS_MAX as usize;
const ENTRIES: usize = 50_000;

/// A tuple of a number and one value.
fn tuple(value: &[u8]) -> Vec<u8> {
    [&[0x92, 1], value].concat()
}

/// The request's operations, each of which `write` writes behind its head.
fn operations(mut write: impl FnMut(usize, &mut Vec<u8>)) -> Vec<u8> {
    let mut ops = Vec::new();
    write_array_len(&mut ops, OPERATIONS as u32);
    (0..OPERATIONS).for_each(|at| write(at, &mut ops));
    ops
}

fn operation(out: &mut Vec<u8>, symbol: &str, path: &str, argument: i64) {
    write_array_len(out, 3);
    write_str(out, symbol);
    write_str(out, path);
    write_integer(out, Integer::from_i128(argument.into()).unwrap());
}

#[test]
fn thousands_of_operations_on_a_large_map_walk_over_it_a_few_times() {
    let mut map = Vec::new();
    write_map_len(&mut map, ENTRIES as u32);
    for at in 0..ENTRIES {
        write_str(&mut map, &format!("k{at}"));
        map.push(0);
    }
    let tuple = tuple(&map);
    // The last keys, in turn changed and removed, and new ones.
    let ops = operations(|at, out| {
        let key = format!("[2].k{}", ENTRIES - 1 - at / 3);
        match at % 3 {
            0 => operation(out, "+", &key, 1),
            1 => operation(out, "#", &key, 1),
            _ => operation(out, "=", &format!("[2].n{at}"), 1),
        }
    });
    let mut new = Vec::new();
    let taken = steps::of(|| {
        new = apply(&tuple, &ops, 1, &names, Mode::Update).unwrap();
    });
    let most = 3 * (ENTRIES + OPERATIONS) as u64;
    assert!(taken > ENTRIES as u64 && taken < most, "{taken} steps");
    let mut reader = Reader::new(&new[2..]);
    // As many keys are new as are gone.
    assert_eq!(reader.read_map_len(), Ok(ENTRIES as u32));
}

#[test]
fn thousands_of_operations_on_a_long_tuple_do_not_walk_over_all_that_is_changed() {
    let mut fields = Vec::new();
    write_array_len(&mut fields, ENTRIES as u32);
    fields.extend(vec![0; ENTRIES]);
    // Every other field from the end on, so that each makes a run of its own, and all stand before
    // those that are changed already.
    let ops = operations(|at, out| {
        write_array_len(out, 3);
        write_str(out, if at % 2 == 0 { "=" } else { "!" });
        I((ENTRIES - 2 * at - 2) as i128).write(out);
        I(1).write(out);
    });
    let mut new = Vec::new();
    let taken = steps::of(|| {
        new = apply(&fields, &ops, 0, &names, Mode::Update).unwrap();
    });
    assert!(taken < 600 * OPERATIONS as u64, "{taken} steps");
    let added = OPERATIONS / 2;
    assert_eq!(
        Reader::new(&new).read_array_len(),
        Ok((ENTRIES + added) as u32)
    );
    assert_eq!(new.iter().filter(|byte| **byte == 1).count(), OPERATIONS);
}

#[test]
fn thousands_of_splices_do_not_walk_over_all_pieces() {
    let mut text = vec![0x91];
    write_str(&mut text, &"x".repeat(ENTRIES));
    let ops = operations(|at, out| {
        op([
            S(":"),
            I(0),
            I((ENTRIES - 3 * at - 2) as i128),
            I(1),
            S("y"),
        ])
        .write(out);
    });
    let mut new = Vec::new();
    let taken = steps::of(|| {
        new = apply(&text, &ops, 0, &names, Mode::Update).unwrap();
    });
    assert!(taken < 600 * OPERATIONS as u64, "{taken} steps");
    assert_eq!(new.iter().filter(|byte| **byte == b'y').count(), OPERATIONS);
}

#[test]
fn paths_lead_through_a_bounded_number_of_bytes() {
    // Each level has the next one in its middle, and the last one has all the rest.
    let nested = |levels: usize, size: usize| {
        let mut value = Vec::new();
        (0..levels).for_each(|_| value.extend_from_slice(&[0x93, 0]));
        value.extend_from_slice(&[0xdd]);
        value.extend_from_slice(&(size as u32).to_be_bytes());
        value.extend(vec![0; size + levels]);
        tuple(&value)
    };
    let run = |levels: usize, size: usize| {
        let path = format!("[2]{}[1]", "[2]".repeat(levels));
        let mut ops = vec![0x91];
        operation(&mut ops, "=", &path, 7);
        apply(&nested(levels, size), &ops, 1, &names, Mode::Update)
    };
    assert!(run(10, 1 << 20).is_ok());
    assert!(run(100, 1 << 16).is_ok());
    assert!(run(3, 8 << 20).is_ok(), "a larger tuple may be walked over");
    let told = run(20, 1 << 20).unwrap_err();
    assert_eq!(told.code(), ErrorCode::UPDATE_FIELD);
    let text = "UPDATE error: the paths lead through too much data";
    assert!(told.message().ends_with(text), "{told}");
}
