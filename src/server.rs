//! The server: the embedded engine behind the actors, a logger, signals, and an exit code.

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use tokio::signal::unix;
use vestibule_actors::config::{
    Administrators, ConnectionLimits, Grace, HoldLimits, SoloPolicy, TimeLimits,
};
use vestibule_actors::serving::Role;
use vestibule_actors::{Config, RuntimeHandle, StopReport, start};

use crate::cli::{GraceArg, GuestArg, JournalSyncArg, ServeArgs, SoloPolicyArg};
use crate::descriptors;
use crate::notify;
use vestibule_engine::journal::{self, JournalSync};
use vestibule_engine::procedures;
use vestibule_engine::{CheckpointOptions, EmbeddedEngine, EngineOptions, GuestRights};

/// The signal that a file grew beyond its limit, on Linux.
const SIGXFSZ: i32 = 25;

/// Exit code of a stop that cut something off.
const EXIT_CUT_OFF: u8 = 3;

/// Serves until it is stopped by a signal or by `vestibule.drain`.
///
/// # Errors
///
/// A guest who may do everything on an address that other machines reach, a data directory that
/// cannot be made, an address that cannot be listened on.
pub fn serve(args: &ServeArgs) -> io::Result<ExitCode> {
    init_logger(&args.log.filter);
    check_guest(args)?;
    prepare_data(&args.data)?;
    journal::check_unlocked(&args.data).map_err(io::Error::other)?;
    let config = config(args)?;
    actix_rt::System::new().block_on(async {
        let options = engine_options(args);
        let mut standard = procedures::standard();
        if args.debug_procedures {
            standard = procedures::with_debug(standard);
        }
        let engine = move || Ok(EmbeddedEngine::new(options.clone()));
        // A write beyond `ulimit -f` then fails like any other, instead of ending the process.
        let _caught = unix::signal(unix::SignalKind::from_raw(SIGXFSZ))?;
        let runtime = start(config, engine, standard)?;
        print_welcome(&runtime, args);
        actix_rt::spawn(notify::tell_service_manager(runtime.clone()));
        tokio::select! {
            outcome = stop_on_signal(&runtime) => outcome?,
            _ = runtime.stopped() => {}
        }
        Ok(exit_code(&runtime.stopped().await))
    })
}

/// Installs the logger of the process, which writes to stderr.
///
/// # Panics
///
/// If there is one already.
pub fn init_logger(filter: &str) {
    env_logger::Builder::new()
        .parse_filters(filter)
        .format_timestamp_millis()
        .init();
}

/// An address that other machines may reach.
fn exposed(args: &ServeArgs) -> Option<&SocketAddr> {
    let mut addresses = args.listen.iter().chain(&args.admin_listen);
    addresses.find(|address| !address.ip().is_loopback())
}

/// Whoever connects is guest, without a password: it may not do everything for other machines.
fn check_guest(args: &ServeArgs) -> io::Result<()> {
    let Some(address) = exposed(args).filter(|_| args.guest == GuestArg::Super) else {
        return Ok(());
    };
    Err(io::Error::other(format!(
        "{address} is reachable from other machines, and the user 'guest', who needs no password, \
         may do everything. Either listen on 127.0.0.1 only, or take these rights from guest with \
         --guest none (or VESTIBULE_GUEST=none). Before that, on 127.0.0.1, give somebody else a \
         password, for example: box.schema.user.passwd('admin', '…')"
    )))
}

fn prepare_data(data: &Path) -> io::Result<()> {
    fs::create_dir_all(data).map_err(|fault| {
        let text = format!("cannot make the data directory {}: {fault}", data.display());
        io::Error::new(fault.kind(), text)
    })
}

fn config(args: &ServeArgs) -> io::Result<Config> {
    Ok(Config {
        listen: args.listen.clone(),
        admin_listen: args.admin_listen.clone(),
        connection_limits: ConnectionLimits {
            descriptors: descriptors::raise_limit(),
            connections_max: args.max_connections,
            memory_max: args.connections_memory_max,
            ..ConnectionLimits::default()
        },
        session_threads: usize::from(args.session_threads),
        instance_uuid: instance_uuid(&args.data)?,
        role: if args.read_only {
            Role::Replica
        } else {
            Role::Primary
        },
        solo_policy: solo_policy(args.solo_policy),
        solo_policy_new: solo_policy(args.solo_policy_new),
        hold: HoldLimits {
            requests_max: args.hold_requests_max,
            bytes_max: args.hold_bytes_max,
            time_max: args.hold_time_max,
        },
        administrators: if args.administrator.is_empty() {
            Administrators::LocalConnections
        } else {
            Administrators::Users(args.administrator.clone())
        },
        packet_size_max: args.packet_size_max,
        tx_stall_after: args.tx_stall_after,
        time_limits: TimeLimits {
            half_frame: args.half_frame_timeout,
            authentication: args.authentication_timeout,
            unread: args.unread_timeout,
            idle: args.idle_timeout,
        },
        request_timeout: args.request_timeout,
        transaction_timeout: args.transaction_timeout,
        shutdown_grace_period: grace(args),
        lameduck: args.lameduck,
        ..Config::default()
    })
}

fn grace(args: &ServeArgs) -> Grace {
    match args.shutdown_grace_period {
        GraceArg::Limited(period) => Grace::Limited(period),
        GraceArg::Auto => Grace::Auto {
            min: args.grace_auto_min,
            max: args.grace_auto_max,
        },
        GraceArg::Forever => Grace::Forever,
    }
}

fn solo_policy(policy: SoloPolicyArg) -> SoloPolicy {
    match policy {
        SoloPolicyArg::Reject => SoloPolicy::Reject,
        SoloPolicyArg::Close => SoloPolicy::Close,
        SoloPolicyArg::Hold => SoloPolicy::Hold,
    }
}

fn engine_options(args: &ServeArgs) -> EngineOptions {
    EngineOptions {
        journal_sync: match args.journal_sync {
            JournalSyncArg::Turn => JournalSync::Turn,
            JournalSyncArg::Interval => JournalSync::Interval(args.journal_sync_period),
            JournalSyncArg::Never => JournalSync::Never,
        },
        force_recovery: args.force_recovery,
        checkpoints: CheckpointOptions {
            journal_size_bytes: Some(args.checkpoint_journal_size),
            interval: Some(args.checkpoint_interval),
            count: usize::from(args.checkpoint_count),
        },
        tuple_size_max: args.tuple_size_max,
        guest: match args.guest {
            GuestArg::Super => GuestRights::Super,
            GuestArg::None => GuestRights::Granted,
        },
        is_exposed: exposed(args).is_some(),
        ..EngineOptions::new(&args.data)
    }
}

/// The instance's UUID: made once, kept beside the journal.
fn instance_uuid(data: &Path) -> io::Result<String> {
    let path = data.join("instance-uuid");
    match fs::read_to_string(&path) {
        Ok(text) if is_uuid(text.trim()) => {
            if !journal::has_journal(data) {
                log::warn!(
                    "{} was used before, but holds no journal: no data",
                    data.display()
                );
            }
            Ok(text.trim().to_owned())
        }
        Ok(_) => Err(io::Error::other(format!(
            "{} holds no UUID",
            path.display()
        ))),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => {
            let uuid = random_uuid()?;
            // Whole or not at all, whenever the power goes.
            let new = data.join("instance-uuid.new");
            let write = || {
                let mut file = fs::File::create(&new)?;
                file.write_all(format!("{uuid}\n").as_bytes())?;
                file.sync_all()?;
                fs::rename(&new, &path)
            };
            write().map_err(|fault| on_file("write", &new, &fault))?;
            Ok(uuid)
        }
        Err(fault) => Err(on_file("read", &path, &fault)),
    }
}

fn on_file(action: &str, path: &Path, fault: &io::Error) -> io::Error {
    let text = format!("cannot {action} {}: {fault}", path.display());
    io::Error::new(fault.kind(), text)
}

/// Whether a text is a UUID as it is usually written.
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// A random UUID, version 4.
fn random_uuid() -> io::Result<String> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|fault| io::Error::other(fault.to_string()))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    Ok(parts.join("-"))
}

fn join(addresses: &[SocketAddr]) -> String {
    let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

/// What the first-time user needs next. Tests read the first line.
fn print_welcome(runtime: &RuntimeHandle, args: &ServeArgs) {
    println!(
        "vestibule {} listens on {}",
        env!("CARGO_PKG_VERSION"),
        join(runtime.addresses())
    );
    if !runtime.admin_addresses().is_empty() {
        println!("administrators at {}", join(runtime.admin_addresses()));
    }
    println!(
        "data in {}, journal synced {}",
        args.data.display(),
        match args.journal_sync {
            JournalSyncArg::Turn => "before every reply",
            JournalSyncArg::Interval => "every so often",
            JournalSyncArg::Never => "when the system likes",
        }
    );
    if let Some(address) = runtime.addresses().first() {
        println!("connect with any Tarantool connector, for example:");
        println!("  pip install tarantool");
        println!(
            "  python3 -c \"import tarantool; \
             print(tarantool.connect('{}', {}).call('vestibule.state'))\"",
            address.ip(),
            address.port()
        );
    }
}

/// The first SIGTERM or SIGINT drains, the second ends the process at once.
async fn stop_on_signal(runtime: &RuntimeHandle) -> io::Result<()> {
    let mut terminate = unix::signal(unix::SignalKind::terminate())?;
    let mut interrupt = unix::signal(unix::SignalKind::interrupt())?;
    let mut next = async || {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    };
    let first = next().await;
    runtime.begin_drain(None, first);
    tokio::select! {
        second = next() => {
            log::warn!("{second} again: ending at once");
            std::process::exit(i32::from(EXIT_CUT_OFF));
        }
        _ = runtime.stopped() => Ok(()),
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn guest_may_do_everything_only_where_no_other_machine_is() {
        let check = |args: &[&str]| {
            let args = ["vestibule"].iter().chain(args);
            check_guest(&Cli::try_parse_from(args).unwrap().serve).map_err(|told| told.to_string())
        };
        let open = ["--listen", "127.0.0.1:0", "--listen", "0.0.0.0:0"];
        for local in ["127.0.0.1:0", "127.9.9.9:0", "[::1]:0"] {
            assert_eq!(check(&["--listen", local]), Ok(()));
        }
        for refused in [
            &open[..],
            &["--listen", "[::]:0"],
            &["--listen", "192.0.2.1:3301"],
            &[
                "--listen",
                "127.0.0.1:0",
                "--admin-listen",
                "192.0.2.1:3302",
            ],
        ] {
            let told = check(refused).unwrap_err();
            assert!(told.contains("--guest none"), "{told}");
            assert_eq!(check(&[refused, &["--guest", "none"]].concat()), Ok(()));
        }
    }

    #[test]
    fn a_uuid_is_made_once_and_kept() {
        let data = std::env::temp_dir().join(format!("vestibule-uuid-{}", std::process::id()));
        fs::create_dir_all(&data).unwrap();
        let first = instance_uuid(&data).unwrap();
        assert_eq!(first.len(), 36);
        assert_eq!(&first[14..15], "4");
        assert_eq!(instance_uuid(&data).unwrap(), first);
        fs::write(data.join("instance-uuid"), "nonsense").unwrap();
        assert!(instance_uuid(&data).is_err());
        // A directory is in the way.
        fs::remove_file(data.join("instance-uuid")).unwrap();
        fs::create_dir(data.join("instance-uuid.new")).unwrap();
        let told = instance_uuid(&data).unwrap_err().to_string();
        let expected = format!("cannot write {}", data.join("instance-uuid.new").display());
        assert!(told.starts_with(&expected), "{told}");
        fs::remove_dir_all(&data).unwrap();
    }
}
