//! The embedded engine behind the door, inside an actix application: the smallest durable server.
//!
//! Run it: `cargo run --release --example server` (`-- 127.0.0.1:4000` listens there), then talk to
//! it with any Tarantool connector, e.g.
//!
//! ```text
//! python3 -c "import tarantool
//! print(tarantool.connect('127.0.0.1', 3303).call('vestibule.state'))"
//! ```

use std::io;

use vestibule_actors::{Config, start};
use vestibule_engine::procedures;
use vestibule_engine::{EmbeddedEngine, EngineOptions};

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:3303");
    let address = address.parse().map_err(io::Error::other)?;
    actix_rt::System::new().block_on(async {
        let config = Config::default().listen(vec![address]);
        let options = EngineOptions::new("vestibule-data");
        // Called on Tx's thread, and again if Tx has to be replaced.
        let engine = EmbeddedEngine::factory(options);
        let runtime = start(config, engine, procedures::standard())?;
        println!("serving on {:?}; Ctrl-C stops", runtime.addresses());
        // Or until the engine fails to start, or an administrator calls `vestibule.drain`.
        let report = runtime.serve_until_signal().await?;
        report
            .failure
            .map_or(Ok(()), |text| Err(io::Error::other(text)))
    })
}
