//! Clients that reconnect again and again to a server whose thread is blocked: vestibule and, where
//! it is installed, Tarantool, side by side, second by second.
//!
//! Run it: `cargo run --release --example storm`
//!
//! ```text
//!   scene 1, as in Tarantool #4910: 12 clients every 100 ms, the thread is blocked for 10 s
//!   scene 2, as in Tarantool #3776: 4 clients every 1 ms, it is blocked for 1 s, again and again
//! ```
//!
//! A client connects, waits for the greeting, pings and leaves; after 50 ms in vain it leaves as
//! well. Every descriptor that the server has open is counted, so those of visitors who left unseen
//! show.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use vestibule_actors::testing::Peer;
use vestibule_actors::{Config, start};
use vestibule_bench::connections::storm::{Counts, Plan, play};
use vestibule_engine::{EmbeddedEngine, EngineOptions, procedures};

/// Plays two storms against vestibule and against Tarantool.
#[derive(Debug, Parser)]
struct Args {
    /// How long each scene takes, in seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(2..=3600))]
    seconds: u64,
    /// The Tarantool to play against
    #[arg(long, default_value = "tarantool")]
    tarantool: PathBuf,
    /// Play against vestibule alone
    #[arg(long)]
    no_tarantool: bool,
}

/// What a scene is like.
struct Scene {
    title: &'static str,
    clients: u32,
    period: Duration,
    /// How long the thread is blocked at a time; the whole scene if none is told.
    block_seconds: Option<u64>,
}

const SCENES: [Scene; 2] = [
    Scene {
        title: "#4910: 12 clients every 100 ms, the server's thread is blocked all the time",
        clients: 12,
        period: Duration::from_millis(100),
        block_seconds: None,
    },
    Scene {
        title: "#3776: 4 clients every 1 ms, the server's thread is blocked for 1 s again and \
                again",
        clients: 4,
        period: Duration::from_millis(1),
        block_seconds: Some(1),
    },
];
const PATIENCE: Duration = Duration::from_millis(50);
const START_MAX: Duration = Duration::from_secs(20);
/// How long descriptors are waited for afterwards.
const RECOVERY_MAX: Duration = Duration::from_secs(5);

const TARANTOOL_LUA: &str = "
box.cfg{wal_mode = 'none', log_level = 1, listen = '127.0.0.1:PORT'}
box.schema.user.grant('guest', 'super', nil, nil, {if_not_exists = true})
function block(seconds) os.execute('sleep ' .. seconds) end
";

fn main() -> ExitCode {
    // The server under the storm is this program again, so that its descriptors are its own.
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == "serve") {
        let data = words.next().map(PathBuf::from).unwrap_or_default();
        return match serve(data) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("storm: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let args = Args::parse();
    for scene in &SCENES {
        let directory = TemporaryDirectory::new();
        let mut servers = vec![Server::vestibule(directory.path())];
        if !args.no_tarantool {
            match Server::tarantool(directory.path(), &args.tarantool) {
                Ok(server) => servers.push(server),
                Err(reason) => println!("without Tarantool: {reason}\n"),
            }
        }
        play_scene(scene, &servers, args.seconds);
    }
    ExitCode::SUCCESS
}

/// The embedded engine on a port that the system picks, until this process is killed.
fn serve(data: PathBuf) -> io::Result<()> {
    fs::create_dir_all(&data)?;
    actix_rt::System::new().block_on(async {
        let engine = EmbeddedEngine::factory(EngineOptions::new(data));
        let procedures = procedures::with_debug(procedures::standard());
        let runtime = start(Config::default(), engine, procedures)?;
        println!("serving on {}", runtime.addresses()[0]);
        let report = runtime.stopped().await;
        report
            .failure
            .map_or(Ok(()), |text| Err(io::Error::other(text)))
    })
}

/// A server in a process of its own; killed when dropped.
struct Server {
    name: String,
    child: Child,
    addr: SocketAddr,
    /// The procedure that blocks its thread.
    block: &'static str,
}

impl Server {
    fn vestibule(directory: &Path) -> Self {
        let own = std::env::current_exe().expect("this program has a path");
        let mut child = Command::new(own)
            .arg("serve")
            .arg(directory.join("vestibule"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        let output = child.stdout.take().expect("the output is piped");
        let mut line = String::new();
        // Only one line is ever written there.
        BufReader::new(output)
            .read_line(&mut line)
            .expect("the server writes its first line");
        let address = line.trim().rsplit(' ').next().unwrap_or_default();
        let addr = address
            .parse()
            .expect("the first line ends with the address");
        let server = Self {
            name: "vestibule".to_owned(),
            child,
            addr,
            block: "vestibule.debug.block",
        };
        wait_until("vestibule is ready", || {
            let state = Peer::connect(addr).call("vestibule.state", &[0x90]);
            state.error_mentions("assist")
        });
        server
    }

    fn tarantool(directory: &Path, program: &Path) -> Result<Self, String> {
        let version = Command::new(program).arg("--version").output();
        let version = version.map_err(|error| format!("{}: {error}", program.display()))?;
        let name = String::from_utf8_lossy(&version.stdout);
        let name = name.lines().next().unwrap_or("Tarantool").to_owned();
        // It cannot pick a port and tell it; one that was free a moment ago has to do.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|probe| probe.local_addr());
        let addr = free.map_err(|error| format!("no free port: {error}"))?;
        let data = directory.join("tarantool");
        fs::create_dir_all(&data).map_err(|error| format!("no directory: {error}"))?;
        let script = data.join("init.lua");
        let lua = TARANTOOL_LUA.replace("PORT", &addr.port().to_string());
        fs::write(&script, lua).map_err(|error| format!("no script: {error}"))?;
        let child = Command::new(program)
            .arg(&script)
            .current_dir(&data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let server = Self {
            name,
            child,
            addr,
            block: "block",
        };
        wait_until("Tarantool is ready", || TcpStream::connect(addr).is_ok());
        wait_until("its procedure is there", || {
            Peer::connect(addr).call("block", &[0x91, 0]).code == 0
        });
        Ok(server)
    }

    /// How many descriptors it has open; 0 where the system does not tell.
    fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_or(0, Iterator::count)
    }

    /// Keeps its thread blocked until the time is over.
    fn keep_blocked(&self, scene: &Scene, seconds: u64) {
        let began = Instant::now();
        let mut peer = Peer::connect(self.addr);
        while began.elapsed() < Duration::from_secs(seconds) {
            let block_seconds = scene.block_seconds.unwrap_or(seconds);
            let args = rmp_serde::to_vec(&(block_seconds,)).expect("a number");
            peer.call(self.block, &args);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One storm against all servers at the same time.
fn play_scene(scene: &Scene, servers: &[Server], seconds: u64) {
    println!("{}", scene.title);
    let counts: Vec<Counts> = servers.iter().map(|_| Counts::default()).collect();
    let before: Vec<usize> = servers.iter().map(Server::descriptors).collect();
    print_heads(servers);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for (server, counts) in servers.iter().zip(&counts) {
            let plan = Plan {
                target: server.addr.into(),
                clients: scene.clients,
                period: scene.period,
                patience: PATIENCE,
            };
            let is_over = &is_over;
            scope.spawn(move || server.keep_blocked(scene, seconds));
            scope.spawn(move || play(&plan, counts, is_over));
        }
        for second in 1..=seconds {
            pause(Duration::from_secs(1));
            print_row(&format!("{second} s"), servers, &counts);
        }
        is_over.store(true, Relaxed);
    });
    let ended = Instant::now();
    while ended.elapsed() < RECOVERY_MAX
        && (servers.iter().zip(&before)).any(|(server, before)| server.descriptors() > *before)
    {
        pause(Duration::from_millis(10));
    }
    print_row("after", servers, &counts);
    for (server, counts) in servers.iter().zip(&counts) {
        match counts.answered() {
            0 => println!("{}: nobody was answered", server.name),
            _ => println!(
                "{}: the slowest visit that was answered took {:.1?}",
                server.name,
                counts.slowest_answer()
            ),
        }
    }
    println!();
}

fn print_heads(servers: &[Server]) {
    print!("{:>6}", "");
    for server in servers {
        print!("   {:<36}", server.name);
    }
    print!("\n{:>6}", "");
    for _ in servers {
        print!(
            "   {:>8} {:>8} {:>9} {:>8}",
            "visits", "greeted", "answered", "files"
        );
    }
    println!();
}

fn print_row(title: &str, servers: &[Server], counts: &[Counts]) {
    print!("{title:>6}");
    for (server, counts) in servers.iter().zip(counts) {
        let (visits, greeted) = (counts.visits(), counts.greeted());
        let (answered, files) = (counts.answered(), server.descriptors());
        print!("   {visits:>8} {greeted:>8} {answered:>9} {files:>8}");
    }
    println!();
}

/// Waits for what no message tells.
fn wait_until(what: &str, until: impl Fn() -> bool) {
    let began = Instant::now();
    while !until() {
        assert!(began.elapsed() < START_MAX, "waited in vain until {what}");
        pause(Duration::from_millis(10));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "on the demonstration's own threads, where no actor lives"
)]
fn pause(time: Duration) {
    thread::sleep(time);
}

/// A directory that is gone at the end.
struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    fn new() -> Self {
        let name = format!("vestibule-storm-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
