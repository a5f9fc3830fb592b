//! Replies, as far as the bench needs them.

use vestibule_wire::ErrorCode;
use vestibule_wire::client::{MalformedReply, ReplyFrame};

/// Longest reply that is accepted, in bytes: far above any reply to a request of the bench, so that
/// a longer one means that the frames have lost their places.
const LENGTH_MAX: usize = 16 * 1024 * 1024;

/// Reads the reply at the front of the bytes; `None` when it has not arrived as a whole.
#[inline]
pub(crate) fn read(bytes: &[u8]) -> Result<Option<ReplyFrame<'_>>, MalformedReply> {
    ReplyFrame::read(bytes, LENGTH_MAX)
}

/// Number and text of the error, if the reply is one.
pub(crate) fn refusal(reply: &ReplyFrame<'_>) -> Option<(ErrorCode, String)> {
    reply.error_code().map(|code| (code, error_text(reply)))
}

/// The text of an error reply.
#[cold]
pub(crate) fn error_text(reply: &ReplyFrame<'_>) -> String {
    reply.error_text().unwrap_or_else(|| "no text".to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A whole reply with a schema version of nine bytes, or of five when `short`.
    pub(crate) fn reply(code: u32, sync: u64, short: bool, body: &[u8]) -> Vec<u8> {
        let mut content = vec![0x83, 0x00, 0xce];
        content.extend_from_slice(&code.to_be_bytes());
        content.extend_from_slice(&[0x01, 0xcf]);
        content.extend_from_slice(&sync.to_be_bytes());
        content.push(0x05);
        if short {
            content.extend_from_slice(&[0xce, 0, 0, 0, 80]);
        } else {
            content.extend_from_slice(&[0xcf, 0, 0, 0, 0, 0, 0, 0, 80]);
        }
        content.extend_from_slice(body);
        let mut out = vec![0xce];
        out.extend_from_slice(&(content.len() as u32).to_be_bytes());
        out.extend_from_slice(&content);
        out
    }

    #[test]
    fn errors_have_number_and_text() {
        let refused = |bytes: &[u8]| refusal(&read(bytes).unwrap().unwrap());
        let body = [&[0x82, 0x52, 0x80, 0x31, 0xa4][..], b"lost"].concat();
        let expected = Some((ErrorCode::NO_SUCH_SPACE, "lost".to_owned()));
        assert_eq!(refused(&reply(0x8000 | 36, 1, false, &body)), expected);
        let expected = Some((ErrorCode::ILLEGAL_PARAMS, "no text".to_owned()));
        assert_eq!(refused(&reply(0x8001, 1, false, &[0x80])), expected);
        assert_eq!(refused(&reply(0, 1, true, &[0x80])), None);
    }
}
