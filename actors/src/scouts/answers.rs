//! What stands in the replies to what scouts ask.

use vestibule_wire::auth::PasswordHash;
use vestibule_wire::client::ReplyFrame;
use vestibule_wire::features::AUTH_TYPE;
use vestibule_wire::msgpack::{DecodeError, Kind, Reader};

use crate::upstream::InstanceIdentity;

/// Where the type of an account stands in a row of `_user`, and where its methods.
const TYPE_AT: u32 = 3;
const AUTH_AT: u32 = 4;

/// Whether `box.info` says that the instance is read-only; `None` if it does not say.
pub(super) fn is_read_only(reply: &ReplyFrame<'_>) -> Option<bool> {
    let mut reader = Reader::new(reply.data()?);
    if reader.read_array_len().ok()? == 0 {
        return None;
    }
    find_bool(&mut reader, "ro")
}

/// Which instance it is, as `box.info` says: `None` if it does not say, or has no replica set yet.
pub(super) fn identity(reply: &ReplyFrame<'_>) -> Option<InstanceIdentity> {
    let data = || {
        let mut reader = Reader::new(reply.data()?);
        (reader.read_array_len().ok()? > 0).then_some(reader)
    };
    let replica_set = |key| {
        let mut reader = data()?;
        find(&mut reader, key)?;
        (reader.peek() == Ok(Kind::Map)).then_some(())?;
        find_str(&mut reader, "uuid").map(str::to_owned)
    };
    let id = data().and_then(|mut reader| {
        find(&mut reader, "id")?;
        reader.read_uint().ok()
    });
    Some(InstanceIdentity {
        // Since 3.0 the cluster is what has several replica sets.
        replica_set: replica_set("replicaset").or_else(|| replica_set("cluster"))?,
        id: id.unwrap_or(0),
    })
}

/// The value of a key of the map that comes next; `None` if it has none.
pub(super) fn find_bool(reader: &mut Reader<'_>, key: &str) -> Option<bool> {
    find(reader, key)?;
    reader.read_bool().ok()
}

/// The same of a whole number.
pub(super) fn find_uint(reader: &mut Reader<'_>, key: &str) -> Option<u64> {
    find(reader, key)?;
    reader.read_uint().ok()
}

/// The same of a text.
pub(super) fn find_str<'a>(reader: &mut Reader<'a>, key: &str) -> Option<&'a str> {
    find(reader, key)?;
    reader.read_str().ok()
}

/// Goes to the value of a key of the map that comes next; `None` if it has none.
fn find(reader: &mut Reader<'_>, key: &str) -> Option<()> {
    for _ in 0..reader.read_map_len().ok()? {
        if is_str(reader, key).ok()? {
            return Some(());
        }
        reader.skip().ok()?;
    }
    None
}

/// Reads a key; true if it is this text.
fn is_str(reader: &mut Reader<'_>, text: &str) -> Result<bool, DecodeError> {
    if reader.peek()? != Kind::Str {
        reader.skip()?;
        return Ok(false);
    }
    Ok(reader.read_str_bytes()? == text.as_bytes())
}

/// The hash of the password of the user that was selected of `_user`: none if there is none, or if
/// it is no user. One without a password has the hash that none fits, as it has upstream, where
/// such a user is told from one that is not there.
pub(super) fn password_hash(reply: &ReplyFrame<'_>) -> Option<PasswordHash> {
    let mut reader = Reader::new(reply.data()?);
    if reader.read_array_len().ok()? == 0 {
        return None;
    }
    let fields = reader.read_array_len().ok()?;
    for _ in 0..TYPE_AT {
        reader.skip().ok()?;
    }
    if fields <= TYPE_AT || reader.read_str().ok()? != "user" {
        return None;
    }
    let has_auth = fields > AUTH_AT && reader.peek().ok()? == Kind::Map;
    if !has_auth {
        return Some(PasswordHash::default());
    }
    for _ in 0..reader.read_map_len().ok()? {
        if is_str(&mut reader, AUTH_TYPE).ok()? {
            return PasswordHash::from_base64(reader.read_str().ok()?);
        }
        reader.skip().ok()?;
    }
    Some(PasswordHash::default())
}

#[cfg(test)]
mod tests {
    use vestibule_wire::msgpack::{
        write_array_len, write_bool, write_map_len, write_str, write_uint,
    };

    use super::*;

    fn reply(data: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut content = vec![0x82, 0, 0, 1, 7, 0x81, 0x30];
        data(&mut content);
        content
    }

    fn user(kind: &str, auth: impl FnOnce(&mut Vec<u8>)) -> Option<PasswordHash> {
        let content = reply(|out| {
            write_array_len(out, 1);
            write_array_len(out, 5);
            write_uint(out, 32);
            write_uint(out, 1);
            write_str(out, "alice");
            write_str(out, kind);
            auth(out);
        });
        password_hash(&ReplyFrame::read_content(&content).unwrap())
    }

    #[test]
    fn the_hash_is_that_of_a_user_with_a_password() {
        let hash = PasswordHash::of("secret");
        let with_password = |out: &mut Vec<u8>| {
            write_map_len(out, 2);
            write_str(out, "other");
            write_uint(out, 1);
            write_str(out, "chap-sha1");
            write_str(out, &hash.to_base64());
        };
        assert_eq!(user("user", with_password), Some(hash));
        assert_eq!(user("role", with_password), None);
        // An empty map of Lua's is an array.
        let none: [fn(&mut Vec<u8>); 2] =
            [|out| write_array_len(out, 0), |out| write_map_len(out, 0)];
        for without_password in none {
            let told = user("user", without_password);
            assert_eq!(told, Some(PasswordHash::default()), "there is such a user");
        }
        let content = reply(|out| write_array_len(out, 0));
        assert_eq!(
            password_hash(&ReplyFrame::read_content(&content).unwrap()),
            None
        );
    }

    #[test]
    fn box_info_says_whether_it_is_read_only() {
        let content = reply(|out| {
            write_array_len(out, 1);
            write_map_len(out, 3);
            write_uint(out, 1);
            write_str(out, "of an array");
            write_str(out, "status");
            write_str(out, "orphan");
            write_str(out, "ro");
            write_bool(out, true);
        });
        let frame = ReplyFrame::read_content(&content).unwrap();
        assert_eq!(is_read_only(&frame), Some(true));
        let content = reply(|out| write_array_len(out, 0));
        assert_eq!(
            is_read_only(&ReplyFrame::read_content(&content).unwrap()),
            None
        );
    }
}
