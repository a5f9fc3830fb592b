//! Rows of system spaces, as an upstream answers them.
//!
//! ```text
//!   a name and a hash ──▶ the body of a reply to a SELECT of `_user`
//! ```

use vestibule_wire::auth::PasswordHash;
use vestibule_wire::msgpack::{write_array_len, write_map_len, write_str, write_uint};

/// The body of the reply to a SELECT of `_user` by this name: of a user with this hash of a
/// password, or of nobody.
#[must_use]
pub fn user_reply(name: &str, hash: Option<PasswordHash>) -> Vec<u8> {
    let mut body = vec![0x81, 0x30];
    write_array_len(&mut body, u32::from(hash.is_some()));
    if let Some(hash) = hash {
        write_array_len(&mut body, 5);
        write_uint(&mut body, 32);
        write_uint(&mut body, 1);
        write_str(&mut body, name);
        write_str(&mut body, "user");
        write_map_len(&mut body, 1);
        write_str(&mut body, "chap-sha1");
        write_str(&mut body, &hash.to_base64());
    }
    body
}
