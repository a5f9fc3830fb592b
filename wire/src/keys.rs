//! The numbers of the protocol: header and body keys, reply codes, extension types, request types.

/// Header key: request type, or reply code.
pub const REQUEST_TYPE: u64 = 0x00;
/// Header key: echoed in the reply, opaque to the server.
pub const SYNC: u64 = 0x01;
/// Header key: the catalog version the sender knows.
pub const SCHEMA_VERSION: u64 = 0x05;
/// Header key: the stream the request belongs to, 0 for none.
pub const STREAM_ID: u64 = 0x0a;

/// Request type: asks an instance how it is, without a login. Between servers: clients do not send
/// it, so it is none of [`RequestType`].
pub const REQUEST_VOTE: u64 = 68;

/// Reply code: a push, told before the reply.
pub const CODE_CHUNK: u32 = 0x80;
/// Reply code: a watched key has changed, or is told for the first time.
pub const CODE_EVENT: u32 = 76;
/// The bit of a reply code that makes the rest of it the number of an error.
pub const CODE_ERROR: u32 = 0x8000;

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

/// Key of the elements in an error stack.
pub const ERROR_STACK: u64 = 0x00;

/// Keys of one element of an error stack.
#[allow(missing_docs, reason = "the names are the protocol's own")]
pub mod error_entry {
    pub const KIND: u64 = 0x00;
    pub const FILE: u64 = 0x01;
    pub const LINE: u64 = 0x02;
    pub const MESSAGE: u64 = 0x03;
    pub const ERRNO: u64 = 0x04;
    pub const CODE: u64 = 0x05;
    pub const FIELDS: u64 = 0x06;
}

/// Keys of a ballot, the answer to [`REQUEST_VOTE`].
#[allow(missing_docs, reason = "the names are the protocol's own")]
pub mod ballot {
    pub const IS_RO_CFG: u64 = 0x01;
    pub const VCLOCK: u64 = 0x02;
    /// Whether the instance is loading, up to 2.8.1; whether it is read-only, for whatever reason,
    /// where there is [`IS_BOOTED`].
    pub const IS_RO: u64 = 0x04;
    pub const IS_BOOTED: u64 = 0x06;
}

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
    pub const BALLOT: u64 = 0x29;
    pub const OPTIONS: u64 = 0x2b;
    pub const AFTER_POSITION: u64 = 0x2e;
    pub const AFTER_TUPLE: u64 = 0x2f;
    pub const DATA: u64 = 0x30;
    pub const ERROR_24: u64 = 0x31;
    pub const METADATA: u64 = 0x32;
    pub const BIND_COUNT: u64 = 0x34;
    pub const POSITION: u64 = 0x35;
    pub const SQL_TEXT: u64 = 0x40;
    pub const SQL_BIND: u64 = 0x41;
    pub const SQL_INFO: u64 = 0x42;
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
    pub const CHUNK_WINDOW: u64 = 0xf5;
    pub const CHUNK_MESSAGES: u64 = 0xf6;
}
pub use body::*;

macro_rules! request_types {
    ($($(#[doc = $doc:literal])? $variant:ident = $code:literal, $name:literal;)*) => {
        /// What a request asks for. Numbers that a client may not send are not listed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "the names are the protocol's own")]
        #[repr(u8)]
        pub enum RequestType {
            $($(#[doc = $doc])? $variant = $code,)*
        }

        impl RequestType {
            /// Every type, for tests over the whole product and for tables.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The type with this number; `None` if a client may not send it.
            #[must_use]
            pub const fn from_code(code: u64) -> Option<Self> {
                Some(match code {
                    $($code => Self::$variant,)*
                    _ => return None,
                })
            }

            /// The protocol's name for it, as it stands in error texts.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

request_types! {
    Select = 1, "SELECT";
    Insert = 2, "INSERT";
    Replace = 3, "REPLACE";
    Update = 4, "UPDATE";
    Delete = 5, "DELETE";
    /// CALL of the 1.6 protocol: every returned value is wrapped in an array.
    Call16 = 6, "CALL_16";
    Auth = 7, "AUTH";
    Eval = 8, "EVAL";
    Upsert = 9, "UPSERT";
    Call = 10, "CALL";
    Execute = 11, "EXECUTE";
    Prepare = 13, "PREPARE";
    Begin = 14, "BEGIN";
    Commit = 15, "COMMIT";
    Rollback = 16, "ROLLBACK";
    Ping = 64, "PING";
    Id = 73, "ID";
    Watch = 74, "WATCH";
    Unwatch = 75, "UNWATCH";
    WatchOnce = 77, "WATCH_ONCE";
}
