//! What a client has set in its session upstream, so that another session of it is made the same.
//! Pure.

use bytes::Bytes;

use crate::limits::SESSION_SETTINGS_BYTES_MAX;

/// What each takes at least, beside its bytes.
const ENTRY_SIZE: usize = 64;

/// The requests by which a client has set something, in their order.
#[derive(Debug, Default)]
pub(crate) struct SessionSettings {
    requests: Vec<SettingRequest>,
    bytes: usize,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SettingRequest {
    /// The number of its type.
    pub(crate) code: u16,
    pub(crate) body: Bytes,
}

impl SessionSettings {
    /// Whether there is room for one with a body of this size.
    pub(crate) fn has_room(&self, size: usize) -> bool {
        self.bytes + ENTRY_SIZE + size <= SESSION_SETTINGS_BYTES_MAX
    }

    /// One is sent. What is the same as before counts once, and from now on.
    pub(crate) fn keep(&mut self, request: SettingRequest) {
        self.requests.retain(|own| *own != request);
        self.requests.push(request);
        let sizes = self.requests.iter().map(|own| ENTRY_SIZE + own.body.len());
        self.bytes = sizes.sum();
    }

    /// All of them, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &SettingRequest> {
        self.requests.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(code: u16, body: &[u8]) -> SettingRequest {
        SettingRequest {
            code,
            body: Bytes::copy_from_slice(body),
        }
    }

    #[test]
    fn what_was_set_last_comes_last_and_what_is_set_again_takes_no_more_room() {
        let mut own = SessionSettings::default();
        let [on, off, other] = [b"on", b"of", b"or"].map(|body| request(4, body));
        for each in [&on, &other, &off, &on] {
            own.keep(each.clone());
        }
        assert!(own.iter().eq([&other, &off, &on]));
        assert_eq!(own.bytes, 3 * (ENTRY_SIZE + 2));
        let rest = SESSION_SETTINGS_BYTES_MAX - own.bytes - ENTRY_SIZE;
        assert!(own.has_room(rest) && !own.has_room(rest + 1));
    }
}
