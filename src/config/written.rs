//! Options and their values as a file has them.

use crate::config::options::{FileOption, Kind};

/// Widest line of what is written.
const WIDTH: usize = 100;

/// `key = value`.
pub(super) fn line(option: &FileOption, values: &[String]) -> String {
    format!("{} = {}", option.key(), value(option, values))
}

/// Values of an option in TOML.
pub(super) fn value(option: &FileOption, values: &[String]) -> String {
    let mut written = values.iter().map(|value| one(option.kind(), value));
    if option.is_list() {
        let written: Vec<_> = written.collect();
        return format!("[{}]", written.join(", "));
    }
    written.next().unwrap_or_else(|| quoted(""))
}

fn one(kind: Kind, value: &str) -> String {
    match kind {
        Kind::Switch => value.to_owned(),
        Kind::Number | Kind::Size => match value.parse::<u64>() {
            Ok(number) => number.to_string(),
            Err(_) => quoted(value),
        },
        Kind::Time | Kind::Text => quoted(value),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A comment of as many lines as a text needs.
pub(super) fn comment(text: &str) -> String {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = "#".to_owned();
        for word in paragraph.split_whitespace() {
            if line.chars().count() + 1 + word.chars().count() > WIDTH {
                lines.push(std::mem::replace(&mut line, "#".to_owned()));
            }
            line.push(' ');
            line.push_str(word);
        }
        lines.push(line);
    }
    lines.join("\n") + "\n"
}

/// Options at the top of a file, then those of each table, each in their order.
pub(super) fn by_table(options: &[FileOption]) -> Vec<(Option<&'static str>, Vec<&FileOption>)> {
    let tops = std::iter::once(None);
    let tables = crate::config::options::TABLES.into_iter().map(Some);
    let all = tops.chain(tables).map(|table| {
        let inside = options.iter().filter(|option| option.table() == table);
        (table, inside.collect())
    });
    all.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_has_lines_of_a_bounded_width() {
        let text = comment(&format!("{}\nlast", "word ".repeat(40)));
        let widths: Vec<_> = text.lines().map(str::len).collect();
        assert_eq!(widths, [96, 96, 11, 6]);
        assert!(text.lines().all(|line| line.starts_with("# ")));
    }

    #[test]
    fn a_text_is_written_so_that_it_is_read_again() {
        for text in [
            "",
            "plain",
            "a\"b",
            "back\\slash",
            "'",
            "\u{7f}\u{1}",
            "ä\nö",
            "'''\"\"\"",
        ] {
            let document = format!("key = {}", quoted(text));
            let table: toml::Table = document.parse().unwrap();
            assert_eq!(table["key"].as_str(), Some(text), "{document}");
        }
    }
}
