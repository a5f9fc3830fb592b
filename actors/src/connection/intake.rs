//! The read side of a connection: whether its next frame is taken, and whether its bytes are read.
//! Pure.
//!
//! ```text
//!          ┌─ its own bound is reached ──▶ OwnCredit ──── a reply brings it below ─────────┐
//!          ├─ its worker has no credit ──▶ SharedCredit ─ a credit, or a reply and the ────┤
//!   Open ──┤                                              reserve                          ├▶ Open
//!          ├─ a SELECT of several steps ─▶ Scan ───────── its last step ───────────────────┤
//!          └─ another actor replies ─────▶ Gather ─────── its reply ───────────────────────┘
//!
//!   any of these ── close ──▶ Closing(AfterFlush) ── close ──▶ Closing(Now)
//! ```
//!
//! Only in `Open` is a frame taken, and every wait begins with a frame: so there is one wait at a
//! time, and closing ends it. Two things come on top of that, because they can begin in any wait:
//!
//! * **memory**: all connections together hold too much, and this one more than its share. It is
//!   not read; frames that are here already are taken.
//! * **a full output**: the client does not take its replies. No frame is taken.
//!
//! While no frame may be taken, a little is still read ([`INBOX_WAITING_MAX`]), so that the end of
//! most connections is noticed at once. A connection of which nothing is read is on its worker's
//! list, which looks for the ends of those.

use super::counts::InFlightCounts;
use crate::limits::INBOX_WAITING_MAX;

/// How far the end of a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Closing {
    /// When what is written has been sent; nothing more is read.
    AfterFlush,
    /// At once.
    Now,
}

/// What the next frame waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Wait {
    /// Nothing: it is taken as soon as it is here.
    #[default]
    Open,
    /// A reply: as many requests of this connection are in flight as there may be.
    OwnCredit,
    /// A credit of those that all connections of the worker share: it is in the worker's queue.
    SharedCredit {
        /// The request is small enough for a credit of the reserve.
        fits_reserve: bool,
    },
    /// The end of a SELECT on the view that takes several steps.
    Scan,
    /// The reply of a control procedure that another actor tells, one at a time: it may be large.
    Gather,
    /// For ever.
    Closing(Closing),
}

/// The read side of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Intake {
    wait: Wait,
    /// The connection is not read for want of memory; the worker's tick ends that.
    is_memory_paused: bool,
    /// The output was full when the connection was to be read: emptying it wakes the session.
    is_output_awaited: bool,
    /// The connection is on the worker's list of connections that are not read.
    is_listed: bool,
}

impl Intake {
    /// Whether the next frame may be taken now.
    #[inline]
    pub(crate) fn may_take_frame(self, is_output_full: bool) -> bool {
        self.wait == Wait::Open && !is_output_full
    }

    /// Whether bytes may be read now, with `waiting` of them not taken yet.
    #[inline]
    pub(crate) fn may_read(self, is_output_full: bool, waiting: usize) -> bool {
        !self.is_memory_paused
            && !matches!(self.wait, Wait::Closing(_))
            && (self.may_take_frame(is_output_full) || waiting < INBOX_WAITING_MAX)
    }

    /// Whether its client is to send what is missing of a frame, rather than the server to take it.
    pub(crate) fn is_clients_turn(self, is_output_full: bool) -> bool {
        self.may_take_frame(is_output_full) && !self.is_memory_paused
    }

    /// Whether a request that is here waits for its turn or for its reply.
    pub(crate) fn is_busy(self) -> bool {
        self.waits_for_credit() || self.wait == Wait::Gather
    }

    /// Whether the next frame waits for a credit.
    #[inline]
    pub(crate) fn waits_for_credit(self) -> bool {
        matches!(self.wait, Wait::OwnCredit | Wait::SharedCredit { .. })
    }

    /// Whether it is for a credit of the worker that the next frame waits.
    pub(crate) fn waits_for_shared_credit(self) -> bool {
        matches!(self.wait, Wait::SharedCredit { .. })
    }

    /// Whether the next frame waits for a credit of the worker, and may have one of the reserve.
    pub(crate) fn may_use_reserve(self, counts: InFlightCounts) -> bool {
        self.wait == Wait::SharedCredit { fits_reserve: true } && counts.is_light()
    }

    /// Whether reading is paused for want of memory.
    pub(crate) fn is_memory_paused(self) -> bool {
        self.is_memory_paused
    }

    /// How far its end has come; `None`: it is open.
    #[inline]
    pub(crate) fn closing(self) -> Option<Closing> {
        match self.wait {
            Wait::Closing(closing) => Some(closing),
            _ => None,
        }
    }

    /// There is no credit for the frame at hand. True if it is one of the worker's that is missing:
    /// then the connection joins the worker's queue.
    pub(crate) fn on_no_credit(&mut self, counts: InFlightCounts, fits_reserve: bool) -> bool {
        if self.wait != Wait::Open {
            return false;
        }
        // A connection at its own bound waits for its own replies, and not before others.
        self.wait = match counts.has_credit() {
            true => Wait::SharedCredit { fits_reserve },
            false => Wait::OwnCredit,
        };
        self.waits_for_shared_credit()
    }

    /// A request was answered; `counts` are those without it. True if the connection goes on for
    /// that.
    ///
    /// What waits for a shared credit leaves its entry in the worker's queue, to be skipped there.
    #[inline]
    pub(crate) fn on_reply(&mut self, counts: InFlightCounts) -> bool {
        let goes_on = match self.wait {
            Wait::OwnCredit => counts.has_credit(),
            Wait::SharedCredit { .. } => self.may_use_reserve(counts),
            _ => false,
        };
        if goes_on {
            self.wait = Wait::Open;
        }
        goes_on
    }

    /// The worker has a credit for it. False if it does not wait for one.
    pub(crate) fn on_credit(&mut self) -> bool {
        let goes_on = self.waits_for_shared_credit();
        if goes_on {
            self.wait = Wait::Open;
        }
        goes_on
    }

    /// The SELECT at hand takes several steps.
    pub(crate) fn on_scan(&mut self) {
        self.enter(Wait::Scan);
    }

    /// The SELECT of several steps is over.
    pub(crate) fn on_scan_over(&mut self) {
        self.leave(Wait::Scan);
    }

    /// The procedure at hand is answered by another actor: all workers together, or the Supervisor.
    pub(crate) fn on_gather(&mut self) {
        self.enter(Wait::Gather);
    }

    /// The reply of that other actor is here.
    pub(crate) fn on_gathered(&mut self) {
        self.leave(Wait::Gather);
    }

    fn enter(&mut self, wait: Wait) {
        if self.wait == Wait::Open {
            self.wait = wait;
        }
    }

    fn leave(&mut self, wait: Wait) {
        if self.wait == wait {
            self.wait = Wait::Open;
        }
    }

    /// The connection is to end; it never ends later than it was to before.
    pub(crate) fn close(&mut self, closing: Closing) {
        self.wait = Wait::Closing(self.closing().map_or(closing, |own| own.max(closing)));
    }

    /// All connections together hold too much, and this one more than its share.
    pub(crate) fn on_memory_short(&mut self) {
        self.is_memory_paused = true;
    }

    /// There is memory for it again.
    pub(crate) fn on_memory_back(&mut self) {
        self.is_memory_paused = false;
    }

    /// The output was full when the connection was to be read.
    pub(crate) fn on_output_full(&mut self) {
        self.is_output_awaited = true;
    }

    /// Whether its session is to be woken when its output is empty.
    #[inline]
    pub(crate) fn is_output_awaited(self) -> bool {
        self.is_output_awaited
    }

    /// The output is empty. True if the connection's session is to be woken for that.
    #[inline]
    pub(crate) fn on_output_empty(&mut self) -> bool {
        std::mem::take(&mut self.is_output_awaited)
    }

    /// The connection could not be read. True if it is not on the worker's list yet: then it is to
    /// be put there.
    pub(crate) fn on_unread(&mut self) -> bool {
        !std::mem::replace(&mut self.is_listed, true)
    }

    /// The worker goes through its list. True if the connection stays on it: it cannot be read
    /// still.
    pub(crate) fn on_list_look(&mut self, is_output_full: bool, waiting: usize) -> bool {
        self.is_listed = !self.may_read(is_output_full, waiting);
        self.is_listed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::Class;
    use crate::limits::CONNECTION_REQUESTS_MAX;

    const SMALL: Wait = Wait::SharedCredit { fits_reserve: true };
    const LARGE: Wait = Wait::SharedCredit {
        fits_reserve: false,
    };
    const AFTER_FLUSH: Wait = Wait::Closing(Closing::AfterFlush);
    const NOW: Wait = Wait::Closing(Closing::Now);
    const WAITS: [Wait; 8] = [
        Wait::Open,
        Wait::OwnCredit,
        SMALL,
        LARGE,
        Wait::Scan,
        Wait::Gather,
        AFTER_FLUSH,
        NOW,
    ];

    /// How much of a connection is in flight.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Load {
        Light,
        Heavy,
        AtItsBound,
    }
    use Load::{AtItsBound, Heavy, Light};
    const LOADS: [Load; 3] = [Light, Heavy, AtItsBound];

    fn counts(load: Load) -> InFlightCounts {
        let requests = match load {
            Light => 0,
            Heavy => CONNECTION_REQUESTS_MAX - 1,
            AtItsBound => CONNECTION_REQUESTS_MAX,
        };
        let mut counts = InFlightCounts::default();
        (0..requests).for_each(|_| counts.add(Class::Read, 1));
        counts
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Event {
        NoCredit(Load, bool),
        Reply(Load),
        Credit,
        Scan,
        ScanOver,
        Gather,
        Gathered,
        Close(Closing),
        MemoryShort,
        MemoryBack,
        OutputFull,
        OutputEmpty,
        Unread,
        ListLook {
            is_output_full: bool,
            waiting: usize,
        },
    }

    fn events() -> Vec<Event> {
        use Event::*;
        let mut events = vec![
            Credit,
            Scan,
            ScanOver,
            Gather,
            Gathered,
            Close(Closing::AfterFlush),
            Close(Closing::Now),
            MemoryShort,
            MemoryBack,
            OutputFull,
            OutputEmpty,
            Unread,
        ];
        for load in LOADS {
            events.extend([NoCredit(load, true), NoCredit(load, false), Reply(load)]);
        }
        for is_output_full in [false, true] {
            events.extend([0, INBOX_WAITING_MAX].map(|waiting| ListLook {
                is_output_full,
                waiting,
            }));
        }
        events
    }

    fn states() -> Vec<Intake> {
        let mut states = Vec::new();
        for wait in WAITS {
            for bits in 0..8 {
                states.push(Intake {
                    wait,
                    is_memory_paused: bits & 1 != 0,
                    is_output_awaited: bits & 2 != 0,
                    is_listed: bits & 4 != 0,
                });
            }
        }
        states
    }

    /// Has an event happen; true for what its method tells, false where that tells nothing.
    fn apply(intake: &mut Intake, event: Event) -> bool {
        match event {
            Event::NoCredit(load, fits) => return intake.on_no_credit(counts(load), fits),
            Event::Reply(load) => return intake.on_reply(counts(load)),
            Event::Credit => return intake.on_credit(),
            Event::OutputEmpty => return intake.on_output_empty(),
            Event::Unread => return intake.on_unread(),
            Event::ListLook {
                is_output_full,
                waiting,
            } => return intake.on_list_look(is_output_full, waiting),
            Event::Scan => intake.on_scan(),
            Event::ScanOver => intake.on_scan_over(),
            Event::Gather => intake.on_gather(),
            Event::Gathered => intake.on_gathered(),
            Event::Close(closing) => intake.close(closing),
            Event::MemoryShort => intake.on_memory_short(),
            Event::MemoryBack => intake.on_memory_back(),
            Event::OutputFull => intake.on_output_full(),
        }
        false
    }

    /// Every arrow of the picture; in all other cases the wait stays as it is.
    fn arrow(wait: Wait, event: Event) -> Option<Wait> {
        let to = match (wait, event) {
            (Wait::Open, Event::NoCredit(AtItsBound, _)) => Wait::OwnCredit,
            (Wait::Open, Event::NoCredit(_, true)) => SMALL,
            (Wait::Open, Event::NoCredit(_, false)) => LARGE,
            (Wait::Open, Event::Scan) => Wait::Scan,
            (Wait::Open, Event::Gather) => Wait::Gather,
            (Wait::OwnCredit, Event::Reply(Light | Heavy)) => Wait::Open,
            (SMALL, Event::Reply(Light)) | (SMALL | LARGE, Event::Credit) => Wait::Open,
            (Wait::Scan, Event::ScanOver) | (Wait::Gather, Event::Gathered) => Wait::Open,
            (NOW, Event::Close(_)) | (_, Event::Close(Closing::Now)) => NOW,
            (_, Event::Close(Closing::AfterFlush)) => AFTER_FLUSH,
            _ => return None,
        };
        Some(to)
    }

    #[test]
    fn every_event_in_every_state_moves_along_the_picture_and_nowhere_else() {
        let (states, events) = (states(), events());
        assert_eq!(states.len() * events.len(), 64 * 25);
        for before in states {
            for &event in &events {
                let mut after = before;
                let told = apply(&mut after, event);
                let name = format!("{before:?} {event:?}");
                let wait = arrow(before.wait, event).unwrap_or(before.wait);
                assert_eq!(after.wait, wait, "{name}");
                let moved = after.wait != before.wait;
                let is_paused = match event {
                    Event::MemoryShort => true,
                    Event::MemoryBack => false,
                    _ => before.is_memory_paused,
                };
                assert_eq!(after.is_memory_paused, is_paused, "{name}");
                let is_awaited = match event {
                    Event::OutputFull => true,
                    Event::OutputEmpty => false,
                    _ => before.is_output_awaited,
                };
                assert_eq!(after.is_output_awaited, is_awaited, "{name}");
                let is_listed = match event {
                    Event::Unread => true,
                    Event::ListLook {
                        is_output_full,
                        waiting,
                    } => !before.may_read(is_output_full, waiting),
                    _ => before.is_listed,
                };
                assert_eq!(after.is_listed, is_listed, "{name}");
                let expected = match event {
                    Event::NoCredit(..) => moved && after.waits_for_shared_credit(),
                    Event::Reply(_) | Event::Credit => moved,
                    Event::OutputEmpty => before.is_output_awaited,
                    Event::Unread => !before.is_listed,
                    Event::ListLook { .. } => after.is_listed,
                    _ => false,
                };
                assert_eq!(told, expected, "{name}");
            }
        }
    }

    #[test]
    fn frames_are_taken_in_one_state_and_bytes_are_read_in_all_but_two_cases() {
        for intake in states() {
            for is_output_full in [false, true] {
                let is_open = intake.wait == Wait::Open && !is_output_full;
                assert_eq!(intake.may_take_frame(is_output_full), is_open, "{intake:?}");
                let is_clients_turn = is_open && !intake.is_memory_paused;
                assert_eq!(intake.is_clients_turn(is_output_full), is_clients_turn);
                let is_readable = !intake.is_memory_paused && intake.closing().is_none();
                for waiting in [0, INBOX_WAITING_MAX - 1, INBOX_WAITING_MAX, usize::MAX] {
                    let may_read = is_readable && (is_open || waiting < INBOX_WAITING_MAX);
                    assert_eq!(intake.may_read(is_output_full, waiting), may_read);
                }
            }
        }
    }

    /// Whatever stops it, something that is sure to happen lets it go on, or it is closing.
    #[test]
    fn every_wait_has_an_end() {
        for wait in WAITS {
            let start = Intake {
                wait,
                ..Intake::default()
            };
            let ends = |event: &Event| {
                let mut intake = start;
                apply(&mut intake, *event);
                intake.wait == Wait::Open
            };
            let has_end = wait == Wait::Open || events().iter().any(ends);
            assert_eq!(has_end, start.closing().is_none(), "{wait:?}");
        }
    }

    #[test]
    fn what_is_closing_never_comes_back() {
        for start in states().into_iter().filter(|own| own.closing().is_some()) {
            for event in events() {
                let mut intake = start;
                apply(&mut intake, event);
                assert!(intake.closing() >= start.closing());
                assert!(!intake.is_busy());
            }
        }
    }
}
