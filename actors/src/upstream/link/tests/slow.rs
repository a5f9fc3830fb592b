//! Clients that do not read, and others on the same link.

use super::*;
use crate::limits::{CONNECTION_REPLY_BYTES_MAX, MEMORY_SMALL};
use crate::memory::{ConnectionCharge, Memory, MemoryCharge};
use crate::segments::Held;

/// The sessions of the model's requests are their connections.
impl Model {
    /// What waits for a client to read it.
    fn client(&self, session: u32) -> ConnectionCharge {
        let charge = ConnectionCharge::new(Arc::new(Memory::new(usize::MAX)));
        let gauge = charge.gauge().clone();
        self.clients.set(session, u64::from(session), gauge);
        charge
    }

    /// The client reads, so that this is left, and the link hears of it if it awaits that.
    fn read(&mut self, session: u32, charge: &mut ConnectionCharge, left: usize) {
        charge.set(Held::buffers(left), left);
        if charge.gauge().take_room() {
            self.link.has_read(u64::from(session));
        }
        self.link.pump(&self.claims);
    }

    /// The worker looks at those that have waited for memory.
    fn look_at_memory(&mut self) {
        for connection in self.clients.take_short() {
            self.link.has_read(connection);
        }
        self.link.pump(&self.claims);
    }

    fn syncs(&mut self) -> Vec<u64> {
        let written = self.written();
        written.iter().map(|(header, _)| header.sync).collect()
    }

    fn receive_large(&mut self, sync: u64, size: usize) {
        let mut bytes = Vec::new();
        let header = ReplyHeader {
            sync,
            schema_version: 80,
        };
        header.pass_on(&mut bytes, 0, &vec![0xc0; size]);
        // It is large before it is whole.
        let parts = bytes.chunks(UPSTREAM_REPLY_LARGE);
        parts.for_each(|part| self.receive(part).unwrap());
    }

    fn reply_large(&mut self, sync: u64, size: usize) {
        self.receive_large(sync, size);
        self.link.pump(&self.claims);
    }
}

const FULL: usize = CONNECTION_REPLY_BYTES_MAX;

#[test]
fn what_a_client_sends_that_does_not_read_waits_and_lets_others_pass() {
    let mut own = Model::greeted();
    let mut slow = own.client(1);
    slow.set(Held::buffers(FULL), FULL);
    let ids: Vec<_> = [Kind::Other, Kind::Call, Kind::Other]
        .map(|kind| own.submit(1, kind, &[]))
        .into();
    assert_eq!(own.link.pump(&own.claims), Pumped::All, "no credit helps");
    own.submit(2, Kind::Other, &[]);
    own.submit(2, Kind::Call, &[]);
    assert_eq!(own.written().len(), 2, "the other client's");
    assert!(!own.link.is_idle() && !own.credits.all().is_wanted());
    own.read(1, &mut slow, FULL / 2 + 1);
    assert!(own.written().is_empty(), "it has read little");
    own.read(1, &mut slow, FULL / 2);
    let sent = own.syncs();
    assert_eq!(sent.len(), 3);
    sent.iter().for_each(|sync| own.reply(*sync, 0, &[0x80]));
    let told: Vec<_> = own.told.all.iter().map(|own| own.0).collect();
    let order: Vec<_> = ids.iter().map(|id| u64::from(id.index)).collect();
    assert_eq!(told, order);
    own.submit(1, Kind::Other, &[]);
    assert_eq!(own.written().len(), 1, "it is as any other by now");
}

/// Leaves little of the memory of connections, as long as what is returned charges it.
fn scarce(own: &Model) -> MemoryCharge {
    let memory = own.clients.memory.clone();
    memory.set_max(64 * MEMORY_SMALL);
    let mut others = MemoryCharge::new(memory);
    others.set(49 * MEMORY_SMALL);
    others
}

/// Nobody knows how large the replies will be to what is sent.
#[test]
fn who_has_replies_to_read_while_memory_is_scarce_is_asked_for_no_more() {
    let mut own = Model::greeted();
    let mut others = scarce(&own);
    let (mut slow, _quick) = (own.client(1), own.client(2));
    slow.set(Held::buffers(MEMORY_SMALL), MEMORY_SMALL);
    own.submit(1, Kind::Other, &[]);
    own.submit(2, Kind::Other, &[]);
    own.link.pump(&own.claims);
    assert_eq!(own.written().len(), 1, "the other client's");
    own.read(1, &mut slow, MEMORY_SMALL + 1);
    assert!(own.written().is_empty(), "it has read too little");
    own.read(1, &mut slow, 0);
    assert_eq!(own.written().len(), 1, "it has read");
    slow.set(Held::buffers(MEMORY_SMALL), MEMORY_SMALL);
    own.submit(1, Kind::Other, &[]);
    assert!(own.written().is_empty(), "it has replies to read again");
    own.look_at_memory();
    assert!(own.written().is_empty(), "memory is scarce still");
    others.set(0);
    own.look_at_memory();
    assert_eq!(own.written().len(), 1, "there is memory by now");
}

/// Of what it reads its link hears when that may be enough, and not each time.
#[test]
fn who_has_much_to_read_while_memory_is_scarce_is_not_looked_at_for_each_byte() {
    let mut own = Model::greeted();
    let mut others = scarce(&own);
    let mut slow = own.client(1);
    slow.set(Held::buffers(FULL / 4), FULL / 4);
    own.submit(1, Kind::Other, &[]);
    own.link.pump(&own.claims);
    for left in [FULL / 8, 2 * MEMORY_SMALL, MEMORY_SMALL] {
        slow.set(Held::buffers(left), left);
        assert!(!slow.gauge().take_room(), "{left}");
    }
    slow.set(Held::buffers(0), 0);
    assert!(slow.gauge().take_room());
    drop(slow);
    own.clients.forget(1, 1);
    others.set(0);
    assert!(own.clients.take_short().is_empty(), "it is gone");
}

#[test]
fn a_read_is_asked_again_for_whose_reply_its_client_has_no_room() {
    let mut own = Model::greeted();
    let mut slow = own.client(1);
    let large = FULL / 3;
    for _ in 0..10 {
        own.submit_as(1, Kind::Other, Repeat::Read, b"key");
    }
    let sent = own.syncs();
    assert_eq!(sent.len(), 10, "nothing is known of it yet");
    slow.set(Held::buffers(FULL), FULL);
    sent.iter().for_each(|sync| own.reply_large(*sync, large));
    assert!(own.told.all.is_empty() && own.written().is_empty());
    assert!(own.link.owed.len() == 0 && own.credits.has_any());
    let mut rounds = 0;
    while own.told.all.len() < 10 {
        rounds += 1;
        // It reads all that it was sent, and is asked for as much as there is room for again.
        own.read(1, &mut slow, 0);
        let (mut sent, told) = (own.syncs(), own.told.all.len());
        assert!((1..=3).contains(&sent.len()), "{}", sent.len());
        while let Some(sync) = sent.pop() {
            own.receive_large(sync, large);
            let held = (own.told.all.len() - told) * large;
            slow.set(Held::buffers(held), held);
            own.link.pump(&own.claims);
            // What was just answered is not known to be unread yet.
            sent.extend(own.syncs());
            assert!(sent.len() <= 3);
        }
        assert!((1..=5).contains(&(own.told.all.len() - told)));
    }
    assert!(rounds > 2, "{rounds}");
    own.read(1, &mut slow, 0);
    assert!(own.link.is_idle());
    let mut all: Vec<_> = own.told.all.iter().map(|own| own.0).collect();
    all.sort_unstable();
    assert_eq!(all, (0..10).collect::<Vec<_>>(), "each once");
}

#[test]
fn what_may_not_be_asked_twice_is_taken_whatever_its_client_reads() {
    let mut own = Model::greeted();
    let slow = own.client(1);
    for repeat in [Repeat::Call, Repeat::Write, Repeat::InStream] {
        own.submit_as(1, Kind::Other, repeat, b"key");
    }
    let sent = own.syncs();
    let mut slow = slow;
    slow.set(Held::buffers(FULL), FULL);
    sent.iter().for_each(|sync| own.reply_large(*sync, FULL));
    assert_eq!(own.told.all.len(), 3);
    assert!(own.link.is_idle());
}

#[test]
fn a_read_that_is_put_off_was_not_done_when_it_is_taken_back() {
    let mut own = Model::greeted();
    let mut slow = own.client(1);
    let id = own.submit_as(1, Kind::Other, Repeat::Read, b"key");
    let sync = own.syncs()[0];
    slow.set(Held::buffers(FULL), FULL);
    own.reply_large(sync, FULL);
    assert_eq!(own.claims.phase(id), Some(RequestPhase::Queued));
    let taken = own.link.take_back();
    assert_eq!((taken.len(), &*taken[0].body), (1, &b"key"[..]));
    assert!(own.claims.revoke(id) && own.link.is_idle());
    // Whose client has answered it already is asked for no more.
    let id = own.submit_as(2, Kind::Other, Repeat::Read, b"key");
    let mut other = own.client(2);
    let sync = own.syncs()[0];
    own.claims.free(id);
    other.set(Held::buffers(FULL), FULL);
    own.reply_large(sync, FULL);
    own.read(2, &mut other, 0);
    assert!(own.written().is_empty() && own.link.is_idle());
}

#[test]
fn what_waits_of_a_client_that_is_gone_goes_and_so_does_its_rollback() {
    let mut own = Model::greeted();
    let mut slow = own.client(1);
    let mut in_stream = forward(1, 77, Kind::Other);
    (in_stream.key.stream, in_stream.step) = (7, StreamStep::Begin);
    in_stream.id = own.claims.queue(77);
    own.link
        .submit(in_stream, ForwardBody::Part(&[]), &own.claims);
    slow.set(Held::buffers(FULL), FULL);
    let write = own.submit(1, Kind::Other, &[]);
    own.link.pump(&own.claims);
    assert_eq!(own.written().len(), 1, "BEGIN");
    // Its time is over.
    let begin = in_stream.id;
    own.link.abort(in_stream.key, begin, &own.claims).unwrap();
    own.link.pump(&own.claims);
    let (header, _) = &own.written()[0];
    assert_eq!(header.request_type, RequestType::Rollback as u64);
    assert_eq!(own.claims.phase(write), Some(RequestPhase::Queued));
    drop(slow);
    own.clients.forget(1, 1);
    own.link.has_read(1);
    own.link.pump(&own.claims);
    assert_eq!(own.written().len(), 1, "what it has sent is done");
    assert_eq!(own.claims.phase(write), Some(RequestPhase::Started));
}
