//! An upstream that does as a test says, on threads of its own.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use vestibule_actors::testing::user_reply;
use vestibule_actors::wire::auth::{PasswordHash, SCRAMBLE_SIZE};
use vestibule_actors::wire::features::Features;
use vestibule_actors::wire::frame::{PREFIX_SIZE, read_prefix};
use vestibule_actors::wire::header::{Header, read_header};
use vestibule_actors::wire::keys::{CODE_CHUNK, CODE_ERROR, REQUEST_VOTE, RequestType};
use vestibule_actors::wire::msgpack::Reader;
use vestibule_actors::wire::reply::ReplyHeader;
use vestibule_actors::wire::request::{Body, IdOrName, decode};
use vestibule_actors::wire::{Uuid, greeting};

pub(crate) use crate::bodies::upstreams;
use crate::bodies::{ballot_of, catalog_page, info};
use crate::events::Events;

/// How long a test waits for what has to come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

const SALT: [u8; 32] = [42; 32];

/// The body of an error: its text.
pub(crate) const REFUSED: &[u8] = &[0x81, 0x31, 0xa2, b'n', b'o'];

/// A request of a client, as it came.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Which of the connections that this upstream has had.
    pub(crate) connection: usize,
    /// As whom it is logged in.
    pub(crate) user: String,
    /// What its peer has told that it can do.
    pub(crate) features: Features,
    pub(crate) header: Header,
    pub(crate) body: Vec<u8>,
    answers: Sender<Vec<u8>>,
    schema_version: u64,
}

impl Asked {
    fn bytes(&self, code: u32, body: &[u8]) -> Vec<u8> {
        let header = ReplyHeader {
            sync: self.header.sync,
            schema_version: self.schema_version,
        };
        let mut bytes = Vec::new();
        header.pass_on(&mut bytes, code, body);
        bytes
    }

    fn write(&self, code: u32, body: &[u8]) {
        // The test may have ended the connection.
        let _ = self.answers.send(self.bytes(code, body));
    }

    pub(crate) fn reply(&self, body: &[u8]) {
        self.write(0, body);
    }

    /// The reply in two parts, of which the second goes when it is called.
    pub(crate) fn reply_in_parts(&self, body: &[u8]) -> impl FnOnce() + use<> {
        let mut bytes = self.bytes(0, body);
        let second = bytes.split_off(bytes.len() / 2);
        let answers = self.answers.clone();
        let _ = answers.send(bytes);
        move || drop(answers.send(second))
    }

    pub(crate) fn push(&self, body: &[u8]) {
        self.write(CODE_CHUNK, body);
    }

    pub(crate) fn fail(&self, code: u16, body: &[u8]) {
        self.write(CODE_ERROR | u32::from(code), body);
    }
}

struct State {
    /// The version that it greets with.
    version: (u32, u32, u32),
    is_over: AtomicBool,
    is_writable: AtomicBool,
    /// Whether it reads nothing and says nothing.
    is_silent: Mutex<bool>,
    speaks: Condvar,
    schema_version: AtomicU64,
    /// Changes that it has, of the first instance of its replica set.
    changes: AtomicU64,
    /// How often it was asked how it is.
    votes: AtomicU64,
    /// Spaces of its catalog.
    spaces: Mutex<Vec<u32>>,
    /// The error that it tells in place of its catalog; 0 for none.
    catalog_error: AtomicU64,
    /// How often it was asked for a page of its catalog.
    catalog_asked: AtomicU64,
    /// Whether it has not all its data.
    is_loading: AtomicBool,
    /// Whether it ends connections as they come.
    is_gone: AtomicBool,
    /// How many it ends of those that come next.
    ends: AtomicU64,
    /// Whether what it has to do stands before every question how it is.
    is_busy: AtomicBool,
    /// Which instance it greets as; 0 for none.
    instance: AtomicU64,
    users: Mutex<HashMap<String, PasswordHash>>,
    lookups: AtomicU64,
    connections: Mutex<Vec<TcpStream>>,
    /// The values of events, and who watches them.
    events: Mutex<Events>,
    /// Connections that the peer has ended.
    ended: Mutex<HashSet<usize>>,
    asked: Sender<Asked>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread of the upstream panics")
}

/// One upstream, until it is dropped.
pub(crate) struct FakeUpstream {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    asked: Receiver<Asked>,
}

impl FakeUpstream {
    pub(crate) fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap())
    }

    pub(crate) fn start_at(address: SocketAddr) -> Self {
        Self::start_as((2, 6, 0), address)
    }

    /// One of another version.
    pub(crate) fn of_version(version: (u32, u32, u32)) -> Self {
        Self::start_as(version, "127.0.0.1:0".parse().unwrap())
    }

    fn start_as(version: (u32, u32, u32), address: SocketAddr) -> Self {
        let began = Instant::now();
        // One that was stopped has its port for a moment still.
        let listener = loop {
            match TcpListener::bind(address) {
                Ok(listener) => break listener,
                Err(fault) => assert!(began.elapsed() < PATIENCE, "{fault}"),
            }
        };
        let address = listener.local_addr().unwrap();
        let (sender, asked) = channel();
        let state = Arc::new(State {
            version,
            is_over: AtomicBool::new(false),
            is_writable: AtomicBool::new(true),
            is_silent: Mutex::new(false),
            speaks: Condvar::new(),
            schema_version: AtomicU64::new(80),
            changes: AtomicU64::new(11),
            votes: AtomicU64::new(0),
            spaces: Mutex::new(vec![512]),
            catalog_error: AtomicU64::new(0),
            catalog_asked: AtomicU64::new(0),
            is_loading: AtomicBool::new(false),
            is_gone: AtomicBool::new(false),
            ends: AtomicU64::new(0),
            is_busy: AtomicBool::new(false),
            instance: AtomicU64::new(0),
            users: Mutex::default(),
            lookups: AtomicU64::new(0),
            connections: Mutex::default(),
            events: Mutex::default(),
            ended: Mutex::default(),
            asked: sender,
        });
        let own = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let number = {
                    // Under the lock, so that the end finds it or it finds the end.
                    let mut connections = lock(&own.connections);
                    if own.is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    connections.push(stream.try_clone().unwrap());
                    connections.len() - 1
                };
                let (order, less) = (Ordering::SeqCst, |own: u64| own.checked_sub(1));
                let is_last = own.ends.fetch_update(order, order, less).is_ok();
                if is_last || own.is_gone.load(order) {
                    let _ = stream.shutdown(Shutdown::Both);
                    continue;
                }
                let own = own.clone();
                thread::spawn(move || serve(&own, stream, number));
            }
        });
        Self {
            address,
            state,
            asked,
        }
    }

    pub(crate) fn set_writable(&self, is_writable: bool) {
        self.state.is_writable.store(is_writable, Ordering::SeqCst);
    }

    pub(crate) fn set_silent(&self, is_silent: bool) {
        *lock(&self.state.is_silent) = is_silent;
        self.state.speaks.notify_all();
    }

    pub(crate) fn set_schema_version(&self, version: u64) {
        self.state.schema_version.store(version, Ordering::SeqCst);
    }

    /// From now on it has this number of changes.
    pub(crate) fn set_changes(&self, changes: u64) {
        self.state.changes.store(changes, Ordering::SeqCst);
    }

    /// From now on it has these spaces, in another version of its catalog.
    pub(crate) fn set_spaces(&self, spaces: &[u32]) {
        *lock(&self.state.spaces) = spaces.to_vec();
        self.state.schema_version.fetch_add(1, Ordering::SeqCst);
    }

    /// From now on it tells this error in place of its catalog; 0: none.
    pub(crate) fn set_catalog_error(&self, code: u16) {
        (self.state.catalog_error).store(u64::from(code), Ordering::SeqCst);
    }

    /// How often it was asked for a page of its catalog.
    pub(crate) fn catalog_asked(&self) -> u64 {
        self.state.catalog_asked.load(Ordering::SeqCst)
    }

    pub(crate) fn set_loading(&self, is_loading: bool) {
        self.state.is_loading.store(is_loading, Ordering::SeqCst);
    }

    /// From now on it ends all connections, or none any more.
    pub(crate) fn set_gone(&self, is_gone: bool) {
        self.state.is_gone.store(is_gone, Ordering::SeqCst);
        if is_gone {
            for connection in lock(&self.state.connections).iter() {
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
    }

    /// Ends as many connections as they come, and none that is there.
    pub(crate) fn end_next(&self, count: u64) {
        self.state.ends.store(count, Ordering::SeqCst);
    }

    /// From now on it answers requests and does not say how it is, or does again at the next
    /// connection.
    pub(crate) fn set_busy(&self, is_busy: bool) {
        self.state.is_busy.store(is_busy, Ordering::SeqCst);
    }

    /// How often it was asked how it is.
    pub(crate) fn votes(&self) -> u64 {
        self.state.votes.load(Ordering::SeqCst)
    }

    pub(crate) fn set_password(&self, user: &str, password: &str) {
        let hash = PasswordHash::of(password);
        lock(&self.state.users).insert(user.to_owned(), hash);
    }

    pub(crate) fn drop_user(&self, user: &str) {
        lock(&self.state.users).remove(user);
    }

    /// An event has this value from now on.
    pub(crate) fn set_event(&self, key: &str, value: &[u8]) {
        let mut events = lock(&self.state.events);
        events.values.insert(key.to_owned(), value.to_vec());
        events.is_mute = false;
        events.tell();
    }

    /// From its next connection on it is this instance, and the values of its events are not told
    /// before that is asked for by one more.
    pub(crate) fn set_instance(&self, instance: u64) {
        self.state.instance.store(instance, Ordering::SeqCst);
        lock(&self.state.events).is_mute = true;
    }

    /// How many connections watch a key.
    pub(crate) fn watchers(&self, key: &str) -> usize {
        let events = lock(&self.state.events);
        events.watchers.keys().filter(|(_, own)| own == key).count()
    }

    /// How often it was asked for a user.
    pub(crate) fn lookups(&self) -> u64 {
        self.state.lookups.load(Ordering::SeqCst)
    }

    /// How many connections it has had.
    pub(crate) fn connections(&self) -> usize {
        lock(&self.state.connections).len()
    }

    /// Whether the peer has ended a connection.
    pub(crate) fn has_ended(&self, connection: usize) -> bool {
        lock(&self.state.ended).contains(&connection)
    }

    /// Ends a connection.
    pub(crate) fn end(&self, connection: usize) {
        let _ = lock(&self.state.connections)[connection].shutdown(Shutdown::Both);
    }

    /// The next request of a client.
    pub(crate) fn asked(&self) -> Asked {
        let asked = self.asked.recv_timeout(PATIENCE);
        asked.expect("a request is forwarded")
    }

    /// Answers all that it is asked until something is over; what it was asked.
    pub(crate) fn answer_all<T>(&self, body: &[u8], until: &ScopedJoinHandle<T>) -> Vec<Asked> {
        let mut all = Vec::new();
        while !until.is_finished() {
            if let Ok(asked) = self.asked.recv_timeout(Duration::from_millis(10)) {
                asked.reply(body);
                all.push(asked);
            }
        }
        all
    }

    /// The next request of a client, if one has come.
    pub(crate) fn try_asked(&self) -> Option<Asked> {
        self.asked.try_recv().ok()
    }
}

impl Drop for FakeUpstream {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        for connection in lock(&self.state.connections).iter() {
            let _ = connection.shutdown(Shutdown::Both);
        }
        self.set_silent(false);
        let began = Instant::now();
        // The listener sees that it is over when somebody comes.
        while TcpStream::connect(self.address).is_ok() && began.elapsed() < PATIENCE {
            thread::yield_now();
        }
    }
}

fn serve(state: &Arc<State>, mut stream: TcpStream, connection: usize) {
    stream.set_nodelay(true).unwrap();
    wait_while_silent(state);
    let instance = Uuid::from_bytes([state.instance.load(Ordering::SeqCst) as u8; Uuid::SIZE]);
    let _ = stream.write_all(&greeting::encode_version(state.version, &instance, &SALT));
    let (answers, to_write) = channel::<Vec<u8>>();
    let mut writer = stream.try_clone().unwrap();
    let own = state.clone();
    thread::spawn(move || {
        for bytes in to_write {
            wait_while_silent(&own);
            if writer.write_all(&bytes).is_err() {
                return;
            }
        }
    });
    let (mut user, mut features) = ("guest".to_owned(), Features::NONE);
    while let Some(content) = read_frame(&mut stream) {
        wait_while_silent(state);
        let (header, body) = read_header(&content).expect("a gateway sends headers");
        let asked = Asked {
            connection,
            user: user.clone(),
            features,
            header,
            body: body.to_vec(),
            answers: answers.clone(),
            schema_version: state.schema_version.load(Ordering::SeqCst),
        };
        answer(state, asked, &mut user, &mut features);
    }
    lock(&state.events)
        .watchers
        .retain(|(own, _), _| *own != connection);
    lock(&state.ended).insert(connection);
}

fn wait_while_silent(state: &State) {
    let silent = lock(&state.is_silent);
    let waited = state.speaks.wait_while(silent, |is_silent| *is_silent);
    drop(waited.expect("no thread of the upstream panics"));
}

fn read_frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut prefix = [0; PREFIX_SIZE];
    stream.read_exact(&mut prefix).ok()?;
    let prefix = read_prefix(&prefix, u64::MAX).unwrap().unwrap();
    assert_eq!(prefix.size, PREFIX_SIZE, "lengths have five bytes");
    let mut content = vec![0; prefix.length];
    stream.read_exact(&mut content).ok()?;
    Some(content)
}

fn answer(state: &State, asked: Asked, user: &mut String, features: &mut Features) {
    let request = RequestType::from_code(asked.header.request_type);
    match request.map(|own| decode(own, &asked.body)) {
        None if asked.header.request_type == REQUEST_VOTE => {
            if !state.is_busy.load(Ordering::SeqCst) {
                asked.reply(&ballot(state));
            }
        }
        Some(Ok(Body::Auth(auth))) => match accepts(state, auth.user, auth.tuple) {
            true => {
                auth.user.clone_into(user);
                asked.reply(&[0x80]);
            }
            false => asked.fail(47, REFUSED),
        },
        Some(Ok(Body::Id(id))) => {
            *features = id.features;
            asked.reply(&[0x80]);
        }
        Some(Ok(Body::Watch(key))) => {
            let watcher = (asked.connection, key.to_owned());
            lock(&state.events).watch(watcher, asked.answers, asked.header.sync);
        }
        Some(Ok(Body::Unwatch(key))) => {
            let watcher = (asked.connection, key.to_owned());
            lock(&state.events).watchers.remove(&watcher);
        }
        Some(Ok(Body::Call(call))) if call.name == "box.info" => {
            asked.reply(&info(!state.is_writable.load(Ordering::SeqCst)));
        }
        Some(Ok(Body::Select(select))) if user == "gateway" && select.space != USERS => {
            state.catalog_asked.fetch_add(1, Ordering::SeqCst);
            match state.catalog_error.load(Ordering::SeqCst) {
                0 => {
                    let spaces = lock(&state.spaces);
                    asked.reply(&catalog_page(&spaces, select.space, select.key));
                }
                code => asked.fail(code as u16, REFUSED),
            }
        }
        Some(Ok(Body::Select(select))) if user == "gateway" => {
            state.lookups.fetch_add(1, Ordering::SeqCst);
            asked.reply(&user_row(state, select.key));
        }
        _ => drop(state.asked.send(asked)),
    }
}

/// How it is.
fn ballot(state: &State) -> Vec<u8> {
    state.votes.fetch_add(1, Ordering::SeqCst);
    let changes = state.changes.load(Ordering::SeqCst);
    let is = |own: &AtomicBool| own.load(Ordering::SeqCst);
    ballot_of(changes, is(&state.is_loading), is(&state.is_writable))
}

/// The space of the users.
const USERS: IdOrName<'static> = IdOrName::Id(304);

fn accepts(state: &State, user: &str, tuple: &[u8]) -> bool {
    if user == "gateway" {
        return true;
    }
    let mut reader = Reader::new(tuple);
    let _ = (reader.read_array_len(), reader.read_str());
    let scramble: [u8; SCRAMBLE_SIZE] = reader.read_str_bytes().unwrap().try_into().unwrap();
    let hash = lock(&state.users).get(user).copied();
    hash.is_some_and(|hash| hash.accepts(&SALT, &scramble))
}

fn user_row(state: &State, key: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(key);
    let _ = reader.read_array_len();
    let name = reader.read_str().unwrap();
    let hash = lock(&state.users).get(name).copied();
    user_reply(name, hash)
}
