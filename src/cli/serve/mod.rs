//! Options of `vestibule serve`, and the configuration that they make.
//!
//! An option is a field of one of the groups below, and a line where its group makes the
//! configuration; its default is that of the field there, a constant in the `limits` of that
//! package. The tests hold that both are the same.
//!
//! | file | what it is |
//! |---|---|
//! | `listening` | who is served where |
//! | `connections` | how many connections there may be, and how long they may take |
//! | `logins` | how wrong logins are slowed down |
//! | `requests` | how long requests may take, and how much of what all share one may hold |
//! | `busy` | what happens while the engine is busy |
//! | `stopping` | how a stop and a change of role go |
//! | `side_door` | metrics, probes and the state over HTTP |
//! | `gateway` | the instances that a gateway stands before |
//! | `handed` | sockets that a service manager hands over |
//! | `tls` | TLS: where it is spoken, and who the server is |
//! | `storage` | where data is, and when it reaches the disk |
//! | `mod` | all of them |

mod busy;
mod connections;
mod gateway;
mod handed;
mod listening;
mod logins;
mod requests;
mod side_door;
mod stopping;
mod storage;
mod tls;

use std::io;
use std::net::SocketAddr;

use clap::Args;
use vestibule_actors::{Config, ListenAddress, TlsIdentity, UpstreamTls, Upstreams};
use vestibule_engine::{EngineOptions, GuestRights};
use vestibule_http::HttpConfig;

use self::busy::BusyArgs;
use self::connections::ConnectionArgs;
use self::gateway::GatewayArgs;
pub(crate) use self::handed::{HandedOver, SocketUse};
use self::listening::ListenArgs;
use self::logins::LoginArgs;
use self::requests::RequestArgs;
use self::side_door::SideDoorArgs;
use self::stopping::StopArgs;
use self::storage::StorageArgs;
use self::tls::TlsArgs;
use crate::cli::file::FileArgs;
use crate::cli::log::LogArgs;
use crate::cli::switch::Switch as _;

/// A file that is named by an option and cannot be used.
#[derive(Debug)]
pub(crate) struct FileFault {
    /// The option.
    pub(crate) option: &'static str,
    /// The file, and why.
    pub(crate) text: String,
}

impl From<FileFault> for io::Error {
    fn from(fault: FileFault) -> Self {
        Self::other(fault.text)
    }
}

/// What stands in the files that options name.
#[derive(Debug)]
pub(crate) struct ReadFiles {
    /// The options of the engine.
    pub(crate) engine: EngineOptions,
    /// What a gateway stands before: nothing, if this is none.
    pub(crate) upstreams: Upstreams,
    /// The configuration of the side door: without an address there is to be none.
    pub(crate) side_door: HttpConfig,
    /// Who the server is by TLS, if that is told.
    pub(crate) tls: Option<TlsIdentity>,
    /// How a gateway connects to upstreams by TLS, if that is told.
    pub(crate) upstream_tls: Option<UpstreamTls>,
}

/// Options of `vestibule serve`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArgs {
    /// Where options are read from.
    #[command(flatten)]
    pub(crate) file: FileArgs,
    /// What is logged.
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// Who is served where.
    #[command(flatten)]
    pub(crate) listening: ListenArgs,
    /// TLS.
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    /// How many connections there may be.
    #[command(flatten)]
    pub(crate) connections: ConnectionArgs,
    /// How wrong logins are slowed down.
    #[command(flatten)]
    pub(crate) logins: LoginArgs,
    /// How long requests may take.
    #[command(flatten)]
    pub(crate) requests: RequestArgs,
    /// What happens while the engine is busy.
    #[command(flatten)]
    pub(crate) busy: BusyArgs,
    /// How a stop goes.
    #[command(flatten)]
    pub(crate) stopping: StopArgs,
    /// Metrics and probes.
    #[command(flatten)]
    pub(crate) side_door: SideDoorArgs,
    /// Where data is.
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    /// What a gateway stands before.
    #[command(flatten)]
    pub(crate) gateway: GatewayArgs,
    /// Add `vestibule.debug.block`, `.sleep` and `.panic`. Never in production.
    #[arg(
        long,
        env = "VESTIBULE_DEBUG_PROCEDURES",
        switch = false,
        help_heading = "Tests"
    )]
    pub(crate) debug_procedures: bool,
    /// Where sockets listen that were handed over.
    #[arg(skip)]
    pub(crate) handed: HandedOver,
}

impl ServeArgs {
    /// The configuration of the runtime. Of the process itself, its descriptors and the UUID of the
    /// instance are not known here.
    pub(crate) fn config(&self) -> Config {
        let config = self.listening.add_to(Config::default(), &self.handed);
        let config = self.connections.add_to(config);
        let config = self.logins.add_to(config);
        let config = self.requests.add_to(config);
        let config = self.busy.add_to(config);
        let config = self.stopping.add_to(config);
        let mut config = self.storage.add_to(config);
        config.descriptors.reserved = self.side_door.descriptors(&self.handed);
        config
    }

    /// What no start can do with these options.
    ///
    /// # Errors
    ///
    /// A guest who may do everything on an address that other machines reach, and what the runtime
    /// refuses.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.gateway.check(&self.handed)?;
        // What guest may do before upstreams, they decide.
        if !self.gateway.is_given() {
            let others = self.tls.tls_listen.iter().copied();
            self.listening.check(others.chain(self.handed.network()))?;
        }
        let tls_reads = &self.gateway.tls_listen_reads;
        let has_tls_reads = !tls_reads.is_empty() || self.handed.has(SocketUse::TlsReads);
        let has_tls_reads = has_tls_reads && self.gateway.is_given();
        let is_over_tls = self.side_door.is_over_tls(&self.handed);
        let others = [
            ("tls_listen_reads", has_tls_reads),
            ("http_tls", is_over_tls),
        ];
        self.tls.check(&self.handed, others)?;
        self.config().check().map_err(|fault| fault.to_string())
    }

    /// Where it is to be listened on for TLS.
    pub(crate) fn tls_listen(&self) -> Vec<SocketAddr> {
        self.handed.or(SocketUse::Tls, &self.tls.tls_listen)
    }

    /// Where the option says that one listens.
    pub(crate) fn said(&self, use_: SocketUse) -> Vec<ListenAddress> {
        let of_network = |own: &[SocketAddr]| own.iter().copied().map(Into::into).collect();
        match use_ {
            SocketUse::Clients => self.listening.listen.clone(),
            SocketUse::Administrators => self.listening.admin_listen.clone(),
            SocketUse::Tls => of_network(&self.tls.tls_listen),
            SocketUse::Reads => self.gateway.listen_reads.clone(),
            SocketUse::TlsReads => of_network(&self.gateway.tls_listen_reads),
            SocketUse::Http => self.side_door.http_listen.clone(),
        }
    }

    /// Whether those may do everything who have not logged in.
    pub(crate) fn guest_may_do_everything(&self) -> bool {
        self.listening.guest == GuestRights::Super
    }

    /// The options of the engine, without what stands in files.
    pub(crate) fn engine_options(&self) -> EngineOptions {
        self.storage.engine_options().guest(self.listening.guest)
    }

    /// What is made of options and of the files that they name.
    ///
    /// # Errors
    ///
    /// The first file that cannot be used.
    pub(crate) fn read_files(&self) -> Result<ReadFiles, FileFault> {
        let about = |option| move |text| FileFault { option, text };
        let upstreams = self.gateway.upstreams(&self.handed);
        let upstreams = upstreams.account(self.gateway.account()?);
        let upstreams = upstreams.users(self.gateway.users()?);
        let password = self.listening.admin_password();
        let password = password.map_err(about("admin_password_file"))?;
        let mode = self.listening.unix_socket_mode.0;
        let side_door = self.side_door.config(mode, &self.handed);
        let mut side_door = side_door.map_err(about("http_token_file"))?;
        let tls = self.tls.identity()?;
        side_door.tls = tls.clone().filter(|_| self.side_door.http_tls);
        Ok(ReadFiles {
            engine: self.engine_options().admin_password(password),
            upstreams,
            side_door,
            tls,
            upstream_tls: self.gateway.tls()?,
        })
    }
}

#[cfg(test)]
mod tests;
