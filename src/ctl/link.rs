//! The connection to a server, and how long it may take.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use thiserror::Error;
use vestibule_client::{Client, ErrorCode, Retry, Value};

use crate::cli::EXIT_USAGE;
use crate::cli::ctl::CtlServer;
use crate::cli::secured::SecuredArgs;
use crate::secret;
use crate::terminal::one_line;

/// Why something was not done.
#[derive(Debug, Error)]
pub(super) enum CtlError {
    /// What is given cannot be.
    #[error("{0}")]
    Usage(String),
    /// The server is not there, or does not let this user in.
    #[error("{address}: {}", shown(.source))]
    Unreached {
        /// Where it should be.
        address: String,
        /// Why.
        source: vestibule_client::Error,
    },
    /// The server answers with an error, or not in time.
    #[error("{}", shown(.0))]
    Failed(vestibule_client::Error),
    /// The server was lost while it was waited for.
    #[error("the connection is lost, and whether it has stopped is not known: {0}")]
    Lost(#[source] Box<CtlError>),
    /// What was asked for was not done, as the answer tells.
    #[error("{0}")]
    Refused(String),
    /// What the server answers is not of the form that it has.
    #[error("the server's answer is not understood: {0}")]
    Answer(String),
    /// The output, or the process.
    #[error("{0}")]
    Output(#[source] io::Error),
}

fn shown(fault: &vestibule_client::Error) -> String {
    one_line(&fault.to_string())
}

impl CtlError {
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(EXIT_USAGE),
            _ => ExitCode::FAILURE,
        }
    }
}

/// A connection, logged in.
pub(super) struct Link {
    client: Client,
    /// How long an answer may take.
    pub(super) timeout: Duration,
    /// Whether answers are told as JSON.
    pub(super) json: bool,
}

impl Link {
    /// Connects, and logs in if a user is named.
    pub(super) async fn open(server: &CtlServer, tls: &SecuredArgs) -> Result<Self, CtlError> {
        let mut builder = Client::builder(server.connect.to_string())
            .connect_timeout(server.timeout)
            .request_timeout(Some(server.timeout))
            // What a server that has gone was asked is not for the one that comes after it.
            .fail_fast(true)
            // It is here to see the stop through.
            .leave_on_shutdown(false)
            .retry(Retry::never());
        match (&server.user, &server.password_file) {
            (None, Some(_)) => {
                let text = "--password-file is the file of a user: name one by --user";
                return Err(CtlError::Usage(text.to_owned()));
            }
            (None, None) => {}
            (Some(user), file) => {
                let password = file.as_deref().map(secret::read).transpose();
                let password = password.map_err(CtlError::Usage)?.unwrap_or_default();
                builder = builder.credentials(user, password);
            }
        }
        if let Some(tls) = tls.options().map_err(CtlError::Usage)? {
            builder = builder.tls(tls);
        }
        let client = builder.connect().await;
        let client = client.map_err(|source| CtlError::Unreached {
            address: server.connect.to_string(),
            source,
        })?;
        Ok(Self {
            client,
            timeout: server.timeout,
            json: server.json,
        })
    }

    /// Calls a control procedure.
    pub(super) async fn call(
        &self,
        procedure: &str,
        arguments: impl Serialize,
    ) -> Result<Value, CtlError> {
        self.call_within(procedure, arguments, self.timeout).await
    }

    /// The same with a time of its own.
    pub(super) async fn call_within(
        &self,
        procedure: &str,
        arguments: impl Serialize,
        time: Duration,
    ) -> Result<Value, CtlError> {
        let answer = self.client.call(procedure, arguments).timeout(time).await;
        answer.map_err(|fault| match fault.code() {
            Some(ErrorCode::NO_SUCH_PROC) => {
                let text =
                    format!("this server has no {procedure}: is it vestibule, and new enough?");
                CtlError::Refused(text)
            }
            _ => CtlError::Failed(fault),
        })
    }

    /// What the server is at.
    pub(super) async fn state(&self) -> Result<Value, CtlError> {
        self.call("vestibule.state", ()).await
    }
}
