//! Who users are, whatever they are called.

use std::fmt;
use std::sync::Arc;

/// The name of the user of a connection that has not authenticated.
pub const GUEST: &str = "guest";

/// A user, as a connection knows it from its login on.
///
/// A name says nothing for long: a user may be dropped and another one made of the same name, even
/// of the same number. So an engine numbers its users, and tells those of one number apart by
/// their generation. One that knows users by their names only leaves both 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name at the time of the login.
    pub name: Arc<str>,
    /// Number of the user.
    pub id: u64,
    /// Which user of this number.
    pub generation: u64,
}

impl User {
    /// The user of a connection that has not authenticated: there is one only, without a number.
    #[must_use]
    pub fn guest() -> Self {
        Self::named(GUEST)
    }

    /// A user of an engine that knows users by their names.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            name: name.into(),
            id: 0,
            generation: 0,
        }
    }

    /// Whether it is the user of a connection that has not authenticated.
    #[must_use]
    pub fn is_guest(&self) -> bool {
        *self.name == *GUEST
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
