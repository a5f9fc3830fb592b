//! Who is served where.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use vestibule_actors::config::Administrators;
use vestibule_actors::limits::UNIX_SOCKET_MODE_DEFAULT;
use vestibule_actors::{Config, ListenAddress};
use vestibule_engine::{AdminPassword, GuestRights};

use crate::cli::choices::{described_guest, one_of};
use crate::cli::serve::{HandedOver, SocketUse};
use crate::cli::values::{FileMode, file_mode, instance_name, mode_text};
use crate::secret;

/// Who is served where.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Who is served")]
pub(crate) struct ListenArgs {
    /// What people call this instance: a name of letters, digits, `-`, `_` and `.`, at most 63 of
    /// them. `box.info` tells it, and it is the label `alias` of metrics.
    #[arg(
        long,
        env = "VESTIBULE_INSTANCE_NAME",
        value_name = "NAME",
        value_parser = instance_name,
    )]
    pub(crate) instance_name: Option<String>,
    /// Address to listen on, HOST:PORT or unix:/PATH; may be repeated. Port 0 lets the system pick
    /// one.
    #[arg(
        long,
        env = "VESTIBULE_LISTEN",
        value_name = "ADDR",
        value_delimiter = ',',
        default_value = "127.0.0.1:3301"
    )]
    pub(crate) listen: Vec<ListenAddress>,
    /// Address for administrators, HOST:PORT or unix:/PATH, with connection slots that no client
    /// can take; may be repeated. Without it, when all slots for clients are taken, connections
    /// that may be an administrator's get one of the administrators' slots for 2 s, and keep it if
    /// they call `vestibule.*` meanwhile.
    #[arg(
        long,
        env = "VESTIBULE_ADMIN_LISTEN",
        value_name = "ADDR",
        value_delimiter = ','
    )]
    pub(crate) admin_listen: Vec<ListenAddress>,
    /// Rights of the files of unix sockets, as chmod takes them. Who may write there may connect.
    #[arg(
        long,
        env = "VESTIBULE_UNIX_SOCKET_MODE",
        value_name = "MODE",
        value_parser = file_mode,
        default_value = mode_text(UNIX_SOCKET_MODE_DEFAULT),
    )]
    pub(crate) unix_socket_mode: FileMode,
    /// What a connection that has not logged in (the user `guest`) may do.
    #[arg(
        long,
        env = "VESTIBULE_GUEST",
        value_name = "RIGHTS",
        default_value = GuestRights::default().name(),
        value_parser = one_of(GuestRights::ALL, described_guest),
    )]
    pub(crate) guest: GuestRights,
    /// User who may use the control procedures (`vestibule.*`) from anywhere; may be repeated.
    /// Without it, connections from this machine may, by unix sockets those of root and of the user
    /// who runs the server.
    #[arg(
        long,
        env = "VESTIBULE_ADMINISTRATOR",
        value_name = "USER",
        value_delimiter = ',',
        value_parser = NonEmptyStringValueParser::new(),
    )]
    pub(crate) administrator: Vec<String>,
    /// File with the password of the user `admin`, who has none in data that are new: it is set at
    /// the start, before anybody is served, if `admin` has another one or none. Others than its
    /// owner and group may not read the file.
    #[arg(long, env = "VESTIBULE_ADMIN_PASSWORD_FILE", value_name = "FILE")]
    pub(crate) admin_password_file: Option<PathBuf>,
}

impl ListenArgs {
    pub(super) fn add_to(&self, config: Config, handed: &HandedOver) -> Config {
        config
            .instance_name(self.instance_name.clone().unwrap_or_default())
            .listen(handed.or(SocketUse::Clients, &self.listen))
            .admin_listen(handed.or(SocketUse::Administrators, &self.admin_listen))
            .unix_socket_mode(self.unix_socket_mode.0)
            .administrators(if self.administrator.is_empty() {
                Administrators::LocalConnections
            } else {
                Administrators::Users(self.administrator.clone())
            })
    }

    /// The password that `admin` is to have.
    ///
    /// # Errors
    ///
    /// Why it cannot be read.
    pub(super) fn admin_password(&self) -> Result<Option<AdminPassword>, String> {
        let file = self.admin_password_file.as_deref();
        let password = file.map(secret::read).transpose()?;
        Ok(password.map(|password| AdminPassword::new(&password)))
    }

    /// A connection is the guest's until somebody logs in, without a password: the guest may not do
    /// everything for other machines.
    ///
    /// # Errors
    ///
    /// What to do about it.
    pub(super) fn check(&self, others: impl IntoIterator<Item = SocketAddr>) -> Result<(), String> {
        let Some(address) = self
            .exposed(others)
            .filter(|_| self.guest == GuestRights::Super)
        else {
            return Ok(());
        };
        Err(format!(
            "{address} is reachable from other machines, and the user 'guest', who needs no \
             password, may do everything. Either listen on 127.0.0.1 only, or take these rights \
             from guest with --guest none (or VESTIBULE_GUEST=none), and give somebody else a \
             password: 'admin' with --admin-password-file FILE, or before that, on 127.0.0.1, \
             anybody, for example: box.schema.user.passwd('admin', '…')"
        ))
    }

    /// An address that other machines may reach, of these and of others.
    fn exposed(&self, others: impl IntoIterator<Item = SocketAddr>) -> Option<SocketAddr> {
        let listeners = self.listen.iter().chain(&self.admin_listen);
        let plain = listeners.filter_map(ListenAddress::network);
        let mut addresses = plain.chain(others);
        addresses.find(|address| !address.ip().is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::cli::Cli;

    #[test]
    fn guest_may_do_everything_only_where_no_other_machine_is() {
        let check = |args: &[&str]| {
            let args = ["vestibule"].iter().chain(args);
            let serve = Cli::try_parse_from(args).unwrap().serve;
            serve.listening.check(serve.tls.tls_listen.iter().copied())
        };
        let open = ["--listen", "127.0.0.1:0", "--listen", "0.0.0.0:0"];
        for local in ["127.0.0.1:0", "127.9.9.9:0", "[::1]:0", "unix:/run/own"] {
            assert_eq!(check(&["--listen", local]), Ok(()));
        }
        for refused in [
            &open[..],
            &["--listen", "[::]:0"],
            &["--listen", "192.0.2.1:3301"],
            &["--tls-listen", "192.0.2.1:3301"],
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
}
