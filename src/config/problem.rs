//! What is wrong with a configuration.

use std::fmt;
use std::path::PathBuf;

/// Lines of a problem that are told of a reload, at most: they are kept, and sent.
const TOLD_MAX: usize = 100;

/// What is wrong on a line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LineFault {
    /// The line, from 1 on.
    pub(super) line: usize,
    /// What is wrong there.
    pub(super) text: String,
}

/// Why there is no configuration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// A file could not be read.
    Unreadable(PathBuf, String),
    /// Lines of a file are wrong: at least one.
    Lines(PathBuf, Vec<LineFault>),
    /// Each value may be, but not all of them together; or an argument may not.
    Together(String),
}

impl Problem {
    /// A reload of which nothing came, whatever the configuration is.
    pub(crate) fn failed() -> Self {
        let text = "loading it again panicked, or there was no thread for it";
        Self::Together(text.to_owned())
    }

    /// Lines of it, a hundred at most, and how many there are more.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = self.to_string();
        let mut lines = text.lines();
        let told = lines.by_ref().take(TOLD_MAX).map(str::to_owned);
        let mut told: Vec<_> = told.collect();
        match lines.count() {
            0 => {}
            more => told.push(format!("and {more} more")),
        }
        told
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, fault) => write!(f, "cannot read {}: {fault}", path.display()),
            Self::Together(text) => f.write_str(text),
            Self::Lines(path, faults) => {
                for (number, LineFault { line, text }) in faults.iter().enumerate() {
                    let end = if number == 0 { "" } else { "\n" };
                    write!(f, "{end}{}:{line}: {text}", path.display())?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_lines_the_first_ones_are_told() {
        let wrong = |line| LineFault {
            line,
            text: "wrong".to_owned(),
        };
        let told = |count: usize| {
            let faults = (1..=count).map(wrong).collect();
            Problem::Lines(PathBuf::from("a.toml"), faults).lines()
        };
        assert_eq!(told(2), ["a.toml:1: wrong", "a.toml:2: wrong"]);
        assert_eq!(told(TOLD_MAX).len(), TOLD_MAX);
        let many = told(TOLD_MAX + 7);
        assert_eq!(many.len(), TOLD_MAX + 1);
        assert_eq!(many[TOLD_MAX], "and 7 more");
    }
}
