//! Upstreams: the instances that a gateway stands before.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, value_parser};
use vestibule_actors::limits::{
    CONNECT_TIMEOUT_DEFAULT, FAILOVER_HOLD_DEFAULT, PROBE_INTERVAL_DEFAULT, SILENT_AFTER_DEFAULT,
    UPSTREAM_REQUESTS_DEFAULT, UPSTREAM_REQUESTS_MAX, UPSTREAM_REQUESTS_MIN,
};
use vestibule_actors::{
    GatewayAccount, LinkMode, ListenAddress, OnLost, ReadFrom, TlsFile, Upstream, UpstreamAddress,
    UpstreamTls, UpstreamTlsFiles, UpstreamUsers, Upstreams, UserListError,
};

use super::tls::network_address;
use super::{FileFault, HandedOver, SocketUse};
use crate::cli::choices::{described_link_mode, described_on_lost, described_read_from, one_of};
use crate::cli::values::{duration, time_text, version};
use crate::secret;

/// Longest file of users, in bytes.
const USERS_SIZE_MAX: u64 = 4 << 20;

/// Upstreams.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Upstreams")]
pub(crate) struct GatewayArgs {
    /// Tarantool instance to stand before, as NAME=HOST:PORT or NAME=unix:/PATH; may be repeated,
    /// for the members of a replica set. With one, no data are served from here: what clients ask
    /// goes to the instance that takes changes, and rights are those that it gives.
    #[arg(
        long,
        env = "VESTIBULE_UPSTREAM",
        value_name = "NAME=ADDR",
        value_delimiter = ','
    )]
    pub(crate) upstream: Vec<Upstream>,
    /// User as whom the gateway itself logs in to the upstreams. With --upstream-users ask it needs
    /// to read the space `_user` there, and without it nobody can log in, only be guest.
    #[arg(
        long,
        env = "VESTIBULE_UPSTREAM_USER",
        value_name = "USER",
        value_parser = NonEmptyStringValueParser::new(),
    )]
    pub(crate) upstream_user: Option<String>,
    /// File with the password of that user; others than its owner and group may not read the file.
    #[arg(long, env = "VESTIBULE_UPSTREAM_PASSWORD_FILE", value_name = "FILE")]
    pub(crate) upstream_password_file: Option<PathBuf>,
    /// By what clients are known: 'ask' for the hashes that upstreams have in `_user`; 'one' lets
    /// the user of --upstream-user log in and nobody else; all other words are a file with lines of
    /// NAME:HASH, with hashes as they stand in `_user`, which others than its owner and group may
    /// not read.
    #[arg(
        long,
        env = "VESTIBULE_UPSTREAM_USERS",
        value_name = "SOURCE",
        default_value = "ask",
        value_parser = NonEmptyStringValueParser::new(),
    )]
    pub(crate) upstream_users: String,
    /// Whose connections to upstreams are.
    #[arg(
        long,
        env = "VESTIBULE_MODE",
        value_name = "MODE",
        default_value = LinkMode::Shared.name(),
        value_parser = one_of(LinkMode::ALL, described_link_mode),
    )]
    pub(crate) mode: LinkMode,
    /// Name of the upstream that requests go to where several say that they take changes, none of
    /// them by a later election, and requests have gone to none of these before: at the start, and
    /// when the one that they went to is lost.
    #[arg(
        long,
        env = "VESTIBULE_PRIMARY",
        value_name = "NAME",
        value_parser = NonEmptyStringValueParser::new(),
    )]
    pub(crate) primary: Option<String>,
    /// Requests that one upstream has on its way at most, of all session threads together, of which
    /// each has two at least. Tarantool reads nobody any more at as many as its net_msg_max (768):
    /// of several gateways before one instance, each is to have its part of that.
    #[arg(
        long,
        env = "VESTIBULE_UPSTREAM_REQUESTS_MAX",
        value_name = "COUNT",
        default_value_t = UPSTREAM_REQUESTS_DEFAULT as u32,
        value_parser = value_parser!(u32)
            .range(UPSTREAM_REQUESTS_MIN as i64..=UPSTREAM_REQUESTS_MAX as i64),
    )]
    pub(crate) upstream_requests_max: u32,
    /// Of these, calls, EVAL and SQL, which may take long: fewer than all, also of what each
    /// session thread has. Without it, three quarters.
    #[arg(
        long,
        env = "VESTIBULE_UPSTREAM_CALLS_MAX",
        value_name = "COUNT",
        value_parser = value_parser!(u32).range(1..UPSTREAM_REQUESTS_MAX as i64),
    )]
    pub(crate) upstream_calls_max: Option<u32>,
    /// File with the certificates (PEM) that those of upstreams have to lead to. With it all
    /// upstreams of the network are connected to by TLS, and in no other way. It is looked at once
    /// a minute.
    #[arg(long, env = "VESTIBULE_UPSTREAM_TLS_CA", value_name = "FILE")]
    pub(crate) upstream_tls_ca: Option<PathBuf>,
    /// File with the certificate that upstreams are shown which ask for one, and those between it
    /// and what they trust (PEM). Needs --upstream-tls-key.
    #[arg(long, env = "VESTIBULE_UPSTREAM_TLS_CERTIFICATE", value_name = "FILE")]
    pub(crate) upstream_tls_certificate: Option<PathBuf>,
    /// File with the key of that certificate (PEM), not encrypted. Others than its owner and group
    /// may not use it.
    #[arg(long, env = "VESTIBULE_UPSTREAM_TLS_KEY", value_name = "FILE")]
    pub(crate) upstream_tls_key: Option<PathBuf>,
    /// Name or address that the certificates of all upstreams have to have, in place of the host by
    /// which each is connected to.
    #[arg(
        long,
        env = "VESTIBULE_UPSTREAM_TLS_SERVER_NAME",
        value_name = "NAME",
        value_parser = server_name,
    )]
    pub(crate) upstream_tls_server_name: Option<String>,
    /// Version that clients of a gateway are greeted with, such as 2.11.0. Without it, the lowest
    /// of the upstreams.
    #[arg(
        long,
        env = "VESTIBULE_SERVER_VERSION",
        value_name = "VERSION",
        value_parser = version,
    )]
    pub(crate) server_version: Option<(u32, u32, u32)>,
    /// Time after which an upstream that owes an answer and says nothing is given up for now: the
    /// state is solo until it says something.
    #[arg(
        long,
        env = "VESTIBULE_SILENT_AFTER",
        value_name = "TIME",
        default_value = time_text(SILENT_AFTER_DEFAULT),
        value_parser = duration,
    )]
    pub(crate) silent_after: Duration,
    /// Time after which what is on its way to an upstream that says nothing is given up: its
    /// connections are closed, and nobody knows what became of it, but for what may be sent twice.
    /// Not shorter than --silent-after. 0: what is on its way there waits for as long as requests
    /// may take.
    #[arg(
        long,
        env = "VESTIBULE_SILENT_ABANDON",
        value_name = "TIME",
        default_value = "0",
        value_parser = duration,
    )]
    pub(crate) silent_abandon: Duration,
    /// Time between two questions to an upstream how it is.
    #[arg(
        long,
        env = "VESTIBULE_PROBE_INTERVAL",
        value_name = "TIME",
        default_value = time_text(PROBE_INTERVAL_DEFAULT),
        value_parser = duration,
    )]
    pub(crate) probe_interval: Duration,
    /// Time that a connection to an upstream may take until it is logged in.
    #[arg(
        long,
        env = "VESTIBULE_CONNECT_TIMEOUT",
        value_name = "TIME",
        default_value = time_text(CONNECT_TIMEOUT_DEFAULT),
        value_parser = duration,
    )]
    pub(crate) connect_timeout: Duration,
    /// Time for which requests are held when the upstream that they go to is gone, or takes no
    /// changes any more, until another one does; then the solo policy decides. 0: not at all, and
    /// nothing is sent twice.
    #[arg(
        long,
        env = "VESTIBULE_FAILOVER_HOLD",
        value_name = "TIME",
        default_value = time_text(FAILOVER_HOLD_DEFAULT),
        value_parser = duration,
    )]
    pub(crate) failover_hold: Duration,
    /// What clients are told of whose requests nobody knows what became, because the connection to
    /// their upstream has ended.
    #[arg(
        long,
        env = "VESTIBULE_LOST",
        value_name = "HOW",
        default_value = OnLost::default().name(),
        value_parser = one_of(OnLost::ALL, described_on_lost),
    )]
    pub(crate) lost: OnLost,
    /// How old a change may be that a SELECT does not see, because a read-only upstream answers it
    /// that has all that its connection has seen. 0: the upstream that takes changes answers all.
    #[arg(
        long,
        env = "VESTIBULE_STALENESS_MAX",
        value_name = "TIME",
        default_value = "0",
        value_parser = duration,
    )]
    pub(crate) staleness_max: Duration,
    /// By whom SELECTs are answered that replicas may answer; a connection says it for itself by
    /// `vestibule.set('read_from', 'primary')`. Only of use with --staleness-max.
    #[arg(
        long,
        env = "VESTIBULE_READ_FROM",
        value_name = "WHOM",
        default_value = ReadFrom::default().name(),
        value_parser = one_of(ReadFrom::ALL, described_read_from),
    )]
    pub(crate) read_from: ReadFrom,
    /// Address to listen on, HOST:PORT or unix:/PATH, for connections whose SELECTs replicas
    /// answer, while --read-from is primary for all others; may be repeated. Needs
    /// --staleness-max.
    #[arg(
        long,
        env = "VESTIBULE_LISTEN_READS",
        value_name = "ADDR",
        value_delimiter = ','
    )]
    pub(crate) listen_reads: Vec<ListenAddress>,
    /// Address for connections by TLS whose SELECTs replicas answer, as --listen-reads, HOST:PORT;
    /// may be repeated. Needs what that needs, and --tls-certificate and --tls-key.
    #[arg(
        long,
        env = "VESTIBULE_TLS_LISTEN_READS",
        value_name = "ADDR",
        value_delimiter = ',',
        value_parser = network_address,
    )]
    pub(crate) tls_listen_reads: Vec<SocketAddr>,
    /// Procedures that may be called twice, separated by commas: a CALL of one of these is sent
    /// again when its upstream has gone with it, and nobody knows whether it has happened.
    #[arg(
        long,
        env = "VESTIBULE_RETRY_CALLS",
        value_name = "NAMES",
        value_delimiter = ',',
        value_parser = NonEmptyStringValueParser::new(),
    )]
    pub(crate) retry_calls: Vec<String>,
}

impl GatewayArgs {
    /// Whether there are upstreams.
    pub(crate) fn is_given(&self) -> bool {
        !self.upstream.is_empty()
    }

    /// The upstreams, without what stands in files.
    pub(super) fn upstreams(&self, handed: &HandedOver) -> Upstreams {
        Upstreams::default()
            .upstreams(self.upstream.clone())
            .mode(self.mode)
            .primary(self.primary.clone())
            .requests_max(self.upstream_requests_max as usize)
            .calls_max(self.upstream_calls_max.map(|own| own as usize))
            .server_version(self.server_version)
            .silent_after(self.silent_after)
            .silent_abandon(self.silent_abandon)
            .probe_interval(self.probe_interval)
            .connect_timeout(self.connect_timeout)
            .failover_hold(self.failover_hold)
            .lost(self.lost)
            .staleness_max(self.staleness_max)
            .read_from(self.read_from)
            .listen_reads(handed.or(SocketUse::Reads, &self.listen_reads))
            .tls_listen_reads(handed.or(SocketUse::TlsReads, &self.tls_listen_reads))
            .retry_calls(self.retry_calls.iter().cloned().collect())
    }

    /// The account of the gateway, if it has one.
    ///
    /// # Errors
    ///
    /// Why the password cannot be read.
    pub(super) fn account(&self) -> Result<Option<GatewayAccount>, FileFault> {
        let (Some(user), Some(file)) = (&self.upstream_user, &self.upstream_password_file) else {
            return Ok(None);
        };
        let option = "upstream_password_file";
        let password = secret::read(file).map_err(|text| FileFault { option, text })?;
        Ok(Some(GatewayAccount::new(user, &password)))
    }

    /// By what clients are known.
    ///
    /// # Errors
    ///
    /// The file that cannot be used.
    pub(super) fn users(&self) -> Result<UpstreamUsers, FileFault> {
        let file = match &*self.upstream_users {
            _ if !self.is_given() => return Ok(UpstreamUsers::Ask),
            "ask" => return Ok(UpstreamUsers::Ask),
            "one" => return Ok(UpstreamUsers::One),
            file => Path::new(file),
        };
        let option = "upstream_users";
        let text = secret::read_text(file, USERS_SIZE_MAX);
        let users = text.and_then(|text| {
            let users = text.parse();
            users.map_err(|fault: UserListError| format!("{}: {fault}", file.display()))
        });
        users
            .map(UpstreamUsers::Listed)
            .map_err(|text| FileFault { option, text })
    }

    /// How upstreams of the network are connected to, if that is by TLS.
    ///
    /// # Errors
    ///
    /// The file that cannot be used.
    pub(super) fn tls(&self) -> Result<Option<UpstreamTls>, FileFault> {
        let Some(ca) = self.upstream_tls_ca.as_ref().filter(|_| self.is_given()) else {
            return Ok(None);
        };
        let mut files = UpstreamTlsFiles::new(ca);
        if let (Some(chain), Some(key)) = (&self.upstream_tls_certificate, &self.upstream_tls_key) {
            files = files.certificate(chain, key);
        }
        if let Some(name) = &self.upstream_tls_server_name {
            files = files.server_name(name).map_err(|fault| FileFault {
                option: "upstream_tls_server_name",
                text: fault.to_string(),
            })?;
        }
        let tls = UpstreamTls::load(files).map_err(|fault| FileFault {
            option: match fault.file() {
                TlsFile::Certificate => "upstream_tls_certificate",
                TlsFile::Key => "upstream_tls_key",
                _ => "upstream_tls_ca",
            },
            text: fault.to_string(),
        })?;
        Ok(Some(tls))
    }

    /// What cannot be.
    pub(super) fn check(&self, handed: &HandedOver) -> Result<(), String> {
        let reads = [SocketUse::Reads, SocketUse::TlsReads];
        let handed_reads = reads.into_iter().find(|own| handed.has(*own));
        if !self.is_given() {
            return handed_reads.map_or(Ok(()), |own| {
                let name = own.name();
                Err(format!(
                    "the service manager hands over a socket as '{name}', which is for gateways: \
                     there is no --upstream"
                ))
            });
        }
        let user = ("upstream_user", self.upstream_user.is_some());
        let password = (
            "upstream_password_file",
            self.upstream_password_file.is_some(),
        );
        let one = ("upstream_users", self.upstream_users == "one");
        let ca = ("upstream_tls_ca", self.upstream_tls_ca.is_some());
        let certificate = (
            "upstream_tls_certificate",
            self.upstream_tls_certificate.is_some(),
        );
        let key = ("upstream_tls_key", self.upstream_tls_key.is_some());
        let name = (
            "upstream_tls_server_name",
            self.upstream_tls_server_name.is_some(),
        );
        for ((option, is_given), (other, is_there)) in [
            (user, password),
            (password, user),
            (one, user),
            (certificate, key),
            (key, certificate),
            (certificate, ca),
            (name, ca),
        ] {
            if is_given && !is_there {
                return Err(format!("'{option}' needs '{other}' beside it"));
            }
        }
        let is_local = |own: &Upstream| matches!(own.address, UpstreamAddress::Unix(_));
        if ca.1 && self.upstream.iter().all(is_local) {
            // Who asks for TLS is not left without it.
            return Err(
                "'upstream_tls_ca' is for upstreams of the network: there is none".to_owned(),
            );
        }
        let upstreams = self.upstreams(handed);
        upstreams.check().map_err(|fault| fault.to_string())?;
        match (handed_reads, upstreams.read_listeners_need()) {
            (Some(own), Some(needs)) => Err(format!("{} needs {needs}", own.option())),
            _ => Ok(()),
        }
    }
}

/// What a certificate can have for a name.
fn server_name(text: &str) -> Result<String, String> {
    let files = UpstreamTlsFiles::new("").server_name(text);
    files.map_err(|fault| fault.to_string())?;
    Ok(text.to_owned())
}
