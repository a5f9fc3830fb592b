//! Replies in chunks, as any server may cut them, to a client by a unix socket: each request gets
//! the bytes of its own reply or an error that is true, and after damage the connection is left.
#![no_main]

mod chunked;

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{env, fs, io, process};

use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Runtime;
use vestibule_client::{Client, Error, ErrorKind, Outcome, Retry, Value};
use vestibule_wire::Uuid;
use vestibule_wire::features::Features;
use vestibule_wire::greeting;
use vestibule_wire::groups::Agreement;
use vestibule_wire::header::read_header;
use vestibule_wire::keys::RequestType;
use vestibule_wire::reply::{ReplyHeader, finish, write_data_head};
use vestibule_wire::request::{Body, decode};

use chunked::{PREFIX, Sequence, Step};

/// Longest reply that is taken.
const SIZE_MAX: usize = 300_000;

/// Requests of an input. Their replies may be cut.
const REQUESTS: usize = 24;

/// How many there were.
static INPUTS: AtomicU64 = AtomicU64::new(0);

/// For what would never end.
const PATIENCE: Duration = Duration::from_secs(8);

fuzz_target!(|steps: Vec<Step>| {
    let (results, server) = runtime().block_on(async {
        // Closed connections keep ports for a minute: some ten thousand inputs would use them all.
        // The client of the input before may be about to connect again, to where it was.
        let input = INPUTS.fetch_add(1, Ordering::Relaxed);
        let name = format!("vestibule-fuzz-{}-{input}.sock", process::id());
        let path = env::temp_dir().join(name);
        let listener = UnixListener::bind(&path).expect("the path is free");
        let address = format!("unix:{}", path.display());
        let server = tokio::spawn(async move {
            let (socket, _) = listener.accept().await.expect("the client connects");
            drop(listener);
            fs::remove_file(path).expect("it is the socket's");
            Server::default().serve(socket, &steps).await
        });
        let client = Client::builder(address)
            .reply_size_max(SIZE_MAX)
            .request_timeout(Some(PATIENCE))
            .retry(Retry::never())
            .connect()
            .await
            .expect("it is greeted");
        let calls: Vec<_> = (0..REQUESTS as u64)
            .map(|number| tokio::spawn(client.call::<Value>("f", (number,)).into_future()))
            .collect();
        let mut results = Vec::new();
        for call in calls {
            results.push(call.await.expect("the client does not panic"));
        }
        (results, server.await.expect("the server does not panic"))
    });
    for (number, result) in (0..).zip(results) {
        server.check(number, result);
    }
});

/// A server that does what the input says.
#[derive(Default)]
struct Server {
    /// What each request is answered, or would be: by its number.
    replies: BTreeMap<u64, Reply>,
    /// Requests whose numbers and syncs are known.
    asked: Vec<(u64, u64)>,
    is_wild: bool,
}

struct Reply {
    content: Vec<u8>,
    value: Vec<u8>,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The connection ended before it was sent to its end.
    Cut,
    Whole,
    GivenUp,
}

impl Server {
    async fn serve(mut self, mut socket: UnixStream, steps: &[Step]) -> Self {
        let agreed = self.greet(&mut socket).await.expect("the client says ID");
        while self.asked.len() < REQUESTS {
            self.read_request(&mut socket)
                .await
                .expect("the client asks");
        }
        let (mut reader, mut writer) = socket.split();
        // What the client says of chunks must not keep it from reading.
        let hear = async {
            let mut bytes = vec![0; 64 << 10];
            while matches!(reader.read(&mut bytes).await, Ok(1..)) {}
        };
        let mut sequence = Sequence::new(agreed, SIZE_MAX, 512 << 10);
        let replies = &mut self.replies;
        let mut next = self.asked.iter();
        let send = async {
            for step in steps.iter().take(200) {
                let bytes = sequence.frame(*step, |_, size| {
                    let (number, sync) = *next.next()?;
                    let reply = Reply::new(sync, size);
                    let content = reply.content.clone();
                    replies.insert(number, reply);
                    Some(content)
                });
                if writer.write_all(&bytes).await.is_err() || sequence.is_damaged {
                    break;
                }
            }
            if !sequence.is_damaged {
                let _ = writer.shutdown().await;
            }
            // The client leaves by itself.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = hear => {}
            () = send => {}
        }
        // The client may have left what is damaged before all of it was written.
        self.note_fates(&sequence);
        self
    }

    fn note_fates(&mut self, sequence: &Sequence) {
        self.is_wild = sequence.is_wild;
        let whole = sequence.whole.iter().map(|(own, _)| (own, Fate::Whole));
        let reset = sequence.reset.iter().map(|own| (own, Fate::GivenUp));
        for (content, fate) in whole.chain(reset) {
            let mut replies = self.replies.values_mut();
            if let Some(reply) = replies.find(|own| own.content == *content) {
                reply.fate = fate;
            }
        }
    }

    async fn greet(&mut self, socket: &mut UnixStream) -> io::Result<Agreement> {
        let greeting = greeting::encode(&Uuid::NIL, &[7; greeting::SALT_SIZE]);
        socket.write_all(&greeting).await?;
        let content = read_frame(socket).await?;
        let (header, body) = read_header(&content).expect("a client's header");
        let asked = match decode(RequestType::Id, body) {
            Ok(Body::Id(id)) => id.chunks.expect("a client that takes chunks"),
            _ => panic!("the client begins with ID"),
        };
        let mut bytes = Vec::new();
        reply_header(header.sync).write_id(
            &mut bytes,
            Features::SUPPORTED,
            Some(Agreement::default()),
        );
        socket.write_all(&bytes).await?;
        Ok(asked)
    }

    async fn read_request(&mut self, socket: &mut UnixStream) -> io::Result<()> {
        let content = read_frame(socket).await?;
        let (header, body) = read_header(&content).expect("a client's header");
        if let Ok(Body::Call(call)) = decode(
            RequestType::from_code(header.request_type).expect("known"),
            body,
        ) {
            // A list of one small number.
            let number = call.args.get(1).copied().expect("it has an argument");
            self.asked.push((number.into(), header.sync));
        }
        Ok(())
    }

    fn check(&self, number: u64, result: Result<Value, Error>) {
        let reply = self.replies.get(&number);
        let fate = reply.map_or(Fate::Cut, |own| own.fate);
        match result {
            // Changed bytes may be the reply to another request than the one they were planned for.
            Ok(_) if self.is_wild => {}
            Ok(value) => {
                let reply = reply.expect("it is answered");
                assert!(fate == Fate::Whole && value == Value::Bytes(reply.value.clone()));
            }
            Err(error) => {
                assert!(self.is_wild || fate != Fate::Whole, "{number}: {error}");
                // A server may say why it gives a reply up, and changed bytes may say anything.
                let may_be_told = self.is_wild || fate == Fate::GivenUp;
                let is_told = may_be_told && error.kind() == ErrorKind::Server;
                let is_unknown = error.outcome() == Outcome::Unknown;
                assert!(is_told || is_unknown, "it was sent: {error}");
                let kind = error.kind();
                assert!(
                    is_told
                        || matches!(
                            kind,
                            ErrorKind::Connection | ErrorKind::Limit | ErrorKind::Decode
                        ),
                    "{error}"
                );
            }
        }
    }
}

impl Reply {
    fn new(sync: u64, size: usize) -> Self {
        let value: Vec<u8> = (0..size as u64)
            .map(|at| (sync * 31 + at * 7) as u8)
            .collect();
        let mut frame = Vec::new();
        let start = reply_header(sync).begin(&mut frame);
        write_data_head(&mut frame);
        // A list of one blob.
        frame.extend_from_slice(&[0x91, 0xc6]);
        frame.extend_from_slice(&(size as u32).to_be_bytes());
        frame.extend_from_slice(&value);
        finish(&mut frame, start);
        Self {
            content: frame.split_off(PREFIX),
            value,
            fate: Fate::Cut,
        }
    }
}

fn reply_header(sync: u64) -> ReplyHeader {
    ReplyHeader {
        sync,
        schema_version: 1,
    }
}

async fn read_frame(socket: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut length = [0; PREFIX];
    socket.read_exact(&mut length).await?;
    let [_, size @ ..] = length;
    let mut content = vec![0; u32::from_be_bytes(size) as usize];
    socket.read_exact(&mut content).await?;
    Ok(content)
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be made")
    })
}
