//! One error with its causes and fields, and how it is written.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;

use super::ErrorCode;
use crate::keys::{self, ERROR_STACK, error_entry as entry};
use crate::limits::{ERROR_STACK_DEPTH_MAX, ERROR_TEXT_SIZE_MAX};
use crate::msgpack::{
    write_array_len, write_bool, write_f64, write_map_len, write_str, write_uint,
};

/// A value beside the text, for programs: the reason, a retry hint, a name.
#[derive(Debug, Clone, PartialEq)]
pub enum Field {
    /// A text.
    Str(Cow<'static, str>),
    /// A count, a version, an epoch.
    Uint(u64),
    /// A share or a time in seconds.
    Float(f64),
    /// A flag.
    Bool(bool),
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Str(text) => f.write_str(text),
            Self::Uint(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Bool(flag) => flag.fmt(f),
        }
    }
}

/// The text without its middle, if it is too long: what is wrong stands at either end, and a name
/// between.
fn bounded(text: Cow<'static, str>) -> Cow<'static, str> {
    const GAP: &str = "…";
    if text.len() <= ERROR_TEXT_SIZE_MAX {
        return text;
    }
    let half = (ERROR_TEXT_SIZE_MAX - GAP.len()) / 2;
    let is_boundary = |at: &usize| text.is_char_boundary(*at);
    let begin = (0..=half).rev().find(is_boundary).unwrap_or(0);
    let end = (text.len() - half..text.len()).find(is_boundary);
    let end = end.unwrap_or(text.len());
    format!("{}{GAP}{}", &text[..begin], &text[end..]).into()
}

/// One error, possibly with the error that caused it.
#[derive(Debug, Clone, PartialEq)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone, PartialEq)]
struct Inner {
    code: ErrorCode,
    kind: Cow<'static, str>,
    message: Cow<'static, str>,
    fields: Vec<(Cow<'static, str>, Field)>,
    cause: Option<Error>,
    place: Place,
}

/// Where in the source an error was made. Errors that say the same are equal wherever they were.
#[derive(Debug, Clone, Copy)]
struct Place(&'static Location<'static>);

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Place {
    /// The file, from its package on: where that was built is nobody's business.
    fn file(self) -> &'static str {
        const SOURCES: &str = "/src/";
        let path = self.0.file();
        let Some(sources) = path.rfind(SOURCES) else {
            return path.rsplit_once('/').map_or(path, |(_, name)| name);
        };
        let package = path[..sources].rfind('/').map_or(0, |slash| slash + 1);
        &path[package..]
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (error {})", self.0.message, self.0.code.0)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_ref().map(|cause| cause as _)
    }
}

impl Error {
    /// An error with a text of one's own, of which [`ERROR_TEXT_SIZE_MAX`] bytes are kept. Clients
    /// are told the file and the line that made it.
    #[must_use]
    #[track_caller]
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            code,
            kind: Cow::Borrowed("ClientError"),
            message: bounded(message.into()),
            fields: Vec::new(),
            cause: None,
            place: Place(Location::caller()),
        }))
    }

    /// The number.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// The text.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What stands beside the text.
    #[must_use]
    pub fn fields(&self) -> &[(Cow<'static, str>, Field)] {
        &self.0.fields
    }

    /// The name of its type.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.0.kind
    }

    /// The error that led to this one.
    #[must_use]
    pub fn cause(&self) -> Option<&Self> {
        self.0.cause.as_ref()
    }

    /// Adds a value for programs to the error's fields. A text is bounded as the error's own.
    #[must_use]
    pub fn with_field(mut self, name: impl Into<Cow<'static, str>>, value: Field) -> Self {
        let value = match value {
            Field::Str(text) => Field::Str(bounded(text)),
            other => other,
        };
        self.0.fields.push((name.into(), value));
        self
    }

    /// Adds the error that led to this one.
    #[must_use]
    pub fn caused_by(mut self, cause: Self) -> Self {
        self.0.cause = Some(cause);
        self
    }

    /// Sets the type name in the error stack (`ClientError` unless set).
    #[must_use]
    pub fn with_kind(mut self, kind: impl Into<Cow<'static, str>>) -> Self {
        self.0.kind = kind.into();
        self
    }

    /// Appends the body of an error reply: the text and the stack.
    pub fn write_body(&self, out: &mut Vec<u8>) {
        write_map_len(out, 2);
        write_uint(out, keys::ERROR_24);
        write_str(out, &self.0.message);
        write_uint(out, keys::ERROR);
        self.write_stack(out);
    }

    /// Appends the error stack alone: the payload of an MP_ERROR value.
    pub fn write_stack(&self, out: &mut Vec<u8>) {
        let chain = || {
            std::iter::successors(Some(self), |error| error.0.cause.as_ref())
                .take(ERROR_STACK_DEPTH_MAX)
        };
        write_map_len(out, 1);
        write_uint(out, ERROR_STACK);
        write_array_len(out, chain().count() as u32);
        for error in chain() {
            error.write_entry(out);
        }
    }

    /// One element of the stack, its keys in the order in which Tarantool writes them.
    fn write_entry(&self, out: &mut Vec<u8>) {
        let inner = &self.0;
        write_map_len(out, if inner.fields.is_empty() { 6 } else { 7 });
        write_uint(out, entry::KIND);
        write_str(out, &inner.kind);
        write_uint(out, entry::LINE);
        write_uint(out, u64::from(inner.place.0.line()));
        write_uint(out, entry::FILE);
        write_str(out, inner.place.file());
        write_uint(out, entry::MESSAGE);
        write_str(out, &inner.message);
        write_uint(out, entry::ERRNO);
        write_uint(out, 0);
        write_uint(out, entry::CODE);
        write_uint(out, u64::from(inner.code.0));
        if inner.fields.is_empty() {
            return;
        }
        write_uint(out, entry::FIELDS);
        write_map_len(out, inner.fields.len() as u32);
        for (name, value) in &inner.fields {
            write_str(out, name);
            match value {
                Field::Str(text) => write_str(out, text),
                Field::Uint(number) => write_uint(out, *number),
                Field::Float(number) => write_f64(out, *number),
                Field::Bool(flag) => write_bool(out, *flag),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msgpack::{Kind, Reader};

    #[test]
    fn a_long_text_loses_its_middle() {
        let fits = "a".repeat(ERROR_TEXT_SIZE_MAX);
        let error = Error::new(ErrorCode::UNKNOWN, fits.clone());
        assert_eq!(error.message(), fits);
        for size in [ERROR_TEXT_SIZE_MAX, 100_000] {
            let name = "é".repeat(size);
            let error = Error::no_such_space(&name).with_field("name", Field::Str(name.into()));
            let text = error.message();
            assert!(text.len() <= ERROR_TEXT_SIZE_MAX, "{}", text.len());
            assert!(text.starts_with("Space 'éé") && text.ends_with("éé' does not exist"));
            assert!(text.contains("é…é"));
            let [(_, Field::Str(field))] = error.fields() else {
                panic!("it has one field");
            };
            assert!(field.len() <= ERROR_TEXT_SIZE_MAX);
        }
    }

    #[test]
    fn a_stack_holds_the_chain_of_causes_top_first() {
        let error = Error::new(ErrorCode::PROC, "top")
            .caused_by(Error::new(ErrorCode::PROC, "middle").caused_by(Error::wal_io()));
        let mut body = Vec::new();
        error.write_body(&mut body);
        let mut reader = Reader::new(&body);
        assert_eq!(reader.read_map_len(), Ok(2));
        assert_eq!(reader.read_uint(), Ok(0x31));
        assert_eq!(reader.read_str(), Ok("top"));
        assert_eq!(reader.read_uint(), Ok(0x52));
        assert_eq!(reader.read_map_len(), Ok(1));
        assert_eq!(reader.read_uint(), Ok(0));
        assert_eq!(reader.read_array_len(), Ok(3));
    }

    #[test]
    fn fields_follow_the_six_fixed_keys_in_tarantools_order() {
        let error = Error::new(ErrorCode::LOADING, "busy")
            .with_field("retry_after", Field::Float(0.25))
            .with_field("state", Field::Str("solo".into()));
        let mut stack = Vec::new();
        error.write_stack(&mut stack);
        let mut reader = Reader::new(&stack);
        reader.read_map_len().unwrap();
        reader.read_uint().unwrap();
        reader.read_array_len().unwrap();
        assert_eq!(reader.read_map_len(), Ok(7));
        let mut order = Vec::new();
        for _ in 0..7 {
            order.push(reader.read_uint().unwrap());
            if *order.last().unwrap() == 6 {
                assert_eq!(reader.peek(), Ok(Kind::Map));
            }
            reader.skip().unwrap();
        }
        assert_eq!(order, [0, 2, 1, 3, 4, 5, 6]);
        assert!(reader.is_empty());
    }

    #[test]
    fn clients_are_told_where_an_error_was_made() {
        let (error, line) = (Error::new(ErrorCode::PROC, "here"), line!());
        let mut stack = Vec::new();
        error.write_stack(&mut stack);
        let mut reader = Reader::new(&stack);
        reader.read_map_len().unwrap();
        reader.read_uint().unwrap();
        reader.read_array_len().unwrap();
        let (mut told_line, mut file) = (0, "");
        for _ in 0..reader.read_map_len().unwrap() {
            match reader.read_uint().unwrap() {
                entry::LINE => told_line = reader.read_uint().unwrap(),
                entry::FILE => file = reader.read_str().unwrap(),
                _ => drop(reader.skip().unwrap()),
            }
        }
        assert_eq!(told_line, u64::from(line));
        assert!(file.ends_with("/src/error/stack.rs"), "{file}");
        assert!(!file.starts_with('/'), "{file}");
        assert_eq!(error, Error::new(ErrorCode::PROC, "here"));
    }

    #[test]
    fn a_long_chain_is_cut_not_grown() {
        let mut error = Error::wal_io();
        for _ in 0..100 {
            error = Error::new(ErrorCode::PROC, "next").caused_by(error);
        }
        let mut stack = Vec::new();
        error.write_stack(&mut stack);
        let mut reader = Reader::new(&stack[2..]);
        assert_eq!(reader.read_array_len(), Ok(ERROR_STACK_DEPTH_MAX as u32));
    }
}
