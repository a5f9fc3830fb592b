//! Encoded keys have the order of their values, and none is the beginning of another.
#![no_main]

use std::cmp::Ordering;

use libfuzzer_sys::fuzz_target;
use vestibule_engine::fuzzing::{compares_as_double, key};
use vestibule_wire::msgpack::{Integer, Kind, Reader};

fuzz_target!(|input: (u8, &[u8], &[u8])| {
    let (kind, left, right) = input;
    let (Some((first, taken)), Some((second, also))) = (key(kind, left), key(kind, right)) else {
        return;
    };
    let order = first.cmp(&second);
    assert_eq!(second.cmp(&first), order.reverse());
    if order != Ordering::Equal {
        assert!(!first.starts_with(&second) && !second.starts_with(&first));
    }
    if let Some(expected) = order_of(kind, &left[..taken], &right[..also]) {
        assert_eq!(order, expected, "{left:?} {right:?}");
    }
});

/// The order of two values of one class, by other means; `None` for those that need more.
fn order_of(kind: u8, left: &[u8], right: &[u8]) -> Option<Ordering> {
    let (mut left, mut right) = (Reader::new(left), Reader::new(right));
    let kinds = (left.peek().ok()?, right.peek().ok()?);
    Some(match kinds {
        (Kind::Uint | Kind::Int, Kind::Uint | Kind::Int) => {
            let pair = (
                wide(left.read_integer().ok()?),
                wide(right.read_integer().ok()?),
            );
            if compares_as_double(kind) {
                return (pair.0 as f64).partial_cmp(&(pair.1 as f64));
            }
            pair.0.cmp(&pair.1)
        }
        (Kind::Double, Kind::Double) => {
            let pair = (left.read_f64().ok()?, right.read_f64().ok()?);
            return pair.0.partial_cmp(&pair.1);
        }
        (Kind::Str, Kind::Str) => left
            .read_str_bytes()
            .ok()?
            .cmp(right.read_str_bytes().ok()?),
        (Kind::Bin, Kind::Bin) => left.read_bin().ok()?.cmp(right.read_bin().ok()?),
        (Kind::Bool, Kind::Bool) => left.read_bool().ok()?.cmp(&right.read_bool().ok()?),
        _ => return None,
    })
}

fn wide(value: Integer) -> i128 {
    match value {
        Integer::Negative(value) => value.into(),
        Integer::Unsigned(value) => value.into(),
    }
}
