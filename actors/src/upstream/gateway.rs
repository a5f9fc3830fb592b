//! What all threads of a gateway share.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};
use vestibule_wire::auth::{PasswordHash, PasswordKey};
use vestibule_wire::{Error, ErrorCode};

use super::address::Upstream;
use super::bulk::BulkRule;
use super::catalog::KeptCatalog;
use super::config::{GatewayAccount, Upstreams};
use super::lookups::{UserAnswer, UserQuestion};
use super::reads::{ReadCell, ReadSet};
use super::schema::{Incarnation, SchemaVersion};
use super::sight::GatewaySight;
use super::user_source::UpstreamUsers;
use super::users::{Judgment, LoginAttempt, Users};
use super::watched::WatchedKeys;
use crate::tls::UpstreamTls;

/// The version that is told before any upstream is known: the oldest that is supported.
const VERSION_UNKNOWN: (u32, u32, u32) = (2, 6, 0);

/// Since which version an unknown user is not told from a wrong password.
const TELLS_NO_USERS_SINCE: (u32, u32, u32) = (2, 11, 0);

/// Since which version there are ID and streams.
pub(crate) const HAS_ID_SINCE: (u32, u32, u32) = (2, 10, 0);

/// What a scout is asked to find out of its upstream.
pub(crate) enum ScoutQuestion {
    /// A user.
    User(UserQuestion),
    /// How it is, right now: it has refused what it takes. The answer comes when it has said so; if
    /// it does not any more, there is none.
    Doubt(oneshot::Sender<()>),
}

/// Where requests go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    /// To this upstream, in this run of it.
    To(Incarnation),
    /// Nowhere yet: the one that takes over soon gets them.
    Held,
    /// Nowhere.
    Nowhere,
}

/// What all threads of a gateway share.
pub(crate) struct GatewayCell {
    pub(crate) config: Upstreams,
    /// What counts as bulk.
    pub(crate) bulk: BulkRule,
    /// How those of the network are connected to, if that is by TLS.
    pub(crate) tls: Option<UpstreamTls>,
    /// Where requests go: the number of the upstream, counted from 1, and that of its run; 0 for
    /// nowhere, [`HELD`] for nowhere yet. In one word, so that both are of one time.
    destination: AtomicU64,
    /// The same, for those who wait for a change: by one channel for each, so that they are woken
    /// in the order in which they came. Those of one channel are woken in any.
    followers: Mutex<Vec<watch::Sender<Destination>>>,
    /// What that was set to, until somebody takes it.
    #[cfg(test)]
    set: Mutex<Vec<Destination>>,
    users: Mutex<Users>,
    pub(super) schema: Mutex<SchemaVersion>,
    /// The upstream's own number of its catalog, as far as it is known; 0 before.
    schema_seen: AtomicU64,
    /// The lowest version of the upstreams that are known, in one word; 0 before.
    version: AtomicU64,
    /// Where each was reached, if it is of the network.
    places: Vec<Mutex<Option<SocketAddr>>>,
    /// What was answered to questions for the catalog.
    pub(super) catalog: Mutex<KeptCatalog>,
    /// The last run of each whose machine has vanished; 0 for none.
    vanished: Vec<AtomicU64>,
    /// How often an operator has asked for new links to each.
    reconnects: Vec<AtomicU64>,
    /// The upstreams whose drain is under way, a bit for each.
    leaving: AtomicU64,
    /// The upstreams that are silent for so long that what is on its way there is given up.
    abandoned: AtomicU64,
    /// What clients watch.
    pub(crate) watched: Arc<WatchedKeys>,
    /// Who answers SELECTs beside the one that takes changes.
    pub(crate) reads: ReadCell,
    /// What is seen of the upstreams.
    pub(crate) sight: GatewaySight,
    /// Whom to ask, by upstreams; set when the scouts are there.
    questions: OnceLock<Vec<mpsc::UnboundedSender<ScoutQuestion>>>,
}

const RUN_BITS: u32 = 48;

/// The word for requests that are held.
const HELD: u64 = u64::MAX;

impl Destination {
    fn word(self) -> u64 {
        match self {
            Self::To(own) => {
                (own.upstream as u64 + 1) << RUN_BITS | own.number & ((1 << RUN_BITS) - 1)
            }
            Self::Held => HELD,
            Self::Nowhere => 0,
        }
    }

    fn from_word(word: u64) -> Self {
        match (word, word >> RUN_BITS) {
            (HELD, _) => Self::Held,
            (_, 0) => Self::Nowhere,
            (_, upstream) => Self::To(Incarnation {
                upstream: upstream as usize - 1,
                number: word & ((1 << RUN_BITS) - 1),
            }),
        }
    }
}

/// The users that are known from the beginning.
fn users_of(source: &UpstreamUsers, account: Option<&GatewayAccount>, now: Instant) -> Users {
    match (source, account) {
        (UpstreamUsers::Listed(list), _) => Users::of_list(list.iter(), now),
        (UpstreamUsers::One, Some(account)) => {
            let hash = PasswordHash::of(&account.password);
            Users::of_list([(&*account.user, hash)].into_iter(), now)
        }
        (UpstreamUsers::Ask | UpstreamUsers::One, _) => Users::new(now),
    }
}

/// For each of the three parts of a version.
const VERSION_PART_BITS: u32 = 20;
const VERSION_PART_MAX: u32 = (1 << VERSION_PART_BITS) - 1;

impl GatewayCell {
    /// Before these upstreams, with this number of session threads.
    pub(crate) fn new(
        config: Upstreams,
        threads: usize,
        schema_version: u64,
        now: Instant,
    ) -> Self {
        Self {
            places: config.upstreams.iter().map(|_| Mutex::default()).collect(),
            vanished: config.upstreams.iter().map(|_| AtomicU64::new(0)).collect(),
            reconnects: config.upstreams.iter().map(|_| AtomicU64::new(0)).collect(),
            sight: GatewaySight::new(config.upstreams.len(), threads, now),
            users: Mutex::new(users_of(&config.users, config.account.as_ref(), now)),
            bulk: BulkRule::of(config.bulk_for),
            config,
            tls: None,
            destination: AtomicU64::new(Destination::Nowhere.word()),
            followers: Mutex::default(),
            #[cfg(test)]
            set: Mutex::default(),
            schema: Mutex::new(SchemaVersion::new(schema_version)),
            schema_seen: AtomicU64::new(0),
            version: AtomicU64::new(0),
            catalog: Mutex::default(),
            leaving: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            watched: Arc::default(),
            reads: ReadCell::default(),
            questions: OnceLock::new(),
        }
    }

    /// Has those of the network be connected to by TLS, if there is any.
    pub(crate) fn with_tls(self, tls: Option<UpstreamTls>) -> Self {
        Self { tls, ..self }
    }

    /// The upstream of this number.
    pub(crate) fn upstream(&self, index: usize) -> &Upstream {
        &self.config.upstreams[index]
    }

    /// Where requests go.
    #[inline]
    pub(crate) fn destination(&self) -> Destination {
        Destination::from_word(self.destination.load(Ordering::Acquire))
    }

    /// The upstream that requests go to, and its run.
    pub(crate) fn target(&self) -> Option<Incarnation> {
        match self.destination() {
            Destination::To(target) => Some(target),
            Destination::Held | Destination::Nowhere => None,
        }
    }

    /// Whether requests may wait for an upstream to take over.
    pub(crate) fn holds(&self) -> bool {
        !self.config.failover_hold.is_zero()
    }

    /// Whether the drain of an upstream is under way: what is open there may come to its end.
    #[inline]
    pub(crate) fn is_leaving(&self, upstream: usize) -> bool {
        self.leaving.load(Ordering::Acquire) & 1 << upstream != 0
    }

    /// The drain of an upstream begins, or is over.
    pub(crate) fn set_leaving(&self, upstream: usize, is_leaving: bool) {
        set_bit(&self.leaving, upstream, is_leaving);
    }

    /// Whether what is on its way to an upstream is given up.
    pub(crate) fn is_abandoned(&self, upstream: usize) -> bool {
        self.abandoned.load(Ordering::Acquire) & 1 << upstream != 0
    }

    /// What is on its way to an upstream is given up, as long as this is so. Whether that is new.
    pub(crate) fn set_abandoned(&self, upstream: usize, is_abandoned: bool) -> bool {
        let is_new = set_bit(&self.abandoned, upstream, is_abandoned);
        if is_new && is_abandoned {
            self.have_links_looked_at();
        }
        is_new
    }

    /// Where the scout of an upstream of the network has reached it last.
    pub(crate) fn place(&self, upstream: usize) -> Option<SocketAddr> {
        *lock(&self.places[upstream])
    }

    /// An upstream is reached there.
    pub(crate) fn set_place(&self, upstream: usize, address: SocketAddr) {
        *lock(&self.places[upstream]) = Some(address);
    }

    /// The machine of an upstream acknowledges nothing any more: links to this run of it, and to
    /// those before, end.
    pub(crate) fn vanish(&self, incarnation: Incarnation) {
        let own = &self.vanished[incarnation.upstream];
        own.fetch_max(incarnation.number, Ordering::AcqRel);
        self.have_links_looked_at();
    }

    /// Links to an upstream that there are by now get nothing new.
    pub(crate) fn reconnect(&self, upstream: usize) {
        self.reconnects[upstream].fetch_add(1, Ordering::AcqRel);
        self.have_links_looked_at();
    }

    /// How often that was asked for.
    pub(crate) fn reconnects(&self, upstream: usize) -> u64 {
        self.reconnects[upstream].load(Ordering::Acquire)
    }

    /// Has those who follow where requests go look at their links.
    fn have_links_looked_at(&self) {
        for follower in lock(&self.followers).iter() {
            follower.send_modify(|_| ());
        }
    }

    /// Replicas of this set may answer SELECTs from now on.
    pub(crate) fn set_readable(&self, set: ReadSet) {
        if self.reads.store(set) {
            self.have_links_looked_at();
        }
    }

    /// Whether its machine has vanished since then.
    pub(crate) fn has_vanished(&self, incarnation: Incarnation) -> bool {
        let own = &self.vanished[incarnation.upstream];
        incarnation.number <= own.load(Ordering::Acquire)
    }

    /// The number of the upstream of this name.
    pub(crate) fn find_upstream(&self, name: &str) -> Option<usize> {
        let mut all = self.config.upstreams.iter();
        all.position(|own| own.name == name)
    }

    /// What is told of its catalog is that of this one from now on.
    pub(crate) fn follow_schema(&self, target: Incarnation) {
        let mut schema = lock(&self.schema);
        schema.follow(target);
        self.schema_seen.store(schema.seen(), Ordering::Relaxed);
    }

    /// Requests go there from now on.
    pub(crate) fn set_destination(&self, destination: Destination) {
        self.destination
            .store(destination.word(), Ordering::Release);
        #[cfg(test)]
        lock(&self.set).push(destination);
        for follower in lock(&self.followers).iter() {
            follower.send_replace(destination);
        }
    }

    /// Takes where requests have gone since this was asked last, the first first.
    #[cfg(test)]
    pub(crate) fn take_set(&self) -> Vec<Destination> {
        std::mem::take(&mut lock(&self.set))
    }

    /// Where requests go, told at each change.
    pub(crate) fn destinations(&self) -> watch::Receiver<Destination> {
        let mut followers = lock(&self.followers);
        let (follower, destinations) = watch::channel(self.destination());
        followers.push(follower);
        destinations
    }

    /// An upstream has told the number of its catalog. If clients are told another version from now
    /// on, it is told here before that number can be seen.
    pub(crate) fn note_schema(
        &self,
        incarnation: Incarnation,
        number: u64,
        tell: impl FnOnce(u64),
    ) {
        let mut schema = lock(&self.schema);
        if let Some(version) = schema.note(incarnation, number) {
            tell(version);
        }
        self.schema_seen.store(schema.seen(), Ordering::Release);
    }

    /// The number of its catalog that the upstream has told last, to whomever of us; 0 if none.
    #[inline]
    pub(crate) fn schema_seen(&self) -> u64 {
        self.schema_seen.load(Ordering::Acquire)
    }

    /// The version that clients are greeted with.
    pub(crate) fn version(&self) -> (u32, u32, u32) {
        let version = self.config.server_version.or_else(|| self.known_version());
        version.unwrap_or(VERSION_UNKNOWN)
    }

    /// The version that tells what clients may use: what they are greeted with, but nothing that
    /// some upstream is known not to have.
    #[inline]
    pub(crate) fn ability(&self) -> (u32, u32, u32) {
        let known = self.known_version();
        let told = self.config.server_version;
        let lowest = known.into_iter().chain(told).min();
        lowest.unwrap_or(VERSION_UNKNOWN)
    }

    #[inline]
    fn known_version(&self) -> Option<(u32, u32, u32)> {
        let word = self.version.load(Ordering::Relaxed);
        let part = |shift: u32| (word >> shift) as u32 & VERSION_PART_MAX;
        let version = (
            part(2 * VERSION_PART_BITS),
            part(VERSION_PART_BITS),
            part(0),
        );
        (word != 0).then_some(version)
    }

    /// The lowest version of the upstreams that are known.
    pub(crate) fn set_version(&self, (major, minor, patch): (u32, u32, u32)) {
        let word = [major, minor, patch].into_iter().fold(0, |word, part| {
            word << VERSION_PART_BITS | u64::from(part.min(VERSION_PART_MAX))
        });
        self.version.store(word, Ordering::Relaxed);
    }

    /// Whether clients may ask what the server can do, and send in streams: whether the upstreams
    /// know that.
    #[inline]
    pub(crate) fn has_id(&self) -> bool {
        self.ability() >= HAS_ID_SINCE
    }

    /// Who is asked, by the upstreams.
    pub(crate) fn set_questions(&self, questions: Vec<mpsc::UnboundedSender<ScoutQuestion>>) {
        let _ = self.questions.set(questions);
    }

    /// An upstream has refused what it takes: its scout looks how it is. The answer comes when that
    /// is known, and what follows from it is done; an error, if the upstream is lost.
    pub(crate) fn doubt(&self, upstream: usize) -> oneshot::Receiver<()> {
        let (answer, answered) = oneshot::channel();
        if let Some(questions) = self.questions.get() {
            // Without a scout there is no answer.
            let _ = questions[upstream].send(ScoutQuestion::Doubt(answer));
        }
        answered
    }

    /// The key by which a user who has logged in logs in upstream.
    pub(crate) fn key(&self, user: &str) -> Option<Arc<PasswordKey>> {
        lock(&self.users).key(user)
    }

    /// Clients are known by this from now on.
    pub(crate) fn set_users(&self, source: &UpstreamUsers, now: Instant) {
        let next = users_of(source, self.config.account.as_ref(), now);
        lock(&self.users).become_as(next);
    }

    /// An upstream refuses this key of a user.
    pub(crate) fn forget(&self, user: &str, key: &Arc<PasswordKey>) {
        lock(&self.users).forget_key(user, key);
    }

    /// What a login comes to, where this upstream can be asked, or none.
    pub(crate) fn judge(
        &self,
        login: LoginAttempt<'_>,
        target: Option<Incarnation>,
        now: Instant,
    ) -> Judgment {
        lock(&self.users).judge(login, target, now)
    }

    /// Which upstream can be asked for users.
    pub(crate) fn whom_to_ask(&self) -> Option<Incarnation> {
        self.config.account.as_ref().and(self.target())
    }

    /// Asks for a user.
    pub(crate) fn ask(&self, question: UserQuestion) -> UserAnswer {
        let answer = question.answer();
        if let Some(questions) = self.questions.get() {
            // Without a scout there is no answer.
            let _ = questions[question.target.upstream].send(ScoutQuestion::User(question));
        }
        answer
    }

    /// An upstream has answered: the hash of a user's password; none if there is no such user.
    pub(crate) fn learn(&self, question: UserQuestion, hash: Option<PasswordHash>) {
        lock(&self.users).learn(question, hash);
    }

    /// What a client is told whose login is wrong, as the upstreams' version tells it.
    pub(crate) fn wrong_login(&self, user: &str, is_known: bool) -> Error {
        if self.version() >= TELLS_NO_USERS_SINCE {
            Error::credentials_mismatch()
        } else if is_known {
            let text = format!("Incorrect password supplied for user '{user}'");
            Error::new(ErrorCode::CREDS_MISMATCH, text)
        } else {
            Error::no_such_user(user)
        }
    }
}

/// Sets the bit of an upstream, and tells whether it was another one.
fn set_bit(word: &AtomicU64, upstream: usize, is_set: bool) -> bool {
    let bit = 1 << upstream;
    let before = match is_set {
        true => word.fetch_or(bit, Ordering::AcqRel),
        false => word.fetch_and(!bit, Ordering::AcqRel),
    };
    (before & bit != 0) != is_set
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing behind these locks is left half changed by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
