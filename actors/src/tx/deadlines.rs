//! Things that Tx has to end in time: pure, with `now` passed in.

use std::time::Instant;

use slab::Slab;

use crate::timers::Timers;

/// Names one deadline until it is cleared or expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimerId(u32);

/// The deadlines of things of one kind.
#[derive(Debug)]
pub(super) struct Deadlines<T> {
    timers: Timers,
    things: Slab<T>,
}

impl<T> Deadlines<T> {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            timers: Timers::new(now),
            things: Slab::new(),
        }
    }

    pub(super) fn set(&mut self, thing: T, at: Instant) -> TimerId {
        let index = self.things.insert(thing) as u32;
        self.timers.set(index, at);
        TimerId(index)
    }

    /// Takes a deadline back that has not expired.
    pub(super) fn clear(&mut self, timer: TimerId) {
        self.timers.clear(timer.0);
        self.things.try_remove(timer.0 as usize);
    }

    /// Takes out what is due; its ids mean nothing any more.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<T> {
        if !self.is_due(now) {
            return Vec::new();
        }
        let due = self.timers.expire(now);
        let thing = |index: u32| self.things.try_remove(index as usize);
        due.into_iter().filter_map(thing).collect()
    }

    fn is_due(&self, now: Instant) -> bool {
        self.next_look().is_some_and(|at| at <= now)
    }

    /// When it is worth calling next; `None`: not before something is set.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.timers.next_look()
    }

    /// When the first one is due.
    #[cfg(feature = "testing")]
    pub(super) fn first_due(&self) -> Option<Instant> {
        self.timers.first_due()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vestibule_wire::Error;
    use vestibule_wire::keys::{self, RequestType};

    use crate::config::Config;
    use crate::testing::RequestBuilder;
    use crate::tx::test_fixture::{Fixture, fixture, fixture_with};

    const SECOND: Duration = Duration::from_secs(1);
    /// Deadlines are found at most a tick late.
    const MOMENT: Duration = Duration::from_millis(20);

    fn in_stream(request: RequestType, sync: u64) -> RequestBuilder {
        RequestBuilder::new(request, sync).stream(1)
    }

    fn begin(seconds: f64) -> RequestBuilder {
        let mut bytes = vec![0xcb];
        bytes.extend_from_slice(&seconds.to_be_bytes());
        in_stream(RequestType::Begin, 1).pair(keys::TIMEOUT, &bytes)
    }

    fn one_second() -> Config {
        Config::default().transaction_timeout(SECOND)
    }

    /// TP-15: a transaction that takes too long is aborted, with no request to notice it.
    #[test]
    fn an_idle_transaction_is_aborted_when_its_time_is_over() {
        fixture_with(one_second(), |mut fixture: Fixture| async move {
            fixture.ask(&in_stream(RequestType::Begin, 1)).await;
            fixture.wait(SECOND + MOMENT);
            assert_eq!(fixture.script.log(), ["begin 1", "rollback 1"]);
            let statement = RequestBuilder::replace(2, 2).stream(1);
            for _ in 0..2 {
                let reply = fixture.ask(&statement).await;
                assert_eq!(reply.error_code(), Some(231));
                let text = reply.error_text();
                assert_eq!(
                    text.as_deref(),
                    Some("Transaction has been aborted by timeout")
                );
            }
            let rollback = fixture.ask(&in_stream(RequestType::Rollback, 3)).await;
            assert_eq!(rollback.code, 0);
            assert_eq!(fixture.ask(&statement).await.code, 0);
        });
    }

    /// TP-16: one that ends in time is left alone, and its deadline goes with it.
    #[test]
    fn a_transaction_that_ends_in_time_commits() {
        fixture_with(one_second(), |mut fixture: Fixture| async move {
            fixture.ask(&in_stream(RequestType::Begin, 1)).await;
            fixture.wait(SECOND * 8 / 10);
            assert_eq!(
                fixture.ask(&in_stream(RequestType::Commit, 2)).await.code,
                0
            );
            assert_eq!(fixture.core.next_look(), None);
            fixture.wait(SECOND);
            assert_eq!(fixture.script.log(), ["begin 1", "commit 1"]);
        });
    }

    /// TP-17, TP-20: each transaction has the time of its own BEGIN, the next one in its stream
    /// too.
    #[test]
    fn the_deadline_follows_the_newest_begin() {
        fixture_with(one_second(), |mut fixture: Fixture| async move {
            fixture.ask(&begin(0.5)).await;
            fixture.wait(SECOND / 4);
            fixture.ask(&in_stream(RequestType::Commit, 2)).await;
            fixture.ask(&in_stream(RequestType::Begin, 3)).await;
            fixture.wait(SECOND / 2);
            assert_eq!(fixture.script.log(), ["begin 1", "commit 1", "begin 2"]);
            fixture.wait(SECOND / 2 + MOMENT);
            assert_eq!(
                fixture.script.log().last().map(String::as_str),
                Some("rollback 2")
            );
        });
    }

    #[test]
    fn begin_asks_for_less_and_never_gets_more_than_is_configured() {
        fixture_with(one_second(), |mut fixture: Fixture| async move {
            fixture.ask(&begin(0.5)).await;
            fixture.wait(SECOND / 2 + MOMENT);
            assert_eq!(
                fixture
                    .ask(&in_stream(RequestType::Commit, 2))
                    .await
                    .error_code(),
                Some(231)
            );
            fixture.ask(&begin(9.0)).await;
            fixture.wait(SECOND + MOMENT);
            assert_eq!(
                fixture
                    .ask(&in_stream(RequestType::Commit, 3))
                    .await
                    .error_code(),
                Some(231)
            );
        });
    }

    #[test]
    fn a_transaction_that_is_aborted_takes_its_deadline_with_it() {
        fixture_with(one_second(), |mut fixture: Fixture| async move {
            fixture.ask(&in_stream(RequestType::Begin, 1)).await;
            let error = Error::cancelled();
            assert_eq!(
                fixture.core.executor.abort_transactions(|_| true, &error),
                1
            );
            assert_eq!(fixture.core.next_look(), None);
        });
    }

    /// TP-18: zero is for ever.
    #[test]
    fn without_a_timeout_nothing_is_timed() {
        fixture(|mut fixture: Fixture| async move {
            fixture.ask(&in_stream(RequestType::Begin, 1)).await;
            assert_eq!(fixture.core.next_look(), None);
            fixture.wait(SECOND * 100_000);
            assert_eq!(
                fixture.ask(&in_stream(RequestType::Commit, 2)).await.code,
                0
            );
        });
    }

    #[test]
    fn a_deferred_statement_is_answered_when_its_transaction_times_out() {
        fixture_with(one_second(), |mut fixture: Fixture| async move {
            fixture.ask(&in_stream(RequestType::Begin, 1)).await;
            fixture.send(&RequestBuilder::call(2, "never", &[0x90]).stream(1));
            fixture.turn();
            assert!(fixture.replies().await.is_empty());
            fixture.wait(SECOND + MOMENT);
            let replies = fixture.replies().await;
            assert_eq!(replies[0].error_code(), Some(231));
        });
    }
}
