//! Which upstreams may answer SELECTs beside the one that takes changes, and as of when. Pure.
//!
//! ```text
//!   the writer:  asked at t ─▶ its vclock V ── all that it had acknowledged before t is in V
//!   a replica:   asked at u ─▶ its vclock W ── has it reached V? ─▶ it is caught up as of t:
//!                                              who reads there from now on sees all of that
//! ```
//!
//! `t` is when the question was sent: what was acknowledged while the answer was on its way may be
//! in `V` or not. A vclock never goes back while an instance runs, so an older `W` proves as much.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use vestibule_wire::ballot::Vclock;

use super::reads::{ReadSet, ReadableReplica};
use super::schema::Incarnation;
use super::scout::Condition;
use crate::limits::BALLOTS_KEPT_MAX;

/// Which instance of which replica set one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InstanceIdentity {
    /// The replica set, by its UUID.
    pub(crate) replica_set: String,
    /// The number of the instance there; 0 if it has none.
    pub(crate) id: u64,
}

/// What an instance's catalog is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CatalogDigest {
    /// The instance's own number of it.
    pub(crate) number: u64,
    /// Of its spaces and indexes.
    pub(crate) hash: u64,
    /// Spaces of users whose rows all instances have.
    pub(crate) spaces: Arc<HashSet<u32>>,
}

/// What keeps a read-only upstream from answering SELECTs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadObstacle {
    /// Which instance the one is that takes changes, or what its catalog is, is not known.
    UnknownWriter,
    /// Which instance it is, is not known.
    Unidentified,
    /// The instance is of another replica set than the one that takes changes.
    OtherReplicaSet,
    /// The upstream's catalog is not read, or not since it has changed.
    UnreadCatalog,
    /// The upstream's spaces and indexes are not those of the one that takes changes.
    OtherCatalog,
    /// The upstream has changes that the one that takes them lacks.
    OwnChanges,
    /// The upstream has not had all yet that the one has that takes changes.
    Behind,
}

/// Whether a read-only upstream may answer SELECTs beside this one, which takes changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReplicaVerdict {
    pub(crate) writer: usize,
    /// What keeps it from that.
    pub(crate) obstacle: Option<ReadObstacle>,
}

impl ReadObstacle {
    /// For people; `writer` is the name of the one that takes changes.
    pub(crate) fn text(self, writer: &str) -> String {
        match self {
            Self::UnknownWriter => {
                format!("{writer} does not tell which instance it is, or what its catalog is")
            }
            Self::Unidentified => "it does not tell which instance it is".to_owned(),
            Self::OtherReplicaSet => format!("it is of another replica set than {writer}"),
            Self::UnreadCatalog => "its catalog is not read".to_owned(),
            Self::OtherCatalog => {
                format!("its spaces and indexes are not those of {writer}")
            }
            Self::OwnChanges => format!("it has changes that {writer} lacks"),
            Self::Behind => format!("it has not had all yet that {writer} has"),
        }
    }
}

/// What is known of one upstream in one run of it.
#[derive(Debug, Default)]
struct KnownInstance {
    run: u64,
    identity: Option<InstanceIdentity>,
    digest: Option<CatalogDigest>,
    /// The instance's own number of its catalog, as it was told last.
    number: u64,
    vclock: Option<Vclock>,
    /// When the question was sent that it has answered last.
    proven: Option<Instant>,
    caught_up: Option<Instant>,
    /// When the writer was asked that told the oldest of what is remembered, and it lacked that: as
    /// it was when it has answered first.
    lacking: Option<Instant>,
}

fn is_read_only(condition: Condition) -> bool {
    condition == Condition::Serving { is_writable: false }
}

/// What is known of all of them.
#[derive(Debug)]
pub(crate) struct Replicas {
    known: Vec<KnownInstance>,
    /// Who takes changes.
    writer: Option<Incarnation>,
    /// When it was asked, and the vclock that it told; the oldest first.
    history: VecDeque<(Instant, Vclock)>,
}

impl Replicas {
    /// Of this number of upstreams, of which nothing is known.
    pub(crate) fn new(upstreams: usize) -> Self {
        Self {
            known: (0..upstreams).map(|_| KnownInstance::default()).collect(),
            writer: None,
            history: VecDeque::new(),
        }
    }

    /// An upstream has greeted: what was known of the run before counts no more.
    pub(crate) fn on_greeted(&mut self, upstream: usize, run: u64) {
        self.known[upstream] = KnownInstance {
            run,
            ..KnownInstance::default()
        };
    }

    /// Who an upstream is.
    pub(crate) fn on_identity(&mut self, upstream: usize, identity: InstanceIdentity) {
        self.known[upstream].identity = Some(identity);
    }

    /// Whether it is not known who an upstream is.
    pub(crate) fn lacks_identity(&self, upstream: usize) -> bool {
        self.known[upstream].identity.is_none()
    }

    /// What an upstream's catalog is.
    pub(crate) fn on_catalog(&mut self, upstream: usize, digest: CatalogDigest) {
        self.known[upstream].digest = Some(digest);
    }

    /// The number of its catalog that an upstream has told.
    pub(crate) fn on_number(&mut self, upstream: usize, number: u64) {
        self.known[upstream].number = number;
    }

    /// Whether it is not known what an upstream's catalog is by now.
    pub(crate) fn lacks_catalog(&self, upstream: usize) -> bool {
        let own = &self.known[upstream];
        own.digest.as_ref().map(|digest| digest.number) != Some(own.number)
    }

    /// This one takes changes.
    pub(crate) fn follow(&mut self, writer: Option<Incarnation>) {
        if self.writer != writer {
            self.writer = writer;
            self.history.clear();
            for own in &mut self.known {
                own.caught_up = None;
                own.lacking = None;
            }
        }
    }

    /// An upstream has told its vclock, asked for it at `sent`.
    pub(crate) fn on_vclock(&mut self, upstream: usize, sent: Instant, vclock: Vclock) {
        let known = &mut self.known[upstream];
        known.proven = Some(sent);
        let incarnation = Incarnation {
            upstream,
            number: known.run,
        };
        if self.writer != Some(incarnation) {
            known.vclock = Some(vclock);
            return self.compare(upstream);
        }
        if self.history.len() == BALLOTS_KEPT_MAX {
            let mut at = 0;
            self.history.retain(|_| {
                at += 1;
                at > BALLOTS_KEPT_MAX / 2 || at % 2 == 0
            });
        }
        self.history.push_back((sent, vclock));
        (0..self.known.len()).for_each(|own| self.compare(own));
    }

    /// Looks as of when an upstream is caught up.
    fn compare(&mut self, upstream: usize) {
        let own = &mut self.known[upstream];
        let Some(vclock) = &own.vclock else { return };
        let mut newest_first = self.history.iter().rev();
        let reached = newest_first.find(|(_, of_writer)| vclock.has_reached(of_writer));
        // The order of instants is that of the vclocks, so this never goes back.
        own.caught_up = reached.map(|(sent, _)| *sent).max(own.caught_up);
        let oldest = self.history.front().map(|(sent, _)| *sent);
        own.lacking = own.lacking.or(oldest);
    }

    /// How far a read-only upstream is behind the one that takes changes: how long before it was
    /// asked last that one had all that it has. None of one that there is nothing to say of, as for
    /// [`Replicas::judge`], or that is not known to be of the same replica set.
    ///
    /// It is no finer than both are asked. Of one that has never had what is remembered of the
    /// other one, it is the time since that: if it stands still, it is behind by more.
    pub(crate) fn lag(&self, upstream: usize, conditions: &[Condition]) -> Option<Duration> {
        let own = &self.known[upstream];
        let writer = self.sole_writer(conditions)?.upstream;
        if !is_read_only(conditions[upstream]) || !self.are_related(upstream, writer) {
            return None;
        }
        // Of what the other one was asked later, this one's answer says nothing.
        let mut newest_first = self.history.iter().rev().map(|(sent, _)| *sent);
        let asked = newest_first.find(|sent| Some(*sent) <= own.proven);
        match (asked, own.caught_up.or(own.lacking)) {
            (Some(asked), Some(since)) => Some(asked.saturating_duration_since(since)),
            (None, _) => own.caught_up.map(|_| Duration::ZERO),
            (Some(_), None) => None,
        }
    }

    /// Whether two are known to be of the same replica set.
    fn are_related(&self, one: usize, other: usize) -> bool {
        let [one, other] = [one, other].map(|at| self.known[at].identity.as_ref());
        let both = one.zip(other);
        both.is_some_and(|(one, other)| one.replica_set == other.replica_set)
    }

    /// Who may answer SELECTs now, by how the upstreams are.
    pub(crate) fn readable(&self, conditions: &[Condition]) -> ReadSet {
        let all = self.known.iter().zip(conditions).enumerate();
        let serving = all.clone().filter(|(_, (_, own))| own.is_serving());
        let serving = serving.map(|(upstream, (own, _))| Incarnation {
            upstream,
            number: own.run,
        });
        let mut set = ReadSet {
            serving: serving.collect(),
            ..ReadSet::default()
        };
        let Some((writer, identity, digest)) = self.known_writer(conditions) else {
            return set;
        };
        set.writer = Some(writer);
        set.number = digest.number;
        set.spaces = digest.spaces.clone();
        let readable = all.filter(|(at, (_, own))| *at != writer.upstream && is_read_only(**own));
        let readable = readable.filter_map(|(upstream, (own, _))| {
            self.obstacle(own, identity, digest)
                .is_none()
                .then_some(())?;
            Some(ReadableReplica {
                incarnation: Incarnation {
                    upstream,
                    number: own.run,
                },
                caught_up: own.caught_up?,
                proven: own.proven?,
                number: own.number,
            })
        });
        set.replicas = readable.collect();
        set
    }

    /// The one that takes changes, if no other one does: what a replica has, one that does not take
    /// changes itself may lack, and so may one of two that do.
    fn sole_writer(&self, conditions: &[Condition]) -> Option<Incarnation> {
        let writable = conditions.iter().filter(|own| own.is_writable()).count();
        let is_sole = |own: &Incarnation| writable == 1 && conditions[own.upstream].is_writable();
        self.writer.filter(is_sole)
    }

    /// The same with what has to be known of it.
    fn known_writer(
        &self,
        conditions: &[Condition],
    ) -> Option<(Incarnation, &InstanceIdentity, &CatalogDigest)> {
        let writer = self.sole_writer(conditions)?;
        let own = &self.known[writer.upstream];
        let (identity, digest) = own.identity.as_ref().zip(own.digest.as_ref())?;
        let is_current = own.run == writer.number && digest.number == own.number;
        (is_current && identity.id != 0).then_some((writer, identity, digest))
    }

    /// What keeps a read-only upstream from answering SELECTs; `None` of one that there is nothing
    /// to say of: it does not serve, takes changes itself, or has nobody beside it who does alone.
    pub(crate) fn judge(
        &self,
        upstream: usize,
        conditions: &[Condition],
    ) -> Option<ReplicaVerdict> {
        let writer = self.sole_writer(conditions)?.upstream;
        is_read_only(conditions[upstream]).then(|| ReplicaVerdict {
            writer,
            obstacle: match self.known_writer(conditions) {
                None => Some(ReadObstacle::UnknownWriter),
                Some((_, identity, digest)) => {
                    self.obstacle(&self.known[upstream], identity, digest)
                }
            },
        })
    }

    /// An instance is to be of the writer's replica set, have its catalog, and nothing that the
    /// writer lacks: who has seen that would miss it there.
    fn obstacle(
        &self,
        own: &KnownInstance,
        writer: &InstanceIdentity,
        digest: &CatalogDigest,
    ) -> Option<ReadObstacle> {
        let Some(identity) = &own.identity else {
            return Some(ReadObstacle::Unidentified);
        };
        if identity.replica_set != writer.replica_set {
            return Some(ReadObstacle::OtherReplicaSet);
        }
        let catalog = own.digest.as_ref().filter(|of| of.number == own.number);
        let Some(catalog) = catalog else {
            return Some(ReadObstacle::UnreadCatalog);
        };
        if catalog.hash != digest.hash {
            return Some(ReadObstacle::OtherCatalog);
        }
        let newest = self.history.back().map(|(_, vclock)| vclock);
        let exceeds = |(own, newest): (&Vclock, &Vclock)| own.exceeds(newest, writer.id);
        match own.vclock.as_ref().zip(newest).map(exceeds) {
            Some(true) => Some(ReadObstacle::OwnChanges),
            Some(false) if own.caught_up.is_some() => None,
            _ => Some(ReadObstacle::Behind),
        }
    }
}

#[cfg(test)]
mod tests;
