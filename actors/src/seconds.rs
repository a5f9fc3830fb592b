//! Times that clients give to procedures: one rule for all of them.
//!
//! ```text
//!   a number of any type ─┬ NaN, infinite, negative ──▶ no time: the procedure tells its usage
//!                         ├ 0 … the longest ──────────▶ as it is, fractions included
//!                         └ more ─────────────────────▶ the longest that the procedure takes
//! ```
//!
//! Clients write "practically for ever" as some huge number; each procedure has its own longest
//! time, so that no request waits without an end.

use std::time::Duration;

use vestibule_wire::msgpack::{Kind, Reader};

/// The time that a number of seconds stands for, `longest` at most; `None` for a number that is no
/// time.
#[must_use]
pub fn from_seconds(seconds: f64, longest: Duration) -> Option<Duration> {
    let is_time = seconds.is_finite() && seconds >= 0.0;
    is_time.then(|| Duration::from_secs_f64(seconds.min(longest.as_secs_f64())))
}

/// Reads a time in seconds, of any number type, `longest` at most; `None` for anything else.
#[must_use]
pub(crate) fn read_seconds(reader: &mut Reader<'_>, longest: Duration) -> Option<Duration> {
    let seconds = match reader.peek() {
        Ok(Kind::Float | Kind::Double) => reader.read_f64().ok()?,
        _ => reader.read_uint().ok()? as f64,
    };
    from_seconds(seconds, longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(100);

    #[test]
    fn a_time_is_finite_and_not_negative_and_not_longer_than_the_longest() {
        let time = |seconds| from_seconds(seconds, LONGEST);
        assert_eq!(time(0.0), Some(Duration::ZERO));
        assert_eq!(time(-0.0), Some(Duration::ZERO));
        assert_eq!(time(0.25), Some(Duration::from_millis(250)));
        assert_eq!(time(100.0), Some(LONGEST));
        for more in [100.5, 1e9, 1e300, f64::MAX] {
            assert_eq!(time(more), Some(LONGEST), "{more}");
        }
        for none in [-0.5, f64::NEG_INFINITY, f64::INFINITY, f64::NAN] {
            assert_eq!(time(none), None, "{none}");
        }
    }

    #[test]
    fn seconds_are_read_from_any_number_and_from_nothing_else() {
        let read = |bytes: &[u8]| read_seconds(&mut Reader::new(bytes), LONGEST);
        assert_eq!(read(&[7]), Some(Duration::from_secs(7)));
        assert_eq!(read(&[0xcd, 0x01, 0x00]), Some(LONGEST));
        let half = [&[0xca][..], &0.5f32.to_be_bytes()].concat();
        assert_eq!(read(&half), Some(Duration::from_millis(500)));
        let half = [&[0xcb][..], &0.5f64.to_be_bytes()].concat();
        assert_eq!(read(&half), Some(Duration::from_millis(500)));
        for other in [
            &[0xff][..],
            &[0xc0],
            &[0xc3],
            &[0xa1, b'7'],
            &[0x91, 7],
            &[],
        ] {
            assert_eq!(read(other), None, "{other:?}");
        }
    }
}
