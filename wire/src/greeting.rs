//! The greeting: 128 bytes that the server sends once, before it reads anything.
//!
//! ```text
//!  0..63    Tarantool X.Y.Z (Binary) <uuid>            padded with spaces, then \n
//!  64..127  base64 of 32 salt bytes (44 characters)    padded with spaces, then \n
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Uuid;

/// Size of a greeting in bytes.
pub const GREETING_SIZE: usize = 128;

/// Random bytes in a greeting; chap-sha1 uses the first 20.
pub const SALT_SIZE: usize = 32;

/// The version in the greeting. Connectors choose what they send by it: from 2.10 on they send ID,
/// from 2.11 on nothing more is expected than what this server answers. A suffix would break
/// asynctnt.
pub const VERSION: &str = "2.11.0";

const LINE: usize = GREETING_SIZE / 2;

/// Characters of a version that there is room for, beside all else that stands in the line.
const VERSION_SIZE_MAX: usize = 7;

/// Writes the greeting for an instance and a salt.
#[must_use]
pub fn encode(instance_uuid: &Uuid, salt: &[u8; SALT_SIZE]) -> [u8; GREETING_SIZE] {
    encode_as(VERSION, instance_uuid, salt)
}

/// The same with another version, major, minor and patch: that of the servers that this one stands
/// before. A patch that there is no room for is told as 0.
#[must_use]
pub fn encode_version(
    (major, minor, patch): (u32, u32, u32),
    instance_uuid: &Uuid,
    salt: &[u8; SALT_SIZE],
) -> [u8; GREETING_SIZE] {
    let version = format!("{major}.{minor}.{patch}");
    match version.len() <= VERSION_SIZE_MAX {
        true => encode_as(&version, instance_uuid, salt),
        false => encode_as(
            &format!("{}.{}.0", major % 100, minor % 100),
            instance_uuid,
            salt,
        ),
    }
}

fn encode_as(version: &str, instance_uuid: &Uuid, salt: &[u8; SALT_SIZE]) -> [u8; GREETING_SIZE] {
    let mut greeting = [b' '; GREETING_SIZE];
    let first = format!("Tarantool {version} (Binary) {instance_uuid}");
    greeting[..first.len()].copy_from_slice(first.as_bytes());
    greeting[LINE - 1] = b'\n';
    let second = STANDARD.encode(salt);
    greeting[LINE..LINE + second.len()].copy_from_slice(second.as_bytes());
    greeting[GREETING_SIZE - 1] = b'\n';
    greeting
}

/// What a client takes from a greeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// Major, minor, patch.
    pub version: (u32, u32, u32),
    /// The instance's UUID.
    pub instance_uuid: Uuid,
    /// The salt, at least 20 bytes.
    pub salt: Vec<u8>,
}

/// Reads a greeting by the rules of Tarantool's own decoder; `None` if it breaks one of them.
#[must_use]
pub fn decode(greeting: &[u8; GREETING_SIZE]) -> Option<Greeting> {
    if greeting[LINE - 1] != b'\n' || greeting[GREETING_SIZE - 1] != b'\n' {
        return None;
    }
    let first = std::str::from_utf8(&greeting[..LINE - 1]).ok()?;
    let (version, rest) = first.strip_prefix("Tarantool ")?.split_once(' ')?;
    let version = parse_version(version)?;
    let instance_uuid = rest
        .trim_start()
        .strip_prefix("(Binary)")?
        .strip_prefix(' ')?
        .trim()
        .parse()
        .ok()?;
    let second = std::str::from_utf8(&greeting[LINE..GREETING_SIZE - 1]).ok()?;
    let salt = STANDARD.decode(second.trim_end()).ok()?;
    (salt.len() >= 20).then_some(Greeting {
        version,
        instance_uuid,
        salt,
    })
}

fn parse_version(token: &str) -> Option<(u32, u32, u32)> {
    if token.len() >= 20 {
        return None;
    }
    let numbers = token.split('-').next()?;
    let mut parts = numbers.split('.').map(|part| part.parse().ok());
    let version = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "7170b4af-c72f-4f07-8729-08fc678543a1";

    fn lines(first: &str, second: &str) -> [u8; GREETING_SIZE] {
        format!("{first:<63}\n{second:<63}\n")
            .into_bytes()
            .try_into()
            .expect("two full lines")
    }

    #[test]
    fn any_version_fits() {
        let read = |version| {
            let greeting = encode_version(version, &Uuid::NIL, &[7; SALT_SIZE]);
            decode(&greeting).map(|own| own.version)
        };
        assert_eq!(read((2, 6, 0)), Some((2, 6, 0)));
        assert_eq!(read((2, 11, 10)), Some((2, 11, 10)));
        assert_eq!(read((2, 11, 100)), Some((2, 11, 0)));
        assert!(read((u32::MAX, u32::MAX, u32::MAX)).is_some());
    }

    #[test]
    fn what_is_written_is_read_back() {
        let salt: [u8; SALT_SIZE] = std::array::from_fn(|at| at as u8 * 7);
        let greeting = decode(&encode(&UUID.parse().unwrap(), &salt)).unwrap();
        assert_eq!(greeting.version, (2, 11, 0));
        assert_eq!(greeting.instance_uuid.to_string(), UUID);
        assert_eq!(greeting.salt, salt);
    }

    #[test]
    fn tarantools_sample_is_read() {
        let first = format!("Tarantool 1.6.7 (Binary) {UUID}");
        let greeting = decode(&lines(
            &first,
            "Fn5jMWKTvy/Xz4z/A2CYcxsBQhQTL0Ynd8wyqy0hZrs=",
        ));
        let greeting = greeting.unwrap();
        assert_eq!(greeting.version, (1, 6, 7));
        assert_eq!(greeting.salt[..4], [0x16, 0x7e, 0x63, 0x31]);
    }

    #[test]
    fn malformed_greetings_are_refused() {
        let salt = "Fn5jMWKTvy/Xz4z/A2CYcxsBQhQTL0Ynd8wyqy0hZrs=";
        for first in [
            "Tarantool 1.6.7 (Binary)",
            "Tarantool 1.6.7 (Binary) 7170b4af-c72f",
            "Tarantool1.6.7 (Binary) 7170b4af-c72f-4f07-8729-08fc678543a1",
            "Tarantool 1.6.7(Binary) 7170b4af-c72f-4f07-8729-08fc678543a1",
            "Tarantool 1.6.7 (Binary)7170b4af-c72f-4f07-8729-08fc678543a1",
            "Tarantool 1.6.7 (Binary 7170b4af-c72f-4f07-8729-08fc678543a1",
            "Apache 2.4.6 (Binary) 7170b4af-c72f-4f07-8729-08fc678543a1",
            "Tarantool 1.7.0 7170b4af-c72f-4f07-8729-08fc678543a1",
        ] {
            assert_eq!(decode(&lines(first, salt)), None, "{first}");
        }
        let good = format!("Tarantool 1.6.7 (Binary) {UUID}");
        assert!(decode(&lines(&good, salt)).is_some());
        assert_eq!(decode(&lines(&good, "Fn5jMWKT")), None);
        for newline in [LINE - 1, GREETING_SIZE - 1] {
            let mut bytes = lines(&good, salt);
            bytes[newline] = b' ';
            assert_eq!(decode(&bytes), None);
        }
    }
}
