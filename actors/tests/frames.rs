//! What the door answers to bytes, good and bad: byte scripts against a real socket.

use vestibule_actors::testing::{Harness, RequestBuilder};
use vestibule_actors::wire::features::Features;
use vestibule_actors::wire::keys::{self, RequestType};

#[test]
fn greeting_ping_and_id_are_answered_before_any_login() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    assert_eq!(peer.greeting().version, (2, 11, 0));
    peer.ping();
    let id = peer.ask(&RequestBuilder::new(RequestType::Id, 5).uint(keys::VERSION, 3));
    assert_eq!((id.code, id.sync), (0, 5));
    let codes: Vec<u8> = Features::SUPPORTED.codes().map(|code| code as u8).collect();
    assert!(
        id.body.windows(7).any(|window| window == codes),
        "features 0 to 6 are listed"
    );
}

#[test]
fn every_width_of_the_length_is_understood() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    let ping = [0x82, 0x00, 64, 0x01, 9];
    for prefix in [
        &[5u8][..],
        &[0xcc, 5],
        &[0xcd, 0, 5],
        &[0xce, 0, 0, 0, 5],
        &[0xcf, 0, 0, 0, 0, 0, 0, 0, 5],
    ] {
        peer.send_bytes(&[prefix, &ping].concat());
        assert_eq!(peer.receive().sync, 9);
    }
}

#[test]
fn frames_cut_into_single_bytes_are_put_together() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    let frames: Vec<u8> = (0..20)
        .flat_map(|sync| RequestBuilder::replace(sync, sync).bytes())
        .collect();
    for byte in frames {
        peer.send_bytes(&[byte]);
    }
    let syncs: Vec<_> = (0..20).map(|_| peer.receive().sync).collect();
    assert_eq!(syncs, (0..20).collect::<Vec<_>>());
}

#[test]
fn large_frames_among_small_ones_are_taken_in_order_however_they_are_cut() {
    let harness = Harness::start();
    let sizes = [10, 300_000, 10, 600_000, 270_000, 10, 10];
    let frames: Vec<u8> = (0..)
        .zip(sizes)
        .flat_map(|(sync, size)| RequestBuilder::replace_large(sync, sync, size).bytes())
        .collect();
    for size in [999, 65_535, 300_000, frames.len()] {
        let mut peer = harness.connect();
        let mut writer = peer.clone_for_writing();
        let replies = std::thread::scope(|scope| {
            scope.spawn(|| {
                frames
                    .chunks(size)
                    .for_each(|piece| writer.send_bytes(piece))
            });
            sizes.map(|_| peer.receive())
        });
        for (sync, reply) in (0..).zip(replies) {
            assert_eq!((reply.sync, reply.code), (sync, 0), "{size}: {reply:?}");
        }
        peer.ping();
    }
    assert_eq!(harness.script().keys(), [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_bad_header_or_body_is_answered_and_the_connection_goes_on() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    // (what is sent after the length, expected sync, expected text)
    for (content, sync, text) in [
        (&[][..], 0, "Invalid MsgPack - packet header"),
        (&[0x00], 0, "Invalid MsgPack - packet header"),
        (
            &[0x82, 0x01, 7, 0x00, 0xa0],
            7,
            "Invalid MsgPack - packet header",
        ),
        (
            &[0x82, 0x01, 7, 0x00, 10, 0x91, 1],
            7,
            "Invalid MsgPack - packet body",
        ),
        (
            &[0x82, 0x01, 7, 0x00, 10, 0xc1],
            7,
            "Invalid MsgPack - packet body",
        ),
        (
            &[0x82, 0x01, 7, 0x00, 10],
            7,
            "Invalid MsgPack - missing request body",
        ),
        (
            &[0x82, 0x01, 7, 0x00, 73],
            7,
            "Invalid MsgPack - request body",
        ),
        (
            &[0x82, 0x01, 7, 0x00, 64, 0x80, 0x80],
            7,
            "Invalid MsgPack - packet body",
        ),
    ] {
        peer.send_bytes(&[&[content.len() as u8], content].concat());
        let reply = peer.receive();
        assert_eq!(
            (reply.error_code(), reply.sync),
            (Some(20), sync),
            "{content:?}"
        );
        assert_eq!(reply.error_text().as_deref(), Some(text), "{content:?}");
    }
    for (request, text) in [(0u64, "0"), (12, "12"), (18, "18"), (66, "66"), (76, "76")] {
        let reply = peer.ask(&RequestBuilder::raw(request, 3));
        assert_eq!(reply.error_code(), Some(48));
        assert_eq!(
            reply.error_text().unwrap(),
            format!("Unknown request type {text}")
        );
    }
    peer.ping();
}

#[test]
fn a_framing_error_is_told_with_sync_0_and_ends_only_that_connection() {
    let harness = Harness::start();
    let mut other = harness.connect();
    let mut too_big = vec![0xcf];
    too_big.extend_from_slice(&18_400_000_000_000_000_000u64.to_be_bytes());
    for (bytes, text) in [
        (
            &[0xa3u8, b'f', b'o', b'o'][..],
            "Invalid MsgPack - packet length",
        ),
        (&[0xff], "Invalid MsgPack - packet length"),
        (
            &too_big,
            "Invalid MsgPack - too big packet size in the header: 18400000000000000000",
        ),
    ] {
        let mut peer = harness.connect();
        // What came before the fault is still answered.
        peer.send_bytes(&[&RequestBuilder::new(RequestType::Ping, 1).bytes(), bytes].concat());
        let frames = peer.receive_until_closed();
        assert_eq!(frames.len(), 2);
        assert_eq!((frames[0].code, frames[0].sync), (0, 1));
        assert_eq!((frames[1].error_code(), frames[1].sync), (Some(20), 0));
        assert_eq!(frames[1].error_text().as_deref(), Some(text));
    }
    other.ping();
}

#[test]
fn stream_rules_are_kept() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    for request in [
        RequestType::Begin,
        RequestType::Commit,
        RequestType::Rollback,
    ] {
        let reply = peer.ask(&RequestBuilder::new(request, 1));
        let text = format!("Unable to process {} request out of stream", request.name());
        assert_eq!(
            (reply.error_code(), reply.error_text()),
            (Some(230), Some(text))
        );
    }
    for request in [RequestType::Auth, RequestType::Id, RequestType::Watch] {
        let reply = peer.ask(&RequestBuilder::new(request, 1).stream(5));
        let text = format!("Unable to process {} request in stream", request.name());
        assert_eq!(
            (reply.error_code(), reply.error_text()),
            (Some(229), Some(text))
        );
    }
    assert_eq!(
        peer.ask(&RequestBuilder::new(RequestType::Ping, 1).stream(5))
            .code,
        0
    );
}

#[test]
fn a_foreign_schema_version_is_refused_for_every_type() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    let ping = |version| RequestBuilder::new(RequestType::Ping, 1).schema_version(version);
    assert_eq!(peer.ask(&ping(0)).schema_version, Some(7));
    assert_eq!(peer.ask(&ping(7)).code, 0);
    assert_eq!(peer.ask(&ping(9999)).error_code(), Some(109));
    let write = RequestBuilder::replace(1, 1).schema_version(9999);
    assert_eq!(peer.ask(&write).error_code(), Some(109));
    assert!(harness.script().executed().is_empty());
}

#[test]
fn login_follows_the_users_of_the_engine() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    assert_eq!(peer.log_in("alice", "wrong").error_code(), Some(47));
    assert_eq!(peer.log_in("nobody", "secret").error_code(), Some(47));
    assert_eq!(peer.log_in("alice", "secret").code, 0);
    assert_eq!(peer.log_in("guest", "").code, 0);
}

#[test]
fn what_a_connector_fetches_at_connect_is_there() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    let by_id = |space, index, key: &[u8]| {
        RequestBuilder::new(RequestType::Select, 1)
            .uint(keys::SPACE_ID, space)
            .uint(keys::INDEX_ID, index)
            .uint(keys::LIMIT, u64::MAX)
            .pair(keys::KEY, key)
    };
    type Space = (u64, u64, String, String, u64, Vec<()>, Vec<()>);
    let name = [0x91, 0xa8, b's', b'c', b'r', b'i', b'p', b't', b'e', b'd'];
    let mut empty_map_as_list = peer.ask(&by_id(281, 2, &name));
    // An empty map and an empty array differ in one byte; the type above has no map.
    for byte in &mut empty_map_as_list.body {
        if *byte == 0x80 {
            *byte = 0x90;
        }
    }
    let rows: Vec<Space> = empty_map_as_list.data();
    assert_eq!((rows.len(), rows[0].0), (1, 512));
    for (space, index, key) in [
        (281, 0, &[0x90][..]),
        (289, 0, &[0x90]),
        (289, 2, &[0x91, 0xcd, 2, 0]),
        (277, 0, &[0x90]),
    ] {
        assert_eq!(
            peer.ask(&by_id(space, index, key)).code,
            0,
            "{space} by index {index}"
        );
    }
    assert_eq!(peer.ask(&by_id(281, 7, &[0x90])).error_code(), Some(35));
}

#[test]
fn what_is_not_there_is_said() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    assert_eq!(peer.call("nope", &[0x90]).error_code(), Some(33));
    let eval = RequestBuilder::new(RequestType::Eval, 1).text(keys::EXPR, "return 1");
    assert_eq!(peer.ask(&eval).error_code(), Some(5));
    for sql in [RequestType::Execute, RequestType::Prepare] {
        let sql = RequestBuilder::new(sql, 1).text(keys::SQL_TEXT, "SELECT 1");
        let told = peer.ask(&sql).error_text();
        assert_eq!(told.as_deref(), Some("vestibule does not support SQL"));
    }
    assert_eq!(peer.call("echo", &[0x91, 0xa1, b'x']).error_code(), Some(1));
    assert_eq!(peer.call("echo", &[0x91, 5]).data::<Vec<u64>>(), [5]);
}

#[test]
fn call_16_wraps_every_result_in_an_array() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    let call = |name: &str, args: &[u8]| {
        RequestBuilder::new(RequestType::Call16, 1)
            .text(keys::FUNCTION_NAME, name)
            .pair(keys::TUPLE, args)
    };
    assert_eq!(
        peer.ask(&call("echo", &[0x91, 5])).data::<Vec<Vec<u64>>>(),
        [[5]]
    );
    assert_eq!(
        peer.ask(&call("later", &[0x91, 2])).data::<Vec<Vec<u64>>>(),
        [[2]]
    );
    let limits = peer.ask(&call(
        "vestibule.show",
        &[0x91, 0xa6, b'l', b'i', b'm', b'i', b't', b's'],
    ));
    assert_eq!(limits.code, 0);
}
