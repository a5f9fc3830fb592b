//! What reading and writing must agree on.

pub(super) use base64::engine::general_purpose::STANDARD as BASE64;
use vestibule_wire::keys::EXT_DATETIME;
use vestibule_wire::msgpack::write_ext;

/// Version of the dumps that are written, and the last one that is read.
pub(crate) const DUMP_VERSION: u32 = 1;

/// Containers within each other that are written readably. Each takes up to three levels of JSON,
/// of which the parser allows 128.
pub(super) const DEPTH_MAX: usize = 32;

/// Appends the MessagePack of a datetime: the second half of its payload is left out if it is zero.
pub(super) fn write_datetime(out: &mut Vec<u8>, (seconds, nanoseconds, offset, zone): Datetime) {
    let mut payload = seconds.to_le_bytes().to_vec();
    if (nanoseconds, offset, zone) != (0, 0, 0) {
        payload.extend_from_slice(&nanoseconds.to_le_bytes());
        payload.extend_from_slice(&offset.to_le_bytes());
        payload.extend_from_slice(&zone.to_le_bytes());
    }
    write_ext(out, EXT_DATETIME, &payload);
}

/// Seconds since 1970, nanoseconds, minutes east of UTC, number of the time zone.
pub(super) type Datetime = (i64, i32, i16, i16);

/// The float of 32 bits; of all that are not a number, always the same one.
pub(super) fn narrow(value: f64) -> f32 {
    if value.is_nan() {
        f32::NAN
    } else {
        value as f32
    }
}
