//! The blocking side: opening a connection, and the few requests that prepare a measurement.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use vestibule_wire::auth;
use vestibule_wire::greeting::{self, GREETING_SIZE, Greeting};
use vestibule_wire::keys::{self, RequestType};
use vestibule_wire::msgpack::{
    write_array_len, write_map_len, write_str, write_str_bytes, write_uint,
};

use super::request::frame;
use super::{BenchArgs, BenchError, reply};

/// How long the server may take over a step of the preparation.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// Where to connect and as whom.
pub(super) struct Target {
    pub(super) addr: SocketAddr,
    login: Option<(String, String)>,
}

impl Target {
    /// Of the server named on the command line.
    pub(super) fn resolve(name: &str, args: &BenchArgs) -> Result<Self, BenchError> {
        let addr = name
            .to_socket_addrs()
            .map_err(BenchError::io(format!("resolving {name}")))?
            .next()
            .ok_or_else(|| BenchError::Usage(format!("{name} resolves to no address")))?;
        let password = args.password.clone().unwrap_or_default();
        Ok(Target {
            addr,
            login: args.user.clone().map(|user| (user, password)),
        })
    }

    /// Of the server that `--addr` names.
    pub(super) fn of(args: &BenchArgs) -> Result<Self, BenchError> {
        Self::resolve(args.addr.as_deref().unwrap_or_default(), args)
    }

    pub(super) fn anonymous(addr: SocketAddr) -> Self {
        Target { addr, login: None }
    }
}

/// A connection that waits for each answer.
pub(super) struct Control {
    stream: TcpStream,
    greeting: Greeting,
    received: Vec<u8>,
}

impl Control {
    /// Connects, reads the greeting and logs in.
    pub(super) fn open(target: &Target) -> Result<Self, BenchError> {
        let addr = target.addr;
        let connecting = || BenchError::io(format!("connecting to {addr}"));
        let stream = TcpStream::connect_timeout(&addr, STEP_TIMEOUT).map_err(connecting())?;
        stream.set_nodelay(true).map_err(connecting())?;
        stream
            .set_read_timeout(Some(STEP_TIMEOUT))
            .map_err(connecting())?;
        stream
            .set_write_timeout(Some(STEP_TIMEOUT))
            .map_err(connecting())?;
        let greeting = read_greeting(&stream, addr)?;
        let mut control = Control {
            stream,
            greeting,
            received: Vec::new(),
        };
        if let Some((user, password)) = &target.login {
            control.log_in(user, password)?;
        }
        Ok(control)
    }

    /// The version that the server gives itself.
    pub(super) fn server(&self) -> String {
        let (major, minor, patch) = self.greeting.version;
        format!("Tarantool {major}.{minor}.{patch}")
    }

    /// Gives up the blocking ways.
    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }

    fn log_in(&mut self, user: &str, password: &str) -> Result<(), BenchError> {
        let mut body = Vec::new();
        write_map_len(&mut body, 2);
        write_uint(&mut body, keys::USER_NAME);
        write_str(&mut body, user);
        write_uint(&mut body, keys::TUPLE);
        write_array_len(&mut body, 2);
        write_str(&mut body, "chap-sha1");
        write_str_bytes(&mut body, &auth::scramble(password, &self.greeting.salt));
        self.request(RequestType::Auth, &body, &format!("logging in as {user}"))
            .map(drop)
    }

    /// Sends one request, gives the frame of its answer.
    pub(super) fn request(
        &mut self,
        request: RequestType,
        body: &[u8],
        doing: &str,
    ) -> Result<Vec<u8>, BenchError> {
        let mut answer = Vec::new();
        self.exchange(&frame(request, 0, body), 1, doing, |frame| {
            answer.extend_from_slice(frame)
        })?;
        Ok(answer)
    }

    /// Sends `count` requests at once and waits for all answers; an error is fatal.
    pub(super) fn exchange(
        &mut self,
        requests: &[u8],
        count: usize,
        doing: &str,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), BenchError> {
        self.stream
            .write_all(requests)
            .map_err(BenchError::io(doing))?;
        let mut answered = 0;
        let mut used = 0;
        while answered < count {
            let Some(reply) = reply::parse(&self.received[used..])? else {
                self.received.drain(..used);
                used = 0;
                self.receive(doing)?;
                continue;
            };
            let frame = &self.received[used..used + reply.size];
            used += reply.size;
            if let Some(code) = reply.error() {
                let text = reply::error_text(frame);
                // The next exchange must not find this one's replies.
                self.received.drain(..used);
                return Err(BenchError::Refused {
                    doing: doing.to_owned(),
                    code,
                    text,
                });
            }
            if reply.is_final() {
                each(frame);
                answered += 1;
            }
        }
        self.received.drain(..used);
        Ok(())
    }

    fn receive(&mut self, doing: &str) -> Result<(), BenchError> {
        let mut chunk = [0; 16 * 1024];
        let read = self
            .stream
            .read(&mut chunk)
            .map_err(BenchError::io(doing))?;
        if read == 0 {
            return Err(BenchError::Closed {
                doing: doing.to_owned(),
            });
        }
        self.received.extend_from_slice(&chunk[..read]);
        Ok(())
    }
}

fn read_greeting(mut stream: &TcpStream, addr: SocketAddr) -> Result<Greeting, BenchError> {
    let mut bytes = [0; GREETING_SIZE];
    let reading = BenchError::io(format!("waiting for the greeting of {addr}"));
    stream.read_exact(&mut bytes).map_err(reading)?;
    greeting::decode(&bytes).ok_or_else(|| {
        BenchError::Protocol(format!("the greeting of {addr} is not the one of IPROTO"))
    })
}
