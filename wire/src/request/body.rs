//! What requests carry, one type each: made by the decoder of the server and written by clients.

use crate::error::Error;
use crate::features::Features;
use crate::groups::Agreement;

/// A space or index, as a request names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdOrName<'a> {
    /// By number. Numbers beyond 32 bits become `u32::MAX`, which nothing has.
    Id(u32),
    /// By name; wins over a number given beside it.
    Name(&'a str),
}

/// SELECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Select<'a> {
    /// Where to look.
    pub space: IdOrName<'a>,
    /// By which index.
    pub index: IdOrName<'a>,
    /// Most tuples that are returned.
    pub limit: u64,
    /// How many tuples are skipped first.
    pub offset: u64,
    /// The number of the iterator, unchecked (see [`IteratorType::from_code`]).
    pub iterator: u64,
    /// The key as a MessagePack array.
    pub key: &'a [u8],
    /// Whether the reply should carry the position of its last tuple.
    pub fetch_position: bool,
    /// Where to go on from.
    pub after: After<'a>,
}

/// Where a paginated SELECT goes on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After<'a> {
    /// From the start.
    Start,
    /// After a position that an earlier reply gave.
    Position(&'a [u8]),
    /// After this tuple (a MessagePack array).
    Tuple(&'a [u8]),
}

/// INSERT or REPLACE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Store<'a> {
    /// Where to store.
    pub space: IdOrName<'a>,
    /// The tuple as a MessagePack array.
    pub tuple: &'a [u8],
}

/// UPDATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Update<'a> {
    /// Where to look.
    pub space: IdOrName<'a>,
    /// By which unique index.
    pub index: IdOrName<'a>,
    /// The whole key as a MessagePack array.
    pub key: &'a [u8],
    /// The operations as a MessagePack array.
    pub ops: &'a [u8],
    /// Number of the first field in `ops`: 0 or 1.
    pub index_base: u64,
}

/// DELETE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delete<'a> {
    /// Where to look.
    pub space: IdOrName<'a>,
    /// By which unique index.
    pub index: IdOrName<'a>,
    /// The whole key as a MessagePack array.
    pub key: &'a [u8],
}

/// UPSERT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upsert<'a> {
    /// Where to store.
    pub space: IdOrName<'a>,
    /// Stored if its key is not there yet.
    pub tuple: &'a [u8],
    /// Applied if it is.
    pub ops: &'a [u8],
    /// Number of the first field in `ops`: 0 or 1.
    pub index_base: u64,
}

/// CALL, of either protocol version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call<'a> {
    /// The procedure's name.
    pub name: &'a str,
    /// The arguments as a MessagePack array.
    pub args: &'a [u8],
    /// Whether returned values are to be wrapped one by one (`CALL_16`).
    pub wrap_results: bool,
}

/// EVAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eval<'a> {
    /// The source text.
    pub expression: &'a [u8],
    /// The arguments as a MessagePack array.
    pub args: &'a [u8],
}

/// AUTH. The tuple is not looked into yet: its faults are reported in the protocol's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Who it claims to be.
    pub user: &'a str,
    /// `[method, scramble]`, or an empty array.
    pub tuple: &'a [u8],
}

/// ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id {
    /// Version of the client's protocol.
    pub version: u64,
    /// What the client can do, of the features known here.
    pub features: Features,
    /// What it holds of messages that come in chunks, if it takes such.
    pub chunks: Option<Agreement>,
}

/// BEGIN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Begin {
    /// In seconds; `None` if not given (0 counts as not given).
    pub timeout: Option<f64>,
    /// 0 default, 1 read-committed, 2 read-confirmed, 3 best-effort, 4 linearizable.
    pub isolation: u64,
}

/// A decoded request.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "the variants are the request types")]
pub enum Body<'a> {
    Ping,
    Id(Id),
    Auth(Auth<'a>),
    Select(Select<'a>),
    Insert(Store<'a>),
    Replace(Store<'a>),
    Update(Update<'a>),
    Delete(Delete<'a>),
    Upsert(Upsert<'a>),
    Call(Call<'a>),
    Eval(Eval<'a>),
    Execute,
    Prepare,
    Begin(Begin),
    Commit,
    Rollback,
    Watch(&'a str),
    Unwatch(&'a str),
    WatchOnce(&'a str),
}

macro_rules! iterator_types {
    ($($variant:ident = $code:literal, $name:literal;)*) => {
        /// Which tuples of an index a SELECT walks over, and in which direction.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "the names are the protocol's own")]
        #[repr(u8)]
        pub enum IteratorType {
            $($variant = $code,)*
        }

        impl IteratorType {
            /// Every type with its name in options, by number.
            pub const NAMES: &'static [(&'static str, Self)] = &[$(($name, Self::$variant)),*];

            /// The iterator with this number.
            ///
            /// # Errors
            ///
            /// [`ErrorCode::ILLEGAL_PARAMS`](crate::ErrorCode::ILLEGAL_PARAMS) if none has it.
            pub fn from_code(code: u64) -> Result<Self, Error> {
                Ok(match code {
                    $($code => Self::$variant,)*
                    _ => return Err(Error::illegal_params("Invalid iterator type")),
                })
            }
        }
    };
}

iterator_types! {
    Eq = 0, "EQ";
    Req = 1, "REQ";
    All = 2, "ALL";
    Lt = 3, "LT";
    Le = 4, "LE";
    Ge = 5, "GE";
    Gt = 6, "GT";
    BitsAllSet = 7, "BITS_ALL_SET";
    BitsAnySet = 8, "BITS_ANY_SET";
    BitsAllNotSet = 9, "BITS_ALL_NOT_SET";
    Overlaps = 10, "OVERLAPS";
    Neighbor = 11, "NEIGHBOR";
    NextPrefix = 12, "NP";
    PreviousPrefix = 13, "PP";
}

impl IteratorType {
    /// The iterator with this name, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let mut names = Self::NAMES.iter();
        let found = names.find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, iterator)| *iterator)
    }
}
