//! A reply taken apart, so that two can be held against each other field by field.

use std::collections::BTreeMap;
use std::fmt;

use vestibule_actors::testing::Frame;
use vestibule_wire::keys;
use vestibule_wire::msgpack::{DecodeError, Reader};

use crate::print;

/// Keys of an entry of the error stack that name a place in a server's source.
const FILE: u64 = 1;
const LINE: u64 = 2;
/// Key of the text of such an entry.
const MESSAGE: u64 = 3;

/// What a server answered. The sync is checked where replies are received, the schema version where
/// they follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: u32,
    /// The body's keys in their order.
    pub(crate) keys: Vec<u64>,
    /// Raw, as numbers could be written in several ways.
    pub(crate) data: Option<Vec<u8>>,
    pub(crate) text: Option<String>,
    /// From the newest error to its cause. The text of the first is that of the reply.
    pub(crate) stack: Vec<BTreeMap<u64, String>>,
    /// What is in none of these.
    pub(crate) rest: Vec<(u64, Vec<u8>)>,
}

impl Reply {
    pub(crate) fn read(frame: &Frame) -> Self {
        let mut reply = Self {
            code: frame.code,
            keys: Vec::new(),
            data: None,
            text: None,
            stack: Vec::new(),
            rest: Vec::new(),
        };
        reply.read_body(&frame.body).unwrap_or_else(|fault| {
            panic!(
                "a reply's body is a map of known form, not {:02x?}: {fault}",
                frame.body
            )
        });
        reply
    }

    fn read_body(&mut self, body: &[u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(body);
        for _ in 0..reader.read_map_len()? {
            let key = reader.read_uint()?;
            self.keys.push(key);
            match key {
                keys::DATA => self.data = Some(reader.skip()?.to_vec()),
                keys::ERROR_24 => {
                    let text = reader.read_str_bytes()?;
                    self.text = Some(String::from_utf8_lossy(text).into_owned());
                }
                keys::ERROR => self.stack = read_stack(&mut reader)?,
                _ => self.rest.push((key, reader.skip()?.to_vec())),
            }
        }
        Ok(())
    }

    pub(crate) fn is_error(&self) -> bool {
        self.code != 0
    }

    /// The number of the error; 0 if it is none.
    pub(crate) fn error_code(&self) -> u64 {
        u64::from(self.code & 0x7fff)
    }

    pub(crate) fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    /// The same error in other words.
    pub(crate) fn with_text(&self, text: &str) -> Self {
        let mut reply = self.clone();
        reply.text = Some(text.to_owned());
        if let Some(first) = reply.stack.first_mut() {
            first.insert(MESSAGE, format!("{text:?}"));
        }
        reply
    }
}

fn read_stack(reader: &mut Reader<'_>) -> Result<Vec<BTreeMap<u64, String>>, DecodeError> {
    let mut stack = Vec::new();
    for _ in 0..reader.read_map_len()? {
        if reader.read_uint()? != 0 {
            reader.skip()?;
            continue;
        }
        for _ in 0..reader.read_array_len()? {
            let mut entry = BTreeMap::new();
            for _ in 0..reader.read_map_len()? {
                let (key, value) = (reader.read_uint()?, reader.skip()?);
                // A place in the source is there, and is another one in another server.
                let value = match key {
                    FILE | LINE => "told".to_owned(),
                    MESSAGE => {
                        let text = Reader::new(value).read_str_bytes()?;
                        format!("{:?}", String::from_utf8_lossy(text))
                    }
                    _ => print::text(value),
                };
                entry.insert(key, value);
            }
            stack.push(entry);
        }
    }
    Ok(stack)
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.text, &self.data) {
            (Some(text), _) => write!(f, "{}: {text}  {:?}", self.error_code(), self.stack),
            (None, Some(data)) => write!(f, "{}", print::text(data)),
            (None, None) => write!(f, "code {} keys {:?}", self.code, self.keys),
        }
    }
}
