//! Requests that are held until solo ends.

use super::*;

#[test]
fn policy_hold_keeps_requests_until_solo_ends() {
    let mut config = Config {
        solo_policy: SoloPolicy::Hold,
        ..config()
    };
    config.hold.time_max = Duration::from_secs(3600);
    config.hold.requests_max = 3;
    let harness = Harness::start_with(config, Script::default());
    let mut peer = harness.connect();
    let mut operator = harness.connect();
    operator.call("vestibule.solo", NO_ARGS);
    for key in 0..4 {
        peer.send(&RequestBuilder::replace(key, key));
    }
    // The fourth is beyond the bound.
    let refused = peer.receive();
    assert_eq!((refused.sync, refused.error_code()), (3, Some(116)));
    peer.ping();
    assert!(harness.script().executed().is_empty());
    operator.call("vestibule.assist", NO_ARGS);
    let answered: Vec<_> = (0..3).map(|_| peer.receive()).collect();
    assert!(answered.iter().all(|reply| reply.code == 0));
    assert_eq!(harness.script().executed(), [0, 1, 2]);
}

#[test]
fn policy_hold_gives_up_after_its_time() {
    let mut config = Config {
        solo_policy: SoloPolicy::Hold,
        ..config()
    };
    config.hold.time_max = Duration::from_millis(50);
    let harness = Harness::start_with(config, Script::default());
    let mut peer = harness.connect();
    peer.call("vestibule.solo", NO_ARGS);
    peer.send(&RequestBuilder::replace(7, 7));
    let reply = peer.receive();
    assert_eq!((reply.sync, reply.error_code()), (7, Some(116)));
    peer.call("vestibule.assist", NO_ARGS);
    peer.ping();
    assert!(harness.script().executed().is_empty());
}

#[test]
fn under_hold_what_was_queued_when_tx_was_blocked_stays_queued() {
    let mut config = Config {
        solo_policy: SoloPolicy::Hold,
        ..config()
    };
    config.hold.time_max = Duration::from_secs(3600);
    let harness = Harness::start_with(config, Script::default());
    harness.script().hold_tx();
    let mut blocker = harness.connect();
    blocker.send(&RequestBuilder::call(1, "block", NO_ARGS));
    harness.script().wait_until_blocked();
    let mut peer = harness.connect();
    peer.send(&RequestBuilder::replace(7, 7));
    peer.ping();
    let mut operator = harness.connect();
    operator.call("vestibule.solo", NO_ARGS);
    operator.call("vestibule.assist", NO_ARGS);
    harness.script().release();
    let reply = peer.receive();
    assert_eq!((reply.sync, reply.code), (7, 0));
}

#[test]
fn held_requests_keep_their_order_however_solo_comes_and_goes() {
    const REQUESTS: u64 = 30_000;
    let mut config = Config {
        solo_policy: SoloPolicy::Hold,
        ..config()
    };
    config.hold.requests_max = REQUESTS as usize;
    config.hold.bytes_max = usize::MAX / 2;
    config.hold.time_max = Duration::from_secs(3600);
    let harness = Harness::start_with(config, Script::default());
    let mut peer = harness.connect();
    let mut writer = peer.clone_for_writing();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut operator = harness.connect();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                operator.call("vestibule.solo", NO_ARGS);
                operator.call("vestibule.assist", NO_ARGS);
            }
        });
        scope.spawn(move || {
            for first in (0..REQUESTS).step_by(500) {
                let burst = (first..first + 500).map(|key| RequestBuilder::replace(key, key));
                writer.send_bytes(
                    &burst
                        .flat_map(|request| request.bytes())
                        .collect::<Vec<_>>(),
                );
            }
        });
        for _ in 0..REQUESTS {
            assert_eq!(peer.receive().code, 0);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(harness.script().executed().is_sorted());
}

#[test]
fn held_selects_of_many_steps_are_all_answered() {
    let config = Config {
        role: Role::Replica,
        solo_policy: SoloPolicy::Hold,
        ..config()
    };
    let harness = Harness::start_with(config, Script::default());
    let mut peer = harness.connect();
    peer.call("vestibule.solo", NO_ARGS);
    let select = |sync| {
        RequestBuilder::new(RequestType::Select, sync)
            .uint(keys::SPACE_ID, 512)
            .uint(keys::LIMIT, 5)
            .pair(keys::KEY, &[0x91, 1])
            .bytes()
    };
    // The write is held, and the reads stay behind it.
    peer.send_bytes(&[RequestBuilder::replace(1, 1).bytes(), select(2), select(3)].concat());
    peer.ping();
    harness.connect().call("vestibule.assist", NO_ARGS);
    let syncs: Vec<_> = (0..3).map(|_| peer.receive().sync).collect();
    assert_eq!(syncs, [1, 2, 3]);
}
