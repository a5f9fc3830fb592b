//! Where one request ends and the next begins: the length prefix.
//!
//! ```text
//!  [length: any unsigned MessagePack integer][header map][body map?]
//! ```
//!
//! Two faults end a connection, because nothing after them can be trusted: a first byte that is not
//! an unsigned integer, and a length above the bound. Both are answered with sync 0 first.

use crate::error::Error;
use crate::msgpack::{DecodeError, Kind, Reader};

/// Bytes of the length prefix of every frame that is written here, however long: servers and
/// connectors write it so, and any width is read.
pub const PREFIX_SIZE: usize = 5;

/// A length prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// Bytes of the prefix itself: 1, 2, 3, 5 or 9.
    pub size: usize,
    /// Bytes that follow it: header and body. May be 0, which is a bad header and no fault of
    /// framing.
    pub length: usize,
}

impl Prefix {
    /// Bytes of the whole frame.
    #[must_use]
    pub const fn frame_size(self) -> usize {
        self.size + self.length
    }
}

/// Reads the length prefix at the start of `bytes`.
///
/// `Ok(None)` means that more bytes are needed. The length is checked against `packet_size_max`
/// before anything is allocated for it.
///
/// # Errors
///
/// [`ErrorCode::INVALID_MSGPACK`](crate::ErrorCode::INVALID_MSGPACK) for a first byte that is no
/// unsigned integer and for a length above the bound. Both are fatal for the connection.
#[inline]
pub fn read_prefix(bytes: &[u8], packet_size_max: u64) -> Result<Option<Prefix>, Error> {
    let mut reader = Reader::new(bytes);
    match reader.read_uint() {
        Ok(length) if length <= packet_size_max => Ok(Some(Prefix {
            size: reader.position(),
            length: length as usize,
        })),
        read => no_prefix(bytes, read),
    }
}

/// What follows where there is no length prefix that is within the bound.
#[cold]
fn no_prefix(bytes: &[u8], read: Result<u64, DecodeError>) -> Result<Option<Prefix>, Error> {
    match read {
        Ok(length) => {
            let what = format!("too big packet size in the header: {length}");
            Err(Error::invalid_msgpack(&what))
        }
        Err(DecodeError::Truncated) if truncated_prefix_may_go_on(bytes) => Ok(None),
        Err(_) => Err(Error::invalid_msgpack("packet length")),
    }
}

/// An empty buffer may become anything; one with a first byte only what that byte announces.
fn truncated_prefix_may_go_on(bytes: &[u8]) -> bool {
    bytes
        .first()
        .is_none_or(|marker| Kind::of(*marker) == Some(Kind::Uint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;
    use crate::limits::PACKET_SIZE_MAX_DEFAULT as MAX;

    #[test]
    fn every_unsigned_width_is_a_length() {
        for (bytes, size) in [
            (&[7u8][..], 1),
            (&[0xcc, 7], 2),
            (&[0xcd, 0, 7], 3),
            (&[0xce, 0, 0, 0, 7], 5),
            (&[0xcf, 0, 0, 0, 0, 0, 0, 0, 7], 9),
        ] {
            assert_eq!(
                read_prefix(bytes, MAX),
                Ok(Some(Prefix { size, length: 7 }))
            );
            for cut in 0..bytes.len() {
                assert_eq!(read_prefix(&bytes[..cut], MAX), Ok(None));
            }
        }
    }

    #[test]
    fn any_other_first_byte_is_fatal_at_once() {
        for marker in 0..=255u8 {
            let fatal = read_prefix(&[marker], MAX).is_err();
            assert_eq!(fatal, Kind::of(marker) != Some(Kind::Uint), "{marker:#x}");
        }
    }

    #[test]
    fn a_length_above_the_bound_is_fatal_and_named() {
        // Tarantool #3464: 1.84e19 once overflowed a size and took the CPU.
        let mut bytes = vec![0xcf];
        bytes.extend_from_slice(&18_400_000_000_000_000_000u64.to_be_bytes());
        let error = read_prefix(&bytes, MAX).unwrap_err();
        assert_eq!(error.code(), ErrorCode::INVALID_MSGPACK);
        assert_eq!(
            error.message(),
            "Invalid MsgPack - too big packet size in the header: 18400000000000000000"
        );
        let mut at_bound = vec![0xcf];
        at_bound.extend_from_slice(&MAX.to_be_bytes());
        assert!(read_prefix(&at_bound, MAX).is_ok());
    }
}
