//! A job queue: producers put jobs, workers take them, and everybody is told what happens without
//! asking for it again and again.
//!
//! Run it: `cargo run --release --example job_queue` (`-- 127.0.0.1:4000` listens there), then talk
//! to it with any Tarantool connector:
//!
//! | call | what |
//! |---|---|
//! | `put(what, steps)` | returns the job's number; the event `jobs` tells how many wait |
//! | `take(seconds)` | the oldest job, `[number, what, steps]`, or nil if none came in that time |
//! | `work(number)` | does the job step by step: each is a push, `[step, of]`, before the reply |
//!
//! ```text
//! python3 -c "import tarantool; c = tarantool.connect('127.0.0.1', 3305)
//! c.call('put', 'paint the fence', 3); number, what, steps = c.call('take', 1.0)[0]
//! print(c.call('work', number, on_push=lambda told, ctx: print(told), on_push_ctx=[]))"
//! ```

use std::collections::{HashMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix_rt::time::sleep;
use tokio::sync::Notify;
use tokio::time::timeout_at;
use vestibule_actors::config::Grace;
use vestibule_actors::engine::{AsyncContext, Engine, Fault, Outcome, Reply, Request};
use vestibule_actors::wire::Error;
use vestibule_actors::{Config, Procedures, start};

/// How long one step of a job takes.
const STEP: Duration = Duration::from_millis(20);
/// How long a stop lets clients go on with what they do.
const GRACE: Duration = Duration::from_secs(1);
/// The longest that somebody may wait for a job, in seconds.
const PATIENCE_MAX: f64 = 3600.0;

/// A job: what is to be done, in how many steps.
#[derive(Clone)]
struct Job {
    what: String,
    steps: u32,
}

/// The jobs, in memory: a real queue would keep them in a journal.
#[derive(Default)]
struct Jobs {
    last: u64,
    waiting: VecDeque<(u64, Job)>,
    taken: HashMap<u64, Job>,
    /// Wakes those who wait for a job.
    put: Rc<Notify>,
}

impl Engine for Jobs {
    fn execute(&mut self, _: &Request<'_>, _: &mut Reply<'_>) -> Result<Outcome, Error> {
        Err(Error::unsupported("The job queue", "spaces"))
    }

    /// What is put or taken is so at once: there is nothing to forget.
    fn discard_turn(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

/// The oldest job, taken.
async fn take_now(context: &AsyncContext<Jobs>) -> Result<Option<(u64, Job)>, Error> {
    let step = |jobs: &mut Jobs| {
        let taken = jobs.waiting.pop_front();
        if let Some((number, job)) = &taken {
            jobs.taken.insert(*number, job.clone());
        }
        Ok((taken, jobs.waiting.len()))
    };
    let (taken, waiting) = context.engine(step).await?;
    if taken.is_some() {
        context.broadcast("jobs", &waiting)?;
    }
    Ok(taken)
}

/// The oldest job, as soon as there is one; none if that takes longer than this.
async fn take(
    patience: Duration,
    context: &AsyncContext<Jobs>,
) -> Result<Option<(u64, String, u32)>, Error> {
    let until = Instant::now() + patience;
    let put = context.read(|jobs: &Jobs| Ok(jobs.put.clone())).await?;
    loop {
        // Asked for before it is looked, so that no job is missed that is put in between.
        let mut more = std::pin::pin!(put.notified());
        more.as_mut().enable();
        if let Some((number, job)) = take_now(context).await? {
            return Ok(Some((number, job.what, job.steps)));
        }
        // The time limits the wait alone: a job that is taken is never left behind.
        if timeout_at(until.into(), more).await.is_err() {
            return Ok(None);
        }
    }
}

/// Does a job that was taken; its client sees how far it is.
async fn work(number: u64, context: &AsyncContext<Jobs>) -> Result<String, Error> {
    let find = move |jobs: &Jobs| {
        let found = jobs.taken.get(&number).cloned();
        found.ok_or_else(|| Error::illegal_params(format!("nobody has taken the job {number}")))
    };
    let job = context.read(find).await?;
    for step in 1..=job.steps {
        sleep(STEP).await;
        context.push(&(step, job.steps)).await?;
    }
    let done = move |jobs: &mut Jobs| {
        jobs.taken.remove(&number);
        Ok(())
    };
    context.engine(done).await?;
    Ok(format!("done: {}", job.what))
}

fn procedures() -> Procedures<Jobs> {
    Procedures::<Jobs>::default()
        .with_engine("put", |call| {
            let (what, steps): (String, u32) = call.parse()?;
            let jobs: &mut Jobs = call.engine;
            let (number, waiting) = (jobs.last + 1, jobs.waiting.len() + 1);
            // Told when the turn is committed; nothing is changed if it may not be told.
            call.reply.broadcast("jobs", &waiting)?;
            jobs.last = number;
            jobs.waiting.push_back((number, Job { what, steps }));
            jobs.put.notify_waiters();
            call.reply.value(&number)
        })
        .async_function("take", |(seconds,): (f64,), context| async move {
            let patience = Duration::try_from_secs_f64(seconds.min(PATIENCE_MAX));
            let patience = patience.map_err(|fault| Error::illegal_params(fault.to_string()))?;
            take(patience, &context).await
        })
        .async_function("work", |(number,): (u64,), context| async move {
            work(number, &context).await
        })
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:3305");
    let address = address.parse().map_err(io::Error::other)?;
    actix_rt::System::new().block_on(async {
        let config = Config::default()
            .listen(vec![address])
            .shutdown_grace_period(Grace::Limited(GRACE));
        let runtime = start(config, || Ok(Jobs::default()), procedures())?;
        println!("a job queue on {:?}; Ctrl-C stops", runtime.addresses());
        let report = runtime.serve_until_signal().await?;
        println!("stopped after {:?}", report.took);
        Ok(())
    })
}
