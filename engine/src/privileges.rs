//! Privileges: a set of rights as the bits that `_priv` keeps, and as the words that people write.

use std::ops::{BitAnd, BitOr, Sub};

/// A set of privileges, with Tarantool's bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub(crate) struct Privileges(pub(crate) u32);

/// Every privilege that has a name for users, in the order in which they are told.
const NAMED: [(Privileges, &str); 13] = [
    (Privileges::READ, "read"),
    (Privileges::WRITE, "write"),
    (Privileges::EXECUTE, "execute"),
    (Privileges::SESSION, "session"),
    (Privileges::USAGE, "usage"),
    (Privileges::CREATE, "create"),
    (Privileges::DROP, "drop"),
    (Privileges::ALTER, "alter"),
    (Privileges::REFERENCE, "reference"),
    (Privileges(1 << 9), "trigger"),
    (Privileges(1 << 10), "insert"),
    (Privileges(1 << 11), "update"),
    (Privileges(1 << 12), "delete"),
];

impl Privileges {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const READ: Self = Self(1);
    pub(crate) const WRITE: Self = Self(1 << 1);
    pub(crate) const EXECUTE: Self = Self(1 << 2);
    /// To log in.
    pub(crate) const SESSION: Self = Self(1 << 3);
    /// To use any other right.
    pub(crate) const USAGE: Self = Self(1 << 4);
    pub(crate) const CREATE: Self = Self(1 << 5);
    pub(crate) const DROP: Self = Self(1 << 6);
    pub(crate) const ALTER: Self = Self(1 << 7);
    /// To be the parent of a foreign key: accepted, and of no effect here.
    const REFERENCE: Self = Self(1 << 8);
    /// Triggers, and single operations of SQL: accepted, and of no effect here.
    const OF_SQL: Self = Self(0b1111 << 9);
    pub(crate) const GRANT: Self = Self(1 << 13);
    pub(crate) const REVOKE: Self = Self(1 << 14);
    /// Everything, bits to come included.
    pub(crate) const ALL: Self = Self(u32::MAX);
    /// What the owner of an object may do with it: to create needs more than being the owner, and
    /// so does to be here at all.
    pub(crate) const OF_OWNER: Self = Self(!(Self::CREATE.0 | Self::SESSION.0 | Self::USAGE.0));
    /// A user who has one of these on an object may know that it exists.
    pub(crate) const SHOWING: Self =
        Self(Self::READ.0 | Self::WRITE.0 | Self::DROP.0 | Self::ALTER.0);

    /// Whether all of these are in the set.
    #[inline]
    pub(crate) const fn contain(self, others: Self) -> bool {
        others.0 & !self.0 == 0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is left but for being here at all, which every user is born with.
    pub(crate) fn beyond_presence(self) -> Self {
        self - Self::SESSION - Self::USAGE
    }

    /// Reads `read,write`: words in any case, separated by anything that is no letter. `None` for a
    /// word that is no privilege, and if there is none at all.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let words = text.split(|letter: char| !letter.is_ascii_alphabetic());
        let mut found = Self::NONE;
        for word in words.filter(|word| !word.is_empty()) {
            let named = NAMED
                .iter()
                .find(|(_, name)| word.eq_ignore_ascii_case(name));
            found = found | named?.0;
        }
        (!found.is_empty()).then_some(found)
    }

    /// `read,write`
    pub(crate) fn names(self) -> String {
        let held = NAMED.iter().filter(|(one, _)| self.contain(*one));
        held.map(|(_, name)| *name).collect::<Vec<_>>().join(",")
    }

    /// How errors call the first of them.
    pub(crate) const fn first_name(self) -> &'static str {
        const NAMES: [&str; 15] = [
            "Read",
            "Write",
            "Execute",
            "Session",
            "Usage",
            "Create",
            "Drop",
            "Alter",
            "Reference",
            "Trigger",
            "Insert",
            "Update",
            "Delete",
            "Grant",
            "Revoke",
        ];
        let first = self.0.trailing_zeros() as usize;
        if first < NAMES.len() {
            NAMES[first]
        } else {
            "Any"
        }
    }
}

impl BitOr for Privileges {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Privileges {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Sub for Privileges {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// What rights can be granted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum ObjectKind {
    Universe,
    Space,
    Function,
    Sequence,
    Role,
    User,
    /// Lua functions that have no row in `_func`: kept, and of no effect here.
    LuaCall,
    /// The same.
    LuaEval,
    /// The same.
    Sql,
}

impl ObjectKind {
    pub(crate) const ALL: [Self; 9] = [
        Self::Universe,
        Self::Space,
        Self::Function,
        Self::Sequence,
        Self::Role,
        Self::User,
        Self::LuaCall,
        Self::LuaEval,
        Self::Sql,
    ];

    /// Whether there are objects of the kind, each with a number of its own.
    pub(crate) const fn has_objects(self) -> bool {
        !matches!(
            self,
            Self::Universe | Self::LuaCall | Self::LuaEval | Self::Sql
        )
    }

    /// As `_priv` and errors call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Universe => "universe",
            Self::Space => "space",
            Self::Function => "function",
            Self::Sequence => "sequence",
            Self::Role => "role",
            Self::User => "user",
            Self::LuaCall => "lua_call",
            Self::LuaEval => "lua_eval",
            Self::Sql => "sql",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What can be granted on such an object. Tarantool 2.6 takes `execute` on a space too, where
    /// it means nothing.
    pub(crate) const fn grantable(self) -> Privileges {
        type P = Privileges;
        let ddl = P::CREATE.0 | P::DROP.0;
        Privileges(match self {
            Self::Universe => P::ALL.0,
            Self::Space => {
                let data = P::READ.0 | P::WRITE.0 | P::EXECUTE.0 | P::USAGE.0;
                data | ddl | P::ALTER.0 | P::REFERENCE.0 | P::OF_SQL.0
            }
            Self::Sequence => P::READ.0 | P::WRITE.0 | P::USAGE.0 | ddl | P::ALTER.0,
            Self::Function | Self::Role => P::EXECUTE.0 | P::USAGE.0 | ddl,
            Self::User => ddl | P::ALTER.0,
            Self::LuaCall | Self::LuaEval | Self::Sql => P::EXECUTE.0 | P::USAGE.0,
        })
    }
}

/// What is granted: a kind of objects, one of them or (`None`) all of them. On the universe the
/// number means nothing.
pub(crate) type Object = (ObjectKind, Option<u64>);

/// The role that somebody gets by a grant.
pub(crate) fn granted_role((kind, id): Object, privileges: Privileges) -> Option<u64> {
    let is_membership = kind == ObjectKind::Role && privileges.contain(Privileges::EXECUTE);
    id.filter(|_| is_membership)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_bits_and_bits_words() {
        let parse = |text| Privileges::parse(text).map(|found| found.0);
        assert_eq!(parse("read"), Some(1));
        assert_eq!(parse("Read, WRITE"), Some(3));
        assert_eq!(parse("read write;execute"), Some(7));
        assert_eq!(parse("session,usage"), Some(24));
        assert_eq!(parse("read,foo"), None);
        assert_eq!(parse("reads"), None);
        assert_eq!(parse(""), None);
        assert_eq!(parse(" , "), None);
        assert_eq!(Privileges(3).names(), "read,write");
        assert_eq!(
            Privileges::ALL.names(),
            "read,write,execute,session,usage,create,drop,alter,reference,trigger,insert,update,\
             delete"
        );
        assert_eq!(Privileges::NONE.names(), "");
    }

    #[test]
    fn an_error_names_the_first_missing_right() {
        assert_eq!(
            (Privileges::EXECUTE | Privileges::USAGE).first_name(),
            "Execute"
        );
        assert_eq!(Privileges::USAGE.first_name(), "Usage");
        assert_eq!(Privileges::GRANT.first_name(), "Grant");
        assert_eq!(Privileges::REVOKE.first_name(), "Revoke");
    }
}
