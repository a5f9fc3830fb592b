//! Values and pings over one yamux connection, with the figures of `vestibule bench --op bulk`.
//!
//! ```text
//!   yamux-peer serve 127.0.0.1:3400
//!   yamux-peer load 127.0.0.1:3400 --size 16000000 --direction down --depth 2 --seconds 5
//! ```
//!
//! A request is one byte and a number of four bytes, in a stream: `d` asks for as many bytes, `u`
//! brings them and is answered by one byte, `p` is answered by one. Each end is one thread, as the
//! generator is, and the connection is configured as yamux is by default. One object with the names
//! of `vestibule bench --json` goes to the standard output.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures::channel::mpsc;
use futures::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{LocalSet, spawn_local};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};
use yamux::{Config, Connection, Mode, Stream};

/// Bytes of a request before its value.
const REQUEST_SIZE: usize = 5;
/// Bytes that are read and written at a time.
const BUFFER_SIZE: usize = 64 * 1024;

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, address, options @ ..] = &arguments[..] else {
        return Err("usage: yamux-peer serve ADDRESS | load ADDRESS [--NAME VALUE]...".into());
    };
    let local = LocalSet::new();
    match what.as_str() {
        "serve" => local.run_until(serve(address)).await,
        "load" => local.run_until(load(address, &Load::read(options)?)).await,
        other => Err(format!("{other} is neither serve nor load").into()),
    }
}

async fn serve(address: &str) -> Result<(), Failure> {
    let listener = TcpListener::bind(address).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        spawn_local(async move {
            let mut connection = Connection::new(socket.compat(), Config::default(), Mode::Server);
            while let Some(Ok(stream)) = poll_fn(|cx| connection.poll_next_inbound(cx)).await {
                // A stream that ends in an error ends: its peer is gone.
                spawn_local(async move { drop(answer(stream).await) });
            }
        });
    }
}

/// Answers the requests of one stream, in order.
async fn answer(mut stream: Stream) -> io::Result<()> {
    let mut buffer = vec![b'v'; BUFFER_SIZE];
    loop {
        let mut request = [0; REQUEST_SIZE];
        stream.read_exact(&mut request).await?;
        let [kind, size @ ..] = request;
        let size = u32::from_be_bytes(size) as usize;
        match kind {
            b'd' => write_value(&mut stream, &buffer, size).await?,
            b'u' => {
                read_value(&mut stream, &mut buffer, size, &mut |_| ()).await?;
                stream.write_all(b"u").await?;
            }
            _ => stream.write_all(b"p").await?,
        }
        stream.flush().await?;
    }
}

async fn write_value<S: futures::AsyncWrite + Unpin>(
    stream: &mut S,
    buffer: &[u8],
    size: usize,
) -> io::Result<()> {
    let mut left = size;
    while left > 0 {
        let written = stream.write(&buffer[..left.min(BUFFER_SIZE)]).await?;
        left -= written;
    }
    Ok(())
}

async fn read_value<S: futures::AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut [u8],
    size: usize,
    count: &mut impl FnMut(usize),
) -> io::Result<()> {
    let mut left = size;
    while left > 0 {
        let read = stream.read(&mut buffer[..left.min(BUFFER_SIZE)]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left -= read;
        count(read);
    }
    Ok(())
}

/// What is to be sent.
struct Load {
    size: usize,
    is_down: bool,
    is_up: bool,
    direction: String,
    depth: usize,
    groups: usize,
    beside_every: Duration,
    seconds: Duration,
    warmup: Duration,
    pid: Option<u32>,
}

impl Load {
    fn read(options: &[String]) -> Result<Self, Failure> {
        let mut given = HashMap::new();
        for pair in options.chunks(2) {
            let [name, value] = pair else {
                return Err(format!("{} lacks a value", pair[0]).into());
            };
            given.insert(name.as_str(), value.as_str());
        }
        let mut take = |name: &str, default: &str| given.remove(name).unwrap_or(default).to_owned();
        let direction = take("--direction", "down");
        let load = Self {
            size: take("--size", "1000000").parse()?,
            is_down: direction != "up",
            is_up: direction != "down",
            direction,
            depth: take("--depth", "1").parse()?,
            groups: take("--groups", "1").parse()?,
            beside_every: Duration::try_from_secs_f64(take("--beside-every", "0.001").parse()?)?,
            seconds: Duration::try_from_secs_f64(take("--seconds", "5").parse()?)?,
            warmup: Duration::try_from_secs_f64(take("--warmup-seconds", "1").parse()?)?,
            pid: match take("--pid", "").as_str() {
                "" => None,
                pid => Some(pid.parse()?),
            },
        };
        match given.keys().next() {
            Some(name) => Err(format!("{name} is no option").into()),
            None => Ok(load),
        }
    }
}

/// What was counted since the warm-up.
#[derive(Default)]
struct Counts {
    transfers: Vec<Duration>,
    beside: Vec<Duration>,
    down: usize,
    up: usize,
}

type Shared = Rc<RefCell<Counts>>;

async fn load(address: &str, load: &Load) -> Result<(), Failure> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let mut connection = Connection::new(socket.compat(), Config::default(), Mode::Client);
    let counts = Shared::default();
    let kinds = [(b'd', load.is_down), (b'u', load.is_up)].into_iter();
    for (kind, _) in kinds.filter(|(_, is_wanted)| *is_wanted) {
        for _ in 0..load.groups {
            let stream = open(&mut connection).await?;
            spawn_local(transfer(
                stream,
                kind,
                load.size,
                load.depth,
                counts.clone(),
            ));
        }
    }
    let pings = open(&mut connection).await?;
    spawn_local(ping(pings, load.beside_every, counts.clone()));
    // The connection moves only while it is asked for more streams.
    spawn_local(async move {
        while poll_fn(|cx| connection.poll_next_inbound(cx))
            .await
            .is_some()
        {}
    });
    tokio::time::sleep(load.warmup).await;
    let cpu = || load.pid.and_then(processor_time);
    let before = cpu();
    counts.take();
    let began = Instant::now();
    tokio::time::sleep(load.seconds).await;
    let counts = counts.take();
    let elapsed = began.elapsed().as_secs_f64();
    let time = cpu()
        .zip(before)
        .map(|(after, before)| after.saturating_sub(before));
    print(load, counts, elapsed, time);
    Ok(())
}

async fn open(connection: &mut Connection<Compat<TcpStream>>) -> Result<Stream, Failure> {
    Ok(poll_fn(|cx| connection.poll_new_outbound(cx)).await?)
}

/// Keeps transfers in flight on a stream. It ends with the connection, which ends with the process.
async fn transfer(stream: Stream, kind: u8, size: usize, depth: usize, counts: Shared) {
    let (mut reader, mut writer) = stream.split();
    let in_flight = Rc::new(Semaphore::new(depth));
    let asked: Rc<RefCell<VecDeque<Instant>>> = Rc::default();
    let sending = async {
        let buffer = vec![b'v'; BUFFER_SIZE];
        while let Ok(permit) = in_flight.acquire().await {
            permit.forget();
            asked.borrow_mut().push_back(Instant::now());
            let mut request = [kind; REQUEST_SIZE];
            request[1..].copy_from_slice(&(size as u32).to_be_bytes());
            writer.write_all(&request).await?;
            let mut left = if kind == b'u' { size } else { 0 };
            while left > 0 {
                let written = writer.write(&buffer[..left.min(BUFFER_SIZE)]).await?;
                counts.borrow_mut().up += written;
                left -= written;
            }
            writer.flush().await?;
        }
        io::Result::Ok(())
    };
    let receiving = async {
        let mut buffer = vec![0; BUFFER_SIZE];
        loop {
            let (reply, is_down) = if kind == b'd' {
                (size, true)
            } else {
                (1, false)
            };
            let mut count = |read| counts.borrow_mut().down += if is_down { read } else { 0 };
            read_value(&mut reader, &mut buffer, reply, &mut count).await?;
            if let Some(since) = asked.borrow_mut().pop_front() {
                counts.borrow_mut().transfers.push(since.elapsed());
            }
            in_flight.add_permits(1);
        }
        #[expect(unreachable_code, reason = "it tells the type")]
        io::Result::Ok(())
    };
    let _ = futures::future::try_join(sending, receiving).await;
}

/// Pings at fixed times, answered or not.
async fn ping(stream: Stream, every: Duration, counts: Shared) {
    let (mut reader, mut writer) = stream.split();
    let (sent, mut asked) = mpsc::unbounded();
    let sending = async {
        let mut due = tokio::time::interval(every);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            due.tick().await;
            if sent.unbounded_send(Instant::now()).is_err() {
                return io::Result::Ok(());
            }
            writer.write_all(b"p\0\0\0\0").await?;
            writer.flush().await?;
        }
    };
    let receiving = async {
        let mut answer = [0];
        loop {
            reader.read_exact(&mut answer).await?;
            if let Ok(since) = asked.try_recv() {
                counts.borrow_mut().beside.push(since.elapsed());
            }
        }
        #[expect(unreachable_code, reason = "it tells the type")]
        io::Result::Ok(())
    };
    let _ = futures::future::try_join(sending, receiving).await;
}

/// The time that the threads of a process were on a processor.
fn processor_time(pid: u32) -> Option<Duration> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let of_thread = |entry: std::fs::DirEntry| {
        let text = std::fs::read_to_string(entry.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    let nanoseconds = threads.filter_map(Result::ok).filter_map(of_thread).sum();
    Some(Duration::from_nanos(nanoseconds))
}

fn figures(mut times: Vec<Duration>, elapsed: f64) -> String {
    times.sort_unstable();
    let at = |share: f64| {
        let place = (times.len() as f64 * share).ceil() as usize;
        let time = times.get(place.saturating_sub(1)).or(times.last());
        time.map_or(0.0, |time| time.as_secs_f64() * 1e6)
    };
    format!(
        "\"rate\":{:.1},\"p50_us\":{:.2},\"p99_us\":{:.2},\"p999_us\":{:.2},\"max_us\":{:.2},\
         \"answered\":{},\"errors\":0",
        times.len() as f64 / elapsed,
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        times.len()
    )
}

fn print(load: &Load, counts: Counts, elapsed: f64, server: Option<Duration>) {
    let bytes = counts.down + counts.up;
    let server = server.map_or("null".to_owned(), |time| {
        format!("{:.1}", time.as_secs_f64() * 1e12 / bytes.max(1) as f64)
    });
    println!(
        "{{\"op\":\"bulk\",{},\"bytes_per_second\":{:.0},\"beside\":{{\"op\":\"ping\",{}}},\
         \"size\":{},\"direction\":\"{}\",\"groups\":{},\"depth\":{},\"seconds\":{elapsed:.3},\
         \"server_cpu_us_per_mb\":{server}}}",
        figures(counts.transfers, elapsed),
        bytes as f64 / elapsed,
        figures(counts.beside, elapsed),
        load.size,
        load.direction,
        load.groups,
        load.depth,
    );
}
