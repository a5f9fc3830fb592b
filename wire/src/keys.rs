//! The numbers of the protocol: header and body keys, extension types, request types.

/// Header key: request type, or reply code.
pub const REQUEST_TYPE: u64 = 0x00;
/// Header key: echoed in the reply, opaque to the server.
pub const SYNC: u64 = 0x01;
/// Header key: the catalog version the sender knows.
pub const SCHEMA_VERSION: u64 = 0x05;
/// Header key: the stream the request belongs to, 0 for none.
pub const STREAM_ID: u64 = 0x0a;

/// MessagePack extension type of a decimal number.
pub const EXT_DECIMAL: i8 = 1;
/// MessagePack extension type of a UUID.
pub const EXT_UUID: i8 = 2;
/// MessagePack extension type of an error stack.
pub const EXT_ERROR: i8 = 3;
/// MessagePack extension type of a point in time.
pub const EXT_DATETIME: i8 = 4;
/// MessagePack extension type of a span of time.
pub const EXT_INTERVAL: i8 = 6;

#[allow(missing_docs, reason = "the names are the protocol's own")]
mod body {
    pub const SPACE_ID: u64 = 0x10;
    pub const INDEX_ID: u64 = 0x11;
    pub const LIMIT: u64 = 0x12;
    pub const OFFSET: u64 = 0x13;
    pub const ITERATOR: u64 = 0x14;
    pub const INDEX_BASE: u64 = 0x15;
    pub const FETCH_POSITION: u64 = 0x1f;
    pub const KEY: u64 = 0x20;
    pub const TUPLE: u64 = 0x21;
    pub const FUNCTION_NAME: u64 = 0x22;
    pub const USER_NAME: u64 = 0x23;
    pub const EXPR: u64 = 0x27;
    pub const OPS: u64 = 0x28;
    pub const OPTIONS: u64 = 0x2b;
    pub const AFTER_POSITION: u64 = 0x2e;
    pub const AFTER_TUPLE: u64 = 0x2f;
    pub const DATA: u64 = 0x30;
    pub const ERROR_24: u64 = 0x31;
    pub const POSITION: u64 = 0x35;
    pub const SQL_TEXT: u64 = 0x40;
    pub const STMT_ID: u64 = 0x43;
    pub const ERROR: u64 = 0x52;
    pub const VERSION: u64 = 0x54;
    pub const FEATURES: u64 = 0x55;
    pub const TIMEOUT: u64 = 0x56;
    pub const EVENT_KEY: u64 = 0x57;
    pub const EVENT_DATA: u64 = 0x58;
    pub const TXN_ISOLATION: u64 = 0x59;
    pub const AUTH_TYPE: u64 = 0x5b;
    pub const SPACE_NAME: u64 = 0x5e;
    pub const INDEX_NAME: u64 = 0x5f;
    pub const IS_SYNC: u64 = 0x61;
}
pub use body::*;

/// What a request asks for. Numbers that a client may not send are not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the protocol's own")]
#[repr(u8)]
pub enum RequestType {
    Select = 1,
    Insert = 2,
    Replace = 3,
    Update = 4,
    Delete = 5,
    /// CALL of the 1.6 protocol: every returned value is wrapped in an array.
    Call16 = 6,
    Auth = 7,
    Eval = 8,
    Upsert = 9,
    Call = 10,
    Execute = 11,
    Prepare = 13,
    Begin = 14,
    Commit = 15,
    Rollback = 16,
    Ping = 64,
    Id = 73,
    Watch = 74,
    Unwatch = 75,
    WatchOnce = 77,
}

impl RequestType {
    /// Every type, for tests over the whole product and for tables.
    pub const ALL: [Self; 20] = [
        Self::Select,
        Self::Insert,
        Self::Replace,
        Self::Update,
        Self::Delete,
        Self::Call16,
        Self::Auth,
        Self::Eval,
        Self::Upsert,
        Self::Call,
        Self::Execute,
        Self::Prepare,
        Self::Begin,
        Self::Commit,
        Self::Rollback,
        Self::Ping,
        Self::Id,
        Self::Watch,
        Self::Unwatch,
        Self::WatchOnce,
    ];

    /// The type with this number; `None` if a client may not send it.
    #[must_use]
    pub const fn from_code(code: u64) -> Option<Self> {
        Some(match code {
            1 => Self::Select,
            2 => Self::Insert,
            3 => Self::Replace,
            4 => Self::Update,
            5 => Self::Delete,
            6 => Self::Call16,
            7 => Self::Auth,
            8 => Self::Eval,
            9 => Self::Upsert,
            10 => Self::Call,
            11 => Self::Execute,
            13 => Self::Prepare,
            14 => Self::Begin,
            15 => Self::Commit,
            16 => Self::Rollback,
            64 => Self::Ping,
            73 => Self::Id,
            74 => Self::Watch,
            75 => Self::Unwatch,
            77 => Self::WatchOnce,
            _ => return None,
        })
    }

    /// The protocol's name for it, as it stands in error texts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
            Self::Replace => "REPLACE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Call16 => "CALL_16",
            Self::Auth => "AUTH",
            Self::Eval => "EVAL",
            Self::Upsert => "UPSERT",
            Self::Call => "CALL",
            Self::Execute => "EXECUTE",
            Self::Prepare => "PREPARE",
            Self::Begin => "BEGIN",
            Self::Commit => "COMMIT",
            Self::Rollback => "ROLLBACK",
            Self::Ping => "PING",
            Self::Id => "ID",
            Self::Watch => "WATCH",
            Self::Unwatch => "UNWATCH",
            Self::WatchOnce => "WATCH_ONCE",
        }
    }
}
