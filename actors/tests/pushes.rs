//! Pushes: what a client is told before the reply of its request.

use std::sync::mpsc;
use std::thread;

use vestibule_actors::engine::{Outcome, Pusher};
use vestibule_actors::limits::{CONNECTION_REPLY_BYTES_MAX, PUSH_SIZE_MAX};
use vestibule_actors::testing::{Frame, Peer, RequestBuilder, Script, ScriptedEngine, TestServer};
use vestibule_actors::wire::keys::CODE_CHUNK;
use vestibule_actors::wire::{Error, ErrorCode};
use vestibule_actors::{Config, Procedures};

const NO_ARGS: &[u8] = &[0x90];

fn start(procedures: Procedures<ScriptedEngine>) -> TestServer<ScriptedEngine> {
    let script = Script::default();
    TestServer::of(move || Ok(script.engine()), procedures)
}

/// Two procedures that count to a number, each step a push, and return "done".
fn counting() -> Procedures<ScriptedEngine> {
    Procedures::default()
        .with_engine("count", |call| {
            let (to,): (u64,) = call.parse()?;
            for number in 0..to {
                call.reply.push(&number)?;
            }
            call.reply.value(&"done")
        })
        .async_function("count_later", |(to,): (u64,), context| async move {
            for number in 0..to {
                context.engine(|_: &mut ScriptedEngine| Ok(())).await?;
                context.push(&number).await?;
            }
            Ok("done")
        })
}

/// The pushes before the reply, and the reply.
fn until_reply(peer: &mut Peer, sync: u64) -> (Vec<Frame>, Frame) {
    let mut pushes = Vec::new();
    loop {
        let frame = peer.receive();
        assert_eq!(frame.sync, sync, "{frame:?}");
        if frame.code != CODE_CHUNK {
            return (pushes, frame);
        }
        pushes.push(frame);
    }
}

fn values(pushes: &[Frame]) -> Vec<u64> {
    pushes.iter().map(Frame::value).collect()
}

#[test]
fn pushes_come_in_order_before_the_reply() {
    let server = start(counting());
    let mut peer = server.connect();
    for (sync, name) in [(5, "count"), (6, "count_later")] {
        peer.send(&RequestBuilder::call(sync, name, &[0x91, 3]));
        let (pushes, reply) = until_reply(&mut peer, sync);
        assert_eq!(values(&pushes), [0, 1, 2]);
        assert_eq!(reply.value::<String>(), "done");
    }
    peer.ping();
}

#[test]
fn pushes_of_streams_are_told_apart_by_their_syncs() {
    let server = start(counting());
    let mut peer = server.connect();
    for stream in 1..=3 {
        let call = RequestBuilder::call(stream, "count_later", &[0x91, 4]);
        peer.send(&call.stream(stream));
    }
    let mut told = [const { Vec::new() }; 3];
    let mut replies = 0;
    while replies < 3 {
        let frame = peer.receive();
        let own = &mut told[frame.sync as usize - 1];
        if frame.code == CODE_CHUNK {
            own.push(frame.value::<u64>());
        } else {
            assert_eq!(
                (&own[..], frame.value()),
                (&[0, 1, 2, 3][..], "done".to_owned())
            );
            replies += 1;
        }
    }
}

/// A push does not wait for the turn, which may be long.
#[test]
fn what_a_procedure_pushes_arrives_while_it_runs() {
    let (told, heard) = mpsc::channel::<()>();
    let heard = std::sync::Mutex::new(heard);
    let procedures = Procedures::<ScriptedEngine>::default().with_engine("wait", move |call| {
        call.reply.push(&"begun")?;
        let heard = heard.lock().expect("one call at a time");
        heard.recv().expect("the test tells");
        call.reply.value(&"over")
    });
    let server = start(procedures);
    let mut peer = server.connect();
    peer.send(&RequestBuilder::call(1, "wait", NO_ARGS));
    let push = peer.receive();
    assert_eq!((push.code, push.value()), (CODE_CHUNK, "begun".to_owned()));
    told.send(()).expect("the procedure waits");
    assert_eq!(peer.receive().value::<String>(), "over");
}

#[test]
fn other_threads_push_until_they_answer_and_what_comes_later_goes_nowhere() {
    let (kept, pushers) = mpsc::channel::<Pusher>();
    let procedures =
        Procedures::<ScriptedEngine>::default().with_engine("elsewhere", move |call| {
            let pusher = call.reply.pusher();
            let completion = call.reply.defer()?;
            kept.send(pusher.clone()).expect("the test keeps it");
            thread::spawn(move || {
                for number in 0..3 {
                    pusher.push(&number).expect("the client reads");
                }
                completion.complete(Ok("done"));
            });
            Ok(Outcome::Deferred)
        });
    let server = start(procedures);
    let mut peer = server.connect();
    peer.send(&RequestBuilder::call(1, "elsewhere", NO_ARGS));
    let (pushes, reply) = until_reply(&mut peer, 1);
    assert_eq!(values(&pushes), [0, 1, 2]);
    assert_eq!(reply.value::<String>(), "done");
    let pusher = pushers.recv().expect("it was kept");
    let late = pusher.push(&"late").expect_err("nobody waits for it");
    assert_eq!(late.message(), Error::cancelled().message());
    peer.ping();
}

/// Pushes of this size until the client has as much as is kept for it.
fn flooding() -> Procedures<ScriptedEngine> {
    Procedures::default()
        .with_engine("flood", |call| {
            let value = "x".repeat(PUSH_SIZE_MAX / 2);
            for number in 0..1000u32 {
                match call.reply.push(&value) {
                    Ok(()) => {}
                    Err(error) if error.code() == ErrorCode::MEMORY_ISSUE => {
                        return call.reply.value(&number);
                    }
                    Err(error) => return Err(error),
                }
            }
            call.reply.value(&1000u32)
        })
        .async_function("flood_later", |(pushes,): (u32,), context| async move {
            let value = "x".repeat(PUSH_SIZE_MAX / 2);
            for _ in 0..pushes {
                context.push(&value).await?;
            }
            Ok(pushes)
        })
        .with_engine("too_large", |call| {
            call.reply.push(&"x".repeat(PUSH_SIZE_MAX))?;
            call.reply.value(&())
        })
}

#[test]
fn a_client_that_does_not_read_is_pushed_to_no_further() {
    let server = start(flooding());
    let mut peer = server.connect();
    peer.send(&RequestBuilder::call(1, "flood", NO_ARGS));
    // The procedure ends although nobody reads.
    let mut other = server.connect();
    assert_eq!(other.call("echo", NO_ARGS).error_code(), Some(33));
    let (pushes, reply) = until_reply(&mut peer, 1);
    let pushed = pushes.len();
    assert_eq!(reply.value::<usize>(), pushed);
    let most = CONNECTION_REPLY_BYTES_MAX + (16 << 20);
    assert!(pushed < most / (PUSH_SIZE_MAX / 2), "{pushed} pushes");
    let refused = peer.call("too_large", NO_ARGS);
    assert_eq!(refused.error_code(), Some(ErrorCode::ILLEGAL_PARAMS.0));
}

#[test]
fn an_async_procedure_waits_until_its_client_has_read() {
    let server = start(flooding());
    let mut peer = server.connect();
    peer.send(&RequestBuilder::call(1, "flood_later", &[0x91, 100]));
    // Others are served meanwhile, by the same Tx.
    server.connect().call("nothing", NO_ARGS);
    let (pushes, reply) = until_reply(&mut peer, 1);
    assert_eq!((pushes.len(), reply.value()), (100, 100));
    assert_eq!(server.handle().in_flight(), 0);
}

#[test]
fn a_client_that_leaves_ends_the_wait_of_those_who_push_to_it() {
    let server = start(flooding());
    let mut peer = server.connect();
    peer.send(&RequestBuilder::call(1, "flood_later", &[0x91, 100]));
    assert_eq!(peer.receive().code, CODE_CHUNK);
    peer.close();
    server.wait_until("nothing is in flight", || server.handle().in_flight() == 0);
}

#[test]
fn events_of_a_request_are_told_when_its_turn_is_committed() {
    let script = Script::default();
    let engine = script.clone();
    let procedures = Procedures::<ScriptedEngine>::default()
        .with_engine("tell", |call| {
            let (value,): (u64,) = call.parse()?;
            call.reply.broadcast("jobs", &value)?;
            call.reply.value(&value)
        })
        .with_engine("fail", |call| {
            call.reply.broadcast("jobs", &"failed")?;
            Err(Error::illegal_params("on purpose"))
        })
        .with_engine("wrong", |call| {
            call.reply.broadcast("box.status", &1)?;
            call.reply.value(&())
        })
        .async_function("tell_later", |(value,): (u64,), context| async move {
            context.broadcast("jobs", &value)?;
            Ok(value)
        });
    let server =
        TestServer::with_config(Config::default(), move || Ok(engine.engine()), procedures);
    let mut peer = server.connect();
    let mut now = {
        let mut watcher = server.connect();
        move || -> Vec<u64> { watcher.ask(&RequestBuilder::watch_once(1, "jobs")).data() }
    };
    assert_eq!(peer.call("tell", &[0x91, 1]).value::<u64>(), 1);
    assert_eq!(now(), [1]);
    assert_eq!(peer.call("fail", NO_ARGS).error_code(), Some(1));
    let refused = peer.call("wrong", NO_ARGS).error_text();
    assert_eq!(
        refused.as_deref(),
        Some("The event 'box.status' is the system's")
    );
    // Its write makes the turn fail with it: both are sent in one piece.
    script.fail_commits(true);
    let calls = [
        RequestBuilder::replace(1, 1).bytes(),
        RequestBuilder::call(2, "tell", &[0x91, 2]).bytes(),
    ];
    peer.send_bytes(&calls.concat());
    let codes = [peer.receive().error_code(), peer.receive().error_code()];
    assert_eq!(codes[0], Some(40));
    script.fail_commits(false);
    let expected = if codes[1] == Some(40) { 1 } else { 2 };
    assert_eq!(now(), [expected]);
    assert_eq!(peer.call("tell_later", &[0x91, 3]).value::<u64>(), 3);
    assert_eq!(now(), [3]);
}
