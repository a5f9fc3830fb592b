//! What is wrong with a configuration.

use std::fmt;
use std::path::PathBuf;

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

    /// Every line of it.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = self.to_string();
        text.lines().map(str::to_owned).collect()
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
