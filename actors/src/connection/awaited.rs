//! Calls of control procedures that wait for their transitions, or for a reload: the Supervisor, or
//! the embedder, answers each when that has begun or is over, unless the client is not to wait any
//! longer.
//!
//! ```text
//!   await ─▶ waiting ─┬─ they tell ────────────▶ answered
//!                     ├─ its time is over ─────▶ 78 ─┐ the Supervisor is told, and the
//!                     ├─ killed ───────────────▶ 32 ─┤ transition goes on
//!                     └─ the connection ends ────────┘
//! ```

use std::time::Instant;

use vestibule_wire::keys::RequestType;

use crate::limits::TRANSITION_WAITS_PER_CONNECTION_MAX;
use crate::messages::WaitId;

/// A call that waits for its transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AwaitedTransition {
    pub(crate) sync: u64,
    pub(crate) stream: u64,
    pub(crate) request_type: RequestType,
    pub(crate) procedure: &'static str,
    /// What it waits for.
    pub(crate) what: &'static str,
    /// When it arrived.
    pub(crate) since: Instant,
    /// When its client is not to wait any longer.
    pub(crate) deadline: Option<Instant>,
    /// The connection's next frame waits for its answer.
    pub(crate) holds_intake: bool,
}

/// All such calls of one connection, in their order.
#[derive(Debug, Default)]
pub(crate) struct AwaitedTransitions {
    all: Vec<(WaitId, AwaitedTransition)>,
    last: WaitId,
}

impl AwaitedTransitions {
    /// Adds a call; `None` if as many wait as may.
    pub(crate) fn add(&mut self, call: AwaitedTransition) -> Option<WaitId> {
        if self.all.len() >= TRANSITION_WAITS_PER_CONNECTION_MAX {
            return None;
        }
        self.last = self.last.next();
        self.all.push((self.last, call));
        Some(self.last)
    }

    /// Takes out a call that is answered; `None` if it was answered before.
    pub(crate) fn take(&mut self, id: WaitId) -> Option<AwaitedTransition> {
        let at = self.all.iter().position(|(own, _)| *own == id)?;
        Some(self.all.remove(at).1)
    }

    /// Takes out those that are meant.
    pub(crate) fn take_where(
        &mut self,
        is_meant: impl Fn(&AwaitedTransition) -> bool,
    ) -> Vec<(WaitId, AwaitedTransition)> {
        let all = std::mem::take(&mut self.all);
        let (taken, kept) = all.into_iter().partition(|(_, own)| is_meant(own));
        self.all = kept;
        taken
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &AwaitedTransition> {
        self.all.iter().map(|(_, own)| own)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn call(sync: u64) -> AwaitedTransition {
        let since = Instant::now();
        AwaitedTransition {
            sync,
            stream: 0,
            request_type: RequestType::Call,
            procedure: "vestibule.demote",
            what: "transition",
            since,
            deadline: Some(since + Duration::from_secs(1)),
            holds_intake: false,
        }
    }

    #[test]
    fn an_answer_finds_its_call_and_none_that_came_later_with_the_same_sync() {
        let mut awaited = AwaitedTransitions::default();
        let first = awaited.add(call(7)).expect("there is room");
        let taken = awaited.take_where(|own| own.sync == 7);
        assert_eq!(taken.len(), 1);
        let second = awaited.add(call(7)).expect("there is room");
        assert_eq!(awaited.take(first), None, "it was answered");
        assert_eq!(awaited.take(WaitId::NONE), None);
        assert_eq!(awaited.take(second).map(|own| own.sync), Some(7));
        assert_eq!(awaited.take(second), None, "once");
    }

    #[test]
    fn as_many_wait_as_may_and_one_that_is_answered_makes_room() {
        let mut awaited = AwaitedTransitions::default();
        let ids: Vec<_> = (0..).map_while(|sync| awaited.add(call(sync))).collect();
        assert_eq!(ids.len(), TRANSITION_WAITS_PER_CONNECTION_MAX);
        assert!(awaited.take(ids[3]).is_some());
        assert!(awaited.add(call(99)).is_some());
        assert_eq!(awaited.add(call(100)), None);
        let syncs: Vec<_> = awaited.iter().map(|own| own.sync).collect();
        assert_eq!(syncs[..4], [0, 1, 2, 4], "in their order");
    }
}
