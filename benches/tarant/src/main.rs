//! The same requests by vestibule's client and by the crate tarant, over one connection each, in
//! turn in each round.
//!
//! ```text
//!   vestibule serve &
//!   tarant-peer 127.0.0.1:3301 --seconds 2 --rounds 5
//!   tarant-peer 127.0.0.1:3301 --only ping --in-flight 1 --client ours
//! ```
//!
//! As many tasks as requests are to be in flight ask one after the other, on one thread. Both
//! clients are as they are by default, with the time limit of 30 s for each request that ours has.
//! Told are medians: requests per second, processor time of this process and allocations for each
//! request.

use std::alloc::System;
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::task::{LocalSet, spawn_local};
use vestibule_client::{ErrorCode, Value};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

type Failure = Box<dyn std::error::Error>;
type Row = (u64, String);

const SPACE: &str = "tarant_peer";
const KEYS: u64 = 1000;
const IN_FLIGHT: [usize; 3] = [1, 64, 512];
/// Keys of large rows are from here on.
const LARGE_FROM: u64 = 1 << 20;
const LARGE_KEYS: u64 = 4;
const LARGE_SIZE: usize = 1_000_000;
const LARGE_IN_FLIGHT: [usize; 2] = [1, 8];
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Ticks of processor time in a second, as Linux tells them.
const TICKS: f64 = 100.0;

/// What is asked.
#[derive(Debug, Clone, Copy)]
enum Operation {
    Ping,
    Get,
    Replace,
    /// A row of a megabyte by its key.
    Fetch,
    /// A REPLACE of such a row.
    Store,
}

const OPERATIONS: [Operation; 5] = [
    Operation::Ping,
    Operation::Get,
    Operation::Replace,
    Operation::Fetch,
    Operation::Store,
];

impl Operation {
    const fn is_large(self) -> bool {
        matches!(self, Self::Fetch | Self::Store)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Get => "get",
            Self::Replace => "replace",
            Self::Fetch => "fetch",
            Self::Store => "store",
        }
    }
}

/// What is measured, and for how long.
struct Plan {
    time: Duration,
    rounds: usize,
    operations: Vec<Operation>,
    /// Instead of the usual numbers.
    in_flight: Option<usize>,
    /// By which clients: ours, theirs.
    clients: [bool; 2],
}

/// A client, as tasks use it.
trait Asker: Clone + 'static {
    const NAME: &'static str;

    async fn connect(address: &str) -> Result<Self, Failure>;

    /// Asks once; the row has `key`.
    async fn ask(&self, operation: Operation, key: u64) -> Result<(), Failure>;
}

#[derive(Clone)]
struct Ours(vestibule_client::Client, vestibule_client::Space<Row>);

#[derive(Clone)]
struct Theirs(tarant::Client, tarant::Space<Row>);

fn row(key: u64) -> Row {
    if key >= LARGE_FROM {
        return (key, "l".repeat(LARGE_SIZE));
    }
    (key, "twenty bytes of text".to_owned())
}

impl Asker for Ours {
    const NAME: &'static str = "vestibule-client";

    async fn connect(address: &str) -> Result<Self, Failure> {
        let client = vestibule_client::Client::connect(address).await?;
        let space = client.space(SPACE);
        Ok(Self(client, space))
    }

    async fn ask(&self, operation: Operation, key: u64) -> Result<(), Failure> {
        match operation {
            Operation::Ping => self.0.ping().await?,
            Operation::Get | Operation::Fetch => drop(self.1.get(key).await?.ok_or("no row")?),
            Operation::Replace | Operation::Store => drop(self.1.replace(&row(key)).await?),
        }
        Ok(())
    }
}

impl Asker for Theirs {
    const NAME: &'static str = "tarant";

    async fn connect(address: &str) -> Result<Self, Failure> {
        let options = tarant::ConnectOptions::new(address).request_timeout(REQUEST_TIMEOUT);
        let client = tarant::Client::with_options(options).await?;
        let space = client.space(SPACE);
        Ok(Self(client, space))
    }

    async fn ask(&self, operation: Operation, key: u64) -> Result<(), Failure> {
        match operation {
            Operation::Ping => self.0.ping().await?,
            Operation::Get | Operation::Fetch => drop(self.1.get(key).await?.ok_or("no row")?),
            Operation::Replace | Operation::Store => self.1.replace(&row(key)).await?,
        }
        Ok(())
    }
}

/// What a run has come to, for each request but the rate.
#[derive(Debug, Clone, Copy)]
struct Figures {
    per_second: f64,
    processor_us: f64,
    allocations: f64,
}

/// Asks for a while with this many requests in flight.
fn run<A: Asker>(
    address: &str,
    operation: Operation,
    in_flight: usize,
    time: Duration,
) -> Result<Figures, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        let client = A::connect(address).await?;
        ask_until::<A>(&client, operation, in_flight, Instant::now() + time / 10).await?;
        let (region, processor) = (Region::new(ALLOCATOR), processor_s()?);
        let began = Instant::now();
        let count = ask_until::<A>(&client, operation, in_flight, began + time).await? as f64;
        let stats = region.change();
        Ok(Figures {
            per_second: count / began.elapsed().as_secs_f64(),
            processor_us: (processor_s()? - processor) * 1e6 / count,
            allocations: (stats.allocations + stats.reallocations) as f64 / count,
        })
    })
}

/// Returns how many requests were answered.
async fn ask_until<A: Asker>(
    client: &A,
    operation: Operation,
    in_flight: usize,
    end: Instant,
) -> Result<u64, Failure> {
    let count = Rc::new(Cell::new(0));
    let tasks: Vec<_> = (0..in_flight as u64)
        .map(|task| {
            let (client, count) = (client.clone(), Rc::clone(&count));
            spawn_local(async move {
                let mut key = task * 7919;
                while Instant::now() < end {
                    key = match operation.is_large() {
                        true => LARGE_FROM + (key + 1) % LARGE_KEYS,
                        false => (key + 7) % KEYS,
                    };
                    let asked = client.ask(operation, key).await;
                    asked.map_err(|fault| fault.to_string())?;
                    count.set(count.get() + 1);
                }
                Ok::<(), String>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(count.get())
}

/// Processor time of this process, in seconds.
fn processor_s() -> Result<f64, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, rest) = stat.rsplit_once(')').ok_or("no name in /proc/self/stat")?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || -> Result<f64, Failure> { Ok(fields.next().ok_or("no time")?.parse()?) };
    Ok((ticks()? + ticks()?) / TICKS)
}

/// A space with rows, which both ask for by its name.
async fn set_up(address: &str) -> Result<(), Failure> {
    let client = vestibule_client::Client::connect(address).await?;
    let created = client
        .call::<Value>("box.schema.space.create", (SPACE,))
        .await;
    match created {
        Err(error) if error.code() == Some(ErrorCode::SPACE_EXISTS) => {}
        created => {
            created?;
            let create_index = format!("box.space.{SPACE}:create_index");
            client.call::<Value>(&create_index, ("primary",)).await?;
        }
    }
    let space = client.space::<Row>(SPACE);
    for key in (0..KEYS).chain(LARGE_FROM..LARGE_FROM + LARGE_KEYS) {
        space.replace(&row(key)).await?;
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn tell(name: &str, operation: Operation, in_flight: usize, runs: &[Figures]) -> Option<f64> {
    if runs.is_empty() {
        return None;
    }
    let of = |part: fn(&Figures) -> f64| median(runs.iter().map(part).collect());
    let rate = of(|own| own.per_second);
    println!(
        "{operation:?} {in_flight:>3} in flight  {name:<16} {rate:>9.0}/s  {:>6.2} µs  {:>6.2} allocations",
        of(|own| own.processor_us),
        of(|own| own.allocations),
    );
    Some(rate)
}

fn plan(options: &[String]) -> Result<Plan, Failure> {
    let mut plan = Plan {
        time: Duration::from_secs(2),
        rounds: 5,
        operations: OPERATIONS.to_vec(),
        in_flight: None,
        clients: [true; 2],
    };
    for option in options.chunks(2) {
        let [name, value] = option else {
            return Err(format!("{option:?} has no value").into());
        };
        match &**name {
            "--seconds" => plan.time = Duration::from_secs_f64(value.parse()?),
            "--rounds" => plan.rounds = value.parse::<usize>()?.max(1),
            "--only" => {
                plan.operations.retain(|own| own.name() == value);
                if plan.operations.is_empty() {
                    return Err(format!("{value} is no operation").into());
                }
            }
            "--in-flight" => plan.in_flight = Some(value.parse::<usize>()?.max(1)),
            "--client" => {
                plan.clients = match &**value {
                    "ours" => [true, false],
                    "theirs" => [false, true],
                    _ => return Err(format!("{value} is no client").into()),
                }
            }
            _ => return Err(format!("{name} is no option").into()),
        }
    }
    Ok(plan)
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, options @ ..] = &arguments[..] else {
        let options = "--seconds S, --rounds N, --only OPERATION, --in-flight N, --client ours|theirs";
        return Err(format!("usage: tarant-peer ADDRESS, and {options}").into());
    };
    let plan = plan(options)?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(set_up(address))?;
    for operation in plan.operations {
        let usual: &[usize] = match operation.is_large() {
            true => &LARGE_IN_FLIGHT,
            false => &IN_FLIGHT,
        };
        let own = plan.in_flight.as_slice();
        for in_flight in if own.is_empty() { usual } else { own } {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..plan.rounds {
                if plan.clients[0] {
                    ours.push(run::<Ours>(address, operation, *in_flight, plan.time)?);
                }
                if plan.clients[1] {
                    theirs.push(run::<Theirs>(address, operation, *in_flight, plan.time)?);
                }
            }
            let rates = [
                tell(Ours::NAME, operation, *in_flight, &ours),
                tell(Theirs::NAME, operation, *in_flight, &theirs),
            ];
            if let [Some(ours), Some(theirs)] = rates {
                println!(
                    "{operation:?} {in_flight:>3} in flight  ours / theirs: {:.2}",
                    ours / theirs
                );
            }
        }
    }
    Ok(())
}
