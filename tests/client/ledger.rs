//! Writers that remember what each of their requests was told, and the data that they are held
//! against: whatever happens to the server, what was told has to be true.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use vestibule_client::{Client, Outcome, Retry};

/// What one request was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Done,
    Failed(Outcome),
}

/// Writers under way.
pub(crate) struct Ledger {
    writers: Vec<JoinHandle<Vec<(u64, Told)>>>,
    is_over: Arc<AtomicBool>,
    done: watch::Sender<u64>,
    failed: watch::Sender<u64>,
}

impl Ledger {
    /// Begins `writers` tasks, each of which inserts one row after the other into `things`.
    pub(crate) fn begin(client: &Client, writers: u64, retry: Retry) -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let next = Arc::<AtomicU64>::default();
        let (done, failed) = (watch::Sender::new(0), watch::Sender::new(0));
        let writer = |_| {
            let things = client.space::<(u64, u64)>("things");
            let (is_over, next) = (Arc::clone(&is_over), Arc::clone(&next));
            let (done, failed) = (done.clone(), failed.clone());
            tokio::spawn(async move {
                let mut told = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    let id = next.fetch_add(1, Ordering::Relaxed);
                    let insert = things.insert(&(id, id)).timeout(Duration::from_secs(20));
                    match insert.retry(retry).await {
                        Ok(_) => {
                            told.push((id, Told::Done));
                            done.send_modify(|count| *count += 1);
                        }
                        Err(error) => {
                            told.push((id, Told::Failed(error.outcome())));
                            failed.send_modify(|count| *count += 1);
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                    }
                }
                told
            })
        };
        Self {
            writers: (0..writers).map(writer).collect(),
            is_over,
            done,
            failed,
        }
    }

    /// Waits until this number of further requests have succeeded.
    pub(crate) async fn more(&self, count: u64) {
        wait_for_more(&self.done, count).await;
    }

    /// Waits until this number of further requests have failed.
    pub(crate) async fn more_failed(&self, count: u64) {
        wait_for_more(&self.failed, count).await;
    }

    /// Ends the writers, and holds what they were told against the data. Returns how many requests
    /// were done, not sent or refused, and of unknown outcome.
    pub(crate) async fn settle(self, client: &Client) -> (usize, usize, usize) {
        self.is_over.store(true, Ordering::Relaxed);
        let mut told = Vec::new();
        for writer in self.writers {
            told.extend(writer.await.expect("a writer does not panic"));
        }
        let mut there = HashSet::new();
        let mut rows = client.space::<(u64, u64)>("things").select(..).stream();
        while let Some((id, _)) = rows.try_next().await.expect("the data can be read") {
            there.insert(id);
        }
        let mut counts = (0, 0, 0);
        for (id, told) in told {
            match told {
                Told::Done => {
                    assert!(there.contains(&id), "{id} was acknowledged and is lost");
                    counts.0 += 1;
                }
                Told::Failed(Outcome::Unknown) => counts.2 += 1,
                Told::Failed(outcome) => {
                    assert!(!there.contains(&id), "{id} is {outcome:?} and was executed");
                    counts.1 += 1;
                }
            }
        }
        counts
    }
}

async fn wait_for_more(counter: &watch::Sender<u64>, count: u64) {
    let mut counter = counter.subscribe();
    let goal = *counter.borrow() + count;
    counter
        .wait_for(|own| *own >= goal)
        .await
        .expect("the sender is here");
}
