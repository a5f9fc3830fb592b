//! An actix-web application and IPROTO on one System, over one engine: what HTTP writes, Tarantool
//! connectors read, and the other way round. Beside both stands the page of the side door, which
//! shows them at work. A signal ends all of it, and the last line tells how.
//!
//! Run it: `cargo run --manifest-path examples/actix-web/Cargo.toml`, then
//!
//! ```text
//! curl -X POST http://127.0.0.1:8080/visits/you
//! python3 -c "import tarantool; print(tarantool.connect('127.0.0.1', 3302).call('visits', 'you'))"
//! ```
//!
//! and look at it in a browser: `http://127.0.0.1:8081`. The page has a thread of its own, so that
//! it answers as well when the engine, or all workers of actix-web, are busy.
//!
//! With three addresses as arguments it listens there: HTTP, IPROTO, the page.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;

use actix_web::http::header::RETRY_AFTER;
use actix_web::{App, HttpResponse, HttpServer, Responder, get, post, web};
use vestibule_actors::engine::{Engine, Fault, Outcome, Reply, Request};
use vestibule_actors::wire::Error;
use vestibule_actors::{Config, EngineError, Procedures, RuntimeHandle, start};
use vestibule_http::limits::DESCRIPTORS;
use vestibule_http::{HttpConfig, Sources, serve};

/// The engine: it counts visits by name.
#[derive(Default)]
struct Visits(HashMap<String, u64>);

impl Visits {
    fn visit(&mut self, name: String) -> u64 {
        let count = self.0.entry(name).or_default();
        *count += 1;
        *count
    }
}

impl Engine for Visits {
    fn execute(&mut self, _: &Request<'_>, _: &mut Reply<'_>) -> Result<Outcome, Error> {
        Err(Error::unsupported("This engine", "spaces"))
    }

    /// What is counted is counted at once: there is nothing to forget.
    fn discard_turn(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

type Runtime = web::Data<RuntimeHandle<Visits>>;

/// What a web client is told in place of a result.
fn failure(error: EngineError) -> HttpResponse {
    match error {
        // Nothing has changed: busy, loading, a replica, or about to stop.
        EngineError::Refused(error) => HttpResponse::ServiceUnavailable()
            .insert_header((RETRY_AFTER, 1))
            .body(error.to_string()),
        error => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

#[post("/visits/{name}")]
async fn add_visit(runtime: Runtime, name: web::Path<String>) -> impl Responder {
    let name = name.into_inner();
    let count = runtime.write(move |visits| Ok(visits.visit(name))).await;
    count.map_or_else(failure, |count| HttpResponse::Ok().body(count.to_string()))
}

#[get("/visits/{name}")]
async fn count_visits(runtime: Runtime, name: web::Path<String>) -> impl Responder {
    let count = runtime.read(move |visits| Ok(visits.0.get(&*name).copied()));
    match count.await {
        Ok(Some(count)) => HttpResponse::Ok().body(count.to_string()),
        Ok(None) => HttpResponse::NotFound().finish(),
        Err(error) => failure(error),
    }
}

fn procedures() -> Procedures<Visits> {
    Procedures::<Visits>::default().with_engine("visits", |call| {
        let (name,): (String,) = call.parse()?;
        let count = call.engine.visit(name);
        call.reply.value(&count)
    })
}

fn addresses() -> io::Result<[SocketAddr; 3]> {
    let mut given = std::env::args().skip(1);
    let mut next = |default: &str| {
        let address = given.next().unwrap_or_else(|| default.to_owned());
        address.parse().map_err(io::Error::other)
    };
    Ok([
        next("127.0.0.1:8080")?,
        next("127.0.0.1:3302")?,
        next("127.0.0.1:8081")?,
    ])
}

#[actix_web::main]
async fn main() -> io::Result<()> {
    let [http, iproto, page] = addresses()?;
    let mut config = Config::default().listen(vec![iproto.into()]);
    // What clients leave to the page.
    config.descriptors.reserved = DESCRIPTORS;
    let runtime = start(config, || Ok(Visits::default()), procedures())?;
    // Closed last, when it is dropped: until then it tells how far a stop is.
    let page = HttpConfig::new([page.into()]);
    let page = serve(&runtime, page, Sources::new(env!("CARGO_PKG_VERSION")));
    let page = page.map_err(io::Error::other)?;
    let shared = web::Data::new(runtime.clone());
    let app = move || {
        let app = App::new().app_data(shared.clone());
        app.service(add_visit).service(count_visits)
    };
    let server = HttpServer::new(app)
        .workers(2)
        // Else actix-web ends the System by itself, and requests under way with it.
        .disable_signals()
        .bind(http)?;
    println!(
        "HTTP {:?}, IPROTO {:?}, page [{}]",
        server.addrs(),
        runtime.addresses(),
        page.addresses()[0]
    );
    let server = server.run();
    let web = server.handle();
    actix_web::rt::spawn(server);
    // At a signal: first no HTTP any more, whose handlers need the engine, then the runtime.
    let report = runtime.serve_until_signal_then(|| web.stop(true)).await?;
    println!(
        "stopped: {} requests cut off, failure {:?}",
        report.killed, report.failure
    );
    Ok(())
}
