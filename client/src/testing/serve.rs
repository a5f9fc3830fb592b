//! Connections of a scripted server.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use vestibule_wire::features::Features;
use vestibule_wire::frame::read_prefix;
use vestibule_wire::header::read_header;
use vestibule_wire::keys::{self, RequestType};
use vestibule_wire::limits::PACKET_SIZE_MAX;
use vestibule_wire::reply::{ReplyHeader, finish, write_data_head, write_event};
use vestibule_wire::request::{Body, decode};
use vestibule_wire::{Uuid, greeting};

use super::script::{Answer, Received};
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
}

pub(super) struct Connection {
    out: mpsc::UnboundedSender<Vec<u8>>,
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
            // A connection that has ended hears nothing.
            let _ = self.out.send(event);
        }
    }
}

/// Takes connections for ever.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((socket, _)) = listener.accept().await {
        let (out, to_write) = mpsc::unbounded_channel();
        let mut state = shared.state();
        let number = state.next_connection;
        state.next_connection += 1;
        let served = serve(socket, number, Arc::clone(&shared), out.clone(), to_write);
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

async fn serve(
    mut socket: TcpStream,
    number: usize,
    shared: Arc<Shared>,
    out: mpsc::UnboundedSender<Vec<u8>>,
    mut to_write: mpsc::UnboundedReceiver<Vec<u8>>,
) {
    let (mut reader, mut writer) = socket.split();
    let greeting = greeting::encode(&Uuid::NIL, &[7; greeting::SALT_SIZE]);
    let write = async {
        writer.write_all(&greeting).await?;
        while let Some(bytes) = to_write.recv().await {
            writer.write_all(&bytes).await?;
        }
        Ok::<(), io::Error>(())
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
                if request(&frame[prefix.size..], number, &shared, &out).is_none() {
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

/// Takes a request in; `None` if the connection ends with it.
fn request(
    content: &[u8],
    connection: usize,
    shared: &Arc<Shared>,
    out: &mpsc::UnboundedSender<Vec<u8>>,
) -> Option<()> {
    let (header, body) = read_header(content).ok()?;
    let reply = ReplyHeader {
        sync: header.sync,
        schema_version: 1,
    };
    let Some(request_type) = RequestType::from_code(header.request_type) else {
        let error = ServerError::unknown_request_type(header.request_type);
        return write(out, |bytes| reply.write_error(bytes, &error));
    };
    match decode(request_type, body) {
        Ok(Body::Id(_)) if shared.features == Features::NONE => {
            let error = ServerError::unknown_request_type(header.request_type);
            return write(out, |bytes| reply.write_error(bytes, &error));
        }
        Ok(Body::Id(_)) => return write(out, |bytes| reply.write_id(bytes, shared.features, None)),
        Ok(Body::Auth(_)) => {
            let error = shared.state().login_error.clone();
            return write(out, |bytes| match &error {
                Some(error) => reply.write_error(bytes, error),
                None => reply.write_empty(bytes),
            });
        }
        Ok(Body::Watch(key)) => {
            shared.watch(connection, key, header.sync);
            return Some(());
        }
        Ok(Body::Unwatch(key)) => {
            shared.unwatch(connection, key);
            return Some(());
        }
        _ => {}
    }
    let received = Received {
        request_type,
        stream_id: header.stream_id,
        connection,
        body: body.to_vec(),
    };
    let answer = {
        let mut script = shared.script.lock().unwrap_or_else(PoisonError::into_inner);
        script(&received)
    };
    let count = {
        let mut state = shared.state();
        state.received.push(received.clone());
        state.received.len()
    };
    shared.received.send_replace(count);
    give(answer, &received, reply, out)
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

fn give(
    answer: Answer,
    received: &Received,
    reply: ReplyHeader,
    out: &mpsc::UnboundedSender<Vec<u8>>,
) -> Option<()> {
    match answer {
        Answer::Usual => {
            let missing = match received.request_type {
                RequestType::Call => received.procedure().map(ServerError::no_such_procedure),
                RequestType::Eval => Some(ServerError::no_such_procedure("")),
                _ => None,
            };
            write(out, |bytes| match &missing {
                Some(error) => reply.write_error(bytes, error),
                None => reply.write_empty(bytes),
            })
        }
        Answer::Data(data) => write(out, |bytes| {
            let start = reply.begin(bytes);
            write_data_head(bytes);
            bytes.extend_from_slice(&data);
            finish(bytes, start);
        }),
        Answer::Error(error) => write(out, |bytes| reply.write_error(bytes, &error)),
        Answer::Pushes(pushes, last) => {
            for push in pushes {
                write(out, |bytes| write_push(bytes, reply, &push))?;
            }
            give(*last, received, reply, out)
        }
        Answer::Later(time, last) => {
            let (received, out) = (received.clone(), out.clone());
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                // The end of a connection that was announced so late is left out.
                let _ = give(*last, &received, reply, &out);
            });
            Some(())
        }
        Answer::Silence => Some(()),
        Answer::Close => None,
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

fn write(out: &mpsc::UnboundedSender<Vec<u8>>, write: impl FnOnce(&mut Vec<u8>)) -> Option<()> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    out.send(bytes).ok()
}
