//! Clients that write all the time, and what they see.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use vestibule_client::{Client, Outcome};

use crate::Fault;
use crate::processes::Gateway;

const CLIENTS: u64 = 8;

/// How many keys each client has.
const KEYS: u64 = 1_000_000_000;

/// How long a client that was refused leaves the server alone: soon enough to see each change.
const PAUSE: Duration = Duration::from_millis(10);

/// How long more writes are waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The keys of rows, by what their writers were told, and the longest wait for that.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    pub(crate) acknowledged: Vec<u64>,
    pub(crate) refused: Vec<u64>,
    pub(crate) unknown: Vec<u64>,
    longest: Duration,
}

/// What tasks share.
#[derive(Default)]
struct Shared {
    told: Mutex<Told>,
    more: Notify,
    is_over: AtomicBool,
}

/// The clients.
pub(crate) struct Load {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    /// Clients connect to the gateway, and write rows of keys that nobody else writes.
    pub(crate) async fn begin(gateway: &Gateway) -> Result<Self, Fault> {
        let shared = Arc::<Shared>::default();
        let mut tasks = Vec::new();
        for number in 0..CLIENTS {
            let client = connect(gateway).await?;
            tasks.push(tokio::spawn(write(client, number, shared.clone())));
        }
        println!("{CLIENTS} clients write through {}", gateway.address);
        Ok(Self { shared, tasks })
    }

    /// Waits until this number of further rows are acknowledged.
    pub(crate) async fn go_on(&self, count: usize) -> Result<(), Fault> {
        let until = self.shared.told().acknowledged.len() + count;
        let more = async {
            while self.shared.told().acknowledged.len() < until {
                self.shared.more.notified().await;
            }
        };
        let late = |_| Fault(format!("no {count} rows are written within {PATIENCE:?}"));
        timeout(PATIENCE, more).await.map_err(late)
    }

    /// What the clients were told since this was asked last.
    pub(crate) fn since(&self, before: &mut [usize; 3]) -> String {
        let mut told = self.shared.told();
        let now = [&told.acknowledged, &told.refused, &told.unknown].map(Vec::len);
        let [acknowledged, refused, unknown] = [0, 1, 2].map(|at| now[at] - before[at]);
        *before = now;
        let longest = std::mem::take(&mut told.longest).as_millis();
        format!(
            "acknowledged {acknowledged}, refused {refused}, outcome unknown {unknown}; the \
             longest wait {longest} ms"
        )
    }

    /// Ends it; tells all that the clients were told.
    pub(crate) async fn end(self) -> Result<Told, Fault> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.map_err(|fault| Fault(fault.to_string()))?;
        }
        Ok(self.shared.told().clone())
    }
}

impl Shared {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client of the application. The gateway listens before it has reached an upstream, and says so.
async fn connect(gateway: &Gateway) -> Result<Client, Fault> {
    let began = Instant::now();
    loop {
        let client = Client::builder(gateway.address.to_string()).credentials("app", "secret");
        // Longer than the gateway holds anything.
        match client.request_timeout(Some(PATIENCE)).connect().await {
            Err(error) if error.is_busy() && began.elapsed() < PATIENCE => sleep(PAUSE).await,
            connected => return Ok(connected?),
        }
    }
}

async fn write(client: Client, number: u64, shared: Arc<Shared>) {
    let rows = client.space::<(u64, u64)>(512);
    for key in number * KEYS.. {
        if shared.is_over.load(Ordering::Relaxed) {
            return;
        }
        let began = Instant::now();
        let outcome = rows.insert(&(key, number)).await;
        let outcome = outcome.map_err(|error| error.outcome());
        {
            let mut told = shared.told();
            told.longest = told.longest.max(began.elapsed());
            match outcome {
                Ok(_) => told.acknowledged.push(key),
                Err(Outcome::Unknown) => told.unknown.push(key),
                Err(Outcome::NotSent | Outcome::Refused) => told.refused.push(key),
            }
        }
        shared.more.notify_one();
        if outcome.is_err() {
            sleep(PAUSE).await;
        }
    }
}
