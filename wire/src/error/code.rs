//! The numbers of errors, all of them: nothing else in the tree writes one down.

/// The number of an error, below 4096 because some connectors accept no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorCode(pub u16);

macro_rules! codes {
    ($($name:ident = $code:literal, $doc:literal;)*) => {
        impl ErrorCode {
            $(#[doc = $doc] pub const $name: Self = Self($code);)*

            /// Every code that is known here, by number, with its name.
            pub const ALL: &'static [(Self, &'static str)] =
                &[$((Self::$name, stringify!($name))),*];
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
    CREATE_SPACE = 9, "A space cannot be created.";
    SPACE_EXISTS = 10, "A space of this name exists already.";
    DROP_SPACE = 11, "A space cannot be dropped.";
    ALTER_SPACE = 12, "A space cannot be changed.";
    INDEX_TYPE = 13, "No such type of index.";
    MODIFY_INDEX = 14, "An index cannot be created or changed.";
    DROP_PRIMARY_KEY = 17, "The primary index may not be dropped before the others.";
    KEY_PART_TYPE = 18, "A part of a key has the wrong type.";
    EXACT_MATCH = 19, "The whole key is needed and was not given.";
    INVALID_MSGPACK = 20, "Bytes that are not what the protocol asks for.";
    TUPLE_NOT_ARRAY = 22, "A tuple or key is no array.";
    FIELD_TYPE = 23, "A field of a tuple has the wrong type.";
    INDEX_PART_TYPE_MISMATCH = 24, "Two indexes give one field different types.";
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
    CREATE_USER = 43, "A user cannot be created.";
    DROP_USER = 44, "A user or role cannot be dropped.";
    NO_SUCH_USER = 45, "No such user (AUTH does not say so to strangers).";
    USER_EXISTS = 46, "A user of this name exists already.";
    CREDS_MISMATCH = 47, "No such user, or the wrong password.";
    UNKNOWN_REQUEST_TYPE = 48, "No such request.";
    UNKNOWN_SCHEMA_OBJECT = 49, "No such type of object.";
    CREATE_FUNCTION = 50, "A function cannot be created.";
    NO_SUCH_FUNCTION = 51, "No such function.";
    FUNCTION_EXISTS = 52, "A function of this name exists already.";
    USER_MAX = 56, "There are as many users and roles as there may be.";
    NO_SUCH_ENGINE = 57, "No such engine of spaces.";
    CFG = 59, "An option has a value that it cannot have.";
    MISSING_REQUEST_FIELD = 69, "A mandatory key of the body is missing.";
    IDENTIFIER = 70, "A name is empty, too long or not printable.";
    DROP_FUNCTION = 71, "A function cannot be dropped.";
    ITERATOR_TYPE = 72, "No such type of iterator.";
    TIMEOUT = 78, "It took too long.";
    ACTIVE_TRANSACTION = 79, "A transaction is already open.";
    NO_SUCH_ROLE = 82, "No such role.";
    ROLE_EXISTS = 83, "A role of this name exists already.";
    CREATE_ROLE = 84, "A role cannot be created.";
    INDEX_EXISTS = 85, "An index of this name exists already.";
    ROLE_LOOP = 87, "A role would be granted to itself, through other roles.";
    GRANT = 88, "The arguments of a grant make no sense.";
    PRIV_GRANTED = 89, "The user has the privilege already.";
    ROLE_GRANTED = 90, "The user has the role already.";
    PRIV_NOT_GRANTED = 91, "The user does not have the privilege.";
    ROLE_NOT_GRANTED = 92, "The user does not have the role.";
    CANT_UPDATE_PRIMARY_KEY = 94, "An update may not move a tuple.";
    UPDATE_INTEGER_OVERFLOW = 95, "The result does not fit an integer.";
    GUEST_USER_PASSWORD = 96, "The guest has no password.";
    TRANSACTION_CONFLICT = 97, "Another transaction committed first.";
    UNSUPPORTED_PRIV = 98, "This type of object has no such privilege.";
    FUNCTION_LANGUAGE = 100, "Functions are not written in this language.";
    PROTOCOL = 104, "The request does not fit the state of the connection.";
    WRONG_INDEX_PARTS = 107, "The parts of an index make no sense.";
    WRONG_INDEX_OPTIONS = 108, "The options of an index make no sense.";
    WRONG_SCHEMA_VERSION = 109, "The client's catalog is out of date.";
    TUPLE_TOO_LARGE = 110, "A tuple exceeds the configured size.";
    WRONG_SPACE_OPTIONS = 111, "The options of a space make no sense.";
    UNSUPPORTED_INDEX_FEATURE = 112, "This type of index cannot do that.";
    VIEW_IS_RO = 113, "Data may not be changed through a view.";
    SYSTEM = 115, "The operating system said no.";
    LOADING = 116, "Not now: loading, or busy. Clients treat it as transient.";
    CHECKPOINT_IN_PROGRESS = 120, "A checkpoint is being made already.";
    PARTIAL_KEY = 136, "This type of index needs the whole key.";
    WRONG_SPACE_FORMAT = 141, "A field of a format makes no sense.";
    CREATE_SEQUENCE = 142, "A sequence cannot be created.";
    ALTER_SEQUENCE = 143, "A sequence cannot be changed.";
    DROP_SEQUENCE = 144, "A sequence cannot be dropped.";
    NO_SUCH_SEQUENCE = 145, "No such sequence.";
    SEQUENCE_EXISTS = 146, "A sequence of this name exists already.";
    SEQUENCE_OVERFLOW = 147, "A sequence has no further value.";
    NO_SUCH_INDEX_NAME = 148, "No index with this name.";
    SPACE_FIELD_IS_DUPLICATE = 149, "Two fields of a format have one name.";
    WRONG_COLLATION_OPTIONS = 151, "There is no such collation.";
    NULLABLE_PRIMARY = 152, "A part of the primary index may not be null.";
    UPDATE_DECIMAL_OVERFLOW = 160, "The result does not fit a decimal.";
    NO_SUCH_FIELD_NAME = 201, "The format has no field with this name.";
    SQL_PREPARE = 210, "A statement of SQL cannot be prepared.";
    WRONG_QUERY_ID = 211, "No prepared statement has this number.";
    SEQUENCE_NOT_STARTED = 212, "A sequence has no current value yet.";
    UNABLE_TO_PROCESS_IN_STREAM = 229, "Not allowed in a stream.";
    UNABLE_TO_PROCESS_OUT_OF_STREAM = 230, "Only allowed in a stream.";
    TRANSACTION_TIMEOUT = 231, "The transaction took too long and was aborted.";
    CREATE_FOREIGN_KEY = 237, "A foreign key cannot be created.";
    FOREIGN_KEY_INTEGRITY = 238, "A tuple that others refer to would be gone.";
    FIELD_FOREIGN_KEY_FAILED = 239, "What a field refers to is not there.";
    COMPLEX_FOREIGN_KEY_FAILED = 240, "What a tuple refers to is not there.";
    ITERATOR_POSITION = 247, "A position does not belong to this index.";
    DEFAULT_VALUE_TYPE = 248, "A default is not of its field's type.";
    UNKNOWN_AUTH_METHOD = 249, "No such authentication method.";
    INVALID_AUTH_REQUEST = 251, "The authentication data are malformed.";
    SHUTDOWN = 279, "The server is going down.";
    FIELD_VALUE_OUT_OF_RANGE = 280, "An integer is beyond the bounds of its field's type.";
}

impl ErrorCode {
    /// The name of the constant, near Tarantool's own; `None` for a number that is not known
    /// here.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        let at = Self::ALL.binary_search_by_key(&self, |(code, _)| *code);
        at.ok().map(|at| Self::ALL[at].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_stand_once_in_ascending_order_and_are_small_enough_for_every_connector() {
        assert!(ErrorCode::ALL.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(ErrorCode::ALL.iter().all(|(code, _)| code.0 < 4096));
    }

    #[test]
    fn a_code_is_found_by_its_number() {
        assert_eq!(ErrorCode(47).name(), Some("CREDS_MISMATCH"));
        assert_eq!(ErrorCode(4095).name(), None);
    }
}
