//! Options of `vestibule ctl`: where a server is, and what it is to do.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use vestibule_client::{Address, Target};

use crate::cli::choices::{Described, one_of};
use crate::cli::secured::SecuredArgs;
use crate::cli::values::{duration, some_time, time_text};

/// How long a server has to be reached, and to answer, unless told otherwise.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// What is shown below the commands.
const CTL_HELP: &str = "\
Examples:
  vestibule ctl state
  vestibule ctl --connect db1:3302 --user admin --password-file admin.password state --json
  vestibule ctl --connect db1:3303 --tls-ca ca.crt --user admin --password-file admin.password state
  vestibule ctl demote --grace 2s --wait=30s
  vestibule ctl drain --lameduck 5s --wait
  vestibule ctl drain-upstream db1 --grace 5s
  vestibule ctl show requests
  vestibule ctl kill 17 4

Who may do this: connections from the server's own machine, or the users that its --administrator \
names. It is answered whatever the engine does.

Exit codes: 0 done; 1 refused, not reached, or not done in time; 2 bad usage; 3 the change of \
role, or the drain of an upstream, is done, and requests or transactions were cut off by it.";

/// Options of `vestibule ctl`.
#[derive(Debug, Args)]
#[command(after_help = CTL_HELP)]
pub(crate) struct CtlArgs {
    /// Which server is meant.
    #[command(flatten)]
    pub(crate) server: CtlServer,
    /// How it is known.
    #[command(flatten)]
    pub(crate) tls: SecuredArgs,
    /// What it is to do.
    #[command(subcommand)]
    pub(crate) verb: CtlVerb,
}

/// Which server is meant, and how it is asked.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which server")]
pub(crate) struct CtlServer {
    /// Where it listens: HOST:PORT or unix:/PATH. Best the address of its --admin-listen, which
    /// clients cannot fill.
    #[arg(
        long,
        global = true,
        env = "VESTIBULE_CTL_CONNECT",
        value_name = "ADDR",
        value_parser = server_address,
        default_value = "127.0.0.1:3301",
    )]
    pub(crate) connect: Address,
    /// User to log in as; without one it is the guest who asks.
    #[arg(
        long,
        global = true,
        env = "VESTIBULE_CTL_USER",
        value_name = "USER",
        value_parser = NonEmptyStringValueParser::new(),
    )]
    pub(crate) user: Option<String>,
    /// File with the password of that user; others than its owner and group may not read it.
    #[arg(
        long,
        global = true,
        env = "VESTIBULE_CTL_PASSWORD_FILE",
        value_name = "FILE"
    )]
    pub(crate) password_file: Option<PathBuf>,
    /// How long the server has to be reached, and again for each answer. What is waited for by
    /// --wait has a time of its own.
    #[arg(
        long,
        global = true,
        env = "VESTIBULE_CTL_TIMEOUT",
        value_name = "TIME",
        value_parser = some_time,
        default_value = time_text(TIMEOUT_DEFAULT),
    )]
    pub(crate) timeout: Duration,
    /// Write what is answered as one line of JSON, with all that there is.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What a server is to do.
#[derive(Debug, Subcommand)]
pub(crate) enum CtlVerb {
    /// Tell the serving state, the role, and what is under way.
    State,
    /// Declare solo: what is queued is refused, and nothing new reaches the engine.
    Solo {
        /// What clients are told. The server has a text of its own for it.
        reason: Option<String>,
    },
    /// Take back what `solo` declared. Other reasons for solo stay.
    Assist,
    /// Stop the server: announce it, let what runs finish, close.
    Drain(DrainArgs),
    /// Make it a replica, which takes no changes.
    Demote(DemoteArgs),
    /// Make it the primary, which takes changes.
    Promote(PromoteArgs),
    /// Drain an upstream of a gateway: nothing new goes there, and what is under way may finish.
    DrainUpstream(DrainUpstreamArgs),
    /// Let requests go to an upstream again that was drained.
    RestoreUpstream(RestoreUpstreamArgs),
    /// Have requests go to an upstream over new connections: it shows a new certificate, or is
    /// reached another way. Those that there are end when they have nothing to do.
    Reconnect(ReconnectArgs),
    /// End one request, or a connection with all of its requests.
    Kill {
        /// Number of the connection, as `show connections` tells.
        connection: u64,
        /// Number of the request, as `show requests` tells; without it the connection is ended.
        sync: Option<u64>,
    },
    /// List connections, requests, transitions and other things.
    Show {
        /// What to list.
        #[arg(value_parser = one_of(Shown::ALL, Shown::described))]
        what: Shown,
    },
    /// Read the configuration again: all of it, or, if anything is wrong with it, nothing.
    Reload,
}

/// Options of `vestibule ctl drain`.
#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// Most time for what runs, instead of the server's --shutdown-grace-period.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) grace: Option<Duration>,
    /// Time between the announcement and the beginning, instead of the server's --lameduck.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) lameduck: Option<Duration>,
    /// Watch it.
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
}

/// Options of `vestibule ctl demote`.
#[derive(Debug, Args)]
pub(crate) struct DemoteArgs {
    /// Most time for the transactions that are open, instead of the server's
    /// --shutdown-grace-period.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) grace: Option<Duration>,
    /// How it waits.
    #[command(flatten)]
    pub(crate) turn: TurnArgs,
    /// Watch it.
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
}

/// Options of `vestibule ctl promote`.
#[derive(Debug, Args)]
pub(crate) struct PromoteArgs {
    /// How it waits.
    #[command(flatten)]
    pub(crate) turn: TurnArgs,
    /// Watch it.
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
}

/// Options of `vestibule ctl drain-upstream`.
#[derive(Debug, Args)]
pub(crate) struct DrainUpstreamArgs {
    /// Name of the upstream, as `show upstreams` tells.
    pub(crate) name: String,
    /// Most time for what is under way there, instead of the server's --shutdown-grace-period.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) grace: Option<Duration>,
    /// Return when that has passed, although it goes on. Else it is waited for.
    #[arg(long, value_name = "TIME", require_equals = true, value_parser = duration)]
    pub(crate) wait: Option<Duration>,
}

/// Options of `vestibule ctl restore-upstream`.
#[derive(Debug, Args)]
pub(crate) struct RestoreUpstreamArgs {
    /// Name of the upstream, as `show upstreams` tells.
    pub(crate) name: String,
    /// How it waits.
    #[command(flatten)]
    pub(crate) turn: TurnArgs,
}

/// Options of `vestibule ctl reconnect`.
#[derive(Debug, Args)]
pub(crate) struct ReconnectArgs {
    /// Name of the upstream, as `show upstreams` tells.
    pub(crate) name: String,
}

/// How a change of role waits for its turn.
#[derive(Debug, Args)]
pub(crate) struct TurnArgs {
    /// How long another transition that is under way is waited for. The server waits for a minute
    /// unless told otherwise.
    #[arg(long = "turn-within", value_name = "TIME", value_parser = duration)]
    pub(crate) within: Option<Duration>,
}

/// Whether a transition is watched until it is over.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Return when it is over, or, with a time, when that has passed. It goes on in either case.
    #[arg(long, value_name = "TIME", require_equals = true, value_parser = duration)]
    pub(crate) wait: Option<Option<Duration>>,
}

/// What `vestibule.show` lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    Connections,
    Requests,
    Reservations,
    Transitions,
    Quotas,
    Limits,
    Descriptors,
    Threads,
    Upstreams,
    Links,
    Pins,
}

impl Shown {
    pub(crate) const ALL: [Self; 11] = [
        Self::Connections,
        Self::Requests,
        Self::Reservations,
        Self::Transitions,
        Self::Quotas,
        Self::Limits,
        Self::Descriptors,
        Self::Threads,
        Self::Upstreams,
        Self::Links,
        Self::Pins,
    ];

    /// As the server knows it.
    pub(crate) fn name(self) -> &'static str {
        self.described().name
    }

    fn described(self) -> Described {
        let (name, help) = match self {
            Self::Connections => ("connections", "Who is connected, and what each one holds"),
            Self::Requests => ("requests", "What is forwarded, runs or waits"),
            Self::Reservations => (
                "reservations",
                "Locks and other state that connections hold",
            ),
            Self::Transitions => (
                "transitions",
                "Changes of state and role, and how they went",
            ),
            Self::Quotas => ("quotas", "What users and addresses hold of what all share"),
            Self::Limits => ("limits", "Every bound, and what is used of it"),
            Self::Descriptors => ("descriptors", "Shares of the descriptors of the process"),
            Self::Threads => ("threads", "Session threads, and what each one holds"),
            Self::Upstreams => ("upstreams", "Upstreams of a gateway, and how they are"),
            Self::Links => ("links", "Connections of a gateway to its upstreams"),
            Self::Pins => (
                "pins",
                "Clients that have connections upstream of their own, and why",
            ),
        };
        Described { name, help }
    }
}

/// Where a server listens, without a login: passwords are read from files.
fn server_address(text: &str) -> Result<Address, String> {
    let target: Target = text
        .parse()
        .map_err(|fault: vestibule_client::ParseTargetError| fault.to_string())?;
    match target.credentials {
        None => Ok(target.address),
        Some(_) => Err("users are named by --user, and passwords by --password-file".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn ctl(args: &[&str]) -> Result<CtlArgs, String> {
        let args = [&["vestibule", "ctl"], args].concat();
        match Cli::try_parse_from(args).map(|cli| cli.command) {
            Ok(Some(Command::Ctl(args))) => Ok(*args),
            Ok(other) => panic!("{other:?}"),
            Err(fault) => Err(fault.to_string()),
        }
    }

    #[test]
    fn options_of_the_server_stand_before_and_behind_what_it_is_to_do() {
        for args in [
            &["--connect", "db1:3302", "--json", "state"],
            &["state", "--connect", "db1:3302", "--json"],
        ] {
            let args = ctl(args).unwrap();
            assert_eq!(args.server.connect.to_string(), "db1:3302");
            assert!(args.server.json);
        }
        let args = ctl(&["--connect", "unix/:/run/own.sock", "state"]).unwrap();
        assert_eq!(args.server.connect.to_string(), "unix:/run/own.sock");
    }

    #[test]
    fn waiting_may_have_a_time() {
        let wait = |args: &[&str]| match ctl(args).unwrap().verb {
            CtlVerb::Drain(args) => args.watch.wait,
            other => panic!("{other:?}"),
        };
        assert_eq!(wait(&["drain"]), None);
        assert_eq!(wait(&["drain", "--wait"]), Some(None));
        let three = Some(Some(Duration::from_secs(3)));
        assert_eq!(wait(&["drain", "--wait=3s"]), three);
    }

    #[test]
    fn a_password_has_no_place_on_the_command_line() {
        let told = ctl(&["--connect", "admin:secret@db1:3302", "state"]).unwrap_err();
        assert!(told.contains("--password-file"), "{told}");
        assert!(ctl(&["--timeout", "0", "state"]).is_err());
    }
}
