//! Spans of time.

use vestibule_wire::keys::EXT_INTERVAL;
use vestibule_wire::msgpack::{Reader, write_int};

use super::extension::{Extension, as_extension};

/// What becomes of a month's last day when months are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Adjust {
    /// Days that the new month lacks go into the next one.
    Excess,
    /// The last day of the new month is the most.
    #[default]
    Limit,
    /// A last day stays a last day.
    Snap,
}

/// A span of time, by the units that it was told in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[allow(missing_docs, reason = "the names are the units")]
pub struct Interval {
    pub years: i32,
    pub months: i32,
    pub weeks: i32,
    pub days: i64,
    pub hours: i64,
    pub minutes: i64,
    pub seconds: i64,
    pub nanoseconds: i32,
    /// What becomes of a month's last day.
    pub adjust: Adjust,
}

const ADJUST: u8 = 8;

impl Extension for Interval {
    const KIND: i8 = EXT_INTERVAL;
    const NAME: &'static str = "an interval";

    fn pack(&self) -> Vec<u8> {
        let fields = [
            i64::from(self.years),
            self.months.into(),
            self.weeks.into(),
            self.days,
            self.hours,
            self.minutes,
            self.seconds,
            self.nanoseconds.into(),
            self.adjust as i64,
        ];
        let told = fields.iter().zip(0u8..).filter(|(value, _)| **value != 0);
        let mut payload = vec![told.clone().count() as u8];
        for (value, field) in told {
            payload.push(field);
            write_int(&mut payload, *value);
        }
        payload
    }

    fn unpack(payload: &[u8]) -> Option<Self> {
        let (count, mut rest) = payload.split_first()?;
        let mut span = Self {
            // What is not told is zero.
            adjust: Adjust::Excess,
            ..Self::default()
        };
        for _ in 0..*count {
            let (field, after) = rest.split_first()?;
            let mut reader = Reader::new(after);
            let value = i64::try_from(reader.read_integer().ok()?.to_i128()).ok()?;
            let narrow = || i32::try_from(value).ok();
            match *field {
                0 => span.years = narrow()?,
                1 => span.months = narrow()?,
                2 => span.weeks = narrow()?,
                3 => span.days = value,
                4 => span.hours = value,
                5 => span.minutes = value,
                6 => span.seconds = value,
                7 => span.nanoseconds = narrow()?,
                ADJUST => {
                    span.adjust = match value {
                        0 => Adjust::Excess,
                        1 => Adjust::Limit,
                        2 => Adjust::Snap,
                        _ => return None,
                    };
                }
                _ => return None,
            }
            rest = reader.rest();
        }
        rest.is_empty().then_some(span)
    }
}

as_extension!(Interval);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_that_are_zero_are_left_out() {
        let span = Interval {
            months: -1,
            seconds: 200,
            ..Interval::default()
        };
        assert_eq!(span.pack(), [3, 1, 0xff, 6, 0xcc, 200, 8, 1]);
        assert_eq!(Interval::unpack(&[1, 9, 1]), None);
        assert_eq!(Interval::unpack(&[0, 0]), None);
        assert_eq!(Interval::unpack(&[1, 8, 3]), None);
    }

    proptest! {
        #[test]
        fn every_interval_is_read_back(
            years: i32,
            days: i64,
            seconds: i64,
            nanoseconds: i32,
            adjust in prop::sample::select(vec![Adjust::Excess, Adjust::Limit, Adjust::Snap]),
        ) {
            let rest = Interval::default();
            let span = Interval { years, days, seconds, nanoseconds, adjust, ..rest };
            let bytes = rmp_serde::to_vec(&span).unwrap();
            prop_assert_eq!(rmp_serde::from_slice::<Interval>(&bytes).unwrap(), span);
        }

        #[test]
        fn no_payload_makes_it_panic(payload in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Interval::unpack(&payload);
        }
    }
}
