//! What an instance does: it tells by `box.status`, or is asked for `box.info` now and then.

use std::sync::Arc;

use serde::Deserialize;
use tokio::sync::watch;
use vestibule_wire::events;
use vestibule_wire::features::Feature;

use super::choice::Role;
use super::members::{Board, Told};
use crate::error::ErrorKind;
use crate::link::{Asked, Link, Observed, Phase, Session, Tracker};
use crate::operation::Action;
use crate::pack;

/// The word for an instance that serves.
const RUNNING: &str = "running";

/// The value of `box.status`, as far as it matters.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    is_ro: bool,
    is_ro_cfg: bool,
    status: String,
}

/// The result of `box.info`, as far as it matters.
#[derive(Debug, Deserialize)]
struct Info {
    ro: bool,
    #[serde(default)]
    status: String,
}

impl From<Status> for Told {
    fn from(status: Status) -> Self {
        let is_busy = status.status != RUNNING;
        // While it is busy nothing can be changed, whatever its role is.
        let is_replica = if is_busy {
            status.is_ro_cfg
        } else {
            status.is_ro
        };
        Self {
            role: role(is_replica),
            is_busy,
            is_known: true,
        }
    }
}

impl From<Info> for Told {
    fn from(info: Info) -> Self {
        Self {
            role: role(info.ro),
            is_busy: info.status != RUNNING,
            is_known: true,
        }
    }
}

fn role(is_replica: bool) -> Role {
    match is_replica {
        true => Role::Replica,
        false => Role::Primary,
    }
}

/// Follows the role of one instance for ever.
pub(super) async fn follow(link: Arc<Link>, board: Arc<Board>) {
    let mut phases = link.phase.subscribe();
    loop {
        let phase = phases.borrow_and_update().clone();
        let Phase::Up(session) = phase else {
            // Also for those who wait to hear that it is gone.
            board.tell(Told::default());
            if phases.changed().await.is_err() {
                return;
            }
            continue;
        };
        if session.has(Feature::Watchers) {
            watch(&link, &mut phases, &board).await;
        } else {
            poll(&link, &session, &mut phases, &board).await;
        }
    }
}

/// Hears of the role until the connection changes.
async fn watch(link: &Link, phases: &mut watch::Receiver<Phase>, board: &Board) {
    let key: Arc<str> = events::STATUS.into();
    let Ok(mut told) = link.observe(&key) else {
        // Too many keys are watched: its role stays unknown.
        let unknown = Told {
            is_known: true,
            ..Told::default()
        };
        board.tell(unknown);
        let _ = phases.changed().await;
        return;
    };
    loop {
        tokio::select! {
            changed = phases.changed() => {
                if changed.is_err() || !matches!(*phases.borrow(), Phase::Up(_)) {
                    break;
                }
            }
            changed = told.changed() => {
                if changed.is_err() {
                    break;
                }
                board.tell(read(&told.borrow_and_update()));
            }
        }
    }
    // The caller looks at the phase next.
    link.forget(&key);
}

fn read(observed: &Observed) -> Told {
    let status = observed
        .value
        .as_deref()
        .and_then(|value| pack::read::<Status>(value).ok());
    match status {
        Some(status) if observed.fault.is_none() => status.into(),
        _ => Told {
            is_known: true,
            ..Told::default()
        },
    }
}

/// Asks for the role until the connection changes.
async fn poll(link: &Link, session: &Session, phases: &mut watch::Receiver<Phase>, board: &Board) {
    let action = Action::Call {
        name: "box.info".to_owned(),
        args: vec![0x90],
    };
    let operation = action.into();
    loop {
        let tracker = Tracker::default();
        let asked = link.ask(Asked::own(&operation, &tracker));
        let limit = link.options.role_interval + link.options.connect_timeout;
        let told = match tokio::time::timeout(limit, asked).await {
            Ok(Ok(reply)) => pack::first::<Info>(&reply.frame()).ok().map(Told::from),
            // A hanging instance has the role that it had, until its connection is given up.
            Err(_) => None,
            Ok(Err(error)) if error.kind() == ErrorKind::Server => Some(Told {
                is_busy: error.is_busy(),
                is_known: true,
                // It may not be asked, or is not ready.
                role: Role::Unknown,
            }),
            Ok(Err(_)) => Some(Told::default()),
        };
        if let Some(told) = told {
            board.tell(told);
        }
        tokio::select! {
            () = tokio::time::sleep(link.options.role_interval) => {}
            _ = phases.changed() => {}
        }
        let is_same = match &*phases.borrow() {
            Phase::Up(now) => now.epoch == session.epoch,
            _ => false,
        };
        if !is_same {
            phases.mark_changed();
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_primary_stays_one() {
        let told = |is_ro, is_ro_cfg, status: &str| {
            Told::from(Status {
                is_ro,
                is_ro_cfg,
                status: status.to_owned(),
            })
        };
        assert_eq!(told(true, false, "loading").role, Role::Primary);
        assert!(told(true, false, "loading").is_busy);
        assert_eq!(told(true, true, "loading").role, Role::Replica);
        assert_eq!(told(true, false, RUNNING).role, Role::Replica);
        assert_eq!(told(false, false, RUNNING).role, Role::Primary);
    }

    #[test]
    fn a_status_of_another_form_leaves_the_role_unknown() {
        let told = read(&Observed::default());
        assert!(told.is_known && told.role == Role::Unknown);
    }
}
