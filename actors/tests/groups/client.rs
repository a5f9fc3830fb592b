//! A client that takes and sends chunks by hand, over a socket or a pipe in memory.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::runtime::Runtime;
use vestibule_actors::testing::{Harness, RequestBuilder};
use vestibule_actors::{Connection, ConnectionBounds, PeerAddress};
use vestibule_wire::client::{GREETING_SIZE, RequestHeader};
use vestibule_wire::features::Features;
use vestibule_wire::groups::chunk::{Chunk, First};
use vestibule_wire::groups::{Agreement, Received, Receiver};
use vestibule_wire::keys::RequestType;
use vestibule_wire::reply::ReplyFrame;
use vestibule_wire::request::{self, Body, Id};

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const LARGE: usize = 3 << 20;
/// What clients here ask for.
pub(crate) const ASKED: Agreement = Agreement {
    window: 64 << 10,
    messages_max: 4,
};
/// As in the limits of the server: one in eight of what may wait at all.
const BESIDE_CHUNKS_MAX: usize = 32 << 20;

/// A pipe in memory that is waited for, and not for ever.
pub(crate) struct Pipe {
    stream: DuplexStream,
    runtime: Runtime,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = async { tokio::time::timeout(PATIENCE, self.stream.read(buffer)).await };
        self.runtime.block_on(read)?
    }
}

impl Write for Pipe {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let write = async { tokio::time::timeout(PATIENCE, self.stream.write(buffer)).await };
        self.runtime.block_on(write)?
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A client that takes and sends chunks, by hand.
pub(crate) struct Client<S = TcpStream> {
    pub(crate) stream: S,
    /// All bytes that were read.
    pub(crate) read: usize,
    pub(crate) receiver: Receiver,
    /// What the server holds of chunks, if it takes them.
    pub(crate) agreed: Option<Agreement>,
    /// What came of chunks, in order.
    pub(crate) pieces: Vec<(u32, Option<First>, usize)>,
    /// Whole replies: sync, and all bytes without the length.
    pub(crate) replies: Vec<(u64, Vec<u8>)>,
    pub(crate) credits: HashMap<u32, u32>,
    pub(crate) resets: Vec<u32>,
    pub(crate) stops: Vec<u32>,
}

impl Client {
    pub(crate) fn connect(harness: &Harness, asked: Option<Agreement>) -> Self {
        let stream = TcpStream::connect(harness.address()).expect("the server listens");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("it can be set");
        stream.set_nodelay(true).expect("it can be set");
        Self::over(stream, asked)
    }
}

impl Client<Pipe> {
    /// Over a pipe that holds so little that it is known what is under way.
    pub(crate) fn over_pipe(harness: &Harness, room: usize, asked: Option<Agreement>) -> Self {
        Self::within(harness, room, ConnectionBounds::default(), asked)
    }

    /// The same, of a connection with bounds of its own.
    pub(crate) fn within(
        harness: &Harness,
        room: usize,
        bounds: ConnectionBounds,
        asked: Option<Agreement>,
    ) -> Self {
        let (stream, server) = tokio::io::duplex(room);
        let connection = Connection::over(server, PeerAddress::Local).bounds(bounds);
        harness.handle().adopt(connection).expect("there is a slot");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime can be made");
        Self::over(Pipe { stream, runtime }, asked)
    }
}

impl<S: Read + Write> Client<S> {
    fn over(mut stream: S, asked: Option<Agreement>) -> Self {
        stream
            .read_exact(&mut [0; GREETING_SIZE])
            .expect("the server greets");
        let mut client = Self {
            stream,
            read: 0,
            receiver: Receiver::new(asked.map_or_else(Agreement::default, |own| own.at_most(own))),
            agreed: None,
            pieces: Vec::new(),
            replies: Vec::new(),
            credits: HashMap::new(),
            resets: Vec::new(),
            stops: Vec::new(),
        };
        let request = id_request(1, asked);
        client.send(&request);
        let reply = client.reply_to(1);
        let Ok(Body::Id(id)) = request::decode(RequestType::Id, body(&reply)) else {
            panic!("a reply to ID");
        };
        client.agreed = id.chunks;
        client
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    /// Reads a frame; false if the server has closed the connection.
    pub(crate) fn read(&mut self) -> bool {
        let mut length = [0; 5];
        if self.stream.read_exact(&mut length).is_err() {
            return false;
        }
        let size = u32::from_be_bytes(length[1..].try_into().expect("four")) as usize;
        let mut content = vec![0; size];
        self.stream
            .read_exact(&mut content)
            .expect("a whole frame comes");
        self.read += length.len() + size;
        if !Chunk::is_one(&content) {
            self.replied(&length, content);
            return true;
        }
        match Chunk::read(&content).expect("in form") {
            Chunk::Data {
                number,
                first,
                piece,
            } => {
                self.pieces.push((number, first, piece.len()));
                let received = self.receiver.data(number, first, piece);
                if let Received::Complete { content, .. } = received.expect("in order") {
                    let mut length = vec![0xce];
                    length.extend_from_slice(&(content.len() as u32).to_be_bytes());
                    self.replied(&length, content);
                }
            }
            Chunk::Credit { number, limit } => {
                self.credits.insert(number, limit);
            }
            Chunk::Reset { number, .. } => {
                self.receiver.reset(number);
                self.resets.push(number);
            }
            Chunk::Stop { number, .. } => self.stops.push(number),
        }
        true
    }

    fn replied(&mut self, length: &[u8], content: Vec<u8>) {
        let frame = [length, &content].concat();
        let reply = ReplyFrame::read(&frame, usize::MAX)
            .expect("a reply")
            .expect("whole");
        self.replies.push((reply.sync, frame));
    }

    /// The reply with this sync, whatever comes before it.
    pub(crate) fn reply_to(&mut self, sync: u64) -> Vec<u8> {
        loop {
            if let Some(at) = self.replies.iter().position(|(own, _)| *own == sync) {
                return self.replies.remove(at).1;
            }
            assert!(self.read(), "the connection is open");
        }
    }

    pub(crate) fn ping(&mut self, sync: u64) {
        self.send(&RequestBuilder::new(RequestType::Ping, sync).bytes());
        assert_eq!(code(&self.reply_to(sync)), 0);
    }

    /// Takes all of these messages.
    pub(crate) fn admit(&mut self, numbers: &[u32]) {
        let mut admit = |number| self.receiver.admit(number, usize::MAX).expect("under way");
        let credit = numbers
            .iter()
            .map(|number| admit(*number).as_bytes().to_vec());
        let credit: Vec<u8> = credit.flatten().collect();
        self.send(&credit);
    }
}

/// Has so much wait for a client without credit that no more of its requests are taken; returns the
/// next sync.
pub(crate) fn ask_for_more_than_is_taken_beside<S: Read + Write>(client: &mut Client<S>) -> u64 {
    let waiting = BESIDE_CHUNKS_MAX / LARGE + 4;
    for stream in 1..=waiting as u64 {
        let select = RequestBuilder::select(1 + stream, 5);
        client.send(&select.stream(stream).bytes());
    }
    // As many as go out without credit: nothing more comes of them.
    while client.pieces.len() < ASKED.messages_max {
        assert!(client.read());
    }
    2 + waiting as u64
}

/// An ID that asks for chunks, or for none.
pub(crate) fn id_request(sync: u64, chunks: Option<Agreement>) -> Vec<u8> {
    let id = Id {
        version: 6,
        features: Features::SUPPORTED,
        chunks,
    };
    let mut bytes = Vec::new();
    RequestHeader::with_sync(sync).write(&mut bytes, &Body::Id(id));
    bytes
}

pub(crate) fn body(frame: &[u8]) -> &[u8] {
    ReplyFrame::read(frame, usize::MAX)
        .expect("a reply")
        .expect("whole")
        .body
}

pub(crate) fn code(frame: &[u8]) -> u32 {
    ReplyFrame::read(frame, usize::MAX)
        .expect("a reply")
        .expect("whole")
        .code
}

/// A REPLACE of a tuple with `size` bytes beside its key.
pub(crate) fn large(sync: u64, key: u8, size: usize) -> RequestBuilder {
    RequestBuilder::replace_large(sync, u64::from(key), size as u32)
}

pub(crate) fn harness_with_rows() -> Harness {
    with_rows(Harness::start())
}

pub(crate) fn with_rows(harness: Harness) -> Harness {
    let mut peer = harness.connect();
    assert_eq!(peer.ask(&large(1, 5, LARGE)).code, 0);
    assert_eq!(peer.ask(&RequestBuilder::replace(2, 7)).code, 0);
    harness
}
