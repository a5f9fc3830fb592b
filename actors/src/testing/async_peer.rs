//! The client of `peer`, for tests of an async runtime: it waits without keeping its thread.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use tokio::net::TcpStream;
use tokio::time::timeout;
use vestibule_wire::client::{GREETING_SIZE, Greeting};
use vestibule_wire::frame::PREFIX_SIZE;
use vestibule_wire::greeting;
use vestibule_wire::keys::RequestType;

use super::engine::PATIENCE;
use super::peer::{Frame, arguments, frame_size, log_in_request};
use super::request::RequestBuilder;

/// Bytes that are read with one call.
const READ_SIZE: usize = 16 << 10;

/// A connection under test, as [`Peer`](super::Peer) is one. What it waits for in vain for 30
/// seconds by the runtime's clock is a panic that says so. Dropping what it waits with loses
/// nothing: the next wait goes on.
///
/// ```
/// use vestibule_actors::testing::{AsyncPeer, Harness};
///
/// actix_rt::System::new().block_on(async {
///     let harness = Harness::start();
///     let mut peer = AsyncPeer::connect(harness.address()).await;
///     peer.ping().await;
///     assert_eq!(peer.call_with("echo", &(7,)).await.value::<u64>(), 7);
/// });
/// ```
#[derive(Debug)]
pub struct AsyncPeer {
    stream: TcpStream,
    greeting: Greeting,
    next_sync: u64,
    /// What was read and not handed out.
    inbox: Vec<u8>,
}

impl AsyncPeer {
    /// Connects and reads the greeting.
    ///
    /// # Panics
    ///
    /// If there is no greeting in time.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = in_time(TcpStream::connect(address)).await;
        let stream = stream.expect("the server listens");
        stream.set_nodelay(true).expect("the option can be set");
        let mut inbox = Vec::new();
        while inbox.len() < GREETING_SIZE {
            let read = in_time(read(&stream, &mut inbox)).await;
            let read = read.expect("the connection is open");
            assert!(read > 0, "the server greets");
        }
        let bytes: [u8; GREETING_SIZE] = inbox[..GREETING_SIZE].try_into().expect("so many");
        inbox.drain(..GREETING_SIZE);
        Self {
            stream,
            greeting: greeting::decode(&bytes).expect("the greeting is well formed"),
            next_sync: 0,
            inbox,
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
    ///
    /// # Panics
    ///
    /// If the connection is over.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            in_time(self.stream.writable()).await.expect("it is open");
            match self.stream.try_write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => {}
                Err(fault) => panic!("the server reads: {fault}"),
            }
        }
    }

    /// Sends a request.
    ///
    /// # Panics
    ///
    /// If the connection is over.
    pub async fn send(&mut self, request: &RequestBuilder) {
        self.send_bytes(&request.bytes()).await;
    }

    /// The next frame.
    ///
    /// # Panics
    ///
    /// If none comes in time, or the connection is closed.
    pub async fn receive(&mut self) -> Frame {
        let frame = self.try_receive().await;
        frame.expect("the connection is open")
    }

    /// The next frame; `None` if the server has closed the connection.
    ///
    /// # Panics
    ///
    /// If nothing comes in time.
    pub async fn try_receive(&mut self) -> Option<Frame> {
        loop {
            let size = match self.inbox.first_chunk::<PREFIX_SIZE>() {
                Some(prefix) => frame_size(prefix),
                None => PREFIX_SIZE,
            };
            if size > PREFIX_SIZE && self.inbox.len() >= size {
                let frame = Frame::read(&self.inbox[..size]);
                self.inbox.drain(..size);
                return Some(frame);
            }
            match in_time(read(&self.stream, &mut self.inbox)).await {
                Ok(0) => return None,
                Ok(_) => {}
                Err(fault) if fault.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(fault) => panic!("a frame comes: {fault}"),
            }
        }
    }

    /// Sends a request and waits for the next frame.
    pub async fn ask(&mut self, request: &RequestBuilder) -> Frame {
        self.send(request).await;
        self.receive().await
    }

    /// PING, answered.
    pub async fn ping(&mut self) {
        let sync = self.sync();
        let ping = RequestBuilder::new(RequestType::Ping, sync);
        let reply = self.ask(&ping).await;
        assert_eq!((reply.code, reply.sync), (0, sync));
    }

    /// Calls a procedure with arguments given as a raw MessagePack array.
    pub async fn call(&mut self, name: &str, args: &[u8]) -> Frame {
        let sync = self.sync();
        self.ask(&RequestBuilder::call(sync, name, args)).await
    }

    /// Calls a procedure with arguments given as a tuple or another sequence; `()` for none.
    ///
    /// # Panics
    ///
    /// If MessagePack cannot hold them: the test is wrong.
    pub async fn call_with<A: Serialize>(&mut self, name: &str, args: &A) -> Frame {
        self.call(name, &arguments(args)).await
    }

    /// Calls `vestibule.show` as an operator would: `"requests"`, `"limits"`.
    pub async fn show(&mut self, what: &str) -> Frame {
        self.call_with("vestibule.show", &(what,)).await
    }

    /// Logs in.
    pub async fn log_in(&mut self, user: &str, password: &str) -> Frame {
        let sync = self.sync();
        let request = log_in_request(&self.greeting, sync, user, password);
        self.ask(&request).await
    }
}

/// Appends what there is to read, or waits for something; returns how many bytes it was.
async fn read(stream: &TcpStream, inbox: &mut Vec<u8>) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        let mut bytes = [0; READ_SIZE];
        match stream.try_read(&mut bytes) {
            Ok(size) => {
                inbox.extend_from_slice(&bytes[..size]);
                return Ok(size);
            }
            Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => {}
            Err(fault) => return Err(fault),
        }
    }
}

async fn in_time<T>(future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let patience: Duration = PATIENCE;
    match timeout(patience, future).await {
        Ok(result) => result,
        Err(_) => panic!("nothing came for {} s", patience.as_secs()),
    }
}
