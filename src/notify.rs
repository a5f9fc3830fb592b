//! What a service manager (systemd) is told through the socket that it names in `NOTIFY_SOCKET`.
//!
//! ```text
//!   recovered ─▶ READY=1      a stop is announced ─▶ STOPPING=1      every change ─▶ STATUS=…
//!   while loading, and from the announcement of a stop on, every 5 s ─▶ EXTEND_TIMEOUT_USEC=…
//!   every half of WATCHDOG_USEC, if all threads but Tx's go on ───────▶ WATCHDOG=1
//!   a reload ─▶ RELOADING=1 and MONOTONIC_USEC=…, and READY=1 in its end
//! ```
//!
//! Tx does not count: a server whose engine is busy answers, and would not do that while it is
//! started again. Messages are sent by a thread that may wait: nobody else waits for a manager that
//! does not read, and neither does the end of the process.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::oneshot;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use vestibule_actors::RuntimeHandle;
use vestibule_actors::serving::{Role, Serving, State};

/// Time between two extensions of what a start or a stop may take.
const EXTEND_EVERY: Duration = Duration::from_secs(5);

/// What each gives: one may be late, or lost.
const EXTEND_BY_USEC: u32 = 15_000_000;

/// Messages that wait to be sent, at most: those beyond are not.
const WAITING_MAX: usize = 16;

/// How long a message is waited for, so that the next one does not overtake it.
pub(crate) const SENDING_TIME_MAX: Duration = Duration::from_secs(1);

/// How long ago a thread may have told that it goes on, at least: each does so once a second.
const HEARTBEAT_AGE_LEAST: Duration = Duration::from_secs(2);

/// The service manager, if there is one.
#[derive(Debug, Clone)]
pub(crate) struct ServiceManager {
    /// None if there is none.
    messages: Option<SyncSender<Message>>,
    /// Whether the manager was told that the server is ready.
    is_ready: Arc<AtomicBool>,
}

/// What is to be sent, and who is told that it was.
#[derive(Debug)]
struct Message {
    text: String,
    sent: oneshot::Sender<()>,
}

impl ServiceManager {
    /// The one that the environment names.
    pub(crate) fn of_process() -> Self {
        Self {
            messages: std::env::var_os("NOTIFY_SOCKET").and_then(start_sending),
            is_ready: Arc::default(),
        }
    }

    /// Tells it of every change, and that the server goes on, as long as the runtime lives.
    pub(crate) async fn follow<E: 'static>(self, runtime: RuntimeHandle<E>) {
        if self.messages.is_none() {
            return;
        }
        let mut is_stopping = false;
        let mut extending = ticks(EXTEND_EVERY);
        let watchdog = sd_notify::watchdog_enabled();
        let mut watching = watchdog.map(|period| ticks(period / 2));
        let mut serving = runtime.serving();
        self.tell(serving, &runtime.status().reason, &mut is_stopping)
            .await;
        while serving.state != State::Stopped {
            tokio::select! {
                now = runtime.changed(serving) => {
                    serving = now;
                    let reason = runtime.status().reason;
                    self.tell(serving, &reason, &mut is_stopping).await;
                }
                _ = extending.tick() => {
                    if is_stopping || !self.is_ready.load(Ordering::Relaxed) {
                        self.send(&[NotifyState::ExtendTimeoutUsec(EXTEND_BY_USEC)]).await;
                    }
                }
                () = next(&mut watching) => {
                    if goes_on(&runtime, watchdog.unwrap_or_default()) {
                        self.send(&[NotifyState::Watchdog]).await;
                    }
                }
            }
        }
    }

    /// A reload begins.
    pub(crate) async fn reloading(&self) {
        // Before it is ready it cannot be reloading, and would be ready when that is over.
        if !self.is_ready.load(Ordering::Relaxed) {
            return;
        }
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.send(&[NotifyState::Reloading, now]).await,
            Err(fault) => log::warn!("the service manager cannot be told of the reload: {fault}"),
        }
    }

    /// A reload is over.
    pub(crate) async fn reloaded(&self) {
        if self.is_ready.load(Ordering::Relaxed) {
            self.send(&[NotifyState::Ready]).await;
        }
    }

    async fn tell(&self, serving: Serving, reason: &str, is_stopping: &mut bool) {
        let status = status(serving.state, serving.role, reason);
        let mut states = vec![NotifyState::Status(&status)];
        if serving.state.has_recovered() && !self.is_ready.swap(true, Ordering::Relaxed) {
            states.push(NotifyState::Ready);
        }
        let is_ending = serving.is_stop_announced() || serving.is_ending();
        if is_ending && !std::mem::replace(is_stopping, true) {
            states.push(NotifyState::Stopping);
        }
        if *is_stopping || !self.is_ready.load(Ordering::Relaxed) {
            states.push(NotifyState::ExtendTimeoutUsec(EXTEND_BY_USEC));
        }
        self.send(&states).await;
    }

    async fn send(&self, states: &[NotifyState<'_>]) {
        let Some(messages) = &self.messages else {
            return;
        };
        let lines: Vec<_> = states.iter().map(ToString::to_string).collect();
        let (sent, done) = oneshot::channel();
        let text = lines.join("\n");
        if messages.try_send(Message { text, sent }).is_ok() {
            // A manager that does not read is not waited for.
            let _ = timeout(SENDING_TIME_MAX, done).await;
        }
    }
}

/// Starts the thread that sends messages to a socket; none if there is no thread to be had.
fn start_sending(socket: OsString) -> Option<SyncSender<Message>> {
    let (sender, messages) = sync_channel(WAITING_MAX);
    let thread = std::thread::Builder::new().name("notify".to_owned());
    match thread.spawn(move || send_all(&socket, &messages)) {
        Ok(_) => Some(sender),
        Err(fault) => {
            log::warn!("the service manager is told nothing: {fault}");
            None
        }
    }
}

fn send_all(socket: &OsStr, messages: &Receiver<Message>) {
    for message in messages {
        if let Err(fault) = send_to(socket, &message.text) {
            log::warn!("the service manager cannot be told: {fault}");
        }
        let _ = message.sent.send(());
    }
}

/// Sends a message to a socket that is a file, or, behind an `@`, one that has only a name:
/// `sd_notify` itself knows no names.
fn send_to(socket: &OsStr, text: &str) -> io::Result<()> {
    let sender = UnixDatagram::unbound()?;
    match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => sender.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => sender.connect(socket)?,
    }
    // A datagram is sent whole, or not at all.
    sender.send(text.as_bytes()).map(drop)
}

/// Ticks of a period, the first of them now. What is late is not made up for.
fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// The next tick; without ticks there is none.
async fn next(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => std::future::pending().await,
    }
}

/// Whether all threads but Tx's go on, for a watchdog of this period.
fn goes_on<E: 'static>(runtime: &RuntimeHandle<E>, period: Duration) -> bool {
    let heartbeats = runtime.metrics().heartbeats;
    let all = heartbeats
        .session_threads
        .iter()
        .chain([&heartbeats.system]);
    all.copied().all(|age| is_recent(age, period))
}

/// Whether a thread goes on that told so that long ago.
fn is_recent(age: Duration, period: Duration) -> bool {
    age <= (period / 2).max(HEARTBEAT_AGE_LEAST)
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
    fn a_thread_goes_on_that_told_so_within_half_of_the_period() {
        let seconds = Duration::from_secs;
        assert!(is_recent(seconds(5), seconds(10)));
        assert!(!is_recent(seconds(6), seconds(10)));
        // Threads tell once a second, however short the period is.
        assert!(is_recent(seconds(2), seconds(1)) && !is_recent(seconds(3), seconds(1)));
    }

    #[test]
    fn a_status_is_one_line() {
        let status = |reason| status(State::Solo, Role::Primary, reason);
        assert_eq!(status(""), "solo, primary");
        assert_eq!(status("a\nb"), "solo, primary: a b");
    }
}
