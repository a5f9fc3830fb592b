//! Options in what is told of them: called as they were given.

/// A text with other names for the words that `call` has some for. Quotes around such a word go
/// with it.
pub(super) fn renamed(text: &str, call: impl Fn(&str) -> Option<String>) -> String {
    let is_of_word = |own: char| own.is_ascii_alphanumeric() || matches!(own, '_' | '.');
    let mut told = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.find(is_of_word) {
        let (before, from) = rest.split_at(begin);
        let end = from.find(|own| !is_of_word(own)).unwrap_or(from.len());
        let (word, behind) = from.split_at(end);
        let name = call(word);
        let quoted = name.as_ref().and(before.strip_suffix('\''));
        let (before, behind) = match quoted.zip(behind.strip_prefix('\'')) {
            Some(bare) => bare,
            None => (before, behind),
        };
        told += before;
        told += name.as_deref().unwrap_or(word);
        rest = behind;
    }
    told + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_have_another_name_are_replaced_with_their_quotes() {
        let call = |word: &str| {
            let is_one = ["read_from", "tls.key"].contains(&word);
            is_one.then(|| format!("--{}", word.replace(['_', '.'], "-")))
        };
        for (text, expected) in [
            ("", ""),
            ("nothing of it", "nothing of it"),
            (
                "'read_from' needs 'tls.key' beside it",
                "--read-from needs --tls-key beside it",
            ),
            ("read_from is 7", "--read-from is 7"),
            ("it needs read_from", "it needs --read-from"),
            ("'read_from, and 'other'", "'--read-from, and 'other'"),
            ("read_from_all of ä", "read_from_all of ä"),
        ] {
            assert_eq!(renamed(text, call), expected);
        }
    }
}
