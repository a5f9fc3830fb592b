//! The server: the embedded engine or upstreams behind the actors, a logger, signals, and an exit
//! code.

use std::fs::DirBuilder;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::timeout;
use vestibule_actors::engine::Progress;
use vestibule_actors::serving::State;
use vestibule_actors::{
    BoundListener, Gateway, GatewayBuilder, ListenAddress, RuntimeBuilder, RuntimeHandle,
    StopReport, TlsIdentity, UpstreamTls, UpstreamUsers,
};
use vestibule_engine::{EmbeddedEngine, JournalSync, journal, procedures};
use vestibule_http::{HttpConfig, HttpHandle, Sources};

use crate::activation::Sockets;
use crate::cli::EXIT_CUT_OFF;
use crate::cli::serve::ServeArgs;
use crate::config::{Problem, Settings};
use crate::meter::{self, Meter};
use crate::notify::{SENDING_TIME_MAX, ServiceManager};
use crate::reload::{self, Configuration, Part, ReloadQueue, ReloadSender};
use crate::{commands, descriptors, identity, logger, signals};

/// Time between two looks at how far a recovery is.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Serves until it is stopped by a signal or by `vestibule.drain`.
///
/// # Errors
///
/// A data directory that cannot be made or holds Tarantool's files, an address that cannot be
/// listened on.
pub(crate) fn serve(settings: Settings, sockets: Sockets) -> io::Result<ExitCode> {
    let args = settings.cli.serving().expect("a server is to be started");
    let args = &args.clone();
    if args.gateway.is_given() {
        return serve_gateway(settings, args, sockets);
    }
    logger::install(&args.log);
    settings.warn_of_file();
    commands::refuse_tarantools(&args.storage.data).map_err(io::Error::other)?;
    prepare_data(&args.storage.data)?;
    journal::check_unlocked(&args.storage.data).map_err(io::Error::other)?;
    let mut config = args.config();
    config.descriptors.process = descriptors::raise_limit();
    config.instance_uuid = identity::instance_uuid(&args.storage.data)?;
    // They could be used when the options were checked.
    let files = args.read_files()?;
    let configuration = Configuration::new(settings);
    actix_rt::System::new().block_on(async {
        let mut standard = procedures::standard();
        if args.debug_procedures {
            standard = procedures::with_debug(standard);
        }
        let engines = EmbeddedEngine::factory(files.engine);
        let _caught = signals::catch_file_size_limit()?;
        let (reloads, queue) = reload::queue();
        let asked = reloads.clone();
        let mut builder = RuntimeBuilder::new(config, engines.clone(), standard)
            .on_reload(move |request| asked.on_request(request));
        let listeners = sockets.into_listeners(files.tls.as_ref())?;
        builder = listeners
            .own
            .into_iter()
            .fold(builder, RuntimeBuilder::listener);
        if let Some(identity) = files.tls.clone() {
            builder = builder.tls(identity, args.tls_listen());
        }
        let runtime = builder.start()?;
        if meter::is_seen() {
            actix_rt::spawn(show_recovery(runtime.clone()));
        }
        let of_engine: Part = Box::new(move |loaded| {
            let (engines, settings) = (engines.clone(), loaded.files.engine.settings);
            Ok(Box::new(move || told(engines.reconfigure(settings))))
        });
        let served = Served {
            line: data_line(args),
            guest_may_do_everything: args.guest_may_do_everything(),
            parts: files
                .tls
                .map(of_tls)
                .into_iter()
                .chain([of_engine])
                .collect(),
        };
        let mut side_door = files.side_door;
        side_door.bound = listeners.http;
        run(runtime, side_door, configuration, (reloads, queue), served).await
    })
}

/// Has the listeners of TLS go by other files.
fn of_tls(identity: TlsIdentity) -> Part {
    Box::new(move |loaded| {
        // The files fit each other: it was made of them.
        let (identity, next) = (identity.clone(), loaded.files.tls.clone());
        Ok(Box::new(move || {
            next.into_iter().for_each(|own| identity.become_as(&own));
        }))
    })
}

/// Has connections to upstreams go by other files.
fn of_upstream_tls(tls: Option<UpstreamTls>) -> Part {
    Box::new(
        move |loaded| match (tls.clone(), loaded.files.upstream_tls.clone()) {
            (None, None) => Ok(Box::new(|| ())),
            (Some(own), Some(next)) => Ok(Box::new(move || own.become_as(&next))),
            _ => {
                let text = "whether there is 'upstream_tls_ca' cannot change without a restart";
                Err(Problem::Together(text.to_owned()))
            }
        },
    )
}

/// Stands before upstreams until it is stopped in the same ways.
///
/// # Errors
///
/// An address that cannot be listened on.
fn serve_gateway(settings: Settings, args: &ServeArgs, sockets: Sockets) -> io::Result<ExitCode> {
    logger::install(&args.log);
    settings.warn_of_file();
    let mut config = args.config();
    config.descriptors.process = descriptors::raise_limit();
    // They could be used when the options were checked.
    let files = args.read_files()?;
    let upstreams = files.upstreams;
    let has_account = upstreams.account.is_some();
    let configuration = Configuration::new(settings);
    let served = Served {
        line: format!(
            "before {}; guest may do what it may do there",
            join(&upstreams.upstreams)
        ),
        guest_may_do_everything: false,
        parts: files
            .tls
            .clone()
            .map(of_tls)
            .into_iter()
            .chain([of_upstream_tls(files.upstream_tls.clone())])
            .collect(),
    };
    actix_rt::System::new().block_on(async {
        let (reloads, queue) = reload::queue();
        let asked = reloads.clone();
        let listeners = sockets.into_listeners(files.tls.as_ref())?;
        let builder = GatewayBuilder::new(config, upstreams)
            .on_reload(move |request| asked.on_request(request));
        let mut builder = listeners
            .own
            .into_iter()
            .fold(builder, GatewayBuilder::listener);
        if let Some(identity) = files.tls {
            builder = builder.tls(identity, args.tls_listen());
        }
        if let Some(tls) = files.upstream_tls {
            builder = builder.upstream_tls(tls);
        }
        let runtime = builder.start()?;
        let mut served = served;
        served
            .parts
            .push(of_upstream_users(runtime.clone(), has_account));
        let mut side_door = files.side_door;
        side_door.bound = listeners.http;
        run(runtime, side_door, configuration, (reloads, queue), served).await
    })
}

/// Has a gateway know its clients by another source, or by what stands in the file now.
fn of_upstream_users(runtime: RuntimeHandle<Gateway>, has_account: bool) -> Part {
    Box::new(move |loaded| {
        let users = loaded.files.upstreams.users.clone();
        if users == UpstreamUsers::One && !has_account {
            let text =
                "'upstream_users' is 'one', and there is no 'upstream_user' before a restart";
            return Err(Problem::Together(text.to_owned()));
        }
        let runtime = runtime.clone();
        Ok(Box::new(move || told(runtime.set_upstream_users(&users))))
    })
}

/// What is served, as far as it is another matter than that it is.
struct Served {
    /// What it is, for who starts it.
    line: String,
    guest_may_do_everything: bool,
    /// What takes other options besides what every server has.
    parts: Vec<Part>,
}

/// Serves until something ends it.
async fn run<E: 'static>(
    runtime: RuntimeHandle<E>,
    side_door: HttpConfig,
    configuration: Configuration,
    (reloads, queue): (ReloadSender, ReloadQueue),
    served: Served,
) -> io::Result<ExitCode> {
    // Closed last: it tells how far a stop is.
    let sources = sources(&configuration, served.guest_may_do_everything);
    let is_there = !side_door.listen.is_empty() || !side_door.bound.is_empty();
    let is_over_tls = side_door.tls.is_some();
    let side_door = is_there.then(|| vestibule_http::serve(&runtime, side_door, sources));
    let side_door = match side_door.transpose() {
        Ok(side_door) => side_door,
        Err(fault) => {
            runtime.stop(Some(Duration::ZERO)).await;
            return Err(io::Error::other(fault));
        }
    };
    let addresses = side_door.as_ref().map_or(&[][..], HttpHandle::addresses);
    let side_door_lines = side_door_lines(addresses, is_over_tls);
    // A server whose output nobody reads serves all the same.
    let _ = io::stdout().write_all(welcome(&runtime, side_door_lines, &served.line).as_bytes());
    let manager = ServiceManager::of_process();
    let following = actix_rt::spawn(manager.clone().follow(runtime.clone()));
    let parts = parts(&runtime, served.parts, side_door.as_ref());
    actix_rt::spawn(reload::run(configuration, parts, manager, queue));
    tokio::select! {
        outcome = signals::stop_on_signal(&runtime, || reloads.on_signal()) => outcome?,
        _ = runtime.stopped() => {}
    }
    let end = runtime.stopped().await;
    // A stop that is over at once is told as well.
    let _ = timeout(SENDING_TIME_MAX, following).await;
    Ok(exit_code(&end))
}

/// A bar for those who start it in a terminal, until the data are there.
async fn show_recovery(runtime: RuntimeHandle<EmbeddedEngine>) {
    let serving = runtime.serving();
    if serving.state != State::Loading {
        return;
    }
    let mut recovered = std::pin::pin!(runtime.changed(serving));
    let mut meter = Meter::start("recovering", "%");
    loop {
        if let Some(share) = runtime.status().progress {
            meter.show(Progress::of((share * 1000.0) as u64, 1000));
        }
        tokio::select! {
            _ = &mut recovered => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// What the side door tells that the runtime does not know.
fn sources(configuration: &Configuration, guest_may_do_everything: bool) -> Sources {
    let (options, reloads) = (configuration.clone(), configuration.clone());
    Sources::new(env!("CARGO_PKG_VERSION"))
        .config(move || options.options())
        .reloads(move || reloads.reloads())
        .guest_may_do_everything(guest_may_do_everything)
}

/// What takes other options while the server serves.
fn parts<E: 'static>(
    runtime: &RuntimeHandle<E>,
    others: Vec<Part>,
    side_door: Option<&HttpHandle>,
) -> Vec<Part> {
    let runtime = runtime.clone();
    let log: Part = Box::new(|loaded| {
        let args = loaded.serving().log.clone();
        Ok(Box::new(move || logger::replace(&args)))
    });
    let of_runtime: Part = Box::new(move |loaded| {
        // It was checked with all other options.
        let (runtime, settings) = (runtime.clone(), loaded.serving().config().settings);
        Ok(Box::new(move || told(runtime.reconfigure(settings))))
    });
    let mut parts = vec![log, of_runtime];
    parts.extend(others);
    if let Some(side_door) = side_door.map(HttpHandle::control) {
        parts.push(Box::new(move |loaded| {
            let (side_door, settings) =
                (side_door.clone(), loaded.files.side_door.settings.clone());
            Ok(Box::new(move || side_door.reconfigure(settings)))
        }));
    }
    parts
}

/// Tells the log of what cannot be, since all was checked before.
fn told<E: std::fmt::Display>(taken: Result<(), E>) {
    if let Err(fault) = taken {
        log::error!("a part of the configuration is not taken: {fault}");
    }
}

fn prepare_data(data: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .map_err(|fault| {
            let text = format!("cannot make the data directory {}: {fault}", data.display());
            io::Error::new(fault.kind(), text)
        })
}

fn join(addresses: &[impl ToString]) -> String {
    let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

/// Where the side door is. By TLS are addresses of the network only.
fn side_door_lines(addresses: &[ListenAddress], is_over_tls: bool) -> Vec<String> {
    let is_by_tls = |own: &&ListenAddress| is_over_tls && own.network().is_some();
    let (by_tls, in_plain): (Vec<_>, Vec<_>) = addresses.iter().partition(is_by_tls);
    [("HTTP by TLS at", by_tls), ("HTTP at", in_plain)]
        .into_iter()
        .filter(|(_, own)| !own.is_empty())
        .map(|(what, own)| format!("{what} {}", join(&own)))
        .collect()
}

/// What the first-time user needs next. Tests read the first line.
fn welcome<E: 'static>(runtime: &RuntimeHandle<E>, side_door: Vec<String>, line: &str) -> String {
    let at = |is_meant: fn(&BoundListener) -> bool| -> Vec<_> {
        let listeners = runtime.listeners().iter();
        let meant = listeners.filter(|own| is_meant(own));
        meant.map(|own| own.address.clone()).collect()
    };
    let clients = at(|own| !own.is_for_administrators && !own.is_over_tls && !own.is_for_reads);
    let administrators = at(|own| own.is_for_administrators);
    let others = [
        ("administrators", administrators),
        (
            "reads of replicas",
            at(|own| own.is_for_reads && !own.is_over_tls),
        ),
        ("TLS", at(|own| own.is_over_tls && !own.is_for_reads)),
        (
            "reads of replicas by TLS",
            at(|own| own.is_over_tls && own.is_for_reads),
        ),
    ];
    let mut lines = vec![format!(
        "vestibule {} listens on {}",
        env!("CARGO_PKG_VERSION"),
        join(&clients)
    )];
    let others = others.iter().filter(|(_, own)| !own.is_empty());
    lines.extend(others.map(|(what, own)| format!("{what} at {}", join(own))));
    lines.extend(side_door);
    lines.push(line.to_owned());
    if let Some(connect) = clients.first().and_then(connect_call) {
        lines.push("connect with any Tarantool connector, for example:".to_owned());
        lines.push("  pip install tarantool".to_owned());
        lines.push(format!(
            "  python3 -c \"import tarantool; print({connect}.call('vestibule.state'))\""
        ));
    }
    lines.join("\n") + "\n"
}

/// Where data is, and when it reaches the disk.
fn data_line(args: &ServeArgs) -> String {
    let synced = match args.storage.journal_sync {
        JournalSync::Turn => "before every reply",
        JournalSync::Interval(_) => "every so often",
        JournalSync::Never => "when the operating system decides",
    };
    let data = args.storage.data.display();
    format!("data in {data}, journal synced {synced}")
}

/// How Python connects there.
fn connect_call(address: &ListenAddress) -> Option<String> {
    match address {
        ListenAddress::Tcp(own) => {
            let (ip, port) = (own.ip(), own.port());
            Some(format!("tarantool.connect('{ip}', {port})"))
        }
        ListenAddress::Unix(path) => {
            Some(format!("tarantool.Connection(None, '{}')", path.display()))
        }
        _ => None,
    }
}

fn exit_code(report: &StopReport) -> ExitCode {
    if let Some(failure) = &report.failure {
        eprintln!("vestibule: {failure}");
        ExitCode::FAILURE
    } else if report.killed + report.aborted_transactions > 0 || !report.tx_stopped {
        ExitCode::from(EXIT_CUT_OFF)
    } else {
        ExitCode::SUCCESS
    }
}
