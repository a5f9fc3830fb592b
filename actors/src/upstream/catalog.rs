//! What upstreams have answered to questions for the catalog, so that clients that connect while
//! none serves can read what they begin with. Pure.
//!
//! ```text
//!   SELECT of a view of the catalog ─▶ upstream ─▶ its reply, kept by user and question
//!   the same in solo ─▶ the reply that is kept, if the catalog has the same version still
//! ```
//!
//! What a user sees depends on its rights, and how it is written on what its client has told that
//! it can read: a reply is given to nobody else.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use vestibule_wire::features::Features;
use vestibule_wire::keys::RequestType;
use vestibule_wire::request::{self, Body, IdOrName};

use super::gateway::{GatewayCell, lock};
use super::schema::Incarnation;
use crate::limits::{
    CATALOG_BYTES_MAX, CATALOG_QUESTION_SIZE_MAX, CATALOG_QUESTIONS_PER_USER_MAX,
    CATALOG_REPLY_SIZE_MAX,
};

/// The views that connectors read when they connect: `_vcollation`, `_vspace`, `_vindex`.
const VIEWS: [u32; 3] = [277, 281, 289];

/// What each entry takes at least, beside its bytes.
const ENTRY_SIZE: usize = 256;

/// Who asks, and what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CatalogQuestion {
    user: Arc<str>,
    format: Features,
    body: Box<[u8]>,
}

impl CatalogQuestion {
    /// A SELECT with this body, if it is one of the catalog.
    #[inline]
    pub(crate) fn of(user: &Arc<str>, format: Features, body: &[u8]) -> Option<Self> {
        is_of_catalog(body).then(|| Self {
            user: user.clone(),
            format,
            body: body.into(),
        })
    }
}

/// Whether a SELECT with this body is one of the catalog.
#[inline]
pub(crate) fn is_of_catalog(body: &[u8]) -> bool {
    // Connectors tell the space first: what is none of the system's is told at a glance.
    matches!(body, [_, 0x10, 0xcd, 1, ..]) && reads_view(body)
}

#[cold]
fn reads_view(body: &[u8]) -> bool {
    let is_view = |space| matches!(space, IdOrName::Id(id) if VIEWS.contains(&id));
    let select = match request::decode(RequestType::Select, body) {
        Ok(Body::Select(select)) => select,
        _ => return false,
    };
    body.len() <= CATALOG_QUESTION_SIZE_MAX && is_view(select.space)
}

#[derive(Debug)]
struct KeptReply {
    /// The version of the catalog that clients were told with it.
    version: u64,
    body: Bytes,
}

/// The replies that are kept.
#[derive(Debug, Default)]
pub(crate) struct KeptCatalog {
    replies: HashMap<CatalogQuestion, KeptReply>,
    /// How many there are of each user.
    of_users: HashMap<Arc<str>, usize>,
    bytes: usize,
    /// At which version what is older went last: looking at all of them is for once a version,
    /// since all threads wait for it.
    swept: u64,
}

impl KeptCatalog {
    /// An upstream has answered this. What is of another version goes first when there is no room.
    pub(crate) fn keep(&mut self, question: CatalogQuestion, version: u64, body: &[u8]) {
        if body.len() > CATALOG_REPLY_SIZE_MAX {
            return;
        }
        self.remove(&question);
        let size = size_of(&question, body);
        if !self.has_room(&question, size) && self.swept < version {
            self.sweep(version);
        }
        if self.has_room(&question, size) {
            self.bytes += size;
            *self.of_users.entry(question.user.clone()).or_default() += 1;
            let body = Bytes::copy_from_slice(body);
            self.replies.insert(question, KeptReply { version, body });
        }
    }

    /// Whether there is room for a reply, of those to this user as well.
    fn has_room(&self, question: &CatalogQuestion, size: usize) -> bool {
        let of_user = self.of_users.get(&question.user).copied();
        let is_within_share = of_user.unwrap_or(0) < CATALOG_QUESTIONS_PER_USER_MAX;
        is_within_share && self.bytes + size <= CATALOG_BYTES_MAX
    }

    /// Takes out what is of versions before this one.
    fn sweep(&mut self, version: u64) {
        self.swept = version;
        let (bytes, of_users) = (&mut self.bytes, &mut self.of_users);
        self.replies.retain(|question, own| {
            let stays = own.version >= version;
            if !stays {
                forget(bytes, of_users, question, own);
            }
            stays
        });
    }

    fn remove(&mut self, question: &CatalogQuestion) {
        if let Some(own) = self.replies.remove(question) {
            forget(&mut self.bytes, &mut self.of_users, question, &own);
        }
    }

    /// What was answered to this, if the catalog has this version still.
    pub(crate) fn find(&self, question: &CatalogQuestion, version: u64) -> Option<Bytes> {
        let own = self.replies.get(question);
        own.filter(|own| own.version == version)
            .map(|own| own.body.clone())
    }
}

impl GatewayCell {
    /// An upstream has answered a question for the catalog, with this number of its own. What came
    /// behind a change, or from one that is not followed, is of no version that clients are told.
    pub(crate) fn keep_catalog(
        &self,
        question: CatalogQuestion,
        incarnation: Incarnation,
        number: u64,
        body: &[u8],
    ) {
        let version = lock(&self.schema).of_seen(incarnation, number);
        if let Some(version) = version {
            lock(&self.catalog).keep(question, version, body);
        }
    }

    /// What was answered to this, if the catalog has this version still.
    pub(crate) fn find_catalog(&self, question: &CatalogQuestion, version: u64) -> Option<Bytes> {
        let found = lock(&self.catalog).find(question, version);
        self.sight.catalog_lookups.add(found.is_some());
        found
    }
}

/// A reply is kept no more.
fn forget(
    bytes: &mut usize,
    of_users: &mut HashMap<Arc<str>, usize>,
    question: &CatalogQuestion,
    own: &KeptReply,
) {
    *bytes -= size_of(question, &own.body);
    if let Some(count) = of_users.get_mut(&question.user) {
        *count -= 1;
        if *count == 0 {
            of_users.remove(&question.user);
        }
    }
}

fn size_of(question: &CatalogQuestion, body: &[u8]) -> usize {
    ENTRY_SIZE + question.user.len() + question.body.len() + body.len()
}

#[cfg(test)]
mod tests {
    use vestibule_wire::features::Feature;

    use super::*;

    fn select(space: u16, key: u8) -> Vec<u8> {
        let [high, low] = space.to_be_bytes();
        vec![0x83, 0x10, 0xcd, high, low, 0x12, 9, 0x20, 0x91, key]
    }

    fn question(user: &str, format: Features, key: u8) -> CatalogQuestion {
        let question = CatalogQuestion::of(&user.into(), format, &select(281, key));
        question.expect("it is of the catalog")
    }

    #[test]
    fn only_selects_of_the_views_that_connectors_read_are_of_the_catalog() {
        for (space, expected) in [
            (281, true),
            (289, true),
            (277, true),
            (280, false),
            (512, false),
        ] {
            assert_eq!(is_of_catalog(&select(space, 1)), expected, "{space}");
        }
        assert!(!is_of_catalog(&[]) && !is_of_catalog(&[0x80]));
        let long = [&select(281, 1)[..9], &[0xda, 4, 0], &[b'x'; 1024]].concat();
        assert!(!is_of_catalog(&long), "nobody asks so");
    }

    #[test]
    fn a_reply_is_for_its_user_its_format_its_question_and_its_version() {
        let mut own = KeptCatalog::default();
        let tuples = Features::NONE.with(Feature::DmlTuples);
        own.keep(question("alice", Features::NONE, 1), 7, b"rows");
        let find = |user, format, key, version| {
            let found = own.find(&question(user, format, key), version);
            found.is_some()
        };
        assert!(find("alice", Features::NONE, 1, 7));
        assert!(!find("bob", Features::NONE, 1, 7));
        assert!(!find("alice", tuples, 1, 7));
        assert!(!find("alice", Features::NONE, 2, 7));
        assert!(!find("alice", Features::NONE, 1, 8));
    }

    #[test]
    fn no_more_is_kept_than_there_may_be_and_what_is_old_goes_first() {
        let mut own = KeptCatalog::default();
        let large = vec![0; CATALOG_REPLY_SIZE_MAX];
        let ask = |key| question("alice", Features::NONE, key);
        let fit = (CATALOG_BYTES_MAX / (large.len() + ENTRY_SIZE)) as u8;
        (0..=fit).for_each(|key| own.keep(ask(key), 1, &large));
        assert!(own.find(&ask(fit - 1), 1).is_some());
        assert!(own.find(&ask(fit), 1).is_none(), "there is no room");
        own.keep(ask(100), 2, &large);
        assert!(own.find(&ask(100), 2).is_some() && own.find(&ask(1), 1).is_none());
        own.keep(ask(100), 3, &vec![0; CATALOG_REPLY_SIZE_MAX + 1]);
        assert!(own.find(&ask(100), 3).is_none());
        let all = own
            .replies
            .iter()
            .map(|(own, reply)| size_of(own, &reply.body));
        assert_eq!(own.bytes, all.sum::<usize>());
    }

    #[test]
    fn a_user_has_a_share_that_is_free_again_when_the_catalog_is_another_one() {
        let mut own = KeptCatalog::default();
        let share = CATALOG_QUESTIONS_PER_USER_MAX as u8;
        let ask = |user, key| question(user, Features::NONE, key);
        (0..=share).for_each(|key| own.keep(ask("alice", key), 1, b"rows"));
        let is_kept = |own: &KeptCatalog, user, key, version| {
            let found = own.find(&ask(user, key), version);
            found.is_some()
        };
        assert!(is_kept(&own, "alice", share - 1, 1));
        assert!(!is_kept(&own, "alice", share, 1), "she has her share");
        own.keep(ask("bob", share), 1, b"rows");
        assert!(is_kept(&own, "bob", share, 1));
        // What is asked again takes the place that it has.
        own.keep(ask("alice", 0), 2, b"rows");
        assert!(is_kept(&own, "alice", 0, 2) && is_kept(&own, "alice", 1, 1));
        own.keep(ask("alice", share), 2, b"rows");
        assert!(is_kept(&own, "alice", share, 2) && !is_kept(&own, "alice", 1, 1));
        assert_eq!((own.swept, own.replies.len()), (2, 2));
        assert_eq!(own.of_users.values().sum::<usize>(), 2);
    }

    #[test]
    fn all_that_is_kept_is_looked_at_once_a_version() {
        let mut own = KeptCatalog::default();
        let ask = |key| question("alice", Features::NONE, key);
        (0..CATALOG_QUESTIONS_PER_USER_MAX as u8).for_each(|key| own.keep(ask(key), 2, b"rows"));
        own.keep(ask(100), 2, b"rows");
        assert_eq!(own.swept, 2);
        // Of a version that is over, as a thread may bring it late.
        own.remove(&ask(0));
        own.keep(ask(0), 1, b"rows");
        own.keep(ask(100), 2, b"rows");
        assert!(own.find(&ask(100), 2).is_none(), "nothing was looked at");
        own.keep(ask(100), 3, b"rows");
        assert_eq!((own.swept, own.replies.len()), (3, 1));
    }
}
