//! What is asked, by somebody who may ask. Pure.

use std::borrow::Cow;
use std::time::Duration;

/// What is asked of a path.
#[derive(Debug, Clone, Default)]
pub(crate) struct Question {
    pub(crate) query: Option<String>,
    pub(crate) accept: Option<String>,
}

impl Question {
    pub(crate) fn query(&self) -> Query<'_> {
        Query(self.query.as_deref().unwrap_or(""))
    }
}

/// What stands behind the question mark.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    /// The value of a parameter, empty if it has none; `None` if it is not there.
    pub(crate) fn get(self, name: &str) -> Option<&'a str> {
        let parts = self.0.split('&');
        let mut pairs = parts.map(|part| part.split_once('=').unwrap_or((part, "")));
        pairs.find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    /// A number of rows: `limit`, at most `max`, which is also what there is without it.
    ///
    /// # Errors
    ///
    /// It is no number.
    pub(crate) fn limit(self, max: usize) -> Result<usize, Cow<'static, str>> {
        match self.get("limit") {
            None => Ok(max),
            Some(text) => match text.parse::<usize>() {
                Ok(limit) => Ok(limit.min(max)),
                Err(_) => Err("limit is a number\n".into()),
            },
        }
    }

    /// A time: `30s`, `500ms`, or a number of seconds.
    ///
    /// # Errors
    ///
    /// It is no time.
    pub(crate) fn time(self, name: &str) -> Result<Option<Duration>, Cow<'static, str>> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let (number, scale) = match text.strip_suffix("ms") {
            Some(number) => (number, 1e-3),
            None => (text.strip_suffix('s').unwrap_or(text), 1.0),
        };
        let seconds = number.parse::<f64>().ok().map(|own| own * scale);
        let time = seconds.and_then(|own| Duration::try_from_secs_f64(own).ok());
        match time {
            Some(time) => Ok(Some(time)),
            None => Err(format!("{name} is a time: 30s, 500ms\n").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read() {
        let query = Query("writes&limit=7&tx_stalled=1.5s");
        assert_eq!((query.get("writes"), query.get("write")), (Some(""), None));
        assert_eq!((query.limit(100), query.limit(5)), (Ok(7), Ok(5)));
        let stalled = query.time("tx_stalled");
        assert_eq!(stalled, Ok(Some(Duration::from_millis(1500))));
        assert_eq!(query.time("other"), Ok(None));
        let time = |text| Query(text).time("t");
        assert_eq!(time("t=500ms"), Ok(Some(Duration::from_millis(500))));
        assert_eq!(time("t=3"), Ok(Some(Duration::from_secs(3))));
        for wrong in ["t=", "t=-1s", "t=NaN", "t=1e300s", "t=1h"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
        assert!(Query("limit=-1").limit(9).is_err());
    }
}
