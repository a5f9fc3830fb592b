//! What comes from an upstream, cut into frames. Small ones are read where they stand; a large one
//! goes to where it is gathered as it comes.
//!
//! ```text
//!   bytes ─┬▶ whole frames ─▶ the sink, in order
//!          ├▶ a large frame: its header ─▶ the sink; the rest of it ─▶ the gathered one
//!          └▶ half a frame: kept
//! ```

use vestibule_wire::client::{MalformedReply, ReplyFrame};
use vestibule_wire::frame::PREFIX_SIZE;

use crate::limits::{BUFFER_KEEP_MAX, UPSTREAM_REPLY_LARGE};

/// A reply's header is whole within this number of bytes.
const HEADER_SIZE_MAX: usize = 64;

/// Who gets frames.
pub(crate) trait Frames {
    /// What a large frame is gathered in.
    type Large;
    /// A whole frame.
    fn frame(&mut self, frame: &ReplyFrame<'_>);
    /// A large frame begins, with a body of this size; `None` if nobody waits for it.
    fn begin(&mut self, head: &ReplyFrame<'_>, body: usize) -> Option<Self::Large>;
    /// More of it.
    fn add(&mut self, large: &mut Self::Large, bytes: &[u8]);
    /// A large frame is whole, one for the request with this sync, and its last or not, with a body
    /// of this size.
    fn end(&mut self, sync: u64, is_final: bool, body: usize, large: Option<Self::Large>);
}

/// What has come and is not a whole frame.
#[derive(Debug)]
pub(crate) struct FrameReader<L> {
    half: Vec<u8>,
    large: Option<BegunFrame<L>>,
}

#[derive(Debug)]
struct BegunFrame<L> {
    sync: u64,
    is_final: bool,
    size: usize,
    left: usize,
    gathered: Option<L>,
}

impl<L> Default for FrameReader<L> {
    fn default() -> Self {
        Self {
            half: Vec::new(),
            large: None,
        }
    }
}

impl<L> FrameReader<L> {
    /// Takes what was read.
    ///
    /// # Errors
    ///
    /// No server sends such bytes. The connection is of no use any more.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        frames: &mut impl Frames<Large = L>,
    ) -> Result<(), MalformedReply> {
        if self.half.is_empty() {
            let taken = self.take_from(bytes, frames)?;
            self.half.extend_from_slice(&bytes[taken..]);
            return Ok(());
        }
        let mut half = std::mem::take(&mut self.half);
        half.extend_from_slice(bytes);
        let taken = self.take_from(&half, frames)?;
        half.drain(..taken);
        if !half.is_empty() || half.capacity() <= BUFFER_KEEP_MAX {
            self.half = half;
        }
        Ok(())
    }

    /// Returns how many bytes are taken.
    fn take_from(
        &mut self,
        bytes: &[u8],
        frames: &mut impl Frames<Large = L>,
    ) -> Result<usize, MalformedReply> {
        let mut at = 0;
        loop {
            at += self.gather(&bytes[at..], frames);
            match ReplyFrame::read(&bytes[at..], u32::MAX as usize)? {
                Some(frame) => {
                    at += frame.size;
                    frames.frame(&frame);
                }
                None => match self.begin_large(&bytes[at..], frames)? {
                    Some(taken) => at += taken,
                    None => return Ok(at),
                },
            }
        }
    }

    /// Takes more of a large frame; returns how many bytes.
    fn gather(&mut self, bytes: &[u8], frames: &mut impl Frames<Large = L>) -> usize {
        let Some(large) = &mut self.large else {
            return 0;
        };
        let own = &bytes[..large.left.min(bytes.len())];
        if let Some(gathered) = &mut large.gathered {
            frames.add(gathered, own);
        }
        large.left -= own.len();
        let size = own.len();
        if large.left == 0
            && let Some(large) = self.large.take()
        {
            frames.end(large.sync, large.is_final, large.size, large.gathered);
        }
        size
    }

    /// Begins with a large frame, if one is there, and its header.
    fn begin_large(
        &mut self,
        bytes: &[u8],
        frames: &mut impl Frames<Large = L>,
    ) -> Result<Option<usize>, MalformedReply> {
        let Some((prefix, content)) = bytes.split_first_chunk::<PREFIX_SIZE>() else {
            return Ok(None);
        };
        let [_, length @ ..] = *prefix;
        let length = u32::from_be_bytes(length) as usize;
        if self.large.is_some() || length < UPSTREAM_REPLY_LARGE || content.len() < HEADER_SIZE_MAX
        {
            return Ok(None);
        }
        let head = ReplyFrame::read_content(content)?;
        let header = content.len() - head.body.len();
        let body = length - header;
        self.large = Some(BegunFrame {
            sync: head.sync,
            is_final: head.is_final(),
            size: body,
            left: body,
            gathered: frames.begin(&head, body),
        });
        Ok(Some(PREFIX_SIZE + header))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vestibule_wire::keys::CODE_CHUNK;
    use vestibule_wire::reply::ReplyHeader;

    use super::*;

    /// A frame: sync, code, body.
    type SeenFrame = (u64, u32, Vec<u8>);

    /// Frames as they came.
    #[derive(Default)]
    struct Seen(Vec<SeenFrame>);

    impl Frames for Seen {
        type Large = (u32, Vec<u8>);

        fn frame(&mut self, frame: &ReplyFrame<'_>) {
            self.0.push((frame.sync, frame.code, frame.body.to_vec()));
        }

        fn begin(&mut self, head: &ReplyFrame<'_>, body: usize) -> Option<Self::Large> {
            (!head.sync.is_multiple_of(5)).then(|| (head.code, Vec::with_capacity(body)))
        }

        fn add(&mut self, large: &mut Self::Large, bytes: &[u8]) {
            large.1.extend_from_slice(bytes);
        }

        fn end(&mut self, sync: u64, is_final: bool, size: usize, large: Option<Self::Large>) {
            let code = if is_final { 0 } else { CODE_CHUNK };
            let (begun, body) = large.unwrap_or_else(|| (code, vec![0; size]));
            assert_eq!((begun, body.len()), (code, size));
            self.0.push((sync, code, body));
        }
    }

    fn replies(sizes: &[(usize, bool)]) -> (Vec<u8>, Vec<SeenFrame>) {
        let (mut bytes, mut all) = (Vec::new(), Vec::new());
        for (sync, (size, is_push)) in sizes.iter().enumerate() {
            let sync = sync as u64;
            let code = if *is_push { CODE_CHUNK } else { 0 };
            let body: Vec<u8> = (0..*size).map(|at| at as u8 ^ sync as u8).collect();
            let header = ReplyHeader {
                sync,
                schema_version: 3,
            };
            let before = bytes.len();
            header.pass_on(&mut bytes, code, &body);
            let length = bytes.len() - before - PREFIX_SIZE;
            let is_unwanted = length >= UPSTREAM_REPLY_LARGE && sync.is_multiple_of(5);
            all.push((sync, code, if is_unwanted { Vec::new() } else { body }));
        }
        (bytes, all)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn frames_come_whole_and_in_order_however_they_are_cut(
            sizes in prop::collection::vec(
                (prop_oneof![0..200usize, 65_000..200_000usize], any::<bool>()), 1..8
            ),
            cuts in prop::collection::vec(1..90_000usize, 1..9),
        ) {
            let (bytes, expected) = replies(&sizes);
            let (mut seen, mut own) = (Seen::default(), FrameReader::default());
            let (mut at, mut cuts) = (0, cuts.into_iter().cycle());
            while at < bytes.len() {
                // No more than a read brings, so that large ones are not seen whole.
                let size = cuts.next().unwrap_or(1).min(1 << 16);
                let end = (at + size).min(bytes.len());
                own.take(&bytes[at..end], &mut seen).unwrap();
                at = end;
            }
            let is_same = seen.0.iter().zip(&expected).all(|(own, other)| {
                // One that came whole was no large one, be it wanted or not.
                own.0 == other.0 && (own == other || other.2.is_empty())
            });
            prop_assert!(is_same && seen.0.len() == expected.len());
            prop_assert!(own.half.is_empty() && own.large.is_none());
        }
    }

    #[test]
    fn bytes_that_no_server_sends_are_told_at_once() {
        let mut own = FrameReader::default();
        let fault = own.take(b"HTTP/1.1 400", &mut Seen::default());
        assert_eq!(fault, Err(MalformedReply::Length));
        let mut own = FrameReader::default();
        let large = [&[0xce, 0, 1, 0, 0][..], &[0xc0; 70]].concat();
        assert_eq!(
            own.take(&large, &mut Seen::default()),
            Err(MalformedReply::Header)
        );
    }
}
