//! What a service manager (systemd) is told through the socket that it names in `NOTIFY_SOCKET`.
//!
//! ```text
//!   recovered ─▶ READY=1      a stop is announced ─▶ STOPPING=1      every change ─▶ STATUS=…
//! ```

use sd_notify::NotifyState;
use vestibule_actors::RuntimeHandle;
use vestibule_actors::serving::{Role, Serving, State};
use vestibule_engine::EmbeddedEngine;

/// Tells it of every change, if there is one, as long as the runtime lives.
pub(crate) async fn tell_service_manager(runtime: RuntimeHandle<EmbeddedEngine>) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let mut told = Told::default();
    let mut serving = runtime.serving();
    loop {
        let reason = runtime.status().reason;
        told.tell(serving, &reason);
        if serving.state == State::Stopped {
            // Nothing changes any more.
            return;
        }
        serving = runtime.changed(serving).await;
    }
}

/// What was told once and for all.
#[derive(Debug, Default)]
struct Told {
    ready: bool,
    stopping: bool,
}

impl Told {
    fn tell(&mut self, serving: Serving, reason: &str) {
        let status = status(serving.state, serving.role, reason);
        let mut states = vec![NotifyState::Status(&status)];
        if serving.state.has_recovered() && !std::mem::replace(&mut self.ready, true) {
            states.push(NotifyState::Ready);
        }
        if serving.is_stop_announced() && !std::mem::replace(&mut self.stopping, true) {
            states.push(NotifyState::Stopping);
        }
        if let Err(fault) = sd_notify::notify(&states) {
            log::warn!("the service manager cannot be told: {fault}");
        }
    }
}

fn status(state: State, role: Role, reason: &str) -> String {
    match reason {
        "" => format!("{state}, {role}"),
        // One line, whatever an operator wrote.
        reason => format!("{state}, {role}: {}", reason.replace('\n', " ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_line() {
        let status = |reason| status(State::Solo, Role::Primary, reason);
        assert_eq!(status(""), "solo, primary");
        assert_eq!(status("a\nb"), "solo, primary: a b");
    }
}
