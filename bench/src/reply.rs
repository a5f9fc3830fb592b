//! Replies, read as far as the bench needs them.

use vestibule_wire::keys;
use vestibule_wire::msgpack::Reader;

/// A chunk pushed by a session, before the reply itself.
const CHUNK: u32 = 0x80;
/// An event of a watcher. Nothing was watched, but it would be no fault.
const EVENT: u32 = 76;
const ERROR_FLAG: u32 = 0x8000;
/// Far above any reply to a request of the bench; a longer one means that we lost our place.
const LENGTH_MAX: usize = 16 * 1024 * 1024;

/// What a reply is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Reply {
    pub(super) code: u32,
    pub(super) sync: u64,
    /// Bytes of the whole frame, its length field included.
    pub(super) size: usize,
}

/// Why bytes are not a reply.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Malformed(pub(super) &'static str);

impl Reply {
    /// Whether it ends a request, as opposed to a chunk or an event.
    #[inline]
    pub(super) fn is_final(self) -> bool {
        self.code != CHUNK && self.code != EVENT
    }

    /// The number of the error, when it is one.
    #[inline]
    pub(super) fn error(self) -> Option<u32> {
        (self.code & ERROR_FLAG != 0).then_some(self.code & !ERROR_FLAG)
    }
}

/// Reads the reply at the front of the bytes; `None` when it has not arrived as a whole.
#[inline]
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Reply>, Malformed> {
    let Some(&[form, length @ ..]) = bytes.first_chunk::<5>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(length) as usize;
    if form != 0xce || length > LENGTH_MAX {
        return Err(Malformed(
            "a reply does not start with a length of five bytes",
        ));
    }
    let size = 5 + length;
    let Some(frame) = bytes.get(5..size) else {
        return Ok(None);
    };
    let (code, sync) = match fixed_header(frame) {
        Some(header) => header,
        None => header(frame).ok_or(Malformed("a reply has no readable header"))?,
    };
    Ok(Some(Reply { code, sync, size }))
}

/// The header as all servers write it, `83 00 ce code(4) 01 cf sync(8) 05 ...`. The schema
/// version behind it has five or nine bytes, which is of no interest here.
#[inline]
fn fixed_header(frame: &[u8]) -> Option<(u32, u64)> {
    let head = frame.first_chunk::<17>()?;
    if head[..3] != [0x83, 0x00, 0xce] || head[7..9] != [0x01, 0xcf] {
        return None;
    }
    let code = u32::from_be_bytes(*head[3..].first_chunk()?);
    let sync = u64::from_be_bytes(*head[9..].first_chunk()?);
    Some((code, sync))
}

/// The header in any other form.
#[cold]
fn header(frame: &[u8]) -> Option<(u32, u64)> {
    let mut reader = Reader::new(frame);
    let (mut code, mut sync) = (None, 0);
    for _ in 0..reader.read_map_len().ok()? {
        match reader.read_uint().ok()? {
            keys::REQUEST_TYPE => code = Some(u32::try_from(reader.read_uint().ok()?).ok()?),
            keys::SYNC => sync = reader.read_uint().ok()?,
            _ => drop(reader.skip().ok()?),
        }
    }
    Some((code?, sync))
}

/// The value of a field of the body, in a frame that `parse` has accepted.
pub(super) fn body_field(frame: &[u8], field: u64) -> Option<Reader<'_>> {
    let mut reader = Reader::new(frame.get(5..)?);
    reader.skip().ok()?;
    for _ in 0..reader.read_map_len().ok()? {
        if reader.read_uint().ok()? == field {
            return Some(reader);
        }
        reader.skip().ok()?;
    }
    None
}

/// The text of an error reply.
#[cold]
pub(super) fn error_text(frame: &[u8]) -> String {
    body_field(frame, keys::ERROR_24)
        .and_then(|mut reader| reader.read_str_bytes().ok())
        .map_or_else(
            || "no text".to_owned(),
            |text| String::from_utf8_lossy(text).into_owned(),
        )
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn framed(content: &[u8]) -> Vec<u8> {
        let mut out = vec![0xce];
        out.extend_from_slice(&(content.len() as u32).to_be_bytes());
        out.extend_from_slice(content);
        out
    }

    /// With the header of 27 bytes, or of 23 when `short`.
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
        framed(&content)
    }

    #[test]
    fn both_fixed_headers() {
        for short in [false, true] {
            let bytes = reply(0, u64::MAX - 1, short, &[0x80]);
            let expected = Reply {
                code: 0,
                sync: u64::MAX - 1,
                size: bytes.len(),
            };
            assert_eq!(parse(&bytes), Ok(Some(expected)));
            assert!(fixed_header(&bytes[5..]).is_some());
        }
    }

    #[test]
    fn any_other_header() {
        let bytes = framed(&[
            0x84, 0x05, 0x07, 0x01, 0xcd, 1, 0, 0x63, 0x91, 0xc0, 0, 0, 0x80,
        ]);
        assert_eq!(
            parse(&bytes),
            Ok(Some(Reply {
                code: 0,
                sync: 256,
                size: bytes.len()
            }))
        );
        let event = framed(&[0x82, 0x00, 0x4c, 0x01, 0x00, 0x81, 0x57, 0xa1, b'k']);
        assert!(!parse(&event).unwrap().unwrap().is_final());
    }

    #[test]
    fn garbage_is_told_from_waiting() {
        assert!(parse(&[0x05, 0x80, 0, 0, 0]).is_err());
        assert!(parse(&[0xce, 0xff, 0, 0, 0]).is_err());
        assert!(parse(&framed(&[])).is_err());
        assert!(parse(&framed(&[0x81, 0x01, 0x05])).is_err());
    }

    #[test]
    fn errors_have_number_and_text() {
        let body = [&[0x82, 0x52, 0x80, 0x31, 0xa4][..], b"lost"].concat();
        let bytes = reply(0x8000 | 36, 1, false, &body);
        assert_eq!(parse(&bytes).unwrap().unwrap().error(), Some(36));
        assert_eq!(error_text(&bytes), "lost");
        assert_eq!(error_text(&reply(0x8001, 1, false, &[0x80])), "no text");
    }

    #[test]
    fn every_cut_only_waits() {
        let first = reply(0, 1, false, &[0x81, 0x30, 0xdd, 0, 0, 0, 0]);
        let both = [first.clone(), reply(0x8003, 2, true, &[0x80])].concat();
        for cut in 0..both.len() {
            let (syncs, used) = parse_all(&both[..cut]);
            assert_eq!(syncs.len(), usize::from(cut >= first.len()));
            let (later, rest) = parse_all(&both[used..]);
            assert_eq!([syncs, later].concat(), [1, 2]);
            assert_eq!(used + rest, both.len());
        }
    }

    fn parse_all(bytes: &[u8]) -> (Vec<u64>, usize) {
        let (mut syncs, mut used) = (Vec::new(), 0);
        while let Some(reply) = parse(&bytes[used..]).unwrap() {
            syncs.push(reply.sync);
            used += reply.size;
        }
        (syncs, used)
    }
}
