//! By what a gateway knows its clients: by what upstreams say, by a list, or as one account alone.

use std::collections::HashMap;
use std::fmt;

use vestibule_wire::auth::PasswordHash;

use crate::limits::UPSTREAM_USERS_MAX;

/// By what a gateway knows its clients. Guest needs no login in any case.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum UpstreamUsers {
    /// By the hashes of `_user`, which upstreams are asked for with the gateway's account.
    #[default]
    Ask,
    /// By the hashes of this list, and no others. Upstreams are asked for none.
    Listed(ListedUsers),
    /// The gateway's account is the only one that can log in, by its name and password.
    One,
}

// What stands in the list is not for the log.
impl fmt::Debug for UpstreamUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask => f.write_str("Ask"),
            Self::Listed(users) => write!(f, "Listed({})", users.0.len()),
            Self::One => f.write_str("One"),
        }
    }
}

/// Users with the hashes of their passwords.
///
/// ```
/// use vestibule_actors::ListedUsers;
///
/// let text = "# as they stand in _user\nalice:ggfGvWvB3NBrI9BSiYGfHcD6bQw=\n";
/// assert!(text.parse::<ListedUsers>().is_ok());
/// let fault = "alice:secret".parse::<ListedUsers>().unwrap_err();
/// assert_eq!(fault.to_string(), "line 1: no NAME:HASH, with a hash as it stands in _user");
/// ```
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ListedUsers(HashMap<String, PasswordHash>);

/// A text that is no list of users: the first line that is wrong, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct UserListError {
    /// Counted from 1.
    line: usize,
    fault: UserLineFault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum UserLineFault {
    #[error("no NAME:HASH, with a hash as it stands in _user")]
    Malformed,
    #[error("that user stands there already")]
    Twice,
    #[error("more than {UPSTREAM_USERS_MAX} users")]
    TooMany,
}

impl std::str::FromStr for ListedUsers {
    type Err = UserListError;

    /// Lines of `NAME:HASH`, where a name may have colons; empty ones, and those that begin with
    /// `#`, are none.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut users = HashMap::new();
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let fault = |fault| UserListError {
                line: index + 1,
                fault,
            };
            let parts = line.rsplit_once(':').filter(|(name, _)| !name.is_empty());
            let user =
                parts.and_then(|(name, hash)| Some((name, PasswordHash::from_base64(hash)?)));
            let (name, hash) = user.ok_or_else(|| fault(UserLineFault::Malformed))?;
            if users.len() >= UPSTREAM_USERS_MAX {
                return Err(fault(UserLineFault::TooMany));
            }
            if users.insert(name.to_owned(), hash).is_some() {
                return Err(fault(UserLineFault::Twice));
            }
        }
        Ok(Self(users))
    }
}

impl fmt::Debug for ListedUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ListedUsers({})", self.0.len())
    }
}

impl ListedUsers {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, PasswordHash)> {
        self.0.iter().map(|(name, hash)| (&**name, *hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_names_and_hashes_and_what_is_wrong_is_told_by_its_line() {
        let hash = PasswordHash::of("secret").to_base64();
        let read = |text: &str| text.parse::<ListedUsers>();
        let users = read(&format!("# a\n\n alice:{hash}\nb:ob:{hash}\r\n")).unwrap();
        let mut names: Vec<_> = users.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        assert_eq!(names, ["alice", "b:ob"]);
        assert!(
            users
                .iter()
                .all(|(_, own)| own == PasswordHash::of("secret"))
        );
        let told = |text: &str| read(text).unwrap_err().to_string();
        for line in ["alice", "alice:", "alice:secret", &format!(":{hash}")] {
            let text = format!("# a\n{line}");
            assert!(told(&text).starts_with("line 2: no NAME:HASH"), "{line}");
        }
        let line = format!("alice:{hash}\n");
        assert_eq!(
            told(&format!("{line}{line}")),
            "line 2: that user stands there already"
        );
        let many: Vec<_> = (0..=UPSTREAM_USERS_MAX)
            .map(|at| format!("{at}:{hash}"))
            .collect();
        assert!(told(&many.join("\n")).contains("more than"));
    }

    #[test]
    fn hashes_are_not_printed() {
        let hash = PasswordHash::of("secret").to_base64();
        let users: ListedUsers = format!("alice:{hash}").parse().unwrap();
        assert_eq!(format!("{users:?}"), "ListedUsers(1)");
        assert_eq!(format!("{:?}", UpstreamUsers::Listed(users)), "Listed(1)");
    }
}
