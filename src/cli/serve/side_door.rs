//! The side door: probes, metrics and the state over HTTP.

use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use vestibule_actors::ListenAddress;
use vestibule_http::limits::DESCRIPTORS;
use vestibule_http::{HttpConfig, Token};

use crate::cli::serve::{HandedOver, SocketUse};
use crate::cli::switch::Switch as _;
use crate::secret;

/// The side door.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Metrics and probes")]
pub(crate) struct SideDoorArgs {
    /// Address of the side door, for metrics, probes and the state over HTTP: HOST:PORT or
    /// unix:/PATH; may be repeated. Without it there is none. Metrics and probes are told to all
    /// who reach it, the rest on this machine and to those with the token.
    #[arg(
        long,
        env = "VESTIBULE_HTTP_LISTEN",
        value_name = "ADDR",
        value_delimiter = ','
    )]
    pub(crate) http_listen: Vec<ListenAddress>,
    /// Speak TLS at the side door's addresses of the network, by --tls-certificate and --tls-key,
    /// and nothing else there; unix sockets stay plain. With --tls-client-ca, who shows a
    /// certificate needs no token, and who shows none is told metrics and probes all the same.
    #[arg(long, env = "VESTIBULE_HTTP_TLS", switch = false)]
    pub(crate) http_tls: bool,
    /// Name by which others reach the side door, beside addresses and localhost; may be repeated.
    /// Requests for other names are refused with 421.
    #[arg(
        long,
        env = "VESTIBULE_HTTP_HOST",
        value_name = "NAME",
        value_delimiter = ',',
        value_parser = NonEmptyStringValueParser::new(),
    )]
    pub(crate) http_host: Vec<String>,
    /// File with the token of the side door: who comes from another machine shows it for all but
    /// metrics and probes, as a bearer or as a password. At least 16 characters; others than its
    /// owner and group may not read the file.
    #[arg(long, env = "VESTIBULE_HTTP_TOKEN_FILE", value_name = "FILE")]
    pub(crate) http_token_file: Option<PathBuf>,
    /// Tell metrics by Tarantool's names too, where they are true, so that its dashboard draws
    /// them.
    #[arg(long, env = "VESTIBULE_METRICS_TARANTOOL", switch = true)]
    pub(crate) metrics_tarantool: bool,
}

impl SideDoorArgs {
    /// Descriptors that it needs.
    pub(super) fn descriptors(&self, handed: &HandedOver) -> usize {
        match self.http_listen.is_empty() && !handed.has(SocketUse::Http) {
            true => 0,
            false => DESCRIPTORS,
        }
    }

    /// Whether TLS is spoken somewhere.
    pub(super) fn is_over_tls(&self, handed: &HandedOver) -> bool {
        let said = handed.or(SocketUse::Http, &self.http_listen);
        let mut all = said.iter().chain(handed.of(SocketUse::Http));
        self.http_tls && all.any(|own| own.network().is_some())
    }

    /// What it is told.
    ///
    /// # Errors
    ///
    /// Why the token cannot be read, or is none.
    pub(super) fn config(&self, unix_mode: u32, handed: &HandedOver) -> Result<HttpConfig, String> {
        let listen = handed.or(SocketUse::Http, &self.http_listen);
        let mut config = HttpConfig::new(listen).unix_mode(unix_mode);
        config.settings.hosts.clone_from(&self.http_host);
        config.settings.token = self.token()?;
        config.settings.tarantool_metrics = self.metrics_tarantool;
        Ok(config)
    }

    fn token(&self) -> Result<Option<Token>, String> {
        let Some(path) = &self.http_token_file else {
            return Ok(None);
        };
        let token = Token::new(&secret::read(path)?);
        let token = token.map_err(|fault| format!("{}: {fault}", path.display()))?;
        Ok(Some(token))
    }
}
