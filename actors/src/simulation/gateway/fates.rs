//! What becomes of writes in a world of upstreams, and of which connection they are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use vestibule_wire::msgpack::Reader;
use vestibule_wire::request::Body;

use super::accounts::Accounts;
use super::connected::{Answer, Connected};
use super::reads::Reads;
use crate::limits::MEMORY_SMALL;
use crate::simulation::client::Client;
use crate::simulation::ledger::Ledger;
use crate::upstream::{Destination, LinkMode, Upstreams};

/// A write, from when it was sent.
#[derive(Debug, Clone, Copy)]
struct Sent {
    at: Instant,
    connection: u64,
    user: &'static str,
    /// The client knew that something was set for it.
    has_set: bool,
}

/// What all upstreams share, as if everything was replicated at once: who loses what it has
/// acknowledged is not the gateway's matter.
#[derive(Debug)]
pub(super) struct Fates {
    pub(super) ledger: Ledger,
    sent: Vec<Sent>,
    /// By connection, its user and upstream, the last write that has come there. What one that hung
    /// finds in its sockets is older than what has gone elsewhere meanwhile.
    arrived: BTreeMap<(u64, &'static str, usize), u64>,
    /// Connections of which an upstream has refused something: what they sent behind it may have
    /// been taken.
    excused: BTreeSet<u64>,
    /// By upstream, until when transactions could come to their end there, although requests went
    /// elsewhere: until when it was drained.
    pub(super) leaving_until: Vec<Option<Instant>>,
    pub(super) accounts: Accounts,
    pub(super) reads: Reads,
    /// Whether each client has connections upstream of its own.
    pub(super) is_pinned: bool,
    /// Whether new connections are asked for, and clients set something: streams go on over others
    /// then than all else.
    pub(super) has_new_links: bool,
    /// Where requests went: since when.
    destinations: Vec<(Instant, Destination)>,
    /// How often that has changed.
    pub(super) changes: u64,
    now: Instant,
    pub(super) refused: usize,
    pub(super) replies: usize,
    /// Bytes of replies that were sent since memory is scarce, but for those that are not small,
    /// which are refused when there is none.
    pub(super) sent_beside: usize,
    /// Connections that upstreams have lost at a COMMIT or ROLLBACK: before it, and behind it.
    pub(super) lost_at_ends: [usize; 2],
}

impl Fates {
    /// Of a gateway that is configured like this.
    pub(super) fn new(
        ledger: Ledger,
        accounts: Accounts,
        config: &Upstreams,
        now: Instant,
    ) -> Self {
        Self {
            ledger,
            leaving_until: vec![None; config.upstreams.len()],
            accounts,
            reads: Reads::new(config.reads_replicas().then_some(config.read_from)),
            is_pinned: config.mode == LinkMode::Pinned,
            has_new_links: false,
            sent: Vec::new(),
            arrived: BTreeMap::new(),
            excused: BTreeSet::new(),
            destinations: vec![(now, Destination::Nowhere)],
            changes: 0,
            now,
            refused: 0,
            replies: 0,
            sent_beside: 0,
            lost_at_ends: [0; 2],
        }
    }

    /// Time has passed; requests went there meanwhile, and go to the last of these. For a moment
    /// they may have gone elsewhere between two looks.
    pub(super) fn look(&mut self, now: Instant, destinations: Vec<Destination>) {
        self.now = now;
        for destination in destinations {
            self.changes += 1;
            self.ledger.note(|| format!("requests go {destination:?}"));
            self.destinations.push((now, destination));
        }
    }

    /// The upstream that requests go to, as it was looked last.
    pub(super) fn target(&self) -> Option<usize> {
        match self.destinations.last()?.1 {
            Destination::To(own) => Some(own.upstream),
            Destination::Held | Destination::Nowhere => None,
        }
    }

    /// The upstream that they went to last.
    pub(super) fn last_target(&self) -> Option<usize> {
        let mut later = self.destinations.iter().rev();
        later.find_map(|(_, own)| match own {
            Destination::To(to) => Some(to.upstream),
            Destination::Held | Destination::Nowhere => None,
        })
    }

    /// Since when requests are held, if they are.
    pub(super) fn held_since(&self) -> Option<Instant> {
        let (since, last) = self.destinations.last()?;
        (*last == Destination::Held).then_some(*since)
    }

    /// A client has sent what it has keys for since this was told last.
    pub(super) fn note_sent(&mut self, client: &Client) {
        let sent = Sent {
            at: self.now,
            connection: client.connection,
            user: client.user,
            has_set: client.has_set,
        };
        self.sent.resize(self.ledger.key_count(), sent);
    }

    /// An upstream answers a request.
    pub(super) fn count_reply(&mut self, answer: &Answer) {
        self.replies += 1;
        if let Answer::Body(body) = answer
            && body.len() < MEMORY_SMALL
        {
            self.sent_beside += body.len();
        }
    }

    /// An upstream has refused a request.
    pub(super) fn on_refused(&mut self, body: &Body<'_>) {
        self.refused += 1;
        let array = match body {
            Body::Replace(store) => store.tuple,
            Body::Call(call) => call.args,
            _ => return,
        };
        let mut reader = Reader::new(array);
        if reader.read_array_len().is_ok_and(|length| length > 0)
            && let Ok(key) = reader.read_uint()
        {
            let connection = self.sent[key as usize].connection;
            self.excused.insert(connection);
        }
    }

    /// A write has come to an upstream over a connection, in this stream, and is taken. Those of
    /// one client keep their order, and come as its user.
    pub(super) fn on_write_arrived(
        &mut self,
        upstream: usize,
        own: &mut Connected,
        stream: u64,
        key: u64,
    ) {
        let Sent {
            connection,
            user,
            at,
            has_set,
        } = self.sent[key as usize];
        if own.user != user {
            let fault = format!("key {key} of {user} comes as {}", own.user);
            self.ledger.fault(fault);
        }
        self.check_settings(own, (connection, stream, key), has_set);
        let before = own.client.replace(connection);
        if self.is_pinned && before.is_some_and(|own| own != connection) {
            let fault = format!("key {key} of {connection} comes over what was {before:?}'s");
            self.ledger.fault(fault);
        }
        let last = self
            .arrived
            .entry((connection, user, upstream))
            .or_default();
        let of_stream = own.open.get(&stream).and_then(|keys| keys.last());
        let is_apart = self.has_new_links && stream != 0;
        let of_all = if is_apart { 0 } else { *last };
        let before = of_stream.copied().unwrap_or_default().max(of_all);
        if before > key && !self.excused.contains(&connection) {
            let fault = format!("connection {connection}: key {key} comes behind key {before}");
            self.ledger.fault(fault);
        }
        // A transaction may come to its end at an upstream that is being drained: ahead of what is
        // held meanwhile, which is until the drain is over if no other upstream takes changes.
        let is_ahead = own.open.contains_key(&stream) && self.leaving_until[upstream] >= Some(at);
        if !is_ahead && !is_apart {
            *last = key.max(*last);
        }
    }

    /// What a client has set counts for what it sends from then on, and for nothing of others. A
    /// stream may go on where it was begun before.
    fn check_settings(
        &mut self,
        own: &Connected,
        (connection, stream, key): (u64, u64, u64),
        has_set: bool,
    ) {
        let is_there = own.set_by == Some(connection);
        if own.set_by.is_some() && !is_there || has_set && stream == 0 && !is_there {
            let fault = format!(
                "key {key} of {connection} comes where {:?} is set",
                own.set_by
            );
            self.ledger.fault(fault);
        }
    }

    /// An upstream has done it, alone or as a transaction.
    pub(super) fn execute(&mut self, upstream: usize, keys: &[u64], is_transaction: bool) {
        for key in keys {
            let sent = self.sent[*key as usize];
            let may_end = is_transaction && self.leaving_until[upstream] >= Some(sent.at);
            if !may_end && !self.was_meant(upstream, sent.at) {
                let fault = format!("key {key} goes to {upstream}, where no request goes");
                self.ledger.fault(fault);
            }
        }
        self.ledger.note(|| format!("upstream {upstream}"));
        self.on_done(upstream, keys);
        self.ledger.end_write(keys);
    }

    /// Whether requests went to an upstream at any time since then.
    pub(super) fn was_meant(&self, upstream: usize, since: Instant) -> bool {
        // It is looked every other millisecond.
        let since = since.checked_sub(Duration::from_millis(4)).unwrap_or(since);
        let is_it =
            |own: &Destination| matches!(own, Destination::To(to) if to.upstream == upstream);
        let later = self.destinations.iter().rev();
        for (from, destination) in later {
            if is_it(destination) {
                return true;
            }
            if *from < since {
                return false;
            }
        }
        false
    }
}
