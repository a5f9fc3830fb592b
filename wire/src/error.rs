//! Errors as clients see them: a code, a text that is part of the protocol, and a stack with fields.
//!
//! Texts are Tarantool's own wherever it has one: connectors and routers match on them. The body is
//! written with both the old text key and the error stack, as every client understands one of them.

use std::borrow::Cow;
use std::fmt;

use crate::keys;
use crate::limits::ERROR_STACK_DEPTH_MAX;
use crate::msgpack::{
    write_array_len, write_bool, write_f64, write_map_len, write_str, write_uint,
};

/// The number of an error, below 4096 because some connectors accept no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorCode(pub u16);

macro_rules! codes {
    ($($name:ident = $code:literal, $doc:literal;)*) => {
        impl ErrorCode {
            $(#[doc = $doc] pub const $name: Self = Self($code);)*
        }
    };
}

codes! {
    UNKNOWN = 0, "Nothing better is known.";
    ILLEGAL_PARAMS = 1, "A request or argument makes no sense.";
    MEMORY_ISSUE = 2, "Memory could not be had.";
    TUPLE_FOUND = 3, "A unique index already holds the key.";
    UNSUPPORTED = 5, "What was asked for does not exist here.";
    READONLY = 7, "Data may not be changed on this instance.";
    KEY_PART_TYPE = 18, "A part of a key has the wrong type.";
    EXACT_MATCH = 19, "The whole key is needed and was not given.";
    INVALID_MSGPACK = 20, "Bytes that are not what the protocol asks for.";
    FIELD_TYPE = 23, "A field of a tuple has the wrong type.";
    SPLICE = 25, "A string operation out of bounds.";
    UPDATE_ARG_TYPE = 26, "An operand of an update operation has the wrong type.";
    FORMAT_MISMATCH_INDEX_PART = 27, "A format contradicts an index.";
    UNKNOWN_UPDATE_OP = 28, "No such update operation, or wrong arity.";
    UPDATE_FIELD = 29, "An update operation cannot be applied to the field.";
    FUNCTION_TX_ACTIVE = 30, "A procedure left a transaction open.";
    KEY_PART_COUNT = 31, "A key has too many parts.";
    PROC = 32, "A procedure failed with a text of its own.";
    NO_SUCH_PROC = 33, "No such procedure.";
    NO_SUCH_INDEX_ID = 35, "No index with this number.";
    NO_SUCH_SPACE = 36, "No such space.";
    NO_SUCH_FIELD_NO = 37, "The tuple has no such field.";
    EXACT_FIELD_COUNT = 38, "The space fixes another number of fields.";
    FIELD_MISSING = 39, "A field that the format requires is missing.";
    WAL_IO = 40, "The journal could not be written.";
    MORE_THAN_ONE_TUPLE = 41, "A whole key of a unique index is needed.";
    ACCESS_DENIED = 42, "The user has no right to do this.";
    NO_SUCH_USER = 45, "No such user (never said by AUTH).";
    CREDS_MISMATCH = 47, "No such user, or the wrong password.";
    UNKNOWN_REQUEST_TYPE = 48, "No such request.";
    MISSING_REQUEST_FIELD = 69, "A mandatory key of the body is missing.";
    TIMEOUT = 78, "It took too long.";
    ACTIVE_TRANSACTION = 79, "A transaction is already open.";
    CANT_UPDATE_PRIMARY_KEY = 94, "An update may not move a tuple.";
    UPDATE_INTEGER_OVERFLOW = 95, "The result does not fit an integer.";
    TRANSACTION_CONFLICT = 97, "Another transaction committed first.";
    PROTOCOL = 104, "The request does not fit the state of the connection.";
    WRONG_SCHEMA_VERSION = 109, "The client's catalog is out of date.";
    TUPLE_TOO_LARGE = 110, "A tuple exceeds the configured size.";
    UNSUPPORTED_INDEX_FEATURE = 112, "This type of index cannot do that.";
    SYSTEM = 115, "The operating system said no.";
    LOADING = 116, "Not now: loading, or busy. Clients treat it as transient.";
    CHECKPOINT_IN_PROGRESS = 120, "A checkpoint is being made already.";
    PARTIAL_KEY = 136, "This type of index needs the whole key.";
    NO_SUCH_INDEX_NAME = 148, "No index with this name.";
    UPDATE_DECIMAL_OVERFLOW = 160, "The result does not fit a decimal.";
    NO_SUCH_FIELD_NAME = 201, "The format has no field with this name.";
    UNABLE_TO_PROCESS_IN_STREAM = 229, "Not allowed in a stream.";
    UNABLE_TO_PROCESS_OUT_OF_STREAM = 230, "Only allowed in a stream.";
    TRANSACTION_TIMEOUT = 231, "The transaction took too long and was aborted.";
    ITERATOR_POSITION = 247, "A position does not belong to this index.";
    UNKNOWN_AUTH_METHOD = 249, "No such authentication method.";
    INVALID_AUTH_REQUEST = 251, "The authentication data are malformed.";
    SHUTDOWN = 279, "The server is going down.";
}

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

/// One error, possibly with the error that caused it.
#[derive(Debug, Clone, PartialEq)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone, PartialEq)]
struct Inner {
    code: ErrorCode,
    kind: &'static str,
    message: Cow<'static, str>,
    fields: Vec<(&'static str, Field)>,
    cause: Option<Error>,
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
    /// An error with a text of one's own.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            code,
            kind: "ClientError",
            message: message.into(),
            fields: Vec::new(),
            cause: None,
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
    pub fn fields(&self) -> &[(&'static str, Field)] {
        &self.0.fields
    }

    /// Adds a value for programs to the error's fields.
    #[must_use]
    pub fn with_field(mut self, name: &'static str, value: Field) -> Self {
        self.0.fields.push((name, value));
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
    pub fn with_kind(mut self, kind: &'static str) -> Self {
        self.0.kind = kind;
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
        write_uint(out, 0);
        write_array_len(out, chain().count() as u32);
        for error in chain() {
            error.write_entry(out);
        }
    }

    /// One element of the stack, its keys in the order in which Tarantool writes them.
    fn write_entry(&self, out: &mut Vec<u8>) {
        let inner = &self.0;
        write_map_len(out, if inner.fields.is_empty() { 6 } else { 7 });
        write_uint(out, 0x00);
        write_str(out, inner.kind);
        write_uint(out, 0x02);
        write_uint(out, 0);
        write_uint(out, 0x01);
        write_str(out, "vestibule");
        write_uint(out, 0x03);
        write_str(out, &inner.message);
        write_uint(out, 0x04);
        write_uint(out, 0);
        write_uint(out, 0x05);
        write_uint(out, u64::from(inner.code.0));
        if inner.fields.is_empty() {
            return;
        }
        write_uint(out, 0x06);
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

/// The texts of the protocol, one constructor each.
impl Error {
    /// 1: a text of one's own.
    #[must_use]
    pub fn illegal_params(message: impl Into<Cow<'static, str>>) -> Self {
        // As a `ClientError`: older clients give the code of no other type.
        Self::new(ErrorCode::ILLEGAL_PARAMS, message)
    }

    /// 20: `Invalid MsgPack - <what>`.
    #[must_use]
    pub fn invalid_msgpack(what: &str) -> Self {
        Self::new(
            ErrorCode::INVALID_MSGPACK,
            format!("Invalid MsgPack - {what}"),
        )
    }

    /// 5: `<what> does not support <feature>`.
    #[must_use]
    pub fn unsupported(what: &str, feature: &str) -> Self {
        Self::new(
            ErrorCode::UNSUPPORTED,
            format!("{what} does not support {feature}"),
        )
    }

    /// 7, with the reason as text and field.
    #[must_use]
    pub fn read_only(reason: &'static str, text: &str) -> Self {
        let message = format!("Can't modify data on a read-only instance - {text}");
        Self::new(ErrorCode::READONLY, message).with_field("reason", Field::Str(reason.into()))
    }

    /// 33: no such procedure.
    #[must_use]
    pub fn no_such_procedure(name: &str) -> Self {
        Self::new(
            ErrorCode::NO_SUCH_PROC,
            format!("Procedure '{name}' is not defined"),
        )
    }

    /// 32 for work that was given up on, as Tarantool answers for a fiber that was cancelled.
    #[must_use]
    pub fn cancelled() -> Self {
        Self::new(ErrorCode::PROC, "fiber is cancelled").with_kind("FiberIsCancelled")
    }

    /// 78.
    #[must_use]
    pub fn timeout() -> Self {
        Self::new(ErrorCode::TIMEOUT, "Timeout exceeded")
    }

    /// 231.
    #[must_use]
    pub fn transaction_timeout() -> Self {
        Self::new(
            ErrorCode::TRANSACTION_TIMEOUT,
            "Transaction has been aborted by timeout",
        )
    }

    /// 35: no index with this number.
    #[must_use]
    pub fn no_such_index_id(index: u64, space: &str) -> Self {
        let message = format!("No index #{index} is defined in space '{space}'");
        Self::new(ErrorCode::NO_SUCH_INDEX_ID, message)
    }

    /// 36: no such space; for an unknown number, its decimal form stands in place of the name.
    #[must_use]
    pub fn no_such_space(name: impl fmt::Display) -> Self {
        Self::new(
            ErrorCode::NO_SUCH_SPACE,
            format!("Space '{name}' does not exist"),
        )
    }

    /// 40: the journal could not be written.
    #[must_use]
    pub fn wal_io() -> Self {
        Self::new(ErrorCode::WAL_IO, "Failed to write to disk")
    }

    /// 42, with the three fields of an `AccessDeniedError`.
    #[must_use]
    pub fn access_denied(
        access: &'static str,
        object: &'static str,
        name: &str,
        user: &str,
    ) -> Self {
        let message = format!("{access} access to {object} '{name}' is denied for user '{user}'");
        Self::new(ErrorCode::ACCESS_DENIED, message)
            .with_kind("AccessDeniedError")
            .with_field("object_type", Field::Str(object.into()))
            .with_field("object_name", Field::Str(name.to_owned().into()))
            .with_field("access_type", Field::Str(access.into()))
    }

    /// 47: one text for no such user, no password and wrong password.
    #[must_use]
    pub fn credentials_mismatch() -> Self {
        Self::new(
            ErrorCode::CREDS_MISMATCH,
            "User not found or supplied credentials are invalid",
        )
    }

    /// 48: no such request.
    #[must_use]
    pub fn unknown_request_type(code: u64) -> Self {
        Self::new(
            ErrorCode::UNKNOWN_REQUEST_TYPE,
            format!("Unknown request type {code}"),
        )
    }

    /// 69: a mandatory key is missing.
    #[must_use]
    pub fn missing_field(name: &str) -> Self {
        let message = format!("Missing mandatory field '{name}' in request");
        Self::new(ErrorCode::MISSING_REQUEST_FIELD, message)
    }

    /// 79, whose text ends in a space.
    #[must_use]
    pub fn active_transaction() -> Self {
        Self::new(
            ErrorCode::ACTIVE_TRANSACTION,
            "Operation is not permitted when there is an active transaction ",
        )
    }

    /// 109: the client's catalog is out of date.
    #[must_use]
    pub fn wrong_schema_version(current: u64, given: u64) -> Self {
        let message = format!("Wrong schema version, current: {current}, in request: {given}");
        Self::new(ErrorCode::WRONG_SCHEMA_VERSION, message)
    }

    /// 229: not allowed in a stream.
    #[must_use]
    pub fn in_stream(request: &str) -> Self {
        Self::new(
            ErrorCode::UNABLE_TO_PROCESS_IN_STREAM,
            format!("Unable to process {request} request in stream"),
        )
    }

    /// 230: only allowed in a stream.
    #[must_use]
    pub fn out_of_stream(request: &str) -> Self {
        Self::new(
            ErrorCode::UNABLE_TO_PROCESS_OUT_OF_STREAM,
            format!("Unable to process {request} request out of stream"),
        )
    }

    /// 249: no such authentication method.
    #[must_use]
    pub fn unknown_auth_method(method: &str) -> Self {
        let message = format!("Unknown authentication method '{method}'");
        Self::new(ErrorCode::UNKNOWN_AUTH_METHOD, message)
    }

    /// 251: malformed authentication data.
    #[must_use]
    pub fn invalid_auth_request(method: &str, what: &str) -> Self {
        let message = format!("Invalid '{method}' request: {what}");
        Self::new(ErrorCode::INVALID_AUTH_REQUEST, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msgpack::{Kind, Reader};

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
