//! Points in time.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vestibule_wire::keys::EXT_DATETIME;

use super::extension::{Extension, as_extension};

const DAY_S: i64 = 24 * 60 * 60;

/// A point in time, and the zone that it is shown in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Datetime {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// Nanoseconds after them, from 0 to 999,999,999; more only in a leap second.
    pub nanoseconds: i32,
    /// Minutes east of UTC, from −720 to 840.
    pub offset_minutes: i16,
    /// Tarantool's number of the zone, 0 for none.
    pub zone: i16,
}

impl Datetime {
    /// A point in time by seconds since 1970, in UTC.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self {
            seconds,
            nanoseconds: 0,
            offset_minutes: 0,
            zone: 0,
        }
    }

    /// The same as a time of the system; `None` if it has none so far away.
    #[must_use]
    pub fn to_system_time(self) -> Option<SystemTime> {
        let seconds = Duration::from_secs(self.seconds.unsigned_abs());
        let whole = match self.seconds {
            0.. => UNIX_EPOCH.checked_add(seconds)?,
            ..0 => UNIX_EPOCH.checked_sub(seconds)?,
        };
        whole.checked_add(Duration::from_nanos(u64::try_from(self.nanoseconds).ok()?))
    }
}

impl From<SystemTime> for Datetime {
    fn from(time: SystemTime) -> Self {
        let (seconds, nanoseconds) = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => (after.as_secs() as i64, after.subsec_nanos()),
            Err(before) => {
                let before = before.duration();
                match before.subsec_nanos() {
                    0 => (-(before.as_secs() as i64), 0),
                    own => (-(before.as_secs() as i64) - 1, 1_000_000_000 - own),
                }
            }
        };
        Self {
            nanoseconds: nanoseconds as i32,
            ..Self::from_seconds(seconds)
        }
    }
}

/// Year, month and day of a day since 1970-01-01, by the Gregorian calendar.
fn date_of(days: i64) -> (i64, u32, u32) {
    // Counted in eras of 400 years that begin on a first of March.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u32, day as u32)
}

impl fmt::Display for Datetime {
    /// By ISO 8601, in its zone: `2026-11-25T23:54:00.5+0100`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = self
            .seconds
            .saturating_add(i64::from(self.offset_minutes) * 60);
        let (year, month, day) = date_of(local.div_euclid(DAY_S));
        let second = local.rem_euclid(DAY_S);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )?;
        if self.nanoseconds > 0 {
            let digits = format!("{:09}", self.nanoseconds);
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        if self.offset_minutes == 0 {
            return f.write_str("Z");
        }
        let sign = if self.offset_minutes < 0 { '-' } else { '+' };
        let offset = self.offset_minutes.unsigned_abs();
        write!(f, "{sign}{:02}{:02}", offset / 60, offset % 60)
    }
}

impl Extension for Datetime {
    const KIND: i8 = EXT_DATETIME;
    const NAME: &'static str = "a datetime";

    fn pack(&self) -> Vec<u8> {
        let mut payload = self.seconds.to_le_bytes().to_vec();
        if (self.nanoseconds, self.offset_minutes, self.zone) != (0, 0, 0) {
            payload.extend(self.nanoseconds.to_le_bytes());
            payload.extend(self.offset_minutes.to_le_bytes());
            payload.extend(self.zone.to_le_bytes());
        }
        payload
    }

    fn unpack(payload: &[u8]) -> Option<Self> {
        let (seconds, rest) = payload.split_first_chunk()?;
        let whole = Self::from_seconds(i64::from_le_bytes(*seconds));
        match *rest {
            [] => Some(whole),
            [a, b, c, d, e, f, g, h] => Some(Self {
                nanoseconds: i32::from_le_bytes([a, b, c, d]),
                offset_minutes: i16::from_le_bytes([e, f]),
                zone: i16::from_le_bytes([g, h]),
                ..whole
            }),
            _ => None,
        }
    }
}

as_extension!(Datetime);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_time_is_shown_in_its_zone() {
        let shown = |seconds, nanoseconds, offset_minutes| {
            let time = Datetime {
                seconds,
                nanoseconds,
                offset_minutes,
                zone: 0,
            };
            time.to_string()
        };
        assert_eq!(shown(0, 0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(
            shown(951_782_400, 500_000_000, 90),
            "2000-02-29T01:30:00.5+0130"
        );
        assert_eq!(shown(-1, 0, -60), "1969-12-31T22:59:59-0100");
        assert_eq!(shown(-62_135_596_800, 0, 0), "0001-01-01T00:00:00Z");
    }

    #[test]
    fn times_of_the_system_are_the_same_points() {
        for (seconds, nanoseconds) in [(0, 0), (1_700_000_000, 7), (-1, 999_999_999), (-5, 0)] {
            let time = Datetime {
                nanoseconds,
                ..Datetime::from_seconds(seconds)
            };
            assert_eq!(Datetime::from(time.to_system_time().unwrap()), time);
        }
    }

    #[test]
    fn a_whole_second_in_utc_takes_eight_bytes() {
        assert_eq!(Datetime::from_seconds(7).pack(), [7, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Datetime::unpack(&[0; 9]), None);
    }

    proptest! {
        #[test]
        fn every_time_is_read_back(
            seconds: i64,
            nanoseconds: i32,
            offset_minutes: i16,
            zone: i16,
        ) {
            let time = Datetime { seconds, nanoseconds, offset_minutes, zone };
            let bytes = rmp_serde::to_vec(&time).unwrap();
            prop_assert_eq!(rmp_serde::from_slice::<Datetime>(&bytes).unwrap(), time);
            let _ = time.to_string();
            let _ = time.to_system_time();
        }
    }
}
