//! A request of the stream: what travels, and what the generator learns when it succeeds.

use vestibule_wire::keys::{self, RequestType};
use vestibule_wire::msgpack::{Reader, write_map_len, write_str, write_uint};

use crate::definitions::{INDEX, SPACE, VIEWS};
use crate::print;

/// What a request asks for, and how.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) code: u64,
    /// In the header; `None` for a header without it.
    pub(crate) schema_version: Option<u64>,
    pub(crate) body: Body,
    /// The space it is about, if it is about one that the generator made.
    pub(crate) space: Option<u32>,
    /// Whether it walks over a HASH index, whose order is nobody's business.
    pub(crate) is_hash: bool,
    /// Whether it looks at what the request before it did.
    pub(crate) is_probe: bool,
    /// What is there if the reference executes it.
    pub(crate) effect: Option<Effect>,
}

/// A body before it is bytes, so that it can be spoiled.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// Pairs of a key and raw MessagePack.
    Pairs(Vec<(u64, Vec<u8>)>),
    /// Any bytes.
    Raw(Vec<u8>),
}

/// What a request changes in what the generator knows of a space.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    Index(KnownIndex),
    NoIndex(u32),
    IndexName(u32, String),
    SpaceName(String),
    Format(Vec<String>),
    Gone,
}

/// An index as the generator knows it.
#[derive(Debug, Clone)]
pub(crate) struct KnownIndex {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) is_hash: bool,
    /// Field, from 0, and type.
    pub(crate) parts: Vec<(usize, &'static str)>,
}

impl Request {
    pub(crate) fn new(kind: RequestType) -> Self {
        Self::of_code(kind as u64)
    }

    pub(crate) fn of_code(code: u64) -> Self {
        Self {
            code,
            schema_version: None,
            body: Body::Pairs(Vec::new()),
            space: None,
            is_hash: false,
            is_probe: false,
            effect: None,
        }
    }

    pub(crate) fn about(mut self, space: u32) -> Self {
        self.space = Some(space);
        self
    }

    pub(crate) fn of_hash(mut self, is_hash: bool) -> Self {
        self.is_hash = is_hash;
        self
    }

    pub(crate) fn probing(mut self) -> Self {
        self.is_probe = true;
        self
    }

    /// Whether it is an UPSERT, by itself or by a call.
    pub(crate) fn is_upsert(&self) -> bool {
        let calls = || {
            self.procedure()
                .is_some_and(|name| name.ends_with(":upsert"))
        };
        self.code == RequestType::Upsert as u64 || calls()
    }

    pub(crate) fn effect(mut self, effect: Effect) -> Self {
        self.effect = Some(effect);
        self
    }

    pub(crate) fn raw(mut self, key: u64, value: Vec<u8>) -> Self {
        if let Body::Pairs(pairs) = &mut self.body {
            pairs.push((key, value));
        }
        self
    }

    pub(crate) fn uint(self, key: u64, value: u64) -> Self {
        let mut bytes = Vec::new();
        write_uint(&mut bytes, value);
        self.raw(key, bytes)
    }

    pub(crate) fn text(self, key: u64, value: &str) -> Self {
        let mut bytes = Vec::new();
        write_str(&mut bytes, value);
        self.raw(key, bytes)
    }

    /// A CALL with arguments as a MessagePack array.
    pub(crate) fn call(name: &str, args: Vec<u8>) -> Self {
        Self::new(RequestType::Call)
            .text(keys::FUNCTION_NAME, name)
            .raw(keys::TUPLE, args)
    }

    /// The procedure it calls.
    pub(crate) fn procedure(&self) -> Option<String> {
        let value = self.value(keys::FUNCTION_NAME)?;
        Reader::new(value).read_str().ok().map(str::to_owned)
    }

    /// What its body has under a key.
    pub(crate) fn value(&self, key: u64) -> Option<&[u8]> {
        let Body::Pairs(pairs) = &self.body else {
            return None;
        };
        let found = pairs.iter().rfind(|(own, _)| *own == key);
        found.map(|(_, value)| value.as_slice())
    }

    /// Whether it changes a definition, or tries to.
    pub(crate) fn defines(&self) -> bool {
        const METHODS: [&str; 4] = [":format", ":create_index", ":alter", ":rename"];
        let is_method = |name: &str| METHODS.iter().any(|method| name.ends_with(method));
        self.procedure().is_some_and(|name| is_method(&name))
            || (self.code != RequestType::Select as u64 && self.is_of_system())
    }

    /// Whether it is about an index that is there.
    pub(crate) fn is_of_index(&self) -> bool {
        self.number(keys::SPACE_ID) == Some(INDEX)
            || self
                .procedure()
                .is_some_and(|name| name.ends_with(":alter"))
    }

    /// Whether it is about the rows of a system space.
    pub(crate) fn is_of_system(&self) -> bool {
        let space = self.number(keys::SPACE_ID);
        space.is_some_and(|space| [SPACE, INDEX].contains(&space) || VIEWS.contains(&space))
    }

    /// How many operations an UPDATE has.
    pub(crate) fn operations(&self) -> Option<u32> {
        let mut reader = Reader::new(self.value(keys::TUPLE)?);
        let count = reader.read_array_len().ok()?;
        if self.procedure().is_none() {
            return Some(count);
        }
        // Of a call, the second argument.
        reader.skip().ok()?;
        reader.read_array_len().ok()
    }

    /// Whether this one may be among its operations.
    pub(crate) fn mentions_operation(&self, symbol: u8) -> bool {
        self.mentions_text(&char::from(symbol).to_string())
    }

    /// Whether this text of at most 31 bytes is among its values.
    pub(crate) fn mentions_text(&self, text: &str) -> bool {
        let mut bytes = Vec::new();
        write_str(&mut bytes, text);
        self.body
            .bytes()
            .windows(bytes.len())
            .any(|own| own == bytes)
    }

    /// The number that its body has under a key.
    pub(crate) fn number(&self, key: u64) -> Option<u64> {
        Reader::new(self.value(key)?).read_uint().ok()
    }

    /// Whether a UUID is in it, or this text names the type.
    pub(crate) fn mentions_uuid(&self, text: &str) -> bool {
        let is_uuid = |bytes: &[u8]| bytes == [0xd8, 0x02];
        text.contains("'uuid'") || self.body.bytes().windows(2).any(is_uuid)
    }

    /// The frame. Its header has what every version of the protocol knows, and nothing else.
    pub(crate) fn frame(&self, sync: u64) -> Vec<u8> {
        let mut content = Vec::new();
        let header = [
            (keys::REQUEST_TYPE, Some(self.code)),
            (keys::SYNC, Some(sync)),
            (keys::SCHEMA_VERSION, self.schema_version),
        ];
        let header = header
            .iter()
            .filter_map(|(key, value)| Some((*key, (*value)?)));
        write_map_len(&mut content, header.clone().count() as u32);
        for (key, value) in header {
            write_uint(&mut content, key);
            write_uint(&mut content, value);
        }
        content.extend_from_slice(&self.body.bytes());
        let mut frame = vec![0xce];
        frame.extend_from_slice(&(content.len() as u32).to_be_bytes());
        frame.extend_from_slice(&content);
        frame
    }

    /// As people read it.
    pub(crate) fn describe(&self) -> String {
        let name = u8::try_from(self.code)
            .ok()
            .and_then(|code| RequestType::from_code(code.into()));
        let name = name.map_or_else(
            || format!("type {}", self.code),
            |kind| kind.name().to_owned(),
        );
        let version = self.schema_version;
        let version = version.map_or_else(String::new, |version| format!(" schema {version}"));
        let body = match &self.body {
            Body::Pairs(pairs) if pairs.is_empty() => "-".to_owned(),
            Body::Pairs(pairs) => {
                let pair = |(key, value): &(u64, Vec<u8>)| {
                    format!("{}={}", key_name(*key), print::text(value))
                };
                pairs.iter().map(pair).collect::<Vec<_>>().join(" ")
            }
            Body::Raw(bytes) => format!("raw {bytes:02x?}"),
        };
        format!("{name}{version} {body}")
    }
}

impl Body {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Pairs(pairs) if pairs.is_empty() => Vec::new(),
            Self::Pairs(pairs) => {
                let mut out = Vec::new();
                write_map_len(&mut out, pairs.len() as u32);
                for (key, value) in pairs {
                    write_uint(&mut out, *key);
                    out.extend_from_slice(value);
                }
                out
            }
            Self::Raw(bytes) => bytes.clone(),
        }
    }
}

fn key_name(key: u64) -> String {
    let name = match key {
        keys::SPACE_ID => "space",
        keys::INDEX_ID => "index",
        keys::LIMIT => "limit",
        keys::OFFSET => "offset",
        keys::ITERATOR => "iterator",
        keys::INDEX_BASE => "base",
        keys::KEY => "key",
        keys::TUPLE => "tuple",
        keys::FUNCTION_NAME => "function",
        keys::OPS => "ops",
        _ => return format!("{key:#x}"),
    };
    name.to_owned()
}
