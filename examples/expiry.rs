//! Rows that are forgotten when their time is over: a cache with a time to live, whose server needs
//! no thread and no timer for that.
//!
//! Run it: `cargo run --release --example expiry` (`-- 127.0.0.1:4000` listens there), then
//!
//! ```text
//! python3 -c "import tarantool, time; c = tarantool.connect('127.0.0.1', 3302)
//! c.call('put', 'greeting', 'hello', 0.5); print(c.call('get', 'greeting'))
//! time.sleep(1); print(c.call('get', 'greeting'), c.call('count'))"
//! ```

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::time::{Duration, Instant};

use vestibule_actors::engine::{Engine, Fault, Outcome, Reply, Request};
use vestibule_actors::wire::Error;
use vestibule_actors::{Config, Procedures, start};

/// How often rows are looked for whose time is over.
const PERIOD: Duration = Duration::from_millis(50);
/// Rows that are forgotten at a time: clients wait for no more than these.
const FORGOTTEN_MAX: usize = 1000;

/// The engine: values by key, and the keys by the end of their time.
#[derive(Default)]
struct Cache {
    values: HashMap<String, (String, Instant)>,
    ends: BTreeSet<(Instant, String)>,
}

impl Cache {
    fn put(&mut self, key: String, value: String, until: Instant) {
        if let Some((_, end)) = self.values.insert(key.clone(), (value, until)) {
            self.ends.remove(&(end, key.clone()));
        }
        self.ends.insert((until, key));
    }

    /// A value whose time is not over, whether or not it was forgotten yet.
    fn get(&self, key: &str, now: Instant) -> Option<&str> {
        let (value, until) = self.values.get(key)?;
        (*until > now).then_some(value)
    }

    fn expire(&mut self, now: Instant) {
        for _ in 0..FORGOTTEN_MAX {
            match self.ends.first() {
                Some((until, key)) if *until <= now => self.values.remove(key),
                _ => return,
            };
            self.ends.pop_first();
        }
    }
}

impl Engine for Cache {
    fn execute(&mut self, _: &Request<'_>, _: &mut Reply<'_>) -> Result<Outcome, Error> {
        Err(Error::unsupported("This engine", "spaces"))
    }

    /// What is put is put at once: there is nothing to forget.
    fn discard_turn(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

fn procedures() -> Procedures<Cache> {
    Procedures::<Cache>::default()
        .with_engine("put", |call| {
            let (key, value, seconds): (String, String, f64) = call.parse()?;
            let life = Duration::try_from_secs_f64(seconds).ok();
            let until = life.and_then(|life| call.reply.now().checked_add(life));
            let until = until
                .ok_or_else(|| Error::illegal_params("a time to live is a number of seconds"))?;
            call.engine.put(key, value, until);
            call.reply.value(&true)
        })
        .read_only("get", |call| {
            let (key,): (String,) = call.parse()?;
            let now = call.reply.now();
            call.reply.value(&call.engine.get(&key, now))
        })
        .read_only("count", |call| call.reply.value(&call.engine.values.len()))
        .every(PERIOD, |cache, now| {
            cache.expire(now);
            Ok(())
        })
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:3302");
    let address = address.parse().map_err(io::Error::other)?;
    actix_rt::System::new().block_on(async {
        let config = Config::default().listen(vec![address]);
        let runtime = start(config, || Ok(Cache::default()), procedures())?;
        println!("a cache on {:?}; Ctrl-C stops", runtime.addresses());
        let report = runtime.serve_until_signal().await?;
        println!("stopped, {} requests cut off", report.killed);
        Ok(())
    })
}
