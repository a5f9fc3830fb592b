//! Connections of a scripted server.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use vestibule_wire::features::Features;
use vestibule_wire::frame::read_prefix;
use vestibule_wire::groups::Group;
use vestibule_wire::header::read_header;
use vestibule_wire::keys::{self, RequestType};
use vestibule_wire::limits::PACKET_SIZE_MAX;
use vestibule_wire::reply::{ReplyHeader, finish, write_data_head, write_event};
use vestibule_wire::request::{Body, decode};
use vestibule_wire::{Uuid, greeting};

use super::script::{Answer, Received};
use super::script_output::{Brought, ScriptChunks, ScriptOutput};
use crate::error::ServerError;

/// What answers.
pub(super) type Script = dyn FnMut(&Received) -> Answer + Send;

pub(super) struct Shared {
    pub(super) script: Mutex<Box<Script>>,
    pub(super) state: Mutex<ScriptState>,
    pub(super) received: watch::Sender<usize>,
    pub(super) features: Features,
}

#[derive(Default)]
pub(super) struct ScriptState {
    pub(super) received: Vec<Received>,
    /// Values of keys, and how often each was set.
    pub(super) events: HashMap<String, (u64, Vec<u8>)>,
    pub(super) connections: HashMap<usize, Connection>,
    next_connection: usize,
    pub(super) login_error: Option<ServerError>,
    pub(super) given_up: GivenUp,
}

/// What clients did not let come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct GivenUp {
    /// Requests of which a part had been sent.
    pub requests: usize,
    /// Replies whose rest was refused, wanted by nobody or too large.
    pub replies: usize,
}

pub(super) struct Connection {
    out: Arc<ScriptOutput>,
    /// Keys that are watched, and how often their value had been set when it was last told.
    watched: HashMap<String, u64>,
    /// Keys whose last value was acknowledged, with the sync of the last WATCH.
    to_tell: HashMap<String, u64>,
    pub(super) task: AbortHandle,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, ScriptState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Tells a key that waits to be told, once.
    pub(super) fn tell(&mut self, key: &str, set: u64, value: Option<&[u8]>) {
        if let Some(sync) = self.to_tell.remove(key) {
            self.watched.insert(key.to_owned(), set);
            let mut event = Vec::new();
            write_event(&mut event, sync, key, value);
            self.out.send(Group::Control, event);
        }
    }
}

/// Takes connections for ever.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((socket, _)) = listener.accept().await {
        let out = Arc::<ScriptOutput>::default();
        let mut state = shared.state();
        let number = state.next_connection;
        state.next_connection += 1;
        let served = serve(socket, number, Arc::clone(&shared), Arc::clone(&out));
        let task = tokio::spawn(served).abort_handle();
        let connection = Connection {
            out,
            watched: HashMap::new(),
            to_tell: HashMap::new(),
            task,
        };
        state.connections.insert(number, connection);
    }
}

async fn serve(mut socket: TcpStream, number: usize, shared: Arc<Shared>, out: Arc<ScriptOutput>) {
    let (mut reader, writer) = socket.split();
    let write = write(writer, &out);
    let mut served = Served {
        number,
        shared: &shared,
        out: &out,
        chunks: ScriptChunks::default(),
    };
    let read = async {
        let mut bytes = Vec::new();
        loop {
            while let Ok(Some(prefix)) = read_prefix(&bytes, PACKET_SIZE_MAX) {
                let size = prefix.frame_size();
                if bytes.len() < size {
                    break;
                }
                let frame: Vec<u8> = bytes.drain(..size).collect();
                if served.frame(&frame[prefix.size..]).is_none() {
                    return Ok(());
                }
            }
            if reader.read_buf(&mut bytes).await? == 0 {
                return Ok::<(), io::Error>(());
            }
        }
    };
    // Either end ends the connection.
    tokio::select! {
        _ = write => {}
        _ = read => {}
    }
    shared.state().connections.remove(&number);
}

async fn write(mut writer: impl AsyncWrite + Unpin, out: &ScriptOutput) -> io::Result<()> {
    let greeting = greeting::encode(&Uuid::NIL, &[7; greeting::SALT_SIZE]);
    writer.write_all(&greeting).await?;
    loop {
        let bytes = out.next().await;
        writer.write_all(&bytes).await?;
    }
}

/// A connection, as its reading half sees it.
struct Served<'a> {
    number: usize,
    shared: &'a Shared,
    out: &'a Arc<ScriptOutput>,
    chunks: ScriptChunks,
}

impl Served<'_> {
    /// Takes a frame; `None` if the connection ends with it.
    fn frame(&mut self, content: &[u8]) -> Option<()> {
        if !self.chunks.is_one(content) {
            return self.request(content, false);
        }
        let brought = self.chunks.take(content, self.out)?;
        match brought {
            Brought::Nothing => {}
            Brought::Request(content) => return self.request(&content, true),
            Brought::GivenUp => self.shared.state().given_up.requests += 1,
            Brought::Refused => self.shared.state().given_up.replies += 1,
        }
        Some(())
    }

    fn request(&mut self, content: &[u8], is_in_chunks: bool) -> Option<()> {
        let (header, body) = read_header(content).ok()?;
        let reply = ReplyHeader {
            sync: header.sync,
            schema_version: 1,
        };
        let mut back = Back {
            reply,
            group: Group::Control,
            out: Arc::clone(self.out),
        };
        let Some(request_type) = RequestType::from_code(header.request_type) else {
            let error = ServerError::unknown_request_type(header.request_type);
            back.write(|bytes| reply.write_error(bytes, &error));
            return Some(());
        };
        match decode(request_type, body) {
            Ok(Body::Id(_)) if self.shared.features == Features::NONE => {
                let error = ServerError::unknown_request_type(header.request_type);
                back.write(|bytes| reply.write_error(bytes, &error));
                return Some(());
            }
            Ok(Body::Id(id)) => {
                let mut bytes = Vec::new();
                let agreed = id.chunks.map(|asked| self.chunks.agree(asked, self.out));
                reply.write_id(&mut bytes, self.shared.features, agreed);
                self.out.send(Group::Control, bytes);
                return Some(());
            }
            Ok(Body::Auth(_)) => {
                let error = self.shared.state().login_error.clone();
                back.write(|bytes| match &error {
                    Some(error) => reply.write_error(bytes, error),
                    None => reply.write_empty(bytes),
                });
                return Some(());
            }
            Ok(Body::Watch(key)) => {
                self.shared.watch(self.number, key, header.sync);
                return Some(());
            }
            Ok(Body::Unwatch(key)) => {
                self.shared.unwatch(self.number, key);
                return Some(());
            }
            _ => {}
        }
        back.group = group_of(request_type, header.stream_id);
        let received = Received {
            request_type,
            stream_id: header.stream_id,
            connection: self.number,
            is_in_chunks,
            body: body.to_vec(),
        };
        let answer = {
            let script = &self.shared.script;
            let mut script = script.lock().unwrap_or_else(PoisonError::into_inner);
            script(&received)
        };
        let count = {
            let mut state = self.shared.state();
            state.received.push(received.clone());
            state.received.len()
        };
        self.shared.received.send_replace(count);
        back.give(answer, &received)
    }
}

/// The group that a reply is sent in.
fn group_of(request_type: RequestType, stream_id: u64) -> Group {
    Group::stream(stream_id).unwrap_or(match request_type {
        RequestType::Select => Group::Read,
        RequestType::Call | RequestType::Eval | RequestType::Execute | RequestType::Prepare => {
            Group::Call
        }
        RequestType::Ping | RequestType::WatchOnce => Group::Control,
        _ => Group::Write,
    })
}

impl Shared {
    fn watch(&self, connection: usize, key: &str, sync: u64) {
        let mut state = self.state();
        let (set, value) = match state.events.get(key) {
            Some((set, value)) => (*set, Some(value.clone())),
            None => (0, None),
        };
        let Some(own) = state.connections.get_mut(&connection) else {
            return;
        };
        own.to_tell.insert(key.to_owned(), sync);
        // What was told is not told again, until it changes.
        if own.watched.get(key) != Some(&set) {
            own.tell(key, set, value.as_deref());
        }
    }

    fn unwatch(&self, connection: usize, key: &str) {
        if let Some(own) = self.state().connections.get_mut(&connection) {
            own.watched.remove(key);
            own.to_tell.remove(key);
        }
    }
}

/// The way back of a request.
#[derive(Clone)]
struct Back {
    reply: ReplyHeader,
    group: Group,
    out: Arc<ScriptOutput>,
}

impl Back {
    fn write(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        write(&mut bytes);
        self.out.send(self.group, bytes);
    }

    /// Answers; `None` if the connection ends with it.
    fn give(self, answer: Answer, received: &Received) -> Option<()> {
        let reply = self.reply;
        match answer {
            Answer::Usual => {
                let missing = match received.request_type {
                    RequestType::Call => received.procedure().map(ServerError::no_such_procedure),
                    RequestType::Eval => Some(ServerError::no_such_procedure("")),
                    _ => None,
                };
                self.write(|bytes| match &missing {
                    Some(error) => reply.write_error(bytes, error),
                    None => reply.write_empty(bytes),
                });
            }
            Answer::Data(data) => self.write(|bytes| {
                let start = reply.begin(bytes);
                write_data_head(bytes);
                bytes.extend_from_slice(&data);
                finish(bytes, start);
            }),
            Answer::Error(error) => self.write(|bytes| reply.write_error(bytes, &error)),
            Answer::Pushes(pushes, last) => {
                for push in pushes {
                    self.write(|bytes| write_push(bytes, reply, &push));
                }
                return self.give(*last, received);
            }
            Answer::Later(time, last) => {
                let received = received.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(time).await;
                    // The end of a connection that was announced so late is left out.
                    let _ = self.give(*last, &received);
                });
            }
            Answer::Silence => {}
            Answer::Close => return None,
        }
        Some(())
    }
}

/// A part of a result that goes on.
fn write_push(out: &mut Vec<u8>, reply: ReplyHeader, push: &[u8]) {
    let start = reply.begin(out);
    write_data_head(out);
    out.push(0x91);
    out.extend_from_slice(push);
    finish(out, start);
    // `ce length(4) 83 00 ce code(4)`
    out[start + 8..start + 12].copy_from_slice(&keys::CODE_CHUNK.to_be_bytes());
}
