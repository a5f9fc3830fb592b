//! Upstreams: the instances that a gateway stands before.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use vestibule_actors::limits::{
    CONNECT_TIMEOUT_DEFAULT, PROBE_INTERVAL_DEFAULT, SILENT_AFTER_DEFAULT,
};
use vestibule_actors::{GatewayAccount, Upstream, Upstreams};

use super::FileFault;
use crate::cli::values::{duration, time_text, version};
use crate::secret;

/// Upstreams.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Upstreams")]
pub(crate) struct GatewayArgs {
    /// Tarantool instance to stand before, as NAME=HOST:PORT; may be repeated, for the members of a
    /// replica set. With one, no data are served from here: what clients ask goes to the instance
    /// that takes changes, and rights are those that it gives.
    #[arg(
        long,
        env = "VESTIBULE_UPSTREAM",
        value_name = "NAME=ADDR",
        value_delimiter = ','
    )]
    pub(crate) upstream: Vec<Upstream>,
    /// User as whom the gateway itself logs in to the upstreams. It needs to read the space `_user`
    /// there; without it nobody but guest can log in.
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
}

impl GatewayArgs {
    /// Whether there are upstreams.
    pub(crate) fn is_given(&self) -> bool {
        !self.upstream.is_empty()
    }

    /// The upstreams, without what stands in files.
    pub(super) fn upstreams(&self) -> Upstreams {
        Upstreams::default()
            .upstreams(self.upstream.clone())
            .server_version(self.server_version)
            .silent_after(self.silent_after)
            .probe_interval(self.probe_interval)
            .connect_timeout(self.connect_timeout)
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

    /// What cannot be.
    pub(super) fn check(&self) -> Result<(), String> {
        if !self.is_given() {
            return Ok(());
        }
        match (&self.upstream_user, &self.upstream_password_file) {
            (Some(_), None) => {
                return Err("'upstream_user' needs 'upstream_password_file' beside it".to_owned());
            }
            (None, Some(_)) => {
                return Err("'upstream_password_file' needs 'upstream_user' beside it".to_owned());
            }
            _ => {}
        }
        self.upstreams().check().map_err(|fault| fault.to_string())
    }
}
