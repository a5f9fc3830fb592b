//! The texts of the protocol, one constructor each.

use std::borrow::Cow;
use std::fmt;

use super::{Error, ErrorCode, Field};

impl Error {
    /// [`ErrorCode::ILLEGAL_PARAMS`]: a text of one's own.
    #[must_use]
    pub fn illegal_params(message: impl Into<Cow<'static, str>>) -> Self {
        // As a `ClientError`: older clients give the code of no other type.
        Self::new(ErrorCode::ILLEGAL_PARAMS, message)
    }

    /// [`ErrorCode::INVALID_MSGPACK`]: `Invalid MsgPack - <what>`.
    #[must_use]
    pub fn invalid_msgpack(what: &str) -> Self {
        Self::new(
            ErrorCode::INVALID_MSGPACK,
            format!("Invalid MsgPack - {what}"),
        )
    }

    /// [`ErrorCode::UNSUPPORTED`]: `<what> does not support <feature>`.
    #[must_use]
    pub fn unsupported(what: &str, feature: &str) -> Self {
        Self::new(
            ErrorCode::UNSUPPORTED,
            format!("{what} does not support {feature}"),
        )
    }

    /// [`ErrorCode::READONLY`]. `reason` is the error's field of this name: a word by which
    /// programs tell why, such as Tarantool's `config` (it was made a replica), or `journal` (which
    /// cannot be written). `text` says it to people, behind "Can't modify data on a read-only
    /// instance - ".
    ///
    /// ```
    /// use vestibule_wire::{Error, ErrorCode};
    ///
    /// let error = Error::read_only("disk", "the disk is full");
    /// assert_eq!(error.code(), ErrorCode::READONLY);
    /// assert!(error.message().ends_with("instance - the disk is full"));
    /// ```
    #[must_use]
    pub fn read_only(reason: &'static str, text: &str) -> Self {
        let message = format!("Can't modify data on a read-only instance - {text}");
        Self::new(ErrorCode::READONLY, message).with_field("reason", Field::Str(reason.into()))
    }

    /// [`ErrorCode::NO_SUCH_PROC`]: no such procedure.
    #[must_use]
    pub fn no_such_procedure(name: &str) -> Self {
        Self::new(
            ErrorCode::NO_SUCH_PROC,
            format!("Procedure '{name}' is not defined"),
        )
    }

    /// [`ErrorCode::PROC`] for work that was cancelled, as Tarantool answers for a fiber.
    #[must_use]
    pub fn cancelled() -> Self {
        Self::new(ErrorCode::PROC, "fiber is cancelled").with_kind("FiberIsCancelled")
    }

    /// [`ErrorCode::TIMEOUT`].
    #[must_use]
    pub fn timeout() -> Self {
        Self::new(ErrorCode::TIMEOUT, "Timeout exceeded")
    }

    /// [`ErrorCode::TRANSACTION_TIMEOUT`].
    #[must_use]
    pub fn transaction_timeout() -> Self {
        Self::new(
            ErrorCode::TRANSACTION_TIMEOUT,
            "Transaction has been aborted by timeout",
        )
    }

    /// [`ErrorCode::NO_SUCH_INDEX_ID`]: no index with this number.
    #[must_use]
    pub fn no_such_index_id(index: u64, space: &str) -> Self {
        let message = format!("No index #{index} is defined in space '{space}'");
        Self::new(ErrorCode::NO_SUCH_INDEX_ID, message)
    }

    /// [`ErrorCode::NO_SUCH_SPACE`]. For an unknown number, its decimal form stands in place of
    /// the name.
    #[must_use]
    pub fn no_such_space(name: impl fmt::Display) -> Self {
        Self::new(
            ErrorCode::NO_SUCH_SPACE,
            format!("Space '{name}' does not exist"),
        )
    }

    /// [`ErrorCode::NO_SUCH_USER`].
    #[must_use]
    pub fn no_such_user(name: &str) -> Self {
        Self::new(
            ErrorCode::NO_SUCH_USER,
            format!("User '{name}' is not found"),
        )
    }

    /// [`ErrorCode::WAL_IO`]: the journal could not be written.
    #[must_use]
    pub fn wal_io() -> Self {
        Self::new(ErrorCode::WAL_IO, "Failed to write to disk")
    }

    /// [`ErrorCode::ACCESS_DENIED`], with the three fields of an `AccessDeniedError`.
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

    /// [`ErrorCode::CREDS_MISMATCH`]: one text for no such user, no password and wrong password.
    #[must_use]
    pub fn credentials_mismatch() -> Self {
        Self::new(
            ErrorCode::CREDS_MISMATCH,
            "User not found or supplied credentials are invalid",
        )
    }

    /// [`ErrorCode::UNKNOWN_REQUEST_TYPE`]: no such request.
    #[must_use]
    pub fn unknown_request_type(code: u64) -> Self {
        Self::new(
            ErrorCode::UNKNOWN_REQUEST_TYPE,
            format!("Unknown request type {code}"),
        )
    }

    /// [`ErrorCode::MISSING_REQUEST_FIELD`]: a mandatory key is missing.
    #[must_use]
    pub fn missing_field(name: &str) -> Self {
        let message = format!("Missing mandatory field '{name}' in request");
        Self::new(ErrorCode::MISSING_REQUEST_FIELD, message)
    }

    /// [`ErrorCode::ACTIVE_TRANSACTION`], whose text ends in a space.
    #[must_use]
    pub fn active_transaction() -> Self {
        Self::new(
            ErrorCode::ACTIVE_TRANSACTION,
            "Operation is not permitted when there is an active transaction ",
        )
    }

    /// [`ErrorCode::WRONG_SCHEMA_VERSION`]: the client's catalog is out of date.
    #[must_use]
    pub fn wrong_schema_version(current: u64, given: u64) -> Self {
        let message = format!("Wrong schema version, current: {current}, in request: {given}");
        Self::new(ErrorCode::WRONG_SCHEMA_VERSION, message)
    }

    /// [`ErrorCode::UNABLE_TO_PROCESS_IN_STREAM`]: not allowed in a stream.
    #[must_use]
    pub fn in_stream(request: &str) -> Self {
        Self::new(
            ErrorCode::UNABLE_TO_PROCESS_IN_STREAM,
            format!("Unable to process {request} request in stream"),
        )
    }

    /// [`ErrorCode::UNABLE_TO_PROCESS_OUT_OF_STREAM`]: only allowed in a stream.
    #[must_use]
    pub fn out_of_stream(request: &str) -> Self {
        Self::new(
            ErrorCode::UNABLE_TO_PROCESS_OUT_OF_STREAM,
            format!("Unable to process {request} request out of stream"),
        )
    }

    /// [`ErrorCode::UNKNOWN_AUTH_METHOD`]: no such authentication method.
    #[must_use]
    pub fn unknown_auth_method(method: &str) -> Self {
        let message = format!("Unknown authentication method '{method}'");
        Self::new(ErrorCode::UNKNOWN_AUTH_METHOD, message)
    }

    /// [`ErrorCode::INVALID_AUTH_REQUEST`]: malformed authentication data.
    #[must_use]
    pub fn invalid_auth_request(method: &str, what: &str) -> Self {
        let message = format!("Invalid '{method}' request: {what}");
        Self::new(ErrorCode::INVALID_AUTH_REQUEST, message)
    }
}
