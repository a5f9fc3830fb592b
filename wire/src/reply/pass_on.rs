//! Replies of another server, passed on with a header of one's own.

use super::encode::{CODE_AT, HEADER_SIZE, ReplyHeader, length_of};
use crate::frame::PREFIX_SIZE;

impl ReplyHeader {
    /// Appends a reply, an error or a push of another server, its body as it is.
    #[inline]
    pub fn pass_on(self, out: &mut Vec<u8>, code: u32, body: &[u8]) {
        self.begin_passing_on(out, code, body.len());
        out.extend_from_slice(body);
    }

    /// Appends what stands before such a body, which has this many bytes and comes later.
    #[inline]
    pub fn begin_passing_on(self, out: &mut Vec<u8>, code: u32, body: usize) {
        let start = self.begin(out);
        out[start + CODE_AT..start + CODE_AT + 4].copy_from_slice(&code.to_be_bytes());
        let (at, length) = length_of(HEADER_SIZE + body);
        out[start + at..start + PREFIX_SIZE].copy_from_slice(&length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{CODE_CHUNK, CODE_ERROR};
    use crate::reply::ReplyFrame;

    const HEAD: ReplyHeader = ReplyHeader {
        sync: u64::MAX,
        schema_version: 7,
    };

    #[test]
    fn what_another_server_replies_is_passed_on_with_its_code_and_body() {
        let error = [0x82, 0x31, 0xa1, b'x', 0x52, 0x80];
        for (code, body) in [
            (0, &error[..]),
            (CODE_ERROR | 32, &error),
            (CODE_CHUNK, &[]),
        ] {
            let (mut out, mut begun) = (vec![0xff], vec![0xff]);
            HEAD.pass_on(&mut out, code, body);
            HEAD.begin_passing_on(&mut begun, code, body.len());
            begun.extend_from_slice(body);
            assert_eq!(out, begun);
            let frame = ReplyFrame::read(&out[1..], 100).unwrap().unwrap();
            assert_eq!((frame.code, frame.body), (code, body));
            assert_eq!((frame.sync, frame.size), (HEAD.sync, out.len() - 1));
        }
    }
}
