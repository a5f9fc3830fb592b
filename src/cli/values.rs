//! Values of options, read from text.

use std::ops::RangeInclusive;
use std::time::Duration;

use vestibule_actors::limits::INSTANCE_NAME_MAX;

/// Units of sizes, the largest first. Those of a thousand are not there: a `64M` that is not quite
/// 64 MiB helps nobody.
const SIZE_UNITS: [(&str, u64); 4] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
];

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(u64);

impl Size {
    /// The number.
    pub(crate) fn bytes(self) -> u64 {
        self.0
    }

    /// The same of something that is held in memory, of which there is no more than can be counted.
    pub(crate) fn in_memory(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// Rights of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileMode(pub(crate) u32);

/// `0660`, `600`: octal digits, as chmod takes them.
pub(crate) fn file_mode(text: &str) -> Result<FileMode, String> {
    let are_octal = (3..=4).contains(&text.len()) && text.bytes().all(|own| own.is_ascii_digit());
    match u32::from_str_radix(text, 8) {
        Ok(mode) if are_octal && mode <= 0o777 => Ok(FileMode(mode)),
        _ => Err("rights are 3 octal digits (examples: 0600, 0660, 0666)".to_owned()),
    }
}

/// Rights as [`file_mode`] reads them.
pub(crate) fn mode_text(mode: u32) -> String {
    format!("{mode:04o}")
}

/// A name that needs no quotes anywhere.
pub(crate) fn instance_name(text: &str) -> Result<String, String> {
    let fits = |own: char| own.is_ascii_alphanumeric() || "-_.".contains(own);
    if text.is_empty() || text.len() > INSTANCE_NAME_MAX || !text.chars().all(fits) {
        return Err(format!(
            "a name has 1 to {INSTANCE_NAME_MAX} letters, digits, '-', '_' and '.'"
        ));
    }
    Ok(text.to_owned())
}

/// `2.11.0`: major, minor, patch.
pub(crate) fn version(text: &str) -> Result<(u32, u32, u32), String> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    let mut part = || parts.next().flatten();
    let version = (part(), part(), part());
    match version {
        (Some(major), Some(minor), Some(patch)) if parts.next().is_none() => {
            Ok((major, minor, patch))
        }
        _ => Err("a version has three numbers (example: 2.11.0)".to_owned()),
    }
}

/// `1500ms`, `3s`, `2m`; a bare 0.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(text).map_err(|fault| format!("{fault} (examples: 500ms, 3s, 2m, 0)"))
}

/// A time that is not 0.
pub(crate) fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("nothing is answered in no time".to_owned()),
        time => Ok(time),
    }
}

/// A time as [`duration`] reads it, in the largest unit of hours, seconds and milliseconds that it
/// is a whole number of.
pub(crate) fn time_text(time: Duration) -> String {
    let millis = time.as_millis();
    match millis {
        0 => "0".to_owned(),
        _ if millis.is_multiple_of(3_600_000) => format!("{}h", millis / 3_600_000),
        _ if millis.is_multiple_of(1000) => format!("{}s", millis / 1000),
        _ => format!("{millis}ms"),
    }
}

/// `1048576`, `64MiB`, `1 GiB`.
pub(crate) fn size(text: &str) -> Result<Size, String> {
    let digits = text.trim_end_matches(|own: char| !own.is_ascii_digit());
    let unit = text[digits.len()..].trim_start();
    let examples = "(examples: 65536, 64KiB, 512MiB, 4GiB)";
    let factor = match SIZE_UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, factor)) => *factor,
        None if unit.is_empty() => 1,
        None => {
            let names: Vec<_> = SIZE_UNITS.iter().rev().map(|(name, _)| *name).collect();
            return Err(format!(
                "'{unit}' is no unit of sizes: {} {examples}",
                names.join(", ")
            ));
        }
    };
    let count: u64 = digits
        .parse()
        .map_err(|fault| format!("{fault} {examples}"))?;
    count
        .checked_mul(factor)
        .map(Size)
        .ok_or_else(|| format!("more than {} bytes", u64::MAX))
}

/// The same within bounds.
pub(crate) fn size_within(
    bounds: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<Size, String> + Clone + Send + Sync + 'static {
    move |text| {
        let given = size(text)?;
        if bounds.contains(&given.bytes()) {
            return Ok(given);
        }
        let [min, max] = [bounds.start(), bounds.end()].map(|bound| size_text(*bound));
        Err(format!("{text} is not in {min} to {max}"))
    }
}

/// A size as [`size`] reads it, in the largest unit that it is a whole number of.
pub(crate) fn size_text(bytes: u64) -> String {
    let fits = |unit: &&(&str, u64)| bytes > 0 && bytes.is_multiple_of(unit.1);
    match SIZE_UNITS.iter().find(fits) {
        Some((name, factor)) => format!("{}{name}", bytes / factor),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_may_carry_units() {
        for (text, bytes) in [
            ("0", 0),
            ("1023", 1023),
            ("64KiB", 1 << 16),
            ("1 MiB", 1 << 20),
            ("16777215TiB", 16_777_215 << 40),
        ] {
            assert_eq!(size(text), Ok(Size(bytes)), "{text}");
        }
        for refused in [
            "",
            "MiB",
            "-1",
            "+-1",
            "1.5GiB",
            "64M",
            "64mib",
            "1MiB1",
            "16777216TiB",
            "1 Mi B",
        ] {
            assert!(size(refused).is_err(), "{refused}");
        }
        let told = "'MB' is no unit of sizes: KiB, MiB, GiB, TiB (examples: 65536, 64KiB, 512MiB, \
                    4GiB)";
        assert_eq!(size("64MB"), Err(told.to_owned()));
        let within = size_within(1024..=1 << 20);
        assert_eq!(within("1MiB"), Ok(Size(1 << 20)));
        assert_eq!(within("1"), Err("1 is not in 1KiB to 1MiB".to_owned()));
    }

    #[test]
    fn rights_are_octal_and_written_as_they_are_read() {
        for text in ["0000", "0600", "0660", "0777"] {
            let mode = file_mode(text);
            assert_eq!(mode.map(|own| mode_text(own.0)).as_deref(), Ok(text));
        }
        assert_eq!(file_mode("660"), Ok(FileMode(0o660)));
        for refused in ["", "66", "0o660", "+660", "1777", "0680", "rw-rw----"] {
            assert!(file_mode(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn names_of_instances_need_no_quotes() {
        for fits in ["a", "orders-1", "Orders_2.eu", &"x".repeat(63)] {
            assert_eq!(instance_name(fits).as_deref(), Ok(fits));
        }
        for refused in ["", "a b", "a\"", "ä", "a\n", &"x".repeat(64)] {
            assert!(instance_name(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_size_is_written_as_it_is_read() {
        for text in [
            "0", "1", "1023", "1KiB", "1025", "1536KiB", "64MiB", "4GiB", "3TiB",
        ] {
            assert_eq!(
                size(text).map(|own| size_text(own.bytes())).as_deref(),
                Ok(text)
            );
        }
    }

    #[test]
    fn durations_carry_units() {
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert!(duration("5").is_err());
        assert!(duration("-1s").is_err());
    }

    #[test]
    fn a_time_is_written_as_it_is_read() {
        for text in [
            "0", "1ms", "500ms", "1500ms", "3s", "60s", "3601s", "1h", "24h",
        ] {
            assert_eq!(duration(text).map(time_text).as_deref(), Ok(text));
        }
    }
}
