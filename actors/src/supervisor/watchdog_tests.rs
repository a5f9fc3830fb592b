use super::*;
use crate::serving::{DrainTarget, Role, Serving, State};

const PERIOD: Duration = Duration::from_millis(500);

/// The machine, a clock and a world.
struct Bench {
    watchdog: Watchdog,
    now: Instant,
    observation: TxObservation,
    alarms: Vec<Alarm>,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        let watchdog = Watchdog::new(PERIOD, now).expect("a period above zero is watched");
        let observation = TxObservation {
            heartbeat: 0,
            forwards: true,
            answers_alone: false,
            is_queued: false,
        };
        Self {
            watchdog,
            now,
            observation,
            alarms: Vec::new(),
        }
    }

    /// The serving state changes; draining is a stop.
    fn enter(&mut self, state: State) {
        let serving = Serving {
            state,
            role: Role::Primary,
            drain_target: (state == State::Draining).then_some(DrainTarget::Stopped),
            epoch: 1,
        };
        self.observation.forwards = serving.forwards();
        self.observation.answers_alone = state.traits().answers_alone;
    }

    /// A look after so long, whenever it was due.
    fn look_after(&mut self, time: Duration) {
        self.now += time;
        let alarm = self.watchdog.check(self.now, self.observation);
        match alarm {
            Some(Alarm::Stalled) => self.enter(State::Solo),
            Some(Alarm::Over) if self.observation.answers_alone => self.enter(State::Assist),
            _ => {}
        }
        self.alarms.extend(alarm);
    }

    /// Looks in time, for so long.
    fn pass(&mut self, time: Duration) -> Vec<Alarm> {
        let end = self.now + time;
        while self.now < end {
            let wait = self.watchdog.wait();
            self.look_after(wait);
        }
        std::mem::take(&mut self.alarms)
    }

    /// Until Tx has stood still for so long, with requests that wait, and moves again.
    fn stand_still(&mut self, time: Duration) -> Vec<Alarm> {
        self.observation.is_queued = true;
        let mut alarms = self.pass(time);
        self.observation.heartbeat += 1;
        self.observation.is_queued = false;
        alarms.extend(self.pass(self.watchdog.wait()));
        alarms
    }
}

#[test]
fn off_is_off() {
    assert!(Watchdog::new(Duration::ZERO, Instant::now()).is_none());
}

#[test]
fn requests_that_wait_and_a_heartbeat_that_stands_are_a_stall_until_it_moves() {
    let mut bench = Bench::new();
    bench.observation.is_queued = true;
    assert_eq!(bench.pass(PERIOD), [Alarm::Probe], "not yet");
    assert_eq!(bench.pass(PERIOD / 2), [Alarm::Stalled]);
    assert_eq!(bench.pass(PERIOD * 100), [], "told once");
    bench.observation.is_queued = false;
    assert_eq!(bench.pass(PERIOD), [], "nothing waits: refused, not done");
    bench.observation.heartbeat += 1;
    bench.look_after(WATCHDOG_LOOK_MIN);
    assert_eq!(bench.alarms, [Alarm::Over]);
}

#[test]
fn an_idle_tx_is_not_stalled() {
    let mut bench = Bench::new();
    assert_eq!(bench.pass(PERIOD * 100), []);
    // After an idle hour, a request that is queued a moment before the look is no stall either.
    bench.observation.is_queued = true;
    let wait = bench.watchdog.wait();
    assert_eq!(bench.pass(wait), [Alarm::Probe]);
}

#[test]
fn a_heartbeat_that_moves_is_no_stall_however_much_waits() {
    let mut bench = Bench::new();
    bench.observation.is_queued = true;
    for _ in 0..100 {
        bench.observation.heartbeat += 1;
        assert!(!bench.pass(PERIOD / 2).contains(&Alarm::Stalled));
    }
}

#[test]
fn tx_that_hears_but_keeps_a_request_waiting_is_asked_and_not_stalled() {
    let mut bench = Bench::new();
    bench.observation.is_queued = true;
    for _ in 0..100 {
        let wait = bench.watchdog.wait();
        for alarm in bench.pass(wait) {
            assert_eq!(alarm, Alarm::Probe);
            bench.observation.heartbeat += 1;
        }
    }
}

#[test]
fn tx_is_not_asked_again_before_it_moved() {
    let mut bench = Bench::new();
    for _ in 0..10 {
        bench.observation.is_queued = !bench.observation.is_queued;
        bench.look_after(PERIOD / 5);
    }
    assert_eq!(bench.alarms, [Alarm::Probe]);
}

#[test]
fn nothing_is_told_while_a_solo_is_declared_and_a_whole_period_is_given_after_it() {
    for state in [State::Solo, State::Loading, State::Draining, State::Stopped] {
        let mut bench = Bench::new();
        bench.observation.is_queued = true;
        bench.enter(state);
        assert_eq!(bench.pass(PERIOD * 100), [], "{state}");
        bench.enter(State::Assist);
        assert_eq!(bench.pass(PERIOD), [Alarm::Probe], "{state}");
    }
}

#[test]
fn a_stall_is_over_when_tx_died_or_the_server_stops() {
    for state in [State::Loading, State::Draining, State::Stopped] {
        let mut bench = Bench::new();
        bench.observation.is_queued = true;
        assert_eq!(bench.pass(PERIOD * 2), [Alarm::Probe, Alarm::Stalled]);
        bench.enter(state);
        assert_eq!(bench.pass(PERIOD * 100), [Alarm::Over], "{state}");
    }
}

#[test]
fn a_look_that_comes_late_gives_tx_another_period() {
    let mut bench = Bench::new();
    bench.observation.is_queued = true;
    assert_eq!(bench.pass(PERIOD / 2), [Alarm::Probe]);
    bench.look_after(PERIOD * 10);
    assert_eq!(bench.alarms, [], "the machine slept");
    assert_eq!(bench.pass(PERIOD - PERIOD / 5), []);
    assert_eq!(bench.pass(PERIOD / 2), [Alarm::Stalled]);
}

#[test]
fn a_tx_that_is_always_a_little_too_slow_does_not_flap() {
    let mut bench = Bench::new();
    let slow = PERIOD * 3 / 2;
    let stalls = |alarms: &[Alarm]| alarms.contains(&Alarm::Stalled);
    assert!(stalls(&bench.stand_still(slow)));
    for _ in 0..10 {
        assert!(!stalls(&bench.stand_still(slow)), "patience has grown");
    }
    // A real stall among them is found, later.
    let long = PERIOD * (STALL_PATIENCE_MAX + 2);
    assert!(stalls(&bench.stand_still(long)));
    // And after a calm time the first patience is back.
    bench.pass(PERIOD * (STALL_CALM_PERIODS + 1));
    assert!(stalls(&bench.stand_still(slow)));
}

#[test]
fn the_patience_is_bounded() {
    let mut bench = Bench::new();
    let long = PERIOD * (STALL_PATIENCE_MAX + 2);
    for _ in 0..20 {
        assert!(bench.stand_still(long).contains(&Alarm::Stalled));
    }
}

#[test]
fn looks_are_bounded_whatever_the_period() {
    let now = Instant::now();
    for period in [Duration::from_nanos(1), PERIOD, Duration::MAX] {
        let mut watchdog = Watchdog::new(period, now).expect("it is watched");
        assert!((WATCHDOG_LOOK_MIN..=WATCHDOG_LOOK_MAX).contains(&watchdog.wait()));
        let observation = TxObservation {
            heartbeat: 0,
            forwards: true,
            answers_alone: false,
            is_queued: true,
        };
        for _ in 0..10 {
            let _ = watchdog.check(watchdog.due, observation);
        }
    }
}
