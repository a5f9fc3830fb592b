//! An engine of your own behind the door, inside an actix application.
//!
//! Run it: `cargo run --release --example embed` (`-- 127.0.0.1:4000` listens there), then talk to
//! it with any Tarantool connector, e.g.
//!
//! ```text
//! python3 -c "import tarantool; c = tarantool.connect('127.0.0.1', 3302)
//! print(c.call('visits', 'you'))"
//! ```

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use vestibule_actors::engine::{Engine, Fault, Outcome, Reply, Request};
use vestibule_actors::wire::{Error, request::Body};
use vestibule_actors::{Config, Procedures, start};

/// The engine: it counts visits by name. A real one would keep more, and commit it.
#[derive(Default)]
struct Visits(HashMap<String, u64>);

impl Engine for Visits {
    fn execute(&mut self, request: &Request<'_>, reply: &mut Reply<'_>) -> Result<Outcome, Error> {
        match request.body {
            // SELECT returns every counter as a tuple of its own.
            Body::Select(_) => reply.value(&self.0),
            _ => Err(Error::unsupported("This engine", "writing to spaces")),
        }
    }

    /// What is counted is counted at once: there is nothing to forget.
    fn discard_turn(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:3302");
    let address = address.parse().map_err(io::Error::other)?;
    actix_rt::System::new().block_on(async {
        let procedures = Procedures::<Visits>::default()
            .function("sum", |(left, right): (i64, i64)| Ok(left + right))
            .with_engine("visits", |call| {
                let (name,): (String,) = call.parse()?;
                let count: &mut u64 = call.engine.0.entry(name).or_default();
                *count += 1;
                call.reply.value(count)
            })
            .async_function("slowly", |(seconds,): (f64,), context| async move {
                actix_rt::time::sleep(Duration::from_secs_f64(seconds)).await;
                context.read(|engine: &Visits| Ok(engine.0.len())).await
            });
        let config = Config::default().listen(vec![address]);
        let runtime = start(config, || Ok(Visits::default()), procedures)?;
        println!("visits on {:?}; Ctrl-C stops", runtime.addresses());
        tokio::signal::ctrl_c().await?;
        let report = runtime.stop(Some(Duration::from_secs(1))).await;
        println!("stopped after {:?}", report.took);
        Ok(())
    })
}
