//! What a runtime is made of.

use std::fmt;
#[cfg(feature = "tls")]
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;

use futures::future::{Either, select};

use super::assemble::{Timing, assemble, check};
#[cfg(feature = "tls")]
use super::certificates;
use super::handle::RuntimeHandle;
use super::start_error::StartError;
use crate::authenticator::Authenticator;
use crate::clock::Clock;
use crate::config::Config;
use crate::engine::procedures::Procedures;
use crate::engine::{Engine, EngineFactory};
use crate::hooks::{ConnectionClosed, ConnectionOpened};
use crate::incoming::Listener;
use crate::limits::TRANSITION_SLACK;
use crate::reload::ReloadRequest;
use crate::shared::Additions;
#[cfg(feature = "tls")]
use crate::tls::TlsIdentity;
use crate::tx::with_locks;

type EngineStarted<E> = Box<dyn Fn(&RuntimeHandle<E>) + Send>;

/// What a runtime is made of: configuration, engine and procedures, which [`start`](crate::start)
/// takes as well, and what an embedder may add to them.
#[must_use = "it has to be started"]
pub struct RuntimeBuilder<E: Engine> {
    config: Config,
    engine: Arc<dyn EngineFactory<E>>,
    procedures: Procedures<E>,
    additions: Additions,
    engine_started: Vec<EngineStarted<E>>,
}

impl<E: Engine> fmt::Debug for RuntimeBuilder<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeBuilder")
            .field("config", &self.config)
            .field("procedures", &self.procedures)
            .finish_non_exhaustive()
    }
}

impl<E: Engine> RuntimeBuilder<E> {
    /// What every runtime has.
    pub fn new(config: Config, engine: impl EngineFactory<E>, procedures: Procedures<E>) -> Self {
        Self {
            config,
            engine: Arc::new(engine),
            procedures,
            additions: Additions::default(),
            engine_started: Vec::new(),
        }
    }

    /// Has somebody else decide on logins before the engine's users do: see [`Authenticator`]. Of
    /// several the last one is asked.
    pub fn authenticator(mut self, authenticator: impl Authenticator) -> Self {
        self.additions.authenticator = Some(Arc::new(authenticator));
        self
    }

    /// Has this be called whenever an engine has come into service: when the first one has
    /// recovered, and when one has taken a dead one's place. It gets the runtime's handle, on the
    /// System's thread: there it may spawn what goes on by itself, and must not block. A panic in
    /// it is told to the log.
    ///
    /// ```
    /// use vestibule_actors::RuntimeBuilder;
    /// use vestibule_actors::testing::{Script, TestServer, config};
    ///
    /// let (told, started) = std::sync::mpsc::channel();
    /// let script = Script::default();
    /// let engine = move || Ok(script.engine());
    /// let builder = RuntimeBuilder::new(config(), engine, Script::procedures())
    ///     .on_engine_started(move |runtime| {
    ///         let runtime = runtime.clone();
    ///         let told = told.clone();
    ///         actix_rt::spawn(async move {
    ///             let counted = runtime.read(|engine| Ok(engine.count())).await;
    ///             let _ = told.send(counted);
    ///         });
    ///     });
    /// let server = TestServer::start(builder);
    /// assert_eq!(started.recv(), Ok(Ok(0)));
    /// ```
    pub fn on_engine_started(mut self, hook: impl Fn(&RuntimeHandle<E>) + Send + 'static) -> Self {
        self.engine_started.push(Box::new(hook));
        self
    }

    /// Has this be called when a connection has got its slot and was greeted, on its session
    /// thread: all connections there wait for it, so it must be short and may not block. A panic
    /// in it is told to the log, and the connection goes on.
    pub fn on_connection_opened(
        mut self,
        hook: impl Fn(&ConnectionOpened) + Send + Sync + 'static,
    ) -> Self {
        self.additions.hooks.on_opened(hook);
        self
    }

    /// Has this be called when a connection that was [opened](Self::on_connection_opened) has
    /// ended, in the same way.
    ///
    /// ```
    /// use vestibule_actors::testing::{Script, TestServer, config};
    /// use vestibule_actors::{CloseReason, RuntimeBuilder};
    ///
    /// let (told, closed) = std::sync::mpsc::channel();
    /// let script = Script::default();
    /// let engine = move || Ok(script.engine());
    /// let builder = RuntimeBuilder::new(config(), engine, Script::procedures())
    ///     .on_connection_closed(move |closed| {
    ///         let _ = told.send((closed.user.clone(), closed.reason));
    ///     });
    /// let server = TestServer::start(builder);
    /// let mut peer = server.connect();
    /// peer.log_in("alice", "secret");
    /// drop(peer);
    /// assert_eq!(closed.recv(), Ok(("alice".to_owned(), CloseReason::Client)));
    /// ```
    pub fn on_connection_closed(
        mut self,
        hook: impl Fn(&ConnectionClosed) + Send + Sync + 'static,
    ) -> Self {
        self.additions.hooks.on_closed(hook);
        self
    }

    /// Has this be called when an administrator calls `vestibule.reload`, which is refused without
    /// it. On the session thread of that connection: it hands the request to who loads the
    /// configuration, and may not block. The client waits for the answer, no longer than for that
    /// of any request; [`RuntimeHandle::reconfigure`] is what to do with the settings that came of
    /// it. A panic is told to the log. Of several hooks the last one is called.
    ///
    /// ```
    /// use vestibule_actors::RuntimeBuilder;
    /// use vestibule_actors::testing::{Script, TestServer, config};
    ///
    /// let (asked, requests) = std::sync::mpsc::channel();
    /// let script = Script::default();
    /// let engine = move || Ok(script.engine());
    /// let builder = RuntimeBuilder::new(config(), engine, Script::procedures())
    ///     .on_reload(move |request| drop(asked.send(request)));
    /// let server = TestServer::start(builder);
    /// std::thread::spawn(move || {
    ///     for request in requests {
    ///         // Here a file would be read again.
    ///         request.taken(&"nothing has changed");
    ///     }
    /// });
    /// let told = server.connect().call("vestibule.reload", &[0x90]);
    /// assert_eq!(told.value::<String>(), "nothing has changed");
    /// ```
    pub fn on_reload(mut self, hook: impl Fn(ReloadRequest) + Send + Sync + 'static) -> Self {
        self.additions.reload.set(hook);
        self
    }

    /// Has it accept from a listener that is bound already, beside those of the configuration:
    /// what a service manager hands over, or with options of one's own. It counts as theirs do: it
    /// is among [`RuntimeHandle::listeners`], it has its descriptor and its say in whether
    /// administrators have a listener of their own, and a guest who may do everything is refused
    /// where other machines reach it. One more for a runtime that runs takes
    /// [`RuntimeHandle::listen`].
    ///
    /// ```
    /// use std::net::TcpListener;
    ///
    /// use vestibule_actors::testing::{Script, TestServer, config};
    /// use vestibule_actors::{Listener, RuntimeBuilder};
    ///
    /// // Connections wait in its queue until they are accepted.
    /// let inherited = TcpListener::bind("127.0.0.1:0")?;
    /// let address = inherited.local_addr()?;
    /// let script = Script::default();
    /// let engine = move || Ok(script.engine());
    /// let builder = RuntimeBuilder::new(config().listen(Vec::new()), engine, Script::procedures())
    ///     .listener(Listener::tcp(inherited)?);
    /// let server = TestServer::start(builder);
    /// assert_eq!(server.address(), address);
    /// server.connect().ping();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn listener(mut self, listener: Listener) -> Self {
        self.additions.listeners.push(listener);
        self
    }

    /// Has it listen for TLS at these addresses as well, as this identity: who comes there agrees
    /// on TLS before the greeting. The files of the identity are looked at once a minute.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, identity: TlsIdentity, listen: Vec<SocketAddr>) -> Self {
        self.additions.tls = Some((identity, listen));
        self
    }

    /// Starts it, on a running actix System: see [`start`](crate::start).
    ///
    /// # Errors
    ///
    /// [`StartError`]: a configuration or procedures that cannot be, no System on this thread, a
    /// listener that cannot be opened, too few descriptors. Nothing runs then.
    pub fn start(self) -> Result<RuntimeHandle<E>, StartError> {
        let timing = Timing {
            clock: Clock::SYSTEM,
            role_slack: TRANSITION_SLACK,
        };
        self.start_with_timing(timing)
    }

    /// The same with a timing of its own.
    pub(crate) fn start_with_timing(self, timing: Timing) -> Result<RuntimeHandle<E>, StartError> {
        let Self {
            config,
            engine,
            procedures,
            mut additions,
            engine_started,
        } = self;
        let mut procedures = with_locks(procedures);
        check(&config, &procedures)?;
        additions.locals = procedures.take_locals();
        let runtime = assemble(config, timing, engine, procedures, additions)?;
        #[cfg(feature = "tls")]
        certificates::follow(&runtime);
        if !engine_started.is_empty() {
            actix_rt::spawn(tell_of_engines(runtime.clone(), engine_started));
        }
        Ok(runtime)
    }
}

/// Tells of every engine that comes into service, until the runtime has stopped.
async fn tell_of_engines<E: Engine>(runtime: RuntimeHandle<E>, hooks: Vec<EngineStarted<E>>) {
    let mut engines = runtime.shared.engines.subscribe();
    // One may have been there before.
    engines.mark_changed();
    let mut told = 0;
    let mut stopped = pin!(runtime.stopped());
    loop {
        {
            let changed = pin!(engines.changed());
            let Either::Left((Ok(()), _)) = select(changed, stopped.as_mut()).await else {
                return;
            };
        }
        let count = *engines.borrow_and_update();
        if count == told {
            continue;
        }
        told = count;
        for hook in &hooks {
            // A panic is the hook's own: the others are told.
            if catch_unwind(AssertUnwindSafe(|| hook(&runtime))).is_err() {
                log::error!("a hook of engines that have started panicked");
            }
        }
    }
}
