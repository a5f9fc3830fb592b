//! `vestibule ctl`: the control procedures of a server, for those who have a shell.
//!
//! ```text
//!   verb ─▶ link ─▶ CALL vestibule.… ─▶ told: text, or a line of JSON
//!             └──▶ transition: watched until it is over
//! ```
//!
//! | file | what it is |
//! |---|---|
//! | `answers` | what the procedures answer, as far as it is looked into |
//! | `told` | answers as people and programs read them |
//! | `link` | the connection, and its time limits |
//! | `transition` | stops and changes of role: begun, or watched until they are over |
//! | `upstream` | upstreams of a gateway: drained, used again, and new connections to them |
//! | `mod` | what each verb does |

mod answers;
mod link;
mod told;
mod transition;
mod upstream;

use std::io::{self, Write as _};
use std::process::ExitCode;

use self::answers::Killed;
use self::link::{CtlError, Link};
use crate::asking;
use crate::cli::ctl::{CtlArgs, CtlVerb};

/// Does what it is told to, writes what the server answers, and tells by the exit code.
pub(crate) fn ctl(args: &CtlArgs) -> ExitCode {
    let done = asking::wait_for(run(args)).unwrap_or_else(|fault| Err(CtlError::Output(fault)));
    done.unwrap_or_else(|fault| {
        eprintln!("vestibule: {fault}");
        fault.exit_code()
    })
}

async fn run(args: &CtlArgs) -> Result<ExitCode, CtlError> {
    let link = Link::open(&args.server, &args.tls).await?;
    let answer = match &args.verb {
        CtlVerb::State => link.state().await?,
        CtlVerb::Solo { reason: None } => link.call("vestibule.solo", ()).await?,
        CtlVerb::Solo {
            reason: Some(reason),
        } => link.call("vestibule.solo", (reason,)).await?,
        CtlVerb::Assist => link.call("vestibule.assist", ()).await?,
        CtlVerb::Drain(drain) => return transition::drain(link, args, drain).await,
        CtlVerb::Demote(demote) => return transition::demote(&link, demote).await,
        CtlVerb::Promote(promote) => return transition::promote(&link, promote).await,
        CtlVerb::DrainUpstream(drain) => return upstream::drain(&link, drain).await,
        CtlVerb::RestoreUpstream(restore) => return upstream::restore(&link, restore).await,
        CtlVerb::Reconnect(reconnect) => return upstream::reconnect(&link, reconnect).await,
        CtlVerb::Kill { connection, sync } => {
            let answer = link.call("vestibule.kill", (connection, sync)).await?;
            let Killed {
                connections,
                requests,
            } = answers::read(&answer)?;
            if connections + requests == 0 {
                return Err(CtlError::Refused("there is nothing of this number".into()));
            }
            answer
        }
        CtlVerb::Show { what } => {
            let rows = link.call("vestibule.show", (what.name(),)).await?;
            let text = told::rows(&rows, told::columns(*what), link.json)?;
            return write(&text).map(|()| ExitCode::SUCCESS);
        }
        CtlVerb::Reload => link.call("vestibule.reload", ()).await?,
    };
    write(&told::answer(&answer, link.json)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes what is told.
fn write(text: &str) -> Result<(), CtlError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(CtlError::Output)
}
