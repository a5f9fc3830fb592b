//! Paths of index parts: where inside a field a key's value stands.
//!
//! ```text
//!   a.b[2]     map ─▶ "a", a map ─▶ "b", an array ─▶ its second element
//!   a[*].b     … every element of the array under "a" gives a key (a multikey index)
//! ```

use std::fmt;

use vestibule_wire::limits::NESTING_DEPTH_MAX;
use vestibule_wire::msgpack::{Kind, Reader};

use crate::model::field::FieldType;
use crate::model::path::{Path, Token};

/// Why a text is no path of a part, in Tarantool's words.
pub(crate) const INVALID_PATH: &str = "invalid path";

/// A path of at least one step, and of at most [`NESTING_DEPTH_MAX`].
#[derive(Debug, Clone)]
pub(crate) struct PartPath {
    text: Box<str>,
    steps: Box<[PathStep]>,
    /// Steps before the first one that takes every element; no index has a path with two.
    any: Option<usize>,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PathStep {
    /// An element of an array, from 0.
    Index(u64),
    /// A value of a map, under a string.
    Key(Box<str>),
    /// Every element of an array.
    Any,
}

/// Two paths that lead to the same place are one, however they are written.
impl PartialEq for PartPath {
    fn eq(&self, other: &Self) -> bool {
        self.steps == other.steps
    }
}

impl Eq for PartPath {}

impl PartPath {
    /// Reads a path; `None` if it leads nowhere, as an empty one does.
    ///
    /// # Errors
    ///
    /// Why it cannot be one.
    pub(crate) fn read(text: &str) -> Result<Option<Self>, &'static str> {
        let (mut path, mut steps, mut any) = (Path::new(text), Vec::new(), None);
        loop {
            let step = match path.next().map_err(|_| INVALID_PATH)? {
                Token::End => break,
                Token::Index(index) => PathStep::Index(index),
                Token::Key(key) => PathStep::Key(key.into()),
                Token::Any => {
                    any = any.or(Some(steps.len()));
                    PathStep::Any
                }
            };
            if steps.len() == NESTING_DEPTH_MAX {
                return Err(INVALID_PATH);
            }
            steps.push(step);
        }
        let (text, steps) = (text.into(), steps.into());
        Ok(Some(Self { text, steps, any }).filter(|path| !path.steps.is_empty()))
    }

    /// The path as it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn steps(&self) -> &[PathStep] {
        &self.steps
    }

    /// The steps to the array whose elements give a key each, and those inside of an element.
    pub(crate) fn around_any(&self) -> Option<(&[PathStep], &[PathStep])> {
        let any = self.any?;
        Some((&self.steps[..any], &self.steps[any + 1..]))
    }
}

/// Follows steps into a value; `None` if they lead nowhere, or to more than one value. Of several
/// values under one key, the first counts.
pub(crate) fn follow<'t>(steps: &[PathStep], value: Reader<'t>) -> Option<Reader<'t>> {
    let mut reader = value;
    for step in steps {
        match (step, reader.peek().ok()?) {
            (PathStep::Index(index), Kind::Array) => {
                let count = reader.read_array_len().ok()?;
                if *index >= u64::from(count) {
                    return None;
                }
                for _ in 0..*index {
                    reader.skip().ok()?;
                }
            }
            (PathStep::Key(key), Kind::Map) => {
                let count = reader.read_map_len().ok()?;
                let mut left = 0..count;
                loop {
                    left.next()?;
                    if take_key(&mut reader)? == Some(key.as_bytes()) {
                        break;
                    }
                    reader.skip().ok()?;
                }
            }
            _ => return None,
        }
    }
    Some(reader)
}

/// Takes the key of a map's entry: `Some(None)` if it is no string.
pub(crate) fn take_key<'t>(reader: &mut Reader<'t>) -> Option<Option<&'t [u8]>> {
    if reader.peek() == Ok(Kind::Str) {
        return reader.read_str_bytes().ok().map(Some);
    }
    reader.skip().ok().map(|_| None)
}

impl PathStep {
    /// What it leads into.
    pub(crate) fn container(&self) -> FieldType {
        match self {
            Self::Key(_) => FieldType::Map,
            Self::Index(_) | Self::Any => FieldType::Array,
        }
    }
}

impl fmt::Display for PathStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "[{}]", u128::from(*index) + 1),
            Self::Key(key) => write!(f, "[\"{key}\"]"),
            Self::Any => f.write_str("[*]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(value: &serde_json::Value) -> Vec<u8> {
        rmp_serde::to_vec_named(value).unwrap()
    }

    #[test]
    fn paths_lead_where_they_say() {
        let value = pack(&serde_json::json!({"a": [{"b": 7}, {"x y": [1, 2]}], "": 3}));
        for (path, expected) in [
            ("a[1].b", Some(vec![7])),
            (".a[1]['b']", Some(vec![7])),
            (r#"a[2]["x y"][2]"#, Some(vec![2])),
            ("a[3]", None),
            ("a.b", None),
            ("a[1].b.c", None),
            ("b", None),
            ("[1]", None),
            ("a[99999999999999999999999]", None),
        ] {
            let path = PartPath::read(path).unwrap().unwrap();
            let found = follow(path.steps(), Reader::new(&value));
            let found = found.map(|mut reader| reader.skip().unwrap().to_vec());
            assert_eq!(found, expected, "{}", path.text());
        }
    }

    #[test]
    fn what_is_no_path_of_a_part_is_refused_in_tarantools_words() {
        let deep = |steps: usize| ".a".repeat(steps);
        for (text, why) in [
            ("a..b", INVALID_PATH),
            ("[0]", INVALID_PATH),
            ("a b", INVALID_PATH),
            (".", INVALID_PATH),
            (&deep(NESTING_DEPTH_MAX + 1), INVALID_PATH),
        ] {
            assert_eq!(PartPath::read(text), Err(why), "{text}");
        }
        assert_eq!(PartPath::read(""), Ok(None));
        assert!(PartPath::read(&deep(NESTING_DEPTH_MAX)).unwrap().is_some());
        let same = [r#"a["b"]"#, ".a.b"].map(|text| PartPath::read(text).unwrap());
        assert_eq!(same[0], same[1]);
    }
}
