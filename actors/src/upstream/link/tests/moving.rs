//! Connections that go from one link to another.

use super::*;
use crate::upstream::StreamsKept;

impl Model {
    /// A request in a stream of session 1.
    fn submit_part(&mut self, stream: u64, step: StreamStep) -> RequestId {
        let id = self.claims.queue(self.next);
        let forward = Forward {
            id,
            key: key(1, stream),
            step,
            repeat: Repeat::InStream,
            ..forward(1, u64::from(self.next), Kind::Other)
        };
        self.next += 1;
        (self.link).submit(forward, ForwardBody::Part(&[]), &self.claims);
        id
    }

    /// Nothing more is sent until this is written: what is submitted waits.
    fn fill(&mut self) {
        let ahead = vec![0; LINK_AHEAD_MAX];
        self.submit(9, Kind::Other, &ahead);
        assert!(!self.link.may_add());
    }

    fn take_back(&mut self, which: StreamsKept) -> Vec<RequestId> {
        let taken = self.link.take_back_of(key(1, 0).connection, which);
        taken.iter().map(|own| own.forward.id).collect()
    }

    /// Session 1 leaves; in which streams something is lost by that, and by what it was begun.
    pub(super) fn leave(&mut self, which: StreamsLeft) -> Vec<(u64, Option<RequestId>)> {
        let connection = key(1, 0).connection;
        let lost = self.link.leave(connection, which, &self.claims);
        lost.iter().map(|own| (own.key.stream, own.begin)).collect()
    }
}

#[test]
fn what_is_held_waits_with_all_that_comes_of_its_connection_and_lets_others_pass() {
    let mut own = Model::greeted();
    let connection = forward(1, 0, Kind::Other).key.connection;
    own.link.hold(connection);
    for kind in [Kind::Other, Kind::Call, Kind::Other] {
        own.submit(1, kind, &[]);
    }
    assert_eq!(own.link.pump(&own.claims), Pumped::All, "no credit helps");
    own.submit(2, Kind::Other, &[]);
    assert_eq!(own.written().len(), 1, "the other connection's");
    assert!(!own.link.is_idle());
    own.link.let_go(connection);
    own.link.pump(&own.claims);
    assert_eq!(own.written().len(), 3);
    own.submit(1, Kind::Other, &[]);
    assert_eq!(own.written().len(), 1, "it is as any other by now");
    // Held with nothing to send, it keeps no link from its end.
    own.link.hold(connection);
    assert!(own.link.unsent_requests().next().is_none());
}

#[test]
fn what_is_taken_back_is_of_streams_in_which_nothing_is_under_way() {
    use StreamStep::{Begin, Nothing};
    let mut own = Model::greeted();
    own.submit_part(7, Begin);
    own.submit_part(8, Nothing);
    own.fill();
    own.submit_part(7, Nothing);
    own.submit_part(8, Nothing);
    let whole = [own.submit_part(5, Begin), own.submit_part(5, Nothing)];
    let plain = own.submit_part(0, Nothing);
    assert!(own.link.keeps(key(1, 8), StreamsKept::UnderWay));
    assert!(!own.link.keeps(key(1, 8), StreamsKept::Open));
    assert_eq!(
        own.take_back(StreamsKept::UnderWay),
        [whole[0], whole[1], plain]
    );
    let connection = key(1, 0).connection;
    assert!(own.link.keeps_any(connection, StreamsKept::UnderWay));
}

#[test]
fn nothing_is_taken_back_of_a_stream_that_is_rolled_back() {
    use StreamStep::{Begin, Nothing};
    let mut own = Model::greeted();
    own.fill();
    let begin = own.submit_part(7, Begin);
    let plain = own.submit_part(0, Nothing);
    assert!(own.link.abort(key(1, 7), begin, &own.claims).is_some());
    assert!(!own.link.may_be_open(key(1, 7)));
    assert_eq!(own.take_back(StreamsKept::Open), [plain]);
}

#[test]
fn what_is_not_written_is_told_by_the_bytes_up_to_its_end() {
    let mut own = Model::greeted();
    let (one, other) = (key(1, 0).connection, key(2, 0).connection);
    own.submit_part(0, StreamStep::Nothing);
    let until = own.link.unwritten_of(one).unwrap();
    assert_eq!(own.link.unwritten_of(other), None);
    own.fill();
    assert!(own.link.written() < until);
    let all = own.written().len();
    assert!(own.link.written() >= until && all == 2);
    assert_eq!(own.link.unwritten_of(one), None);
}

#[test]
fn what_is_held_twice_goes_on_when_it_is_let_go_twice() {
    let mut own = Model::greeted();
    let connection = forward(1, 0, Kind::Other).key.connection;
    own.link.hold(connection);
    own.link.hold(connection);
    own.submit(1, Kind::Other, &[]);
    own.link.let_go(connection);
    own.link.pump(&own.claims);
    assert!(own.written().is_empty(), "another link has not written");
    own.link.let_go(connection);
    own.link.pump(&own.claims);
    assert_eq!(own.written().len(), 1);
}

#[test]
fn what_is_lost_is_what_would_be_open_behind_all_that_waits() {
    use StreamStep::{Begin, Commit, MayBegin, Nothing};
    let mut own = Model::greeted();
    let open = own.submit_part(1, Begin);
    own.submit_part(2, Begin);
    own.fill();
    own.submit_part(1, Nothing);
    own.submit_part(2, Commit);
    // Those are not begun: all of them goes along if only what is open is left.
    own.submit_part(3, Begin);
    own.submit_part(3, Commit);
    let waiting = own.submit_part(4, Begin);
    own.submit_part(5, MayBegin);
    let revoked = own.submit_part(6, Begin);
    assert!(own.claims.revoke(revoked));
    assert_eq!(own.leave(StreamsLeft::Open), [(1, Some(open))]);
    let streams = |own: &mut Model| {
        let taken = own
            .link
            .take_back_of(key(1, 0).connection, StreamsKept::Open);
        let streams = taken.iter().map(|own| own.forward.key.stream);
        streams.collect::<Vec<_>>()
    };
    let lost = own.leave(StreamsLeft::All);
    assert_eq!(lost, [(4, Some(waiting)), (5, None)]);
    assert_eq!(streams(&mut own), [6], "the others are rolled back");
    assert_eq!(own.leave(StreamsLeft::All), [], "once");
}

#[test]
fn who_has_left_is_looked_at_again_when_something_has_come_to_its_end() {
    use StreamStep::{Begin, Commit, Nothing};
    let mut own = Model::greeted();
    let connection = key(1, 0).connection;
    assert_eq!(own.link.ended_of(connection), None);
    own.submit_part(7, Begin);
    own.submit_part(8, Nothing);
    let sent = own.written();
    let first = own.link.ended_of(connection);
    own.reply(sent[0].0.sync, 0, &[0x80]);
    assert_eq!(own.link.ended_of(connection), first, "it is open");
    own.reply(sent[1].0.sync, 0, &[0x80]);
    let second = own.link.ended_of(connection);
    assert_ne!(second, first);
    own.submit_part(7, Commit);
    assert_ne!(own.link.ended_of(connection), second);
    let sync = own.written()[0].0.sync;
    own.reply(sync, 0, &[0x80]);
    assert_eq!(own.link.ended_of(connection), None);
}
