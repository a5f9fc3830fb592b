//! Users who were dropped upstream, while others may be called so by now: what has logged in as one
//! of them is replaced by what logs in again.
//!
//! ```text
//!   a reply: no such user, or no usage ─▶ a link for all of its user, older than a moment?
//!                                           │ none of them comes to its end
//!                                           │ the last was not replaced just now
//!                                           ▼
//!                                         retired: the next request opens another one
//! ```
//!
//! Any client can have its upstream say so at will, and keep a link open that is retired. So there
//! are two of a kind at most, and who says so again and again has fewer and fewer replaced.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use vestibule_wire::ErrorCode;
use vestibule_wire::client::ReplyFrame;

use crate::limits::{GONE_USER_WAIT_MAX, UPSTREAM_USER_FRESH};
use crate::upstream::LinkClient;

/// Which links were replaced lately, by upstream and what they were for.
#[derive(Debug, Default)]
pub(super) struct GoneUsers {
    replaced: BTreeMap<(usize, LinkClient), ReplacedLink>,
}

#[derive(Debug)]
struct ReplacedLink {
    at: Instant,
    /// How long nothing takes the place of the one that has taken its place.
    wait: Duration,
}

impl GoneUsers {
    /// Whether a link for this may be replaced, by how often that was done before: after a second,
    /// and each time twice as long if it is told the same soon after that. From here on, it is.
    pub(super) fn replace(&mut self, key: &(usize, LinkClient), now: Instant) -> bool {
        let since = |own: &ReplacedLink| now.saturating_duration_since(own.at);
        // What says nothing for as long again is as good as any.
        self.replaced.retain(|_, own| since(own) < own.wait * 2);
        let wait = match self.replaced.get(key) {
            None => UPSTREAM_USER_FRESH,
            Some(own) if since(own) < own.wait => return false,
            Some(own) => (own.wait * 2).min(GONE_USER_WAIT_MAX),
        };
        let own = ReplacedLink { at: now, wait };
        self.replaced.insert(key.clone(), own);
        true
    }
}

/// Whether an error is what Tarantool tells a session whose user was dropped: that there is no such
/// user, or when another one has its number that not even *usage* is granted.
pub(super) fn tells_of_gone_user(frame: &ReplyFrame<'_>) -> bool {
    const NO_USAGE: &str = "Usage access to universe";
    match frame.error_code() {
        Some(ErrorCode::NO_SUCH_USER) => true,
        Some(ErrorCode::ACCESS_DENIED) => {
            let text = frame.error_text();
            text.is_some_and(|own| own.starts_with(NO_USAGE))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use vestibule_wire::features::Features;
    use vestibule_wire::msgpack::write_str;

    use super::*;

    #[test]
    fn what_says_the_same_again_is_replaced_later_each_time_until_it_says_nothing_for_long() {
        let (mut own, begin) = (GoneUsers::default(), Instant::now());
        let key = |upstream| {
            let client = LinkClient {
                user: "carol".into(),
                format: Features::NONE,
                pinned: None,
                is_bulk: false,
            };
            (upstream, client)
        };
        // It says so twice a second.
        let mut times = Vec::new();
        for half in 0..240 {
            if own.replace(&key(0), begin + Duration::from_millis(500) * half) {
                times.push(half / 2);
            }
        }
        assert_eq!(times, [0, 1, 3, 7, 15, 31, 61, 91]);
        let late = begin + Duration::from_secs(91) + GONE_USER_WAIT_MAX * 2;
        assert!(own.replace(&key(1), late), "another upstream's");
        assert_eq!(own.replaced.len(), 1, "the other one is forgotten");
        let again = [0, 999, 1000].map(|after| {
            let now = late + Duration::from_millis(after);
            own.replace(&key(0), now)
        });
        assert_eq!(again, [true, false, true]);
    }

    #[test]
    fn only_an_error_of_a_user_who_is_not_there_is_a_sign_of_it() {
        for (code, text, expected) in [
            (45, "User '37' is not found", true),
            (
                42,
                "Usage access to universe '' is denied for user 'c'",
                true,
            ),
            (
                42,
                "Execute access to universe '' is denied for user 'c'",
                false,
            ),
            (
                42,
                "Read access to space 'rows' is denied for user 'c'",
                false,
            ),
            (3, "Duplicate key exists in unique index", false),
        ] {
            let mut content = vec![0x82, 0, 0xcd, 0x80, code, 1, 7, 0x81, 0x31];
            write_str(&mut content, text);
            let frame = ReplyFrame::read_content(&content).expect("it is a reply");
            assert_eq!(tells_of_gone_user(&frame), expected, "{text}");
        }
    }
}
