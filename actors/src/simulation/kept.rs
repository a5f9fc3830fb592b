//! Requests that are kept in Tx's queue in solo, and when their time is over.

use std::time::Duration;

use vestibule_wire::ErrorCode;

use super::clock;
use super::cost::start_with;
use super::lockstep::paused_runtime;
use crate::clock::Clock;
use crate::config::{Config, HoldLimits, SoloPolicy};
use crate::limits::TIMER_TICK;
use crate::testing::pipe::ClientEnd;
use crate::testing::{Frame, RequestBuilder};

const MS: Duration = Duration::from_millis(1);

/// The replies that came since it was asked last.
pub(super) fn replies(client: &ClientEnd) -> Vec<Frame> {
    let bytes = client.receive();
    let (mut rest, mut frames) = (bytes.as_slice(), Vec::new());
    while let Some(size) = rest.get(1..5) {
        let size = size.try_into().expect("four bytes");
        let (frame, next) = rest.split_at(5 + u32::from_be_bytes(size) as usize);
        frames.push(Frame::read(frame));
        rest = next;
    }
    frames
}

/// Two writes that come 7 ms apart to a Tx that does not hear: in which ms each is answered.
async fn answered_at(time_max: Duration) -> Vec<u32> {
    clock::follow_tokio();
    let config = Config::default()
        .solo_policy(SoloPolicy::Hold)
        .hold(HoldLimits::default().time_max(time_max));
    let worker = start_with(Clock::of(clock::now), config, true);
    let client = worker.connect().await;
    let begin = clock::now();
    client.send(&RequestBuilder::replace(1, 1).bytes());
    actix_rt::time::sleep(7 * MS).await;
    client.send(&RequestBuilder::replace(2, 2).bytes());
    actix_rt::time::sleep(MS).await;
    worker.shared.serving.stalled(clock::now());
    let mut answered = Vec::new();
    for ms in 8..1000 {
        for frame in replies(&client) {
            assert_eq!(frame.error_code(), Some(ErrorCode::LOADING.0));
            answered.push(ms);
        }
        actix_rt::time::sleep_until((begin + (ms + 1) * MS).into()).await;
    }
    clock::release();
    answered
}

#[test]
fn a_request_that_is_kept_in_solo_is_answered_when_its_time_is_over_and_not_before() {
    let system = actix_rt::System::with_tokio_rt(paused_runtime);
    let tick = TIMER_TICK.as_millis() as u32;
    for time_max in [33, 150, 512] {
        let answered = system.block_on(answered_at(time_max * MS));
        assert_eq!(answered.len(), 2);
        for (at, due) in answered.into_iter().zip([time_max, time_max + 7]) {
            assert!((due..=due + tick + 1).contains(&at), "{at}, {due}");
        }
    }
}
