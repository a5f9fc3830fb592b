//! Three Tarantools that replicate each other, a gateway before them, and clients that write all
//! the time: what these see when another Tarantool takes over.
//!
//! Run it: `cargo build --release && cargo run --release --example failover`
//!
//! ```text
//!   8 clients ─▶ vestibule ─┬▶ a, which takes changes ─┐
//!                           ├▶ b, read-only  ◀─────────┤ replication
//!                           └▶ c, read-only  ◀─────────┘
//!
//!   a switch: a is made read-only, b has all that a has, b is made the one that takes changes
//!   a crash:  b is killed, c is made the one that takes changes, b comes back
//! ```
//!
//! Needs Debian's `tarantool` (2.6) or a later one. All processes listen on loopback, on ports that
//! the system picks, keep their files in a temporary directory, and end with this one.

mod load;
mod processes;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::time::{sleep, timeout};

use load::{Load, Told};
use processes::{Gateway, Tarantool, TemporaryDirectory};

/// How long replication may take until all have everything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts three Tarantools and a gateway before them, has one take over from another, and prints
/// what clients see.
#[derive(Debug, Parser)]
struct Args {
    /// How many rows are written before and after each change
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    rows: u32,
    /// The gateway's option: how long requests are held until another one takes over
    #[arg(long, default_value = "1s")]
    failover_hold: String,
    /// The Tarantool to start
    #[arg(long, default_value = "tarantool")]
    tarantool: PathBuf,
    /// The server to start; without it, the one that was built beside this
    #[arg(long)]
    vestibule: Option<PathBuf>,
}

/// Why it cannot go on: for people.
#[derive(Debug)]
struct Fault(String);

impl<E: std::error::Error> From<E> for Fault {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    let played = tokio::select! {
        played = play(&args) => played,
        _ = tokio::signal::ctrl_c() => Err(Fault("interrupted".to_owned())),
    };
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("failover: {fault}");
            ExitCode::FAILURE
        }
    }
}

async fn play(args: &Args) -> Result<(), Fault> {
    let vestibule = args.vestibule.clone().map_or_else(beside, Ok)?;
    if !vestibule.exists() {
        return Err(Fault(format!(
            "there is no server at '{}': build it (`cargo build --release`), or tell where it is \
             by --vestibule",
            vestibule.display()
        )));
    }
    let directory = TemporaryDirectory::new()?;
    let mut all = replica_set(&args.tarantool, &directory).await?;
    let gateway = Gateway::start(&vestibule, &directory, &all, &args.failover_hold).await?;
    let load = Load::begin(&gateway).await?;
    let rows = args.rows as usize;
    let mut before = [0; 3];
    load.go_on(rows).await?;
    println!("\nnothing happens\n  {}", load.since(&mut before));

    println!("\na switch: b takes over from a");
    all[0].set_read_only(true).await?;
    catch_up(&all[0], &all[1]).await?;
    all[1].set_read_only(false).await?;
    load.go_on(rows).await?;
    println!("  {}", load.since(&mut before));

    println!("\na crash: b is killed, and c takes over");
    all[1].kill()?;
    all[2].set_read_only(false).await?;
    load.go_on(rows).await?;
    println!("  {}", load.since(&mut before));

    println!("\nb comes back, read-only");
    let addresses = addresses(&all);
    let (program, address) = (&args.tarantool, Some(all[1].address));
    all[1] = Tarantool::start(program, &directory, "b", address, &addresses, true).await?;
    load.go_on(rows).await?;
    println!("  {}", load.since(&mut before));

    let told = load.end().await?;
    drop(gateway);
    same_everywhere(&all).await?;
    compare(&all, &told).await
}

/// The server that was built with this example.
fn beside() -> Result<PathBuf, Fault> {
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(Path::parent);
    Ok(folder.unwrap_or(Path::new(".")).join("vestibule"))
}

/// Three that replicate each other, of which the first one takes changes.
async fn replica_set(
    program: &Path,
    directory: &TemporaryDirectory,
) -> Result<Vec<Tarantool>, Fault> {
    let mut all: Vec<Tarantool> = Vec::new();
    for name in ["a", "b", "c"] {
        // The first one begins the set, and the others join it.
        let peers: Vec<_> = addresses(&all).into_iter().take(1).collect();
        let is_read_only = !all.is_empty();
        let own = Tarantool::start(program, directory, name, None, &peers, is_read_only).await?;
        println!("{name}: a Tarantool at {}", own.address);
        all.push(own);
    }
    let peers = addresses(&all);
    for own in &all {
        own.follow(&peers).await?;
    }
    Ok(all)
}

fn addresses(all: &[Tarantool]) -> Vec<SocketAddr> {
    all.iter().map(|own| own.address).collect()
}

/// Waits until one has all that another one has, which takes no changes any more.
async fn catch_up(of: &Tarantool, other: &Tarantool) -> Result<(), Fault> {
    let own = "return {box.info.id, box.info.lsn}";
    let (id, lsn): (u64, u64) = of.operator.eval(own, ()).await?;
    let has = "local id, lsn = ... return (box.info.vclock[id] or 0) >= lsn";
    let caught_up = async {
        while !other.operator.eval::<bool>(has, (id, lsn)).await? {
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    };
    let late = |_| Fault(format!("{} does not follow {}", other.name, of.name));
    timeout(PATIENCE, caught_up).await.map_err(late)?
}

/// Waits until all have what each of them has.
async fn same_everywhere(all: &[Tarantool]) -> Result<(), Fault> {
    let writers = [&all[0], &all[1], &all[2]];
    for of in writers {
        for other in writers {
            catch_up(of, other).await?;
        }
    }
    Ok(())
}

/// Looks for the rows on each of them, by what their writers were told.
async fn compare(all: &[Tarantool], told: &Told) -> Result<(), Fault> {
    println!("\nat the end, of the rows that were");
    let count = "local count = 0
        for _, key in ipairs(...) do
            if box.space.rows:get(key) ~= nil then count = count + 1 end
        end
        return count";
    let mut is_right = true;
    for own in all {
        let mut found = Vec::new();
        for keys in [&told.acknowledged, &told.refused, &told.unknown] {
            let there: usize = own.operator.eval(count, (keys,)).await?;
            found.push(format!("{there} of {}", keys.len()));
            let is_acknowledged = std::ptr::eq(keys, &told.acknowledged);
            let is_refused = std::ptr::eq(keys, &told.refused);
            is_right &= !is_acknowledged || there == keys.len();
            is_right &= !is_refused || there == 0;
        }
        let [acknowledged, refused, unknown] = &found[..] else {
            unreachable!("three were asked for");
        };
        println!(
            "  acknowledged, {acknowledged} are on {name}; refused, {refused}; of unknown outcome, \
             {unknown}",
            name = own.name
        );
    }
    match is_right {
        true => Ok(()),
        false => Err(Fault("that is wrong".to_owned())),
    }
}
