//! Moments as text, `2024-02-29T12:30:00.250+0300`.

use std::fmt;

const DAY_S: i64 = 24 * 60 * 60;

/// A moment as MessagePack has it.
///
/// ```text
///   seconds i64 │ nanoseconds i32 │ offset in minutes i16 │ zone i16      (all little-endian)
///               └──────────── not there if all of it is 0 ──────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Datetime {
    seconds: i64,
    nanoseconds: i32,
    offset_minutes: i16,
}

impl Datetime {
    /// Reads the payload of the extension; `None` if it is none. The name of a zone is not known
    /// here: its offset is shown in place of it.
    pub(super) fn unpack(payload: &[u8]) -> Option<Self> {
        let (seconds, rest) = payload.split_first_chunk()?;
        let seconds = i64::from_le_bytes(*seconds);
        let (nanoseconds, offset_minutes) = match rest {
            [] => (0, 0),
            [a, b, c, d, e, f, _, _] => (
                i32::from_le_bytes([*a, *b, *c, *d]),
                i16::from_le_bytes([*e, *f]),
            ),
            _ => return None,
        };
        Some(Self {
            seconds,
            nanoseconds,
            offset_minutes,
        })
    }
}

impl fmt::Display for Datetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = self
            .seconds
            .saturating_add(i64::from(self.offset_minutes) * 60);
        let (year, month, day) = date(local.div_euclid(DAY_S));
        let second = local.rem_euclid(DAY_S);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )?;
        match self.nanoseconds {
            0 => {}
            some if some % 1_000_000 == 0 => write!(f, ".{:03}", some / 1_000_000)?,
            some if some % 1000 == 0 => write!(f, ".{:06}", some / 1000)?,
            some => write!(f, ".{some:09}")?,
        }
        if self.offset_minutes == 0 {
            return f.write_str("Z");
        }
        let sign = if self.offset_minutes < 0 { '-' } else { '+' };
        let offset = self.offset_minutes.unsigned_abs();
        write!(f, "{sign}{:02}{:02}", offset / 60, offset % 60)
    }
}

/// Year, month and day of the Gregorian calendar, from days since 1970: years are counted from
/// March, so that the leap day is their last, in eras of 400 years, which are all of one length.
fn date(days: i64) -> (i64, i64, i64) {
    const ERA_DAYS: i64 = 146_097;
    // From 1 March of the year 0.
    let days = days + 719_468;
    let era = days.div_euclid(ERA_DAYS);
    let of_era = days.rem_euclid(ERA_DAYS);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(seconds: i64, nanoseconds: i32, offset_minutes: i16) -> String {
        let mut payload = seconds.to_le_bytes().to_vec();
        payload.extend(nanoseconds.to_le_bytes());
        payload.extend(offset_minutes.to_le_bytes());
        payload.extend([0; 2]);
        Datetime::unpack(&payload).unwrap().to_string()
    }

    #[test]
    fn moments_look_as_in_tarantool() {
        for (seconds, nanoseconds, offset, text) in [
            (0, 0, 0, "1970-01-01T00:00:00Z"),
            (-1, 0, 0, "1969-12-31T23:59:59Z"),
            (
                1_709_209_800,
                250_000_000,
                180,
                "2024-02-29T15:30:00.250+0300",
            ),
            (1_709_251_199, 1000, -90, "2024-02-29T22:29:59.000001-0130"),
            (951_782_400, 1, 0, "2000-02-29T00:00:00.000000001Z"),
            (4_107_542_400, 0, 0, "2100-03-01T00:00:00Z"),
            (-62_135_596_800, 0, 0, "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(printed(seconds, nanoseconds, offset), text);
        }
        let short = Datetime::unpack(&0_i64.to_le_bytes()).unwrap();
        assert_eq!(short.to_string(), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn no_payload_is_too_far_away_or_too_short() {
        for seconds in [i64::MIN, i64::MAX] {
            assert!(printed(seconds, i32::MIN, i16::MIN).contains('T'));
        }
        assert_eq!(Datetime::unpack(&[0; 7]), None);
        assert_eq!(Datetime::unpack(&[0; 12]), None);
    }
}
