//! Paths into fields, `a.b`, `[2]["x y"][1]`, token by token, as Tarantool reads them.
//!
//! ```text
//!   path        = [first] { "." identifier | "[" number "]" | "[" quoted text "]" | "[*]" }
//!   identifier  = a letter or "_", then letters, digits, "_"
//! ```
//!
//! Positions of errors count characters from 1. A token is read when it is needed, so an error
//! beyond a field that is not there is not found.

/// One step of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// From 0; the path counts from 1.
    Index(u64),
    Key(&'a str),
    /// `[*]`, which no update can follow.
    Any,
    End,
}

/// A path with the place that the next token is read at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Path<'a> {
    text: &'a str,
    /// In bytes.
    at: usize,
    /// Characters before that.
    characters: usize,
}

impl<'a> Path<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            characters: 0,
        }
    }

    /// A path that leads no further.
    pub(crate) fn end() -> Self {
        Self::new("")
    }

    /// What is not read yet.
    pub(crate) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(crate) fn is_end(&self) -> bool {
        self.at == self.text.len()
    }

    /// The position of the last token, if it was [`Token::Any`].
    pub(crate) fn any_position(&self) -> usize {
        self.characters - 1
    }

    /// Takes a token.
    ///
    /// # Errors
    ///
    /// The position of the character that does not belong there.
    pub(crate) fn next(&mut self) -> Result<Token<'a>, usize> {
        let start = *self;
        match self.take() {
            None => Ok(Token::End),
            Some('[') => self.bracket(),
            Some('.') => self.identifier(),
            Some(_) if start.at > 0 => Err(self.characters),
            // Only the first identifier stands without a dot.
            Some(_) => {
                *self = start;
                self.identifier()
            }
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += character.len_utf8();
        self.characters += 1;
        Some(character)
    }

    fn bracket(&mut self) -> Result<Token<'a>, usize> {
        let token = match self.peek() {
            None => return Err(self.characters),
            Some(quote @ ('"' | '\'')) => self.quoted(quote)?,
            Some('*') => {
                self.take();
                Token::Any
            }
            Some(_) => self.number()?,
        };
        match self.peek() {
            Some(']') => {
                self.take();
                Ok(token)
            }
            _ => Err(self.characters + 1),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<Token<'a>, usize> {
        self.take();
        let start = self.at;
        loop {
            let end = self.at;
            match self.take() {
                None => return Err(self.characters + 1),
                Some(character) if character != quote => {}
                Some(_) if end == start => return Err(self.characters),
                Some(_) => return Ok(Token::Key(&self.text[start..end])),
            }
        }
    }

    fn number(&mut self) -> Result<Token<'a>, usize> {
        let before = self.characters;
        let mut number: u64 = 0;
        while let Some(digit) = self.peek().and_then(|character| character.to_digit(10)) {
            number = number.saturating_mul(10).saturating_add(u64::from(digit));
            self.take();
        }
        number.checked_sub(1).map(Token::Index).ok_or(before + 1)
    }

    fn identifier(&mut self) -> Result<Token<'a>, usize> {
        let start = self.at;
        match self.take() {
            None => return Err(self.characters + 1),
            Some(first) if first.is_alphabetic() || first == '_' => {}
            Some(_) => return Err(self.characters),
        }
        let goes_on = |character: char| character.is_alphanumeric() || character == '_';
        while self.peek().is_some_and(goes_on) {
            self.take();
        }
        Ok(Token::Key(&self.text[start..self.at]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Result<Vec<Token<'_>>, usize> {
        let (mut path, mut tokens) = (Path::new(text), Vec::new());
        loop {
            match path.next()? {
                Token::End => return Ok(tokens),
                token => tokens.push(token),
            }
        }
    }

    #[test]
    fn paths_are_read_in_all_their_forms() {
        use Token::{Any, Index, Key};
        for (text, expected) in [
            ("", vec![]),
            ("a", vec![Key("a")]),
            (".a", vec![Key("a")]),
            ("_a1.ü[2]", vec![Key("_a1"), Key("ü"), Index(1)]),
            (
                r#"["x y"]['it"s'].z"#,
                vec![Key("x y"), Key("it\"s"), Key("z")],
            ),
            ("[007][*].a", vec![Index(6), Any, Key("a")]),
            ("[99999999999999999999999]", vec![Index(u64::MAX - 1)]),
        ] {
            assert_eq!(tokens(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn errors_have_tarantools_positions() {
        for (text, position) in [
            ("a..b", 3),
            ("a.", 3),
            ("a[", 2),
            ("a[\"b\"", 6),
            ("a.b c", 4),
            ("a]", 2),
            ("[", 1),
            ("a[1x]", 4),
            ("a['b\"]", 7),
            ("a.1", 3),
            ("[2", 3),
            ("a[\"\"]", 4),
            ("a. b", 3),
            ("[0]", 2),
            ("a[-1]", 3),
            // Characters, not bytes.
            ("üüü..", 5),
        ] {
            assert_eq!(tokens(text), Err(position), "{text}");
        }
    }
}
