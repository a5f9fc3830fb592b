//! Operations and their errors, table by table. Results of `+` and `-`, clipping and texts were
//! compared with Tarantool's own.

mod cost;
mod fields;
mod numbers;
mod shape;
mod splices;

use vestibule_wire::msgpack::{
    Integer, write_array_len, write_bin, write_bool, write_ext, write_f64, write_integer,
    write_nil, write_str, write_str_bytes,
};

use super::*;

/// A value to build tuples and operations from.
#[derive(Debug, Clone)]
enum V {
    Nil,
    Bool(bool),
    I(i128),
    F32(f32),
    F64(f64),
    S(&'static str),
    Bytes(&'static [u8]),
    Bin(&'static [u8]),
    /// A decimal: digits with an optional sign, and the scale.
    Dec(&'static str, i8),
    A(Vec<V>),
}

use V::{A, Bin, Bool, Bytes, Dec, F32, F64, I, Nil, S};

impl V {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Nil => write_nil(out),
            Bool(value) => write_bool(out, *value),
            I(value) => write_integer(out, Integer::from_i128(*value).unwrap()),
            F32(value) => {
                out.push(0xca);
                out.extend_from_slice(&value.to_be_bytes());
            }
            F64(value) => write_f64(out, *value),
            S(value) => write_str(out, value),
            Bytes(value) => write_str_bytes(out, value),
            Bin(value) => write_bin(out, value),
            Dec(digits, scale) => write_ext(out, 1, &packed(digits, *scale)),
            A(values) => {
                write_array_len(out, values.len() as u32);
                values.iter().for_each(|value| value.write(out));
            }
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }
}

fn packed(digits: &str, scale: i8) -> Vec<u8> {
    let unsigned = digits.trim_start_matches('-');
    let sign = if unsigned == digits { "c" } else { "d" };
    let nibbles = format!(
        "{}{unsigned}{sign}",
        if unsigned.len().is_multiple_of(2) {
            "0"
        } else {
            ""
        }
    );
    let mut payload = Vec::new();
    I(scale.into()).write(&mut payload);
    let pairs = nibbles
        .as_bytes()
        .chunks(2)
        .map(|pair| str::from_utf8(pair).unwrap());
    payload.extend(pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()));
    payload
}

const NAMES: &[&str] = &["id", "name", "score"];

fn names(name: &str) -> Option<u32> {
    NAMES
        .iter()
        .position(|known| *known == name)
        .map(|at| at as u32)
}

fn run(mode: Mode, base: u64, tuple: &[V], ops: Vec<V>) -> Result<Vec<u8>, Error> {
    apply(
        &A(tuple.to_vec()).bytes(),
        &A(ops).bytes(),
        base,
        &names,
        mode,
    )
}

fn op<const N: usize>(parts: [V; N]) -> V {
    A(parts.to_vec())
}

#[track_caller]
fn gives(tuple: &[V], ops: Vec<V>, expected: &[V]) {
    let result = run(Mode::Update, 0, tuple, ops.clone());
    assert_eq!(
        result.as_deref(),
        Ok(A(expected.to_vec()).bytes().as_slice()),
        "{ops:?}"
    );
}

#[track_caller]
fn fails(tuple: &[V], ops: Vec<V>, code: u16, text: &str) {
    let error = run(Mode::Update, 1, tuple, ops).unwrap_err();
    assert_eq!((error.code().0, error.message()), (code, text));
}
