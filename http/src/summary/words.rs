//! Times and shares, as people read them. Pure.

use std::time::Duration;

/// A time: `3.2 s`, `41 s`, `2 min 5 s`, `3 h 4 min`, `2 d 3 h`.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..10 => format!("{:.1} s", time.as_millis() as f64 / 1000.0),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min {} s", seconds % 60),
        3600..86400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// A share in whole percent; what is not whole is not 100 %.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", (share * 100.0).floor())
}

/// A number of times, or of things.
pub(crate) fn times(count: u64, one: &str, many: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {many}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_the_units_that_fit() {
        let told = |seconds: f64| time(Duration::from_secs_f64(seconds));
        assert_eq!(told(0.0), "0.0 s");
        assert_eq!(told(3.24), "3.2 s");
        assert_eq!(told(10.9), "10 s");
        assert_eq!(told(125.0), "2 min 5 s");
        assert_eq!(told(3600.0 * 3.0 + 250.0), "3 h 4 min");
        assert_eq!(told(86400.0 * 2.0 + 3.0 * 3600.0), "2 d 3 h");
        assert_eq!(
            (percent(0.269), percent(0.9999)),
            ("26 %".into(), "99 %".into())
        );
        assert_eq!(times(1, "time", "times"), "1 time");
        assert_eq!(times(0, "time", "times"), "0 times");
    }
}
