//! MessagePack as JSON and back, to the same bytes.
//!
//! | MessagePack | JSON |
//! |---|---|
//! | nil, boolean, integer, array | the same; integers of 64 bits are written in full |
//! | float 64 | a number with a point or an exponent: `1.0`, `1e300`, `-0.0` |
//! | string | a string |
//! | map with strings as keys | an object, in the same order |
//! | float 64 that is not finite | `{"$f64": "inf"}`, `"-inf"`, `"nan"` |
//! | float 32 | `{"$f32": 0.5}`, or a text as above |
//! | binary | `{"$bin": "<base64>"}` |
//! | string that is not UTF-8 | `{"$str": "<base64>"}` |
//! | UUID, datetime | `{"$uuid": "…-…"}`, `{"$datetime": [seconds, nanoseconds, offset, zone]}` |
//! | any other extension | `{"$ext": [type, "<base64>"]}` |
//! | map with other keys, with a key twice, or with a first key that begins with `$` | `{"$map": [[key, value], …]}` |
//! | what has another form than the shortest, or is nested deeper than 32 levels | `{"$msgpack": "<base64>"}` |
//!
//! An object whose first key begins with `$` is always one of these; base64 is the standard one, with
//! padding. The last row makes the encoding total: whatever else cannot be told apart in JSON keeps its
//! bytes.

mod read;
mod write;

#[cfg(test)]
pub(super) mod tests;

pub(crate) use read::Packed;
pub(crate) use write::{write_text, write_value};

use base64::engine::general_purpose::STANDARD as BASE64;

/// Containers within each other that are written readably. Each takes up to three levels of JSON, of
/// which the parser allows 128.
const DEPTH_MAX: usize = 32;

const EXT_UUID: i8 = 2;
const EXT_DATETIME: i8 = 4;

/// Appends the MessagePack of a datetime: the second half of its payload is left out if it is zero.
fn write_datetime(out: &mut Vec<u8>, (seconds, nanoseconds, offset, zone): Datetime) {
    let mut payload = seconds.to_le_bytes().to_vec();
    if (nanoseconds, offset, zone) != (0, 0, 0) {
        payload.extend_from_slice(&nanoseconds.to_le_bytes());
        payload.extend_from_slice(&offset.to_le_bytes());
        payload.extend_from_slice(&zone.to_le_bytes());
    }
    vestibule_wire::msgpack::write_ext(out, EXT_DATETIME, &payload);
}

/// Seconds since 1970, nanoseconds, minutes east of UTC, number of the time zone.
type Datetime = (i64, i32, i16, i16);

/// The float of 32 bits; of all that are not a number, always the same one.
fn narrow(value: f64) -> f32 {
    if value.is_nan() {
        f32::NAN
    } else {
        value as f32
    }
}
