//! TLS: where it is spoken, and who the server is.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use vestibule_actors::{ListenAddress, TlsError, TlsFile, TlsFiles, TlsIdentity};

use crate::cli::serve::{FileFault, HandedOver, SocketUse};

/// TLS.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct TlsArgs {
    /// Address to listen on for TLS 1.2 and 1.3, HOST:PORT; may be repeated. TLS begins before the
    /// greeting. Needs --tls-certificate and --tls-key.
    #[arg(
        long,
        env = "VESTIBULE_TLS_LISTEN",
        value_name = "ADDR",
        value_delimiter = ',',
        value_parser = network_address,
    )]
    pub(crate) tls_listen: Vec<SocketAddr>,
    /// File with the server's certificate, and those between it and what clients trust (PEM). It is
    /// looked at once a minute; if it and the key do not fit each other, the old ones go on.
    #[arg(long, env = "VESTIBULE_TLS_CERTIFICATE", value_name = "FILE")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// File with the certificate's key (PEM), not encrypted. Others than its owner and group may
    /// not use it.
    #[arg(long, env = "VESTIBULE_TLS_KEY", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// File with the certificates (PEM) that those of clients have to lead to. With it, who has
    /// none is not let in.
    #[arg(long, env = "VESTIBULE_TLS_CLIENT_CA", value_name = "FILE")]
    pub(crate) tls_client_ca: Option<PathBuf>,
}

impl TlsArgs {
    /// Refuses what makes no sense together. `others`: what else speaks it, as options say, and
    /// whether that is so.
    pub(super) fn check(
        &self,
        handed: &HandedOver,
        others: [(&'static str, bool); 2],
    ) -> Result<(), String> {
        let has_listeners = !self.tls_listen.is_empty() || handed.has(SocketUse::Tls);
        let has_all = self.tls_certificate.is_some() && self.tls_key.is_some();
        let mut all = [("tls_listen", has_listeners)].into_iter().chain(others);
        match all.find(|(_, is_so)| *is_so && !has_all) {
            Some((option, _)) => Err(format!("'{option}' needs 'tls_certificate' and 'tls_key'")),
            None => Ok(()),
        }
    }

    /// Who the server is, if that is told.
    ///
    /// # Errors
    ///
    /// The file that cannot be used.
    pub(super) fn identity(&self) -> Result<Option<TlsIdentity>, FileFault> {
        let (Some(certificate), Some(key)) = (&self.tls_certificate, &self.tls_key) else {
            return Ok(None);
        };
        let mut files = TlsFiles::new(certificate, key);
        if let Some(authorities) = &self.tls_client_ca {
            files = files.client_ca(authorities);
        }
        TlsIdentity::load(files).map(Some).map_err(about)
    }
}

fn about(fault: TlsError) -> FileFault {
    let option = match fault.file() {
        TlsFile::Certificate => "tls_certificate",
        TlsFile::ClientCa => "tls_client_ca",
        _ => "tls_key",
    };
    let text = fault.to_string();
    FileFault { option, text }
}

/// An address of the network: TLS over a unix socket would keep nothing from anybody.
pub(super) fn network_address(text: &str) -> Result<SocketAddr, String> {
    let address: ListenAddress = text.parse().map_err(|fault| format!("{fault}"))?;
    address
        .network()
        .ok_or_else(|| "TLS is for addresses of the network".to_owned())
}
