//! What a client has set in its session upstream, so that another session of it is made the same.
//! Pure.
//!
//! ```text
//!   a request that sets something ─▶ pending ─┬ accepted ─▶ kept: the last of each name
//!                                             └ refused, or nobody knows ─▶ forgotten
//! ```

use bytes::Bytes;
use vestibule_wire::{Error, ErrorCode};

use super::session_request::{SessionRequest, setting_name};
use crate::cells::claims::RequestId;
use crate::limits::{SESSION_SETTINGS_BYTES_MAX, SESSION_SETTINGS_MAX};

/// What each takes at least, beside its bytes.
const ENTRY_SIZE: usize = 64;

/// The requests by which a client has set something, in their order.
#[derive(Debug, Default)]
pub(crate) struct SessionSettings {
    kept: Vec<NamedSetting>,
    /// On their way.
    pending: Vec<PendingSetting>,
    last: u64,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SettingRequest {
    /// The number of its type.
    pub(crate) code: u16,
    pub(crate) body: Bytes,
}

#[derive(Debug)]
struct NamedSetting {
    /// Which was sent before which.
    number: u64,
    name: Vec<u8>,
    request: SettingRequest,
}

#[derive(Debug)]
struct PendingSetting {
    id: RequestId,
    /// Whether it counts for another session: what is prepared does not.
    is_kept: bool,
    setting: NamedSetting,
}

impl NamedSetting {
    fn size(&self) -> usize {
        ENTRY_SIZE + self.name.len() + self.request.body.len()
    }
}

impl SessionSettings {
    /// One is to be sent, which is this request.
    ///
    /// # Errors
    ///
    /// There is no room for it beside the others.
    pub(crate) fn begin(
        &mut self,
        id: RequestId,
        what: SessionRequest,
        request: SettingRequest,
    ) -> Result<(), Error> {
        self.last += 1;
        let setting = NamedSetting {
            number: self.last,
            name: setting_name(request.code, &request.body),
            request,
        };
        let pending = self.pending.iter().map(|own| &own.setting);
        // What is under way takes its bytes whatever its name.
        let kept = self.kept.iter().filter(|own| own.name != setting.name);
        let others = kept.chain(pending);
        let bytes = setting.size() + others.clone().map(NamedSetting::size).sum::<usize>();
        if bytes > SESSION_SETTINGS_BYTES_MAX {
            let text =
                format!("Settings of a session take more than {SESSION_SETTINGS_BYTES_MAX} bytes");
            return Err(Error::new(ErrorCode::MEMORY_ISSUE, text));
        }
        let others = others.filter(|own| own.name != setting.name);
        let mut names: Vec<&[u8]> = others.map(|own| &*own.name).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() >= SESSION_SETTINGS_MAX {
            let text = format!("A session has more than {SESSION_SETTINGS_MAX} settings");
            return Err(Error::new(ErrorCode::MEMORY_ISSUE, text));
        }
        self.pending.push(PendingSetting {
            id,
            is_kept: what == SessionRequest::Set,
            setting,
        });
        Ok(())
    }

    /// One is answered: what the upstream has accepted is kept. Of each name the last one counts.
    pub(crate) fn end(&mut self, id: RequestId, is_accepted: bool) {
        let Some(at) = self.pending.iter().position(|own| own.id == id) else {
            return;
        };
        let PendingSetting {
            is_kept, setting, ..
        } = self.pending.remove(at);
        let is_later = |own: &NamedSetting| own.name == setting.name && own.number > setting.number;
        if is_accepted && is_kept && !self.kept.iter().any(is_later) {
            self.kept.retain(|own| own.name != setting.name);
            let at = self.kept.partition_point(|own| own.number < setting.number);
            self.kept.insert(at, setting);
        }
    }

    /// Whether nothing is kept, and nothing on its way, of what still `is_under_way`.
    pub(crate) fn is_unused(&mut self, is_under_way: impl Fn(RequestId) -> bool) -> bool {
        self.pending.retain(|own| is_under_way(own.id));
        self.kept.is_empty() && self.pending.is_empty()
    }

    /// All by which another session is made the same, in their order: those that are kept, and
    /// those that `are_sent` to the one before and not answered.
    pub(crate) fn iter(
        &self,
        are_sent: impl Fn(RequestId) -> bool,
    ) -> impl Iterator<Item = &SettingRequest> {
        let sent = self.pending.iter();
        let sent = sent.filter(|own| own.is_kept && are_sent(own.id));
        let sent = sent.map(|own| &own.setting);
        let mut all: Vec<_> = self.kept.iter().chain(sent).collect();
        all.sort_by_key(|own| own.number);
        all.into_iter().map(|own| &own.request)
    }
}

#[cfg(test)]
mod tests {
    use vestibule_wire::keys::RequestType;
    use vestibule_wire::msgpack::write_str;

    use super::*;
    use crate::cells::claims::Claims;

    const SET: SessionRequest = SessionRequest::Set;

    fn sql(text: &str) -> SettingRequest {
        let mut body = vec![0x81, 0x40];
        write_str(&mut body, text);
        SettingRequest {
            code: RequestType::Execute as u16,
            body: body.into(),
        }
    }

    fn ids(count: usize) -> Vec<RequestId> {
        let claims = Claims::new(count);
        (0..count).map(|at| claims.queue(at as u32)).collect()
    }

    #[test]
    fn what_was_accepted_last_of_each_name_is_kept_in_the_order_in_which_it_was_sent() {
        let (mut own, ids) = (SessionSettings::default(), ids(5));
        let [a, b, c] = [
            "set session a = 1",
            "set session b = 1",
            "set session a = 2",
        ]
        .map(sql);
        for (id, request) in ids.iter().zip([&a, &b, &c, &a, &b]) {
            own.begin(*id, SET, request.clone()).unwrap();
        }
        own.end(ids[2], true);
        let last_two = |id| id == ids[3] || id == ids[4];
        assert!(own.iter(last_two).eq([&c, &a, &b]), "they are on their way");
        own.end(ids[0], true);
        own.end(ids[1], true);
        assert!(own.iter(|_| false).eq([&b, &c]), "the first came before");
        own.end(ids[3], false);
        assert!(
            own.iter(|_| false).eq([&b, &c]),
            "the upstream has refused it"
        );
        own.end(ids[4], true);
        assert!(own.iter(|_| false).eq([&c, &b]));
        own.end(ids[4], true);
        assert!(own.iter(|_| false).eq([&c, &b]));
    }

    #[test]
    fn what_is_prepared_is_not_kept_and_counts_as_long_as_it_is_under_way() {
        let (mut own, ids) = (SessionSettings::default(), ids(2));
        let prepared = sql("set session a = 1");
        own.begin(ids[0], SessionRequest::PrepareSet, prepared.clone())
            .unwrap();
        assert!(!own.is_unused(|_| true));
        own.end(ids[0], true);
        assert!(own.is_unused(|_| true));
        own.begin(ids[1], SET, prepared).unwrap();
        assert!(own.is_unused(|_| false), "nobody waits for it any more");
        own.end(ids[1], true);
        assert_eq!(own.iter(|_| true).count(), 0);
    }

    #[test]
    fn there_are_as_many_as_there_may_be_and_each_may_be_set_again() {
        let (mut own, ids) = (SessionSettings::default(), ids(SESSION_SETTINGS_MAX + 2));
        let named = |at: usize| sql(&format!("set session a{at} = 1"));
        for (at, id) in ids[..SESSION_SETTINGS_MAX].iter().enumerate() {
            own.begin(*id, SET, named(at)).unwrap();
            // Some are on their way.
            if at % 2 == 0 {
                own.end(*id, true);
            }
        }
        let [again, more] = [ids[SESSION_SETTINGS_MAX], ids[SESSION_SETTINGS_MAX + 1]];
        own.begin(again, SET, named(0)).unwrap();
        own.begin(again, SET, named(1)).unwrap();
        let told = own.begin(more, SET, named(SESSION_SETTINGS_MAX));
        assert_eq!(told.unwrap_err().code(), ErrorCode::MEMORY_ISSUE);
        let large = format!(
            "set session a0 = '{}'",
            "x".repeat(SESSION_SETTINGS_BYTES_MAX)
        );
        let told = own.begin(more, SET, sql(&large));
        assert_eq!(told.unwrap_err().code(), ErrorCode::MEMORY_ISSUE);
    }
}
