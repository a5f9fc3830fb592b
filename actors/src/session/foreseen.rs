//! The SELECTs of a burst, told to the view before the first of them is answered.
//!
//! ```text
//!   read: [ SELECT ][ SELECT ][ PING ][ SELECT ] …
//!             └─────────┴─────────────────┴──▶ view: their look-ups wait for memory together
//!         [ SELECT ] ─▶ dispatcher ─▶ …           and then each is answered as ever
//! ```
//!
//! A hint and no more: what is not a whole SELECT is passed over, nothing is admitted, answered or
//! counted here, and a frame that is damaged ends it without a word.

use vestibule_wire::frame::read_prefix;
use vestibule_wire::header::read_header;
use vestibule_wire::keys::RequestType;
use vestibule_wire::request::{self, Body, Select};

use crate::limits::{FORESEEN_MAX, MEMORY_SMALL};
use crate::session::dispatch::Dispatcher;

/// Tells the view of the SELECTs among the next requests, and has the turn pay for it; how many
/// bytes the requests are, of which nothing more is to be told.
pub(super) fn foresee(dispatcher: &mut Dispatcher<'_>, bytes: &[u8]) -> usize {
    let mut burst = Burst {
        bytes,
        at: 0,
        left: FORESEEN_MAX,
        packet_size_max: dispatcher.shared.config.packet_size_max,
    };
    if burst.is_one() {
        return bytes.len();
    }
    let (worker, session) = (&mut *dispatcher.worker, &mut *dispatcher.session);
    let Some(view) = worker
        .published
        .view()
        .filter(|_| session.takes_foresight())
    else {
        return bytes.len();
    };
    let was_worth_it = view.foresee(&mut burst) && burst.at > 0;
    worker.turns.spend((FORESEEN_MAX - burst.left) as u32);
    if !was_worth_it {
        session.rest_from_foreseeing();
        return bytes.len();
    }
    burst.at
}

/// The SELECTs among the next requests.
struct Burst<'b> {
    bytes: &'b [u8],
    at: usize,
    /// How many more requests are looked at.
    left: usize,
    packet_size_max: u64,
}

impl<'b> Burst<'b> {
    /// Whether no request is whole, or too little is behind the first for another one like it.
    fn is_one(&self) -> bool {
        let prefix = read_prefix(self.bytes, self.packet_size_max);
        !matches!(prefix, Ok(Some(first)) if self.bytes.len() >= 2 * first.frame_size())
    }

    /// Header and body of the next request, if all of it is here.
    fn next_frame(&mut self) -> Option<&'b [u8]> {
        self.left = self.left.checked_sub(1)?;
        let rest = &self.bytes[self.at..];
        let prefix = read_prefix(rest, self.packet_size_max).ok()??;
        let content = rest.get(prefix.size..prefix.frame_size())?;
        self.at += prefix.frame_size();
        Some(content)
    }
}

impl<'b> Iterator for Burst<'b> {
    type Item = Select<'b>;

    fn next(&mut self) -> Option<Select<'b>> {
        loop {
            let content = self.next_frame()?;
            // What is large takes its time, and is rarely a SELECT.
            if content.len() > MEMORY_SMALL {
                continue;
            }
            let Ok((header, raw)) = read_header(content) else {
                continue;
            };
            if header.request_type == RequestType::Select as u64
                && let Ok(Body::Select(select)) = request::decode(RequestType::Select, raw)
            {
                return Some(select);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::RequestBuilder;

    /// The keys of the SELECTs that are told, and how many bytes were looked at.
    fn told(bytes: &[u8]) -> (Vec<u8>, usize) {
        let mut burst = Burst {
            bytes,
            at: 0,
            left: FORESEEN_MAX,
            packet_size_max: 100_000,
        };
        let last = |select: Select<'_>| select.key.last().copied();
        let keys = burst.by_ref().filter_map(last).collect();
        (keys, burst.at)
    }

    fn select(key: u64) -> Vec<u8> {
        RequestBuilder::select(key, key).bytes()
    }

    #[test]
    fn selects_are_told_in_order_and_what_is_between_them_is_not() {
        let ping = RequestBuilder::new(RequestType::Ping, 1).bytes();
        let replace = RequestBuilder::replace(1, 1).bytes();
        let no_key = RequestBuilder::new(RequestType::Select, 1).bytes();
        let large = RequestBuilder::select(1, 1).pair(0x70, &vec![0xc0; MEMORY_SMALL]);
        let large = large.bytes();
        let bytes = [
            select(7),
            ping,
            replace,
            large,
            select(8),
            no_key,
            select(9),
        ]
        .concat();
        assert_eq!(told(&bytes), (vec![7, 8, 9], bytes.len()));
    }

    #[test]
    fn a_frame_that_is_not_whole_damaged_or_too_long_is_where_it_ends() {
        let whole = [select(7), select(8)].concat();
        for end in [&select(9)[..10], &[0xc1; 20], &[0xce, 0, 2, 0, 0, 0x82]] {
            let bytes = [&whole, end].concat();
            assert_eq!(told(&bytes), (vec![7, 8], whole.len()), "{end:x?}");
        }
    }

    #[test]
    fn one_request_is_no_burst() {
        let is_one = |bytes: &[u8]| {
            Burst {
                bytes,
                at: 0,
                left: FORESEEN_MAX,
                packet_size_max: 1000,
            }
            .is_one()
        };
        let two = [select(7), select(8)].concat();
        assert!(!is_one(&two));
        assert!(is_one(&two[..two.len() - 1]));
        assert!(is_one(&two[..3]) && is_one(&[0xc1; 100]));
    }

    #[test]
    fn no_more_requests_are_looked_at_than_are_told_at_once() {
        let frames: Vec<_> = (0..FORESEEN_MAX as u64 + 5).map(select).collect();
        let (keys, size) = told(&frames.concat());
        assert_eq!(keys, (0..FORESEEN_MAX as u8).collect::<Vec<_>>());
        assert_eq!(size, frames[..FORESEEN_MAX].concat().len());
    }
}
