//! The blocking side: opening a connection, and the few requests that prepare a measurement.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use vestibule_wire::client::{GREETING_SIZE, Greeting, ReplyFrame, login_tuple};
use vestibule_wire::features::{Features, PROTOCOL_VERSION};
use vestibule_wire::greeting;
use vestibule_wire::groups::Agreement;
use vestibule_wire::request::{Auth, Body, Id};

use crate::args::BenchArgs;
use crate::error::BenchError;
use crate::reply;
use crate::requests::frame;
use crate::transport::{BlockingStream, Target, Transport};

/// How long the server may take over a step of the preparation.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// What is held of replies in chunks: the window of the Rust client, and no bound of messages that
/// a measurement could meet.
pub const AGREED: Agreement = Agreement {
    window: 256 * 1024,
    messages_max: 4096,
};

/// Where to connect and as whom.
pub(crate) struct Endpoint {
    pub(crate) target: Target,
    login: Option<(String, String)>,
}

impl Endpoint {
    /// Of the server named on the command line.
    pub(crate) fn resolve(name: &str, args: &BenchArgs) -> Result<Self, BenchError> {
        let server_name = args.tls_server_name.as_deref();
        let target = Target::resolve(name, args.tls_ca.as_deref(), server_name)?;
        let password = args.password.clone().unwrap_or_default();
        Ok(Endpoint {
            target,
            login: args.user.clone().map(|user| (user, password)),
        })
    }

    /// Of the server that `--addr` names.
    pub(crate) fn of(args: &BenchArgs) -> Result<Self, BenchError> {
        Self::resolve(args.addr.as_deref().unwrap_or_default(), args)
    }

    pub(crate) fn anonymous(addr: SocketAddr) -> Self {
        let target = addr.into();
        Endpoint {
            target,
            login: None,
        }
    }
}

/// A connection that waits for each answer.
pub(crate) struct BlockingClient {
    stream: BlockingStream,
    greeting: Greeting,
    received: Vec<u8>,
}

impl BlockingClient {
    /// Connects, reads the greeting and logs in.
    pub(crate) fn open(endpoint: &Endpoint) -> Result<Self, BenchError> {
        let target = &endpoint.target;
        let connecting = BenchError::io(format!("connecting to {target}"));
        let mut stream = target.connect(STEP_TIMEOUT).map_err(connecting)?;
        let greeting = read_greeting(&mut stream, target)?;
        let mut client = BlockingClient {
            stream,
            greeting,
            received: Vec::new(),
        };
        if let Some((user, password)) = &endpoint.login {
            client.log_in(user, password)?;
        }
        Ok(client)
    }

    /// The version that the server gives itself.
    pub(crate) fn server(&self) -> String {
        let (major, minor, patch) = self.greeting.version;
        format!("Tarantool {major}.{minor}.{patch}")
    }

    /// As it is.
    pub(crate) fn into_stream(self) -> BlockingStream {
        self.stream
    }

    /// Gives up the blocking ways.
    pub(crate) fn into_transport(self) -> Result<Transport, BenchError> {
        let setup = BenchError::io("setting up a connection");
        self.stream.into_transport().map_err(setup)
    }

    /// The socket of a connection over plain TCP.
    pub(crate) fn into_tcp(self, what: &str) -> Result<TcpStream, BenchError> {
        match self.stream {
            BlockingStream::Tcp(stream) => Ok(stream),
            _ => Err(BenchError::Usage(format!(
                "{what} goes over plain TCP alone"
            ))),
        }
    }

    /// Asks for what both sides can do; a server that knows no such request can do nothing.
    pub(crate) fn identify(&mut self, chunks: Option<Agreement>) -> Result<Id, BenchError> {
        let asked = Body::Id(Id {
            version: PROTOCOL_VERSION,
            features: Features::SUPPORTED,
            chunks,
        });
        let mut answer = Id {
            version: 0,
            features: Features::NONE,
            chunks: None,
        };
        self.exchange_any(&frame(&asked), 1, "asking for features", |reply| {
            if reply.error_code().is_none()
                && let Some(id) = reply.id()
            {
                answer = id;
            }
            Ok(())
        })?;
        answer.chunks = answer.chunks.filter(|_| chunks.is_some());
        Ok(answer)
    }

    fn log_in(&mut self, user: &str, password: &str) -> Result<(), BenchError> {
        let tuple = login_tuple(password, &self.greeting.salt);
        let auth = Body::Auth(Auth {
            user,
            tuple: &tuple,
        });
        self.request(&auth, &format!("logging in as {user}"))
            .map(drop)
    }

    /// Sends one request; gives the data of its answer, as MessagePack, or nothing if it has none.
    pub(crate) fn request(&mut self, body: &Body<'_>, doing: &str) -> Result<Vec<u8>, BenchError> {
        let mut data = Vec::new();
        self.exchange(&frame(body), 1, doing, |reply| {
            data.extend_from_slice(reply.data().unwrap_or_default());
        })?;
        Ok(data)
    }

    /// Sends `count` requests at once and waits for all answers; an error is fatal.
    pub(crate) fn exchange(
        &mut self,
        requests: &[u8],
        count: usize,
        doing: &str,
        mut each: impl FnMut(&ReplyFrame<'_>),
    ) -> Result<(), BenchError> {
        self.exchange_any(requests, count, doing, |reply| {
            match reply::refusal(reply) {
                None => each(reply),
                Some((code, text)) => {
                    let doing = doing.to_owned();
                    return Err(BenchError::Refused { doing, code, text });
                }
            }
            Ok(())
        })
    }

    /// Sends `count` requests at once and waits for all answers, whatever they say.
    pub(crate) fn exchange_any(
        &mut self,
        requests: &[u8],
        count: usize,
        doing: &str,
        mut each: impl FnMut(&ReplyFrame<'_>) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        self.send(requests, doing)?;
        let (mut answered, mut used) = (0, 0);
        let mut outcome = Ok(());
        while answered < count && outcome.is_ok() {
            let Some(reply) = reply::read(&self.received[used..])? else {
                self.received.drain(..used);
                used = 0;
                self.receive(doing)?;
                continue;
            };
            used += reply.size;
            if reply.is_final() {
                outcome = each(&reply);
                answered += 1;
            }
        }
        // The next exchange must not find this one's replies.
        self.received.drain(..used);
        outcome
    }

    /// Sends requests whose answers nobody waits for.
    pub(crate) fn send(&mut self, requests: &[u8], doing: &str) -> Result<(), BenchError> {
        self.stream
            .write_all(requests)
            .map_err(BenchError::io(doing))
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

fn read_greeting(stream: &mut BlockingStream, target: &Target) -> Result<Greeting, BenchError> {
    let mut bytes = [0; GREETING_SIZE];
    let reading = BenchError::io(format!("waiting for the greeting of {target}"));
    stream.read_exact(&mut bytes).map_err(reading)?;
    greeting::decode(&bytes).ok_or_else(|| {
        BenchError::Protocol(format!("the greeting of {target} is not the one of IPROTO"))
    })
}
