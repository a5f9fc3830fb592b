//! What operators see, for the embedder: the values that the control procedures tell.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;

use super::handle::RuntimeHandle;
use crate::endpoints::BoundListener;
use crate::messages::{FanOut, Gather, KillTarget, Row, sum_of_killed};
use crate::monitoring::{
    ConnectionInfo, DescriptorInfo, Heartbeats, InstanceInfo, Killed, LimitInfo, LinkInfo, Metrics,
    PinInfo, QuotaInfo, RequestInfo, ReservationInfo, ServerStatus, SessionThread, UpstreamInfo,
};
use crate::transitions::TransitionRecord;

impl<E: 'static> RuntimeHandle<E> {
    /// The listeners that it was started with, with the ports that the system picked: those of
    /// [`Config::listen`](crate::Config::listen), those of administrators, those of TLS, and those
    /// that were bound already and have an address.
    #[must_use]
    pub fn listeners(&self) -> &[BoundListener] {
        &self.listeners
    }

    /// The addresses of [`Config::listen`](crate::Config::listen) that are of the network, with the
    /// ports that the system picked.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses_where(|own| {
            !own.is_for_administrators && !own.is_over_tls && !own.is_for_reads
        })
    }

    /// The same of [`Config::admin_listen`](crate::Config::admin_listen).
    #[must_use]
    pub fn admin_addresses(&self) -> Vec<SocketAddr> {
        self.addresses_where(|own| own.is_for_administrators)
    }

    /// The same of [`Upstreams::listen_reads`](crate::Upstreams::listen_reads).
    #[must_use]
    pub fn read_addresses(&self) -> Vec<SocketAddr> {
        self.addresses_where(|own| own.is_for_reads && !own.is_over_tls)
    }

    /// The addresses at which it listens for TLS, but for those where replicas answer SELECTs.
    #[must_use]
    pub fn tls_addresses(&self) -> Vec<SocketAddr> {
        self.addresses_where(|own| own.is_over_tls && !own.is_for_reads)
    }

    /// The same of [`Upstreams::tls_listen_reads`](crate::Upstreams::tls_listen_reads).
    #[must_use]
    pub fn tls_read_addresses(&self) -> Vec<SocketAddr> {
        self.addresses_where(|own| own.is_over_tls && own.is_for_reads)
    }

    fn addresses_where(&self, is_meant: impl Fn(&BoundListener) -> bool) -> Vec<SocketAddr> {
        let meant = self.listeners.iter().filter(|own| is_meant(own));
        meant.filter_map(|own| own.address.network()).collect()
    }

    /// The whole server in short: state, reason, queue, fault, the transition under way. As
    /// `vestibule.state()`.
    ///
    /// ```
    /// use vestibule_actors::serving::State;
    /// use vestibule_actors::testing::Harness;
    ///
    /// let harness = Harness::start();
    /// let _client = harness.connect();
    /// let status = harness.handle().status();
    /// assert_eq!((status.state, status.connections), (State::Assist, 1));
    /// ```
    #[must_use]
    pub fn status(&self) -> ServerStatus {
        ServerStatus::of(&self.shared, self.shared.clock.now())
    }

    /// Who it is: as `box.info()`.
    #[must_use]
    pub fn instance(&self) -> InstanceInfo {
        InstanceInfo::of(&self.shared, self.shared.clock.now())
    }

    /// Plain numbers for monitoring, `box.stat()` and `box.stat.net()` among them. Neither Tx nor
    /// the session threads are asked, so that it costs them nothing; the caller, some microseconds.
    ///
    /// ```
    /// use vestibule_actors::RuntimeHandle;
    ///
    /// fn busy<E>(runtime: &RuntimeHandle<E>) -> String {
    ///     let metrics = runtime.metrics();
    ///     let selects = metrics.traffic.requests["SELECT"];
    ///     format!("{} queued, {:.0} SELECT/s", metrics.queued, selects.per_second)
    /// }
    /// ```
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics::of(&self.shared, self.shared.clock.now())
    }

    /// When the session threads and the System's thread were seen to go on: what
    /// [`metrics`](Self::metrics) tells, for those who ask often and want no more.
    #[must_use]
    pub fn heartbeats(&self) -> Heartbeats {
        Heartbeats::of(&self.shared, self.shared.clock.now())
    }

    /// How long Tx has been in the turn that is under way, if there is one.
    ///
    /// ```
    /// use vestibule_actors::testing::Harness;
    ///
    /// let harness = Harness::start();
    /// let mut client = harness.block();
    /// let runtime = harness.handle();
    /// assert!(runtime.has_started() && runtime.turn_under_way().is_some());
    /// harness.script().release();
    /// assert_eq!(client.receive().code, 0);
    /// ```
    #[must_use]
    pub fn turn_under_way(&self) -> Option<Duration> {
        let now = self.shared.since_start(self.shared.clock.now());
        self.shared.tx.under_way(now)
    }

    /// Whether an engine has recovered since the start.
    #[must_use]
    pub fn has_started(&self) -> bool {
        self.shared.engines_started() > 0
    }

    /// The last transitions and changes of state, oldest first; the one under way is the last of
    /// them. At most [`TRANSITIONS_KEPT_MAX`](crate::limits::TRANSITIONS_KEPT_MAX).
    #[must_use]
    pub fn transitions(&self) -> Vec<TransitionRecord> {
        self.shared.transitions.rows()
    }

    /// The session threads, and how fast they hear of changes.
    #[must_use]
    pub fn threads(&self) -> Vec<SessionThread> {
        SessionThread::all(&self.shared)
    }

    /// The bounds that matter to operators, and how much of them is in use.
    #[must_use]
    pub fn limits(&self) -> Vec<LimitInfo> {
        LimitInfo::all(&self.shared)
    }

    /// Who holds how much of what all connections share, most first.
    #[must_use]
    pub fn quotas(&self) -> Vec<QuotaInfo> {
        self.shared.quotas.rows()
    }

    /// Who may have how many descriptors.
    #[must_use]
    pub fn descriptors(&self) -> Vec<DescriptorInfo> {
        DescriptorInfo::all(&self.shared)
    }

    /// The reservations: locks, cursors.
    #[must_use]
    pub fn reservations(&self) -> Vec<ReservationInfo> {
        self.shared.reservations.rows(self.shared.clock.now())
    }

    /// Connections that are open.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.shared.connection_count()
    }

    /// Requests that were forwarded to Tx and are not answered, jobs of the embedder included.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight_count() + self.shared.jobs.load(Ordering::Relaxed)
    }

    /// Open connections, at most `limit`: each session thread is asked. Of one that has ended there
    /// are none.
    pub async fn connections(&self, limit: usize) -> Vec<ConnectionInfo> {
        let rows = self.gather(FanOut::Connections(limit)).await.into_iter();
        let wanted = rows.filter_map(|row| match row {
            Row::Connection(own) => Some(own),
            Row::Request(_) | Row::Link(_) | Row::Pin(_) | Row::Killed(_) => None,
        });
        wanted.take(limit).collect()
    }

    /// Requests that somebody waits for, at most `limit` of them: each session thread is asked.
    pub async fn requests(&self, limit: usize) -> Vec<RequestInfo> {
        let rows = self.gather(FanOut::Requests(limit)).await.into_iter();
        let wanted = rows.filter_map(|row| match row {
            Row::Request(own) => Some(own),
            Row::Connection(_) | Row::Link(_) | Row::Pin(_) | Row::Killed(_) => None,
        });
        wanted.take(limit).collect()
    }

    /// The upstreams of a gateway, in the order in which they are configured; none of a runtime
    /// with an engine.
    #[must_use]
    pub fn upstreams(&self) -> Vec<UpstreamInfo> {
        UpstreamInfo::all(&self.shared, self.shared.clock.now())
    }

    /// Connections of a gateway to its upstreams, at most `limit`: each session thread is asked.
    pub async fn links(&self, limit: usize) -> Vec<LinkInfo> {
        let rows = self.gather(FanOut::Links(limit)).await.into_iter();
        let wanted = rows.filter_map(|row| match row {
            Row::Link(own) => Some(own),
            Row::Connection(_) | Row::Request(_) | Row::Pin(_) | Row::Killed(_) => None,
        });
        wanted.take(limit).collect()
    }

    /// Clients of a gateway that have connections upstream of their own, at most `limit`: each
    /// session thread is asked.
    pub async fn pins(&self, limit: usize) -> Vec<PinInfo> {
        let rows = self.gather(FanOut::Pins(limit)).await.into_iter();
        let wanted = rows.filter_map(|row| match row {
            Row::Pin(own) => Some(own),
            Row::Connection(_) | Row::Request(_) | Row::Link(_) | Row::Killed(_) => None,
        });
        wanted.take(limit).collect()
    }

    /// Closes the connection of this number, and answers its requests before their time: those that
    /// Tx has begun with "outcome unknown".
    ///
    /// ```
    /// use vestibule_actors::actix_rt::System;
    /// use vestibule_actors::testing::Harness;
    ///
    /// let harness = Harness::start();
    /// let mut client = harness.connect();
    /// System::new().block_on(async {
    ///     let runtime = harness.handle();
    ///     for own in runtime.connections(100).await {
    ///         println!("{} from {}: {} under way", own.user, own.peer, own.in_flight);
    ///         let killed = runtime.kill_connection(own.connection).await;
    ///         assert_eq!(killed.connections, 1);
    ///     }
    /// });
    /// assert!(client.receive_until_closed().is_empty());
    /// ```
    pub async fn kill_connection(&self, connection: u64) -> Killed {
        self.kill(connection, None).await
    }

    /// Answers the requests with this sync of a connection before their time, as
    /// [`kill_connection`](Self::kill_connection) does with all of them.
    pub async fn kill_request(&self, connection: u64, sync: u64) -> Killed {
        self.kill(connection, Some(sync)).await
    }

    async fn kill(&self, connection: u64, sync: Option<u64>) -> Killed {
        let target = KillTarget { connection, sync };
        sum_of_killed(&self.gather(FanOut::Kill(target)).await)
    }

    async fn gather(&self, question: FanOut) -> Vec<Row> {
        let (told, answer) = oneshot::channel();
        let workers = &self.peers.workers;
        let contributions = Gather::for_embedder(question, told, workers.len());
        for (worker, contribution) in workers.iter().zip(contributions) {
            worker.contribute(contribution);
        }
        // What is asked of a thread that has ended is dropped, so that an answer always comes.
        answer.await.unwrap_or_default()
    }

    /// Declares solo as an operator does: sessions answer alone, and say why, until
    /// [`assist`](Self::assist). Said again, it changes the reason.
    ///
    /// ```
    /// use vestibule_actors::testing::{Harness, RequestBuilder};
    ///
    /// let harness = Harness::start();
    /// let mut client = harness.connect();
    /// harness.handle().solo("a snapshot of the disk");
    /// let refused = client.ask(&RequestBuilder::replace(1, 1));
    /// assert!(refused.error_mentions("a snapshot of the disk"));
    /// harness.handle().assist();
    /// assert_eq!(client.ask(&RequestBuilder::replace(2, 1)).code, 0);
    /// ```
    pub fn solo(&self, reason: &str) {
        let now = self.shared.clock.now();
        self.shared.serving.operator_solo(reason, now);
    }

    /// Takes back what [`solo`](Self::solo), or an operator's `vestibule.solo`, declared. Solo for
    /// other reasons goes on.
    pub fn assist(&self) {
        self.shared.serving.operator_assist(self.shared.clock.now());
    }
}
