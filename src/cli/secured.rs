//! Options of TLS for the commands that connect to servers.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use vestibule_actors::internal::open_private;
use vestibule_client::TlsOptions;

/// How a server is known by TLS, and who one is to it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct SecuredArgs {
    /// File with the certificates (PEM) that the server's has to lead to. With it `ctl` speaks TLS,
    /// and nothing else: the address is one of the server's --tls-listen.
    #[arg(
        long,
        global = true,
        env = "VESTIBULE_CLIENT_TLS_CA",
        value_name = "FILE"
    )]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Name or address that the server's certificate has to have, in place of the host that is
    /// connected to.
    #[arg(
        long,
        global = true,
        env = "VESTIBULE_CLIENT_TLS_SERVER_NAME",
        value_name = "NAME"
    )]
    pub(crate) tls_server_name: Option<String>,
    /// File with the certificate to show to a server that asks for one, and those between it and
    /// what the server trusts (PEM). Needs --tls-key.
    #[arg(
        long,
        global = true,
        env = "VESTIBULE_CLIENT_TLS_CERTIFICATE",
        value_name = "FILE"
    )]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// File with the key of that certificate (PEM), not encrypted. Others than its owner and group
    /// may not use it.
    #[arg(
        long,
        global = true,
        env = "VESTIBULE_CLIENT_TLS_KEY",
        value_name = "FILE"
    )]
    pub(crate) tls_key: Option<PathBuf>,
}

impl SecuredArgs {
    /// How to connect, if that is by TLS. Reads the files.
    ///
    /// # Errors
    ///
    /// An option without one that it needs, a file or a name of no use: told for people.
    pub(crate) fn options(&self) -> Result<Option<TlsOptions>, String> {
        let has_name = self.tls_server_name.is_some();
        let Some(ca) = &self.tls_ca else {
            return match has_name || self.tls_certificate.is_some() || self.tls_key.is_some() {
                true => Err("options of TLS need --tls-ca: what to trust is told".to_owned()),
                false => Ok(None),
            };
        };
        let about =
            |path: &Path, fault: &dyn std::fmt::Display| format!("{}: {fault}", path.display());
        let pem = fs::read(ca).map_err(|fault| about(ca, &fault))?;
        let mut tls = TlsOptions::with_roots_pem(pem).map_err(|fault| about(ca, &fault))?;
        if let Some(name) = &self.tls_server_name {
            tls = tls.server_name(name).map_err(|fault| fault.to_string())?;
        }
        match (&self.tls_certificate, &self.tls_key) {
            (None, None) => {}
            (Some(chain), Some(key)) => {
                let certificate = fs::read(chain).map_err(|fault| about(chain, &fault))?;
                let mut secret = Vec::new();
                open_private(key)
                    .and_then(|mut file| file.read_to_end(&mut secret))
                    .map_err(|fault| about(key, &fault))?;
                let with_own = tls.client_certificate_pem(certificate, secret);
                tls = with_own.map_err(|fault| about(key, &fault))?;
            }
            _ => return Err("--tls-certificate and --tls-key need each other".to_owned()),
        }
        Ok(Some(tls))
    }
}
