//! The intake over the whole product of its states and events.

use super::*;
use crate::admission::Class;
use crate::limits::CONNECTION_REQUESTS_MAX;

const fn need(pool: Pool, is_behind_calls: bool, fits_reserve: bool) -> Need {
    Need {
        pool,
        is_behind_calls,
        fits_reserve,
    }
}

/// A small request, a large one, a call, and a large one behind calls.
const NEEDS: [Need; 4] = [
    need(Pool::Requests, false, true),
    need(Pool::Requests, false, false),
    need(Pool::Calls, false, true),
    need(Pool::Calls, true, false),
];
const SMALL: Wait = Wait::SharedCredit(NEEDS[0]);
const LARGE: Wait = Wait::SharedCredit(NEEDS[1]);
const CALL: Wait = Wait::SharedCredit(NEEDS[2]);
const BEHIND: Wait = Wait::SharedCredit(NEEDS[3]);
const AFTER_FLUSH: Wait = Wait::Closing(Closing::AfterFlush);
const NOW: Wait = Wait::Closing(Closing::Now);
const WAITS: [Wait; 11] = [
    Wait::Open,
    Wait::OwnCredit,
    SMALL,
    LARGE,
    CALL,
    BEHIND,
    Wait::ReplyMemory,
    Wait::Login,
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
    let mut counts = InFlightCounts::up_to(CONNECTION_REQUESTS_MAX);
    (0..requests).for_each(|_| counts.add(Class::Read, 1));
    counts
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    NoCredit(Load, Need),
    Reply(Load),
    /// To a client with a call under way as well.
    ReplyBesideCall,
    Credit(Pool),
    EndStall,
    LoginEarly,
    LoginDue,
    Scan,
    ScanOver,
    Gather,
    Gathered,
    ReplyShort,
    ScanShort,
    ReplyBack,
    Close(Closing),
    MemoryShort,
    MemoryBack,
    OutputFull,
    OutputEmpty,
    Unread,
    EndOfInput,
    ListLook {
        is_output_full: bool,
        waiting: usize,
    },
}

fn events() -> Vec<Event> {
    use Event::*;
    let mut events = vec![
        ReplyBesideCall,
        Credit(Pool::Requests),
        Credit(Pool::Calls),
        EndStall,
        Scan,
        ScanOver,
        Gather,
        Gathered,
        ReplyShort,
        ScanShort,
        ReplyBack,
        LoginEarly,
        LoginDue,
        Close(Closing::AfterFlush),
        Close(Closing::Now),
        MemoryShort,
        MemoryBack,
        OutputFull,
        OutputEmpty,
        Unread,
        EndOfInput,
    ];
    for load in LOADS {
        events.extend(NEEDS.map(|need| NoCredit(load, need)));
        events.push(Reply(load));
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
        for bits in 0..64 {
            states.push(Intake {
                wait,
                is_memory_paused: bits & 1 != 0,
                is_output_awaited: bits & 2 != 0,
                is_listed: bits & 4 != 0,
                has_ended: bits & 8 != 0,
                is_reply_short: bits & 16 != 0,
                is_scanning: bits & 32 != 0,
            });
        }
    }
    states
}

/// Has an event happen; true for what its method tells, false where that tells nothing.
fn apply(intake: &mut Intake, event: Event) -> bool {
    match event {
        Event::NoCredit(load, need) => return intake.on_no_credit(counts(load), need),
        Event::Reply(load) => return intake.on_reply(counts(load)),
        Event::ReplyBesideCall => {
            let mut counts = counts(Light);
            counts.add(Class::Call, 1);
            return intake.on_reply(counts);
        }
        Event::Credit(pool) => return intake.on_credit(pool),
        Event::EndStall => return intake.end_stall(),
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
        Event::ReplyShort => intake.on_reply_short(),
        Event::ScanShort => intake.on_scan_short(),
        Event::ReplyBack => intake.on_reply_back(),
        Event::LoginEarly => intake.on_login_early(),
        Event::LoginDue => intake.on_login_due(),
        Event::Close(closing) => intake.close(closing),
        Event::MemoryShort => intake.on_memory_short(),
        Event::MemoryBack => intake.on_memory_back(),
        Event::OutputFull => intake.on_output_full(),
        Event::EndOfInput => intake.on_end_of_input(),
    }
    false
}

/// Every arrow of the picture; in all other cases the wait stays as it is.
fn arrow(wait: Wait, event: Event) -> Option<Wait> {
    let to = match (wait, event) {
        (Wait::Open, Event::NoCredit(AtItsBound, _)) => Wait::OwnCredit,
        (Wait::Open, Event::NoCredit(_, need)) => Wait::SharedCredit(need),
        (Wait::Open, Event::Gather) => Wait::Gather,
        (Wait::Open, Event::ReplyShort) => Wait::ReplyMemory,
        (Wait::Open, Event::LoginEarly) => Wait::Login,
        (Wait::Login, Event::LoginDue) => Wait::Open,
        (Wait::ReplyMemory, Event::ReplyBack) => Wait::Open,
        (Wait::OwnCredit, Event::Reply(Light | Heavy) | Event::ReplyBesideCall) => Wait::Open,
        (SMALL | CALL, Event::Reply(Light) | Event::ReplyBesideCall) => Wait::Open,
        (SMALL | LARGE, Event::Credit(Pool::Requests)) => Wait::Open,
        (CALL | BEHIND, Event::Credit(Pool::Calls)) => Wait::Open,
        (SMALL | LARGE | CALL | BEHIND, Event::EndStall) => Wait::Open,
        // What it was behind is answered.
        (BEHIND, Event::Reply(_)) => Wait::Open,
        (Wait::Gather, Event::Gathered) => Wait::Open,
        (NOW, Event::Close(_)) | (_, Event::Close(Closing::Now)) => NOW,
        (_, Event::Close(Closing::AfterFlush)) => AFTER_FLUSH,
        _ => return None,
    };
    Some(to)
}

#[test]
fn every_event_in_every_state_moves_along_the_picture_and_nowhere_else() {
    let (states, events) = (states(), events());
    assert_eq!(states.len() * events.len(), 704 * 40);
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
            let is_short = match event {
                Event::ReplyShort | Event::ScanShort => true,
                Event::ReplyBack => false,
                _ => before.is_reply_short,
            };
            assert_eq!(after.is_reply_short, is_short, "{name}");
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
                } => before.is_reply_short || !before.may_read(is_output_full, waiting),
                _ => before.is_listed,
            };
            assert_eq!(after.is_listed, is_listed, "{name}");
            let is_scanning = match event {
                Event::Scan => true,
                Event::ScanOver => false,
                _ => before.is_scanning,
            };
            assert_eq!(after.is_scanning, is_scanning, "{name}");
            let has_ended = before.has_ended || event == Event::EndOfInput;
            assert_eq!(after.has_ended, has_ended, "{name}");
            let expected = match event {
                Event::NoCredit(..) => moved && after.waits_for_shared_credit(),
                Event::Reply(_) | Event::ReplyBesideCall => moved,
                Event::Credit(_) | Event::EndStall => moved,
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
fn frames_are_taken_in_one_state_and_bytes_are_read_in_all_but_three_cases() {
    for intake in states() {
        for is_output_full in [false, true] {
            let is_free = intake.wait == Wait::Open && !is_output_full;
            let is_open = is_free && !intake.is_scanning;
            let may_pass = is_free && intake.is_scanning && !intake.is_reply_short;
            assert_eq!(intake.may_pass_scan(is_output_full), may_pass, "{intake:?}");
            assert_eq!(intake.may_take_frame(is_output_full), is_open, "{intake:?}");
            let waits_for_all = matches!(intake.wait, Wait::Login | Wait::Closing(_));
            assert_eq!(intake.takes_pings(), !waits_for_all, "{intake:?}");
            let is_clients_turn = is_open && !intake.is_memory_paused && !intake.has_ended;
            assert_eq!(intake.is_clients_turn(is_output_full), is_clients_turn);
            let is_readable =
                !intake.is_memory_paused && !intake.has_ended && intake.closing().is_none();
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
    let mut scanning = Intake::default();
    apply(&mut scanning, Event::Scan);
    assert!(!scanning.may_take_frame(false));
    apply(&mut scanning, Event::ScanOver);
    assert!(scanning.may_take_frame(false));
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
