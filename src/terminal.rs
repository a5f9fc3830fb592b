//! Text of others, as a terminal may be shown it.

use std::fmt::Write as _;

/// A text without what a terminal would obey, as one line.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for own in text.chars() {
        if own.is_control() {
            let _ = write!(line, "{}", own.escape_default());
        } else {
            line.push(own);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_spelled_out() {
        assert_eq!(one_line("a \"word\", ä"), "a \"word\", ä");
        assert_eq!(one_line("\x1b[2J\n\u{9b}x\t"), "\\u{1b}[2J\\n\\u{9b}x\\t");
    }
}
