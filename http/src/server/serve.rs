//! The thread of the door.

use std::cell::RefCell;
use std::io;
use std::mem;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures::future::{Either, select};
use hyper::body::Incoming;
use hyper::header::ACCEPT;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, LocalSet, spawn_local};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use vestibule_actors::{ListenAddress, RuntimeHandle};

use super::listen::{Listener, Stream};
use super::places::{Number, Places};
use super::request::{Peer, check, check_private};
use super::routes::{Audience, OTHER, Page, Route, find, not_found};
#[cfg(feature = "tls")]
use super::secured::{self, Agreed};
use crate::config::{HttpConfig, HttpListener, HttpSettings, LiveSettings};
use crate::door::{Answer, Content, Door, Patience, Question};
use crate::limits::{
    ACCEPT_PAUSE, CLOSING_TIME_MAX, DESCRIPTORS, HEAD_SIZE_MAX, HEAD_TIME_MAX, HEADERS_MAX,
    THREAD_DESCRIPTORS,
};
use crate::observed::Observed;
use crate::pages::events::take_sample;
use crate::sources::Sources;

/// Why there is no door.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The configuration makes no sense.
    #[error("HTTP: {0}")]
    Config(String),
    /// The system refuses to listen there.
    #[error("cannot listen for HTTP on {address}: {source}")]
    Listen {
        /// Where.
        address: ListenAddress,
        /// Why not.
        source: io::Error,
    },
    /// A listener that is bound already cannot be set up.
    #[error("cannot listen for HTTP by a socket that is bound already: {0}")]
    Bound(#[source] io::Error),
    /// There is no thread for it, or no reactor.
    #[error("cannot start the thread for HTTP: {0}")]
    Thread(#[source] io::Error),
}

/// An open door. Dropped, it is closed.
#[derive(Debug)]
pub struct HttpHandle {
    addresses: Vec<ListenAddress>,
    settings: Arc<LiveSettings>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl HttpHandle {
    /// Where it listens, with the ports that the system picked. What was bound already is the last,
    /// if it has an address.
    #[must_use]
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.addresses
    }

    /// What replaces its settings, from any thread and for as long as anybody likes.
    #[must_use]
    pub fn control(&self) -> HttpControl {
        HttpControl(self.settings.clone())
    }

    /// Closes it: who is connected is answered within half a second, or not at all.
    pub fn stop(mut self) {
        self.close();
    }

    fn close(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|own| own.join().is_err()) {
            log::error!("the thread for HTTP has panicked");
        }
    }
}

/// What replaces the settings of a door while it is open; once it is closed, that changes nothing.
#[derive(Debug, Clone)]
pub struct HttpControl(Arc<LiveSettings>);

impl HttpControl {
    /// The settings that hold now.
    #[must_use]
    pub fn settings(&self) -> HttpSettings {
        HttpSettings::clone(&self.0.get())
    }

    /// Answers who asks from now on by other settings. With another token streams of events end
    /// with the next sample: whom the one before has let in has to ask again.
    pub fn reconfigure(&self, settings: HttpSettings) {
        self.0.set(settings);
    }
}

impl Drop for HttpHandle {
    fn drop(&mut self) {
        self.close();
    }
}

/// Opens a door to a runtime, on a thread of its own. Returns when it listens.
///
/// Close it last in a stop: until then it tells how far that is.
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
///
/// use vestibule_actors::ListenAddress;
/// use vestibule_actors::testing::Harness;
/// use vestibule_http::{HttpConfig, Sources, serve};
///
/// // In a program: the handle that `vestibule_actors::start` returns.
/// let harness = Harness::start();
/// let config = HttpConfig::new(["127.0.0.1:0".parse()?]);
/// let door = serve(harness.handle(), config, Sources::new("1.2.3"))?;
/// let ListenAddress::Tcp(address) = &door.addresses()[0] else { unreachable!() };
/// let mut client = TcpStream::connect(address)?;
/// client.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer)?;
/// assert!(answer.starts_with("HTTP/1.1 200 OK"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`HttpError`]: it cannot listen where it is to.
pub fn serve<E: 'static>(
    runtime: &RuntimeHandle<E>,
    mut config: HttpConfig,
    sources: Sources,
) -> Result<HttpHandle, HttpError> {
    if let Some(fault) = config.fault() {
        return Err(HttpError::Config(fault));
    }
    let bound = mem::take(&mut config.bound);
    let observed: Box<dyn Observed> = Box::new(runtime.clone());
    let settings = LiveSettings::new(config.settings.clone());
    let own = settings.clone();
    let (stop, stopped) = oneshot::channel();
    let (told, listening) = mpsc::channel();
    let thread = thread::Builder::new().name("http".to_owned());
    let thread = thread
        .spawn(move || {
            run(
                Door::new(observed, config, own, sources),
                bound,
                &told,
                stopped,
            )
        })
        .map_err(HttpError::Thread)?;
    let gone = || Err(HttpError::Thread(io::Error::other("it has ended")));
    let addresses = listening.recv().unwrap_or_else(|_| gone())?;
    Ok(HttpHandle {
        addresses,
        settings,
        stop: Some(stop),
        thread: Some(thread),
    })
}

impl Door {
    /// Answers a request.
    async fn respond<B: hyper::body::Body>(
        self: Rc<Self>,
        request: &Request<B>,
        peer: Peer,
    ) -> Response<Content> {
        let route = find(request.uri().path());
        let answer = match (self.check(request, peer, route), route) {
            (Err(refused), _) => refused,
            (Ok(()), None) => not_found(),
            (Ok(()), Some(route)) => self.clone().page(route.page, question(request)).await,
        };
        let path = route.map_or(OTHER, |own| own.path);
        self.answered.count(path, answer.status());
        answer.into_response()
    }

    /// Refuses what may not be asked, or not by this peer.
    fn check<B: hyper::body::Body>(
        &self,
        request: &Request<B>,
        peer: Peer,
        route: Option<&Route>,
    ) -> Result<(), Answer> {
        let settings = self.settings();
        check(request, peer, &settings)?;
        match route.map(|own| own.audience) {
            Some(Audience::Private) => {
                check_private(request.headers(), peer, settings.token.as_ref())
            }
            Some(Audience::All) | None => Ok(()),
        }
    }

    async fn page(self: Rc<Self>, page: Page, question: Question) -> Answer {
        match page {
            Page::Now(page) => page(&self, &question),
            Page::Later(page) => page(self, question).await,
        }
    }
}

fn question<B>(request: &Request<B>) -> Question {
    let accept = request.headers().get(ACCEPT);
    Question {
        query: request.uri().query().map(str::to_owned),
        accept: accept.and_then(|own| Some(own.to_str().ok()?.to_owned())),
    }
}

type Bound = Result<Vec<ListenAddress>, HttpError>;
type Connected = Rc<RefCell<Places<oneshot::Sender<()>>>>;

/// The thread: until it is told to stop, or nobody can tell it any more.
fn run(
    door: Door,
    bound: Vec<HttpListener>,
    told: &mpsc::Sender<Bound>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = told.send(Err(HttpError::Thread(error)));
            return;
        }
    };
    LocalSet::new().block_on(&runtime, async {
        let (listeners, addresses) = match bind(&door.config, bound) {
            Ok(bound) => bound,
            Err(error) => {
                let _ = told.send(Err(error));
                return;
            }
        };
        let _ = told.send(Ok(addresses));
        let places = DESCRIPTORS - THREAD_DESCRIPTORS - listeners.len();
        let connected: Connected = Rc::new(RefCell::new(Places::new(places)));
        let door = Rc::new(door);
        let accept = |listener| accept_from(listener, door.clone(), connected.clone());
        let accepting = listeners.into_iter().map(|own| spawn_local(accept(own)));
        let accepting: Vec<AbortHandle> = accepting.map(|own| own.abort_handle()).collect();
        let sampling = spawn_local(take_samples(door.clone()));
        // An error says that nobody holds the handle any more.
        let _ = stopped.await;
        accepting.iter().for_each(AbortHandle::abort);
        sampling.abort();
        door.events.close();
        let _ = timeout(CLOSING_TIME_MAX, all_gone(&connected)).await;
    });
}

/// Looks at the runtime once in a period, and whether those may go on who read events.
async fn take_samples(door: Rc<Door>) {
    let mut settings = door.settings();
    let mut ticks = interval(door.config.sample_period);
    // What was missed is over.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let before = mem::replace(&mut settings, door.settings());
        if before.token != settings.token {
            // Whom the one before has let in shows the new one.
            door.events.end_all();
        }
        take_sample(&door);
    }
}

/// Looks now and then: it is the end, and a moment more is no loss.
async fn all_gone(connected: &Connected) {
    while !connected.borrow().is_empty() {
        sleep(Duration::from_millis(5)).await;
    }
}

/// The listeners of a configuration, and those that are bound already; and where they listen, as
/// far as that is told.
fn bind(
    config: &HttpConfig,
    bound: Vec<HttpListener>,
) -> Result<(Vec<Listener>, Vec<ListenAddress>), HttpError> {
    let mut listeners = Vec::new();
    let mut addresses = Vec::new();
    for address in &config.listen {
        let listen = |source| HttpError::Listen {
            address: address.clone(),
            source,
        };
        let listener = Listener::bind(address, config.unix_mode).map_err(listen)?;
        addresses.extend(listener.address().map_err(listen)?);
        listeners.push(listener);
    }
    for own in bound {
        let listener = Listener::over(own).map_err(HttpError::Bound)?;
        addresses.extend(listener.address().map_err(HttpError::Bound)?);
        listeners.push(listener);
    }
    Ok((listeners, addresses))
}

async fn accept_from(listener: Listener, door: Rc<Door>, connected: Connected) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                log::debug!("HTTP: a connection was not accepted: {error}");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (close, mut closed) = oneshot::channel();
        // Without a place it is closed.
        let Some((number, gone)) = connected.borrow_mut().take(close) else {
            continue;
        };
        drop(gone);
        let place = Place {
            connected: connected.clone(),
            number,
        };
        let door = door.clone();
        spawn_local(async move {
            match stream {
                #[cfg(feature = "tls")]
                Stream::Tcp(stream) if door.config.tls.is_some() => {
                    let agreed = secured::agree(&door.config, stream, peer, &mut closed).await;
                    match agreed {
                        Some(Agreed::Tls(own, peer)) => {
                            converse(door, own, peer, &place, &mut closed).await;
                        }
                        Some(Agreed::Plain(own)) => {
                            let peer = Peer::Unsecured;
                            converse(door, own, peer, &place, &mut closed).await;
                        }
                        None => {}
                    }
                }
                Stream::Tcp(stream) => converse(door, stream, peer, &place, &mut closed).await,
                Stream::Unix(stream) => converse(door, stream, peer, &place, &mut closed).await,
            }
        });
    }
}

/// The place of a connection, given back when it ends, however it does.
struct Place {
    connected: Connected,
    number: Number,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connected.borrow_mut().leave(self.number);
    }
}

/// One request, and its answer.
async fn converse<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    door: Rc<Door>,
    stream: S,
    peer: Peer,
    place: &Place,
    closed: &mut oneshot::Receiver<()>,
) {
    let patience = Rc::new(Patience::new());
    let service = service_fn(|request: Request<Incoming>| {
        place.connected.borrow_mut().on_request(place.number);
        let (door, patience) = (door.clone(), patience.clone());
        async move {
            let mut response = door.respond(&request, peer).await;
            if response.body_mut().extend(&patience) {
                place.connected.borrow_mut().on_events(place.number);
            }
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let mut http = http1::Builder::new();
    // Without a timer the time of a head would not be bounded, and nothing would say so.
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_SIZE_MAX)
        .max_headers(HEADERS_MAX)
        .keep_alive(false);
    let conversation = http.serve_connection(TokioIo::new(stream), service);
    let is_over = pin!(patience.is_over());
    if let Either::Right(((), _)) = select(select(conversation, closed), is_over).await {
        log::debug!("HTTP: a connection took too long");
    }
}
