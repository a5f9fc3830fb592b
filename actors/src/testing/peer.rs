//! A client that speaks raw frames over a real socket, one call at a time.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use socket2::{Domain, Socket, Type};
use vestibule_wire::Error;
use vestibule_wire::client::{GREETING_SIZE, Greeting, ReplyFrame, login_tuple};
use vestibule_wire::frame::PREFIX_SIZE;
use vestibule_wire::greeting;
use vestibule_wire::keys::{self, RequestType};

use super::engine::PATIENCE;
use super::request::RequestBuilder;
use crate::engine::arguments::args_array;
use crate::runtime::is_accepted_here;

/// A connection under test, for a test that may wait on its thread: a plain one, or one whose
/// server has a thread of its own. Others use [`AsyncPeer`](super::AsyncPeer).
#[derive(Debug)]
pub struct Peer {
    stream: Socket,
    greeting: Greeting,
    next_sync: u64,
}

/// A frame from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// 0, `0x8000` and an error's number, or 76 for an event.
    pub code: u32,
    /// The sync it answers.
    pub sync: u64,
    /// The schema version, if it has one.
    pub schema_version: Option<u64>,
    /// The body as raw MessagePack.
    pub body: Vec<u8>,
}

impl Frame {
    /// The frame in these bytes, which are one whole frame.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let reply = ReplyFrame::read(bytes, usize::MAX)
            .expect("the server sends frames")
            .expect("the frame is whole");
        assert_eq!(reply.size, bytes.len(), "one frame");
        Self {
            code: reply.code,
            sync: reply.sync,
            schema_version: reply.schema_version,
            body: reply.body.to_vec(),
        }
    }

    fn reply(&self) -> ReplyFrame<'_> {
        ReplyFrame {
            code: self.code,
            sync: self.sync,
            schema_version: self.schema_version,
            size: self.body.len(),
            body: &self.body,
        }
    }

    /// The number of the error, if it is one.
    #[must_use]
    pub fn error_code(&self) -> Option<u16> {
        self.reply().error_code().map(|code| code.0)
    }

    /// The error with its fields and causes, if it is one.
    #[must_use]
    pub fn error(&self) -> Option<Error> {
        self.reply().error()
    }

    /// The error's text, if it is an error.
    #[must_use]
    pub fn error_text(&self) -> Option<String> {
        self.reply().error_text()
    }

    /// Whether the error's stack holds this text (a field's name, say).
    #[must_use]
    pub fn error_mentions(&self, text: &str) -> bool {
        self.body
            .windows(text.len())
            .any(|own| own == text.as_bytes())
    }

    /// The DATA of a reply.
    ///
    /// # Panics
    ///
    /// If there are none, or they are of another type: the test is wrong.
    #[must_use]
    pub fn data<T: DeserializeOwned>(&self) -> T {
        let data = self.reply().data();
        let data = data.unwrap_or_else(|| panic!("no DATA in {self:?}"));
        rmp_serde::from_slice(data).expect("DATA are of the type the test asks for")
    }

    /// The one value that a CALL returned.
    ///
    /// # Panics
    ///
    /// If there is none, or it is of another type: the test is wrong.
    #[must_use]
    pub fn value<T: DeserializeOwned>(&self) -> T {
        self.data::<(T,)>().0
    }

    /// The key and value of an event: what comes after [`RequestBuilder::watch`]. No value: nobody
    /// has set it.
    #[must_use]
    pub fn event(&self) -> Option<(String, Option<Vec<u8>>)> {
        let (key, value) = self.reply().event()?;
        Some((key.to_owned(), value.map(<[u8]>::to_vec)))
    }
}

impl Peer {
    /// Connects and reads the greeting.
    ///
    /// # Panics
    ///
    /// If there is no greeting in time, or if the thread that waits is the one that has to accept
    /// the connection.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        refuse_to_wait_for_itself(address);
        Self::greeted(Self::connected(TcpStream::connect(address)))
    }

    /// Connects from an address of this host (any of 127.0.0.0/8, say) and reads the greeting.
    ///
    /// # Panics
    ///
    /// As [`connect`](Self::connect).
    #[must_use]
    pub fn connect_from(source: IpAddr, address: SocketAddr) -> Self {
        refuse_to_wait_for_itself(address);
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None);
        let socket = socket.expect("a socket can be made");
        let bound = socket.bind(&SocketAddr::new(source, 0).into());
        bound.expect("the address is this host's");
        socket.connect(&address.into()).expect("the server listens");
        Self::greeted(Self::connected(Ok(socket)))
    }

    /// Connects to a unix socket and reads the greeting.
    ///
    /// # Panics
    ///
    /// If there is no greeting in time.
    #[must_use]
    pub fn connect_unix(path: &Path) -> Self {
        Self::greeted(
            UnixStream::connect(path)
                .expect("the server listens")
                .into(),
        )
    }

    fn connected(stream: io::Result<impl Into<Socket>>) -> Socket {
        let stream = stream.expect("the server listens").into();
        stream.set_tcp_nodelay(true).expect("the option can be set");
        stream
    }

    fn greeted(mut stream: Socket) -> Self {
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout can be set");
        let mut bytes = [0; GREETING_SIZE];
        stream.read_exact(&mut bytes).expect("the server greets");
        let greeting = greeting::decode(&bytes).expect("the greeting is well formed");
        Self {
            stream,
            greeting,
            next_sync: 0,
        }
    }

    /// A second handle on the same connection, to send while this one receives.
    ///
    /// # Panics
    ///
    /// If the system has no descriptor left.
    #[must_use]
    pub fn clone_for_writing(&self) -> Self {
        let stream = self.stream.try_clone().expect("the socket can be cloned");
        Self {
            stream,
            greeting: self.greeting.clone(),
            next_sync: self.next_sync,
        }
    }

    /// The greeting.
    #[must_use]
    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// A sync that this peer has not used.
    pub fn sync(&mut self) -> u64 {
        self.next_sync += 1;
        self.next_sync
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    /// Sends bytes as they are, unless the connection is over.
    ///
    /// # Errors
    ///
    /// The connection is over.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Calls a procedure; `None` if the connection is over.
    pub fn try_call(&mut self, sync: u64, name: &str, args: &[u8]) -> Option<Frame> {
        let request = RequestBuilder::call(sync, name, args);
        self.try_send_bytes(&request.bytes()).ok()?;
        self.try_receive().ok().flatten()
    }

    /// Closes the connection, also for other handles on it.
    pub fn close(&self) {
        // It may be closed already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Sends a request.
    pub fn send(&mut self, request: &RequestBuilder) {
        self.send_bytes(&request.bytes());
    }

    /// Sends a request to a server that may have closed the connection.
    ///
    /// # Errors
    ///
    /// It has.
    pub fn try_send(&mut self, request: &RequestBuilder) -> io::Result<()> {
        self.stream.write_all(&request.bytes())
    }

    /// Sends a request and waits for the next frame.
    pub fn ask(&mut self, request: &RequestBuilder) -> Frame {
        self.send(request);
        self.receive()
    }

    /// The next frame.
    ///
    /// # Panics
    ///
    /// If none comes in time, or the connection is closed.
    pub fn receive(&mut self) -> Frame {
        self.try_receive()
            .expect("a frame comes")
            .expect("the connection is open")
    }

    /// The next frame; `None` if the server has closed the connection.
    ///
    /// # Errors
    ///
    /// Nothing came in time.
    pub fn try_receive(&mut self) -> io::Result<Option<Frame>> {
        let mut prefix = [0; PREFIX_SIZE];
        match self.stream.read_exact(&mut prefix) {
            Ok(()) => {}
            Err(fault) if is_closed(&fault) => return Ok(None),
            Err(fault) => return Err(fault),
        }
        let mut frame = prefix.to_vec();
        frame.resize(frame_size(&prefix), 0);
        self.stream.read_exact(&mut frame[PREFIX_SIZE..])?;
        Ok(Some(Frame::read(&frame)))
    }

    /// Waits for the server to close the connection, whatever it sends before; returns that.
    pub fn receive_until_closed(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.try_receive().expect("the server closes in time")).collect()
    }

    /// PING, answered.
    pub fn ping(&mut self) {
        let sync = self.sync();
        let reply = self.ask(&RequestBuilder::new(RequestType::Ping, sync));
        assert_eq!((reply.code, reply.sync), (0, sync));
    }

    /// Calls a procedure with arguments given as a raw MessagePack array.
    pub fn call(&mut self, name: &str, args: &[u8]) -> Frame {
        let sync = self.sync();
        self.ask(&RequestBuilder::call(sync, name, args))
    }

    /// Calls a procedure with arguments given as a tuple or another sequence; `()` for none.
    ///
    /// # Panics
    ///
    /// If MessagePack cannot hold them: the test is wrong.
    pub fn call_with<A: Serialize>(&mut self, name: &str, args: &A) -> Frame {
        self.call(name, &arguments(args))
    }

    /// Calls `vestibule.show` as an operator would: `"requests"`, `"limits"`.
    pub fn show(&mut self, what: &str) -> Frame {
        self.call_with("vestibule.show", &(what,))
    }

    /// The AUTH that logs in on this connection.
    #[must_use]
    pub fn log_in_request(&self, sync: u64, user: &str, password: &str) -> RequestBuilder {
        log_in_request(&self.greeting, sync, user, password)
    }

    /// Logs in.
    pub fn log_in(&mut self, user: &str, password: &str) -> Frame {
        let sync = self.sync();
        let request = self.log_in_request(sync, user, password);
        self.ask(&request)
    }

    /// Sends nothing any more.
    pub fn shut_down_writing(&self) {
        self.stream
            .shutdown(Shutdown::Write)
            .expect("the connection is open");
    }
}

/// The AUTH that logs in on the connection of this greeting.
pub(super) fn log_in_request(
    greeting: &Greeting,
    sync: u64,
    user: &str,
    password: &str,
) -> RequestBuilder {
    let tuple = login_tuple(password, &greeting.salt);
    RequestBuilder::new(RequestType::Auth, sync)
        .text(keys::USER_NAME, user)
        .pair(keys::TUPLE, &tuple)
}

/// The size of a frame that begins with these bytes, with them.
pub(super) fn frame_size(prefix: &[u8; PREFIX_SIZE]) -> usize {
    let [kind, length @ ..] = *prefix;
    assert_eq!(kind, 0xce, "a reply's length always takes five bytes");
    PREFIX_SIZE + u32::from_be_bytes(length) as usize
}

/// The arguments of a CALL as a MessagePack array.
pub(super) fn arguments(args: &impl Serialize) -> Vec<u8> {
    args_array(args).expect("MessagePack holds the arguments")
}

/// A thread that waits for a greeting does not accept connections.
fn refuse_to_wait_for_itself(address: SocketAddr) {
    assert!(
        !is_accepted_here(address),
        "a Peer waits for its greeting on the very thread that has to accept its connection: use \
         AsyncPeer here, or TestServer, which runs the server on a thread of its own"
    );
}

fn is_closed(fault: &io::Error) -> bool {
    matches!(
        fault.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
    )
}
