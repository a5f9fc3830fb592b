//! Replies and events as clients read them.

use crate::error::{Error, ErrorCode};
use crate::frame::PREFIX_SIZE;
use crate::keys::{self, CODE_CHUNK, CODE_ERROR, CODE_EVENT, RequestType};
use crate::msgpack::{Reader, split_wide_uint};
use crate::request::{self, Body, Id};

/// One frame of a server: a reply, a chunk of one, or an event. Borrowed from the bytes received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyFrame<'a> {
    /// 0 for success, [`CODE_CHUNK`], [`CODE_EVENT`], or an error's number with [`CODE_ERROR`].
    pub code: u32,
    /// The sync of the request; 0 for an event without one.
    pub sync: u64,
    /// Version of the server's catalog, if the header tells it (an event's does not).
    pub schema_version: Option<u64>,
    /// Bytes of the whole frame, length included: what the next frame stands behind.
    pub size: usize,
    /// The body: a map as MessagePack, or nothing. Not checked to be well formed.
    pub body: &'a [u8],
}

/// Why bytes are not a frame of a server. The connection is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedReply {
    /// The frame does not begin with a length of five bytes, as that of every server does.
    #[error("a reply does not start with a length of five bytes")]
    Length,
    /// The frame is longer than the caller accepts.
    #[error("a reply is longer than any that was asked for")]
    TooLong,
    /// The frame's header is not a map of numbers, or tells no code.
    #[error("a reply has no readable header")]
    Header,
}

impl<'a> ReplyFrame<'a> {
    /// Reads the frame at the start of `bytes`; `None` if more bytes are needed. A frame of which
    /// more than `length_max` bytes follow its length is refused before they are waited for.
    ///
    /// # Errors
    ///
    /// The bytes are not what a server sends.
    #[inline]
    pub fn read(bytes: &'a [u8], length_max: usize) -> Result<Option<Self>, MalformedReply> {
        let Some(&[marker, length @ ..]) = bytes.first_chunk::<PREFIX_SIZE>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(length) as usize;
        if marker != 0xce {
            return Err(MalformedReply::Length);
        }
        if length > length_max {
            return Err(MalformedReply::TooLong);
        }
        let size = PREFIX_SIZE + length;
        let Some(content) = bytes.get(PREFIX_SIZE..size) else {
            return Ok(None);
        };
        Self::read_content(content).map(Some)
    }

    /// Reads what follows the length of a frame: as it is when it comes in
    /// [chunks](crate::groups).
    ///
    /// # Errors
    ///
    /// It has no readable header.
    #[inline]
    pub fn read_content(content: &'a [u8]) -> Result<Self, MalformedReply> {
        let size = PREFIX_SIZE + content.len();
        Self::read_fixed(content, size)
            .or_else(|| Self::read_any(content, size))
            .ok_or(MalformedReply::Header)
    }

    /// The header as servers write it, `83 00 ce code(4) 01 cf sync(8) 05 ce version(4)`, or with
    /// `cf version(8)` at its end.
    #[inline]
    fn read_fixed(content: &'a [u8], size: usize) -> Option<Self> {
        let (head, rest) = content.split_first_chunk::<19>()?;
        if head[..3] != [0x83, 0x00, 0xce] || head[7..9] != [0x01, 0xcf] || head[17] != 0x05 {
            return None;
        }
        let (schema_version, body) = split_wide_uint(head[18], rest)?;
        Some(Self {
            code: u32::from_be_bytes(*head[3..].first_chunk()?),
            sync: u64::from_be_bytes(*head[9..].first_chunk()?),
            schema_version: Some(schema_version),
            size,
            body,
        })
    }

    /// A header of any other form.
    #[cold]
    fn read_any(content: &'a [u8], size: usize) -> Option<Self> {
        let mut reader = Reader::new(content);
        let (mut code, mut sync, mut schema_version) = (None, 0, None);
        for _ in 0..reader.read_map_len().ok()? {
            match reader.read_uint().ok()? {
                keys::REQUEST_TYPE => code = u32::try_from(reader.read_uint().ok()?).ok(),
                keys::SYNC => sync = reader.read_uint().ok()?,
                keys::SCHEMA_VERSION => schema_version = Some(reader.read_uint().ok()?),
                _ => drop(reader.skip().ok()?),
            }
        }
        Some(Self {
            code: code?,
            sync,
            schema_version,
            size,
            body: reader.rest(),
        })
    }

    /// Whether it ends a request, as opposed to a chunk or an event.
    #[inline]
    #[must_use]
    pub const fn is_final(&self) -> bool {
        self.code != CODE_CHUNK && self.code != CODE_EVENT
    }

    /// The number of the error, if it is one. A number beyond 16 bits counts as
    /// [`ErrorCode::UNKNOWN`].
    #[inline]
    #[must_use]
    pub fn error_code(&self) -> Option<ErrorCode> {
        if self.code & CODE_ERROR == 0 {
            return None;
        }
        let number = u16::try_from(self.code & !CODE_ERROR);
        Some(number.map_or(ErrorCode::UNKNOWN, ErrorCode))
    }

    /// The error with its fields and causes, if it is one; from a server that sends no error stack,
    /// its number and text. The text is empty if there is none.
    #[cold]
    #[must_use]
    pub fn error(&self) -> Option<Error> {
        let code = self.error_code()?;
        let stack = self
            .field(keys::ERROR)
            .and_then(|stack| Error::read_stack(stack).ok());
        stack.or_else(|| Some(Error::new(code, self.error_text().unwrap_or_default())))
    }

    /// The error that a body alone tells, as that of a chunk by which a message is given up; `None`
    /// if it tells none.
    #[cold]
    #[must_use]
    pub fn error_in(body: &'a [u8]) -> Option<Error> {
        let frame = Self {
            code: CODE_ERROR,
            sync: 0,
            schema_version: None,
            size: body.len(),
            body,
        };
        frame.error_text().and_then(|_| frame.error())
    }

    /// The text of an error, if there is one. What is not UTF-8 in it is replaced.
    #[cold]
    #[must_use]
    pub fn error_text(&self) -> Option<String> {
        let text = Reader::new(self.field(keys::ERROR_24)?)
            .read_str_bytes()
            .ok()?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// The value of a key of the body, as MessagePack; `None` if it is not there, or behind what
    /// cannot be read.
    #[must_use]
    pub fn field(&self, key: u64) -> Option<&'a [u8]> {
        let mut reader = Reader::new(self.body);
        for _ in 0..reader.read_map_len().ok()? {
            let found = reader.read_uint().ok()?;
            let value = reader.skip().ok()?;
            if found == key {
                return Some(value);
            }
        }
        None
    }

    /// The result of a request: an array as MessagePack.
    #[must_use]
    pub fn data(&self) -> Option<&'a [u8]> {
        self.field(keys::DATA)
    }

    /// The position of the last tuple, if a SELECT asked for it: where the next page goes on.
    #[must_use]
    pub fn position(&self) -> Option<&'a [u8]> {
        Reader::new(self.field(keys::POSITION)?)
            .read_str_bytes()
            .ok()
    }

    /// The watched key of an event and its value, which a key that is not set has not; `None` if
    /// it is not an event.
    #[must_use]
    pub fn event(&self) -> Option<(&'a str, Option<&'a [u8]>)> {
        if self.code != CODE_EVENT {
            return None;
        }
        let key = Reader::new(self.field(keys::EVENT_KEY)?).read_str().ok()?;
        Some((key, self.field(keys::EVENT_DATA)))
    }

    /// What the server says of itself in the reply to ID: the version of its protocol and, of the
    /// features known here, those that it has.
    #[must_use]
    pub fn id(&self) -> Option<Id> {
        match request::decode(RequestType::Id, self.body) {
            Ok(Body::Id(id)) => Some(id),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::{Features, PROTOCOL_VERSION};
    use crate::reply::{ReplyHeader, Rows, write_event};

    const MAX: usize = 1024 * 1024;

    const HEAD: ReplyHeader = ReplyHeader {
        sync: u64::MAX - 1,
        schema_version: 80,
    };

    fn framed(content: &[u8]) -> Vec<u8> {
        let mut out = vec![0xce];
        out.extend_from_slice(&(content.len() as u32).to_be_bytes());
        out.extend_from_slice(content);
        out
    }

    fn read(bytes: &[u8]) -> ReplyFrame<'_> {
        let frame = ReplyFrame::read(bytes, MAX).unwrap().unwrap();
        assert_eq!(frame.size, bytes.len());
        frame
    }

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    #[test]
    fn what_this_server_writes_is_read_by_the_short_way() {
        let bytes = written(|out| HEAD.write_empty(out));
        let frame = read(&bytes);
        assert_eq!(
            Some(frame),
            ReplyFrame::read_fixed(&bytes[5..], bytes.len())
        );
        assert_eq!((frame.code, frame.sync), (0, HEAD.sync));
        assert_eq!(frame.schema_version, Some(80));
        assert_eq!(frame.body, [0x80]);
        assert!(frame.is_final());
        assert_eq!((frame.error_code(), frame.error()), (None, None));
    }

    #[test]
    fn a_version_of_nine_bytes_is_read_by_the_short_way() {
        let mut content = vec![0x83, 0x00, 0xce, 0, 0, 0x80, 36, 0x01, 0xcf];
        content.extend_from_slice(&(u64::MAX - 1).to_be_bytes());
        content.extend_from_slice(&[0x05, 0xcf, 0, 0, 0, 1, 0, 0, 0, 2, 0x80]);
        let frame = ReplyFrame::read_fixed(&content, 0).unwrap();
        assert_eq!(frame.error_code(), Some(ErrorCode::NO_SUCH_SPACE));
        assert_eq!(frame.schema_version, Some(1 << 32 | 2));
        assert_eq!((frame.sync, frame.body), (u64::MAX - 1, &[0x80][..]));
        let bytes = framed(&content);
        let frame = read(&bytes);
        assert_eq!(
            Some(frame),
            ReplyFrame::read_fixed(&content, bytes.len()),
            "the whole frame as well"
        );
    }

    #[test]
    fn any_other_header_is_read() {
        let bytes = framed(&[
            0x84, 0x05, 0x07, 0x01, 0xcd, 1, 0, 0x63, 0x91, 0xc0, 0, 0, 0x80,
        ]);
        let frame = read(&bytes);
        assert_eq!((frame.code, frame.sync), (0, 256));
        assert_eq!(frame.schema_version, Some(7));
        assert_eq!(frame.body, [0x80]);
        let event = framed(&[0x82, 0x00, 0x4c, 0x01, 0x00, 0x81, 0x57, 0xa1, b'k']);
        assert!(!read(&event).is_final(), "an event with a sync of one byte");
    }

    #[test]
    fn garbage_is_told_from_waiting() {
        let fault = |bytes: &[u8]| ReplyFrame::read(bytes, MAX).unwrap_err();
        assert_eq!(fault(&[0x05, 0x80, 0, 0, 0]), MalformedReply::Length);
        assert_eq!(fault(&[0xce, 0xff, 0, 0, 0]), MalformedReply::TooLong);
        for content in [&[][..], &[0x81, 0x01, 0x05], &[0x91, 0], &[0x82, 0x00, 0]] {
            assert_eq!(fault(&framed(content)), MalformedReply::Header);
        }
        let bytes = written(|out| HEAD.write_error(out, &Error::timeout()));
        for cut in 0..bytes.len() {
            assert_eq!(ReplyFrame::read(&bytes[..cut], MAX), Ok(None));
        }
    }

    #[test]
    fn every_cut_only_waits() {
        let page = written(|out| {
            let start = HEAD.begin(out);
            Rows::begin(out).finish(None);
            crate::reply::finish(out, start);
        });
        let first = page.len();
        let both = [
            page,
            written(|out| HEAD.write_error(out, &Error::timeout())),
        ]
        .concat();
        let read_all = |bytes: &[u8]| {
            let (mut count, mut used) = (0, 0);
            while let Some(frame) = ReplyFrame::read(&bytes[used..], MAX).unwrap() {
                assert_eq!(frame.sync, HEAD.sync);
                count += 1;
                used += frame.size;
            }
            (count, used)
        };
        for cut in 0..both.len() {
            let (count, used) = read_all(&both[..cut]);
            assert_eq!(count, usize::from(cut >= first));
            let (later, rest) = read_all(&both[used..]);
            assert_eq!((count + later, used + rest), (2, both.len()));
        }
    }

    #[test]
    fn an_error_comes_with_its_fields_and_causes() {
        let error = Error::read_only("solo", "busy").caused_by(Error::wal_io());
        let bytes = written(|out| HEAD.write_error(out, &error));
        let frame = read(&bytes);
        assert_eq!(frame.error_code(), Some(ErrorCode::READONLY));
        assert_eq!(frame.error(), Some(error));
    }

    #[test]
    fn an_error_without_a_stack_has_its_number_and_text() {
        let mut content = vec![0x82, 0x00, 0xcd, 0x80, 36, 0x01, 1];
        content.extend_from_slice(b"\x82\x52\x80\x31\xa4lost");
        let bytes = framed(&content);
        let expected = Error::new(ErrorCode::NO_SUCH_SPACE, "lost");
        assert_eq!(read(&bytes).error(), Some(expected));
        content.truncate(7);
        let bytes = framed(&content);
        assert_eq!(read(&bytes).error_text(), None);
        assert_eq!(read(&bytes).error().unwrap().message(), "");
    }

    #[test]
    fn data_and_position_of_a_page() {
        let bytes = written(|out| {
            let start = HEAD.begin(out);
            let mut rows = Rows::begin(out);
            rows.push(&[0x91, 1]);
            rows.finish(Some(b"here"));
            crate::reply::finish(out, start);
        });
        let frame = read(&bytes);
        assert_eq!(frame.data(), Some(&[0xdd, 0, 0, 0, 1, 0x91, 1][..]));
        assert_eq!(frame.position(), Some(&b"here"[..]));
        assert_eq!(frame.field(keys::EVENT_KEY), None);
    }

    #[test]
    fn an_event_has_a_key_and_maybe_a_value() {
        for value in [None, Some(&[0xc3][..])] {
            let bytes = written(|out| write_event(out, 5, "box.id", value));
            let frame = read(&bytes);
            assert!(!frame.is_final());
            assert_eq!((frame.sync, frame.schema_version), (5, None));
            assert_eq!(frame.event(), Some(("box.id", value)));
        }
        let bytes = written(|out| HEAD.write_empty(out));
        assert_eq!(read(&bytes).event(), None);
    }

    #[test]
    fn the_server_says_what_it_can_do() {
        let bytes = written(|out| HEAD.write_id(out, Features::SUPPORTED, None));
        let id = read(&bytes).id().unwrap();
        assert_eq!(
            (id.version, id.features),
            (PROTOCOL_VERSION, Features::SUPPORTED)
        );
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(
            content in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
        ) {
            if let Ok(Some(frame)) = ReplyFrame::read(&framed(&content), MAX) {
                let _ = (frame.error(), frame.data(), frame.position(), frame.event(), frame.id());
            }
        }
    }
}
