//! Requests in chunks, as any client may cut them, to a session of a real runtime on loopback: what
//! is whole is answered once and with its own bytes, what was given up is not answered, and damage
//! ends the connection with an error that says so.
#![no_main]

mod chunked;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use vestibule_actors::testing::{Harness, RequestBuilder, Script, config};
use vestibule_wire::client::{GREETING_SIZE, ReplyFrame, RequestHeader};
use vestibule_wire::features::Features;
use vestibule_wire::groups::chunk::Chunk;
use vestibule_wire::groups::{Agreement, Group, Received, Receiver};
use vestibule_wire::keys::{self, RequestType};
use vestibule_wire::request::{Body, Id, decode};

use chunked::{PREFIX, Sequence, Step};

/// Largest request that is taken: above the largest piece, and below the largest message here.
const SIZE_MAX: usize = 150_000;

/// More than all replies to one input.
const ASKED: Agreement = Agreement {
    window: 16 << 20,
    messages_max: 4096,
};

/// What a server agrees to, as its answer to ID says.
const AGREED: Agreement = Agreement {
    window: 256 << 10,
    messages_max: 16,
};

fuzz_target!(|steps: Vec<Step>| {
    let mut stream = connect();
    let mut sequence = Sequence::new(AGREED, SIZE_MAX, 1 << 20);
    let mut sync = 1;
    let mut tuples = BTreeMap::new();
    let mut pings = 0;
    for step in steps.into_iter().take(200) {
        let mut bytes = sequence.frame(step, |group, size| {
            sync += 1;
            let tuple = tuple(sync, size);
            let request = replace(sync, group, &tuple);
            tuples.insert(sync, tuple);
            Some(request)
        });
        if bytes.is_empty() {
            pings += 1;
            bytes = RequestBuilder::new(RequestType::Ping, 1 << 40 | pings).bytes();
        }
        stream
            .write_all(&bytes)
            .expect("the server reads until there is damage");
        if sequence.is_damaged {
            break;
        }
    }
    if !sequence.is_damaged {
        stream.shutdown(Shutdown::Write).expect("it is open");
    }
    let replies = replies(&mut stream);
    let id = decode(RequestType::Id, reply(&replies[&1][0]).body);
    assert!(
        matches!(
            id,
            Ok(Body::Id(Id {
                chunks: Some(AGREED),
                ..
            }))
        ),
        "{id:?}"
    );
    // Others may be anything, and their answers have any sync, also one that was used before.
    let is_pristine = !sequence.is_wild;
    if is_pristine {
        let twice = replies.iter().find(|(_, frames)| frames.len() > 1);
        assert_eq!(twice, None, "it is answered twice");
    }
    assert!(
        sequence.is_damaged || !is_pristine || !replies.contains_key(&0),
        "there is no damage"
    );
    if sequence.is_damaged {
        let is_of_damage = |frame: &Vec<u8>| reply(frame).error_code().map(|own| own.0) == Some(20);
        let told = replies.get(&0).expect("damage is told");
        assert!(told.iter().any(is_of_damage), "{told:?}");
    } else {
        let is_answered = |ping| replies.contains_key(&(1 << 40 | ping));
        assert!((1..=pings).all(is_answered), "each ping is answered");
    }
    for (content, is_as_planned) in &sequence.whole {
        let sync = sync_of(content).filter(|_| *is_as_planned);
        let Some((sync, tuple)) = sync.and_then(|own| tuples.remove_entry(&own)) else {
            continue;
        };
        match replies.get(&sync) {
            Some(frames) => {
                let data = [&[0xdd, 0, 0, 0, 1], &tuple[..]].concat();
                let is_its = |frame: &Vec<u8>| reply(frame).data() == Some(&data[..]);
                assert!(frames.iter().any(is_its), "{sync}: {frames:?}");
            }
            None => assert!(sequence.is_damaged, "{sync} is not answered"),
        }
    }
    if is_pristine {
        // What was given up, refused or not ended.
        let answered = tuples.keys().find(|sync| replies.contains_key(sync));
        assert_eq!(answered, None, "it was never whole");
    }
});

fn tuple(sync: u64, size: usize) -> Vec<u8> {
    let mut tuple = vec![0x92, (sync % 8) as u8, 0xc6];
    tuple.extend_from_slice(&(size as u32).to_be_bytes());
    tuple.extend((0..size as u64).map(|at| (sync * 31 + at * 7) as u8));
    tuple
}

fn replace(sync: u64, group: Group, tuple: &[u8]) -> Vec<u8> {
    let mut request = RequestBuilder::new(RequestType::Replace, sync);
    if let Group::Stream(id) = group {
        request = request.stream(id.get());
    }
    let request = request.uint(keys::SPACE_ID, 512).pair(keys::TUPLE, tuple);
    request.bytes()[PREFIX..].to_vec()
}

fn sync_of(content: &[u8]) -> Option<u64> {
    let (header, _) = vestibule_wire::header::read_header(content).ok()?;
    Some(header.sync)
}

fn reply(frame: &[u8]) -> ReplyFrame<'_> {
    ReplyFrame::read_content(frame).expect("servers send replies")
}

fn connect() -> TcpStream {
    let mut stream = TcpStream::connect(harness().address()).expect("the server listens");
    let patience = Duration::from_secs(8);
    stream
        .set_read_timeout(Some(patience))
        .expect("it can be set");
    stream.set_nodelay(true).expect("it can be set");
    stream
        .read_exact(&mut [0; GREETING_SIZE])
        .expect("the server greets");
    let id = Id {
        version: 6,
        features: Features::SUPPORTED,
        chunks: Some(ASKED),
    };
    let mut bytes = Vec::new();
    RequestHeader::with_sync(1).write(&mut bytes, &Body::Id(id));
    stream.write_all(&bytes).expect("the server reads");
    stream
}

/// All replies until the connection ends, by sync in the order they came, without their lengths.
fn replies(stream: &mut TcpStream) -> BTreeMap<u64, Vec<Vec<u8>>> {
    let mut bytes = Vec::new();
    // A server that has found damage may close with bytes in its hands.
    let _ = stream.read_to_end(&mut bytes);
    let mut receiver = Receiver::new(ASKED);
    let mut replies = BTreeMap::<_, Vec<_>>::new();
    let mut rest = &bytes[..];
    while let Some((length, behind)) = rest.split_first_chunk::<PREFIX>() {
        let [0xce, size @ ..] = *length else {
            panic!("no length: {length:?}");
        };
        let (content, behind) = behind.split_at(u32::from_be_bytes(size) as usize);
        rest = behind;
        let content = match Chunk::is_one(content).then(|| Chunk::read(content).expect("in form")) {
            None => content.to_vec(),
            Some(Chunk::Data {
                number,
                first,
                piece,
            }) => match receiver.data(number, first, piece).expect("in order") {
                Received::Complete { content, .. } => content,
                _ => continue,
            },
            Some(_) => continue,
        };
        let sync = reply(&content).sync;
        replies.entry(sync).or_default().push(content);
    }
    assert!(rest.is_empty(), "the end of a frame is missing");
    replies
}

/// One for the process.
fn harness() -> &'static Harness {
    static HARNESS: OnceLock<Harness> = OnceLock::new();
    HARNESS.get_or_init(|| {
        let config = config().packet_size_max(SIZE_MAX as u64);
        Harness::start_with(config, Script::default())
    })
}
