//! What comments and paths do without.

use crate::source::Source;

/// Words that say less than a plain one, and names that have been given up for the field's own.
const BANNED: [&str; 20] = [
    "whoever",
    "whither",
    "anew",
    "of late",
    "so many",
    "nudge",
    "catalogue",
    "neighbour",
    "neighbours",
    "behaviour",
    "licence",
    "lane",
    "stop list",
    "toll",
    "newcomer",
    "greedy",
    "turn away",
    "turned away",
    "deaf",
    "aftermath",
];

/// Comments with a word that is not used here.
pub(crate) fn banned(source: &Source) -> Vec<String> {
    if source.path.starts_with("tests/tidy/") {
        // The list itself.
        return Vec::new();
    }
    let comments = source
        .text
        .lines()
        .enumerate()
        .filter_map(|(number, line)| {
            let at = comment_start(line)?;
            Some((number + 1, line[at..].to_lowercase()))
        });
    let found = comments.flat_map(|(number, comment)| {
        let words = BANNED
            .into_iter()
            .filter(move |word| has_word(&comment, word));
        words.map(move |word| format!("{}:{number}: '{word}'", source.path))
    });
    found.collect()
}

/// Where a comment starts in a line. Of a line with a string before it nothing is said.
fn comment_start(line: &str) -> Option<usize> {
    let at = line.find("//")?;
    (!line[..at].contains('"')).then_some(at)
}

fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        let is_part = |next: Option<char>| next.is_some_and(|own| own.is_alphanumeric());
        !is_part(before) && !is_part(after)
    })
}

/// Pronouns that say nothing at the beginning of a paragraph of documentation.
const PRONOUNS: [&str; 7] = ["It", "Its", "They", "Those", "These", "That", "Them"];

/// Documentation of items that begins with a pronoun instead of the noun that it stands for.
pub(crate) fn nameless(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    let mut is_inside = false;
    for (number, line) in source.text.lines().enumerate() {
        let doc = line.trim_start().strip_prefix("///");
        let first = doc.and_then(|text| text.split_whitespace().next());
        let word = first.unwrap_or_default().trim_end_matches([',', ':', '.']);
        if !is_inside && PRONOUNS.contains(&word) {
            findings.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
        }
        is_inside = doc.is_some();
    }
    findings
}

/// Paths that climb more than one step.
pub(crate) fn climbing(source: &Source) -> Vec<String> {
    if source.path.starts_with("tests/tidy/") {
        return Vec::new();
    }
    let lines = source.text.lines().enumerate();
    let found = lines.filter(|(_, line)| line.contains("super::super"));
    found
        .map(|(number, _)| format!("{}:{}: super::super", source.path, number + 1))
        .collect()
}

/// Sections on errors that tell numbers instead of names.
pub(crate) fn bare_numbers(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    let mut is_first = false;
    for (number, line) in source.text.lines().enumerate() {
        let Some(text) = line.trim_start().strip_prefix("///") else {
            is_first = false;
            continue;
        };
        let text = text.trim();
        if text == "# Errors" {
            is_first = true;
        } else if is_first && !text.is_empty() {
            is_first = false;
            if text.starts_with(|first: char| first.is_ascii_digit()) {
                findings.push(format!("{}:{}: {text}", source.path, number + 1));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_comments_only() {
        let text =
            "// Whoever asks.\nfn f() { g(\"anew // anew\") } // renewed, anew\n// unplanned\n";
        let source = Source::new("a.rs", text);
        assert_eq!(banned(&source), ["a.rs:1: 'whoever'"]);
        let source = Source::new(
            "a.rs",
            "fn f() {} // done anew.\n/// So many bytes.\nfn g() {}\n",
        );
        assert_eq!(banned(&source), ["a.rs:1: 'anew'", "a.rs:2: 'so many'"]);
    }

    #[test]
    fn documentation_that_begins_with_a_pronoun_is_found() {
        let text = "/// Its size.\n/// It is small.\nfn f() {}\n\
                    /// Size of it.\n/// Its unit.\nfn g() {}\n";
        assert_eq!(
            nameless(&Source::new("a.rs", text)),
            ["a.rs:1: /// Its size."]
        );
    }

    #[test]
    fn climbing_is_found() {
        let source = Source::new("a.rs", "use super::super::b;\nuse super::c;\n");
        assert_eq!(climbing(&source), ["a.rs:1: super::super"]);
    }

    #[test]
    fn sections_that_begin_with_a_number_are_found() {
        let text = "/// F.\n///\n/// # Errors\n///\n/// 36, 35.\nfn f() {}\n\
                    /// # Errors\n///\n/// `NO_SUCH_SPACE`, 36.\nfn g() {}\n";
        assert_eq!(
            bare_numbers(&Source::new("a.rs", text)),
            ["a.rs:5: 36, 35."]
        );
    }
}
