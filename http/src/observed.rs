//! A runtime, as the door sees it: whatever its engine.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use vestibule_actors::config::SoloPolicy;
use vestibule_actors::monitoring::{
    ConnectionInfo, DescriptorInfo, Heartbeats, InstanceInfo, LinkInfo, Metrics, RequestInfo,
    ServerStatus,
};
use vestibule_actors::serving::Serving;
use vestibule_actors::{RuntimeHandle, TransitionRecord};

/// Rows that the session threads tell.
type Told<T> = Pin<Box<dyn Future<Output = Vec<T>>>>;

/// What is looked at.
pub(crate) trait Observed: Send {
    fn serving(&self) -> Serving;
    fn status(&self) -> ServerStatus;
    fn instance(&self) -> InstanceInfo;
    fn metrics(&self) -> Metrics;
    fn heartbeats(&self) -> Heartbeats;
    fn turn_under_way(&self) -> Option<Duration>;
    fn has_started(&self) -> bool;
    fn solo_policy(&self) -> SoloPolicy;
    fn descriptors(&self) -> Vec<DescriptorInfo>;
    fn transitions(&self) -> Vec<TransitionRecord>;
    fn connections(&self, limit: usize) -> Told<ConnectionInfo>;
    fn requests(&self, limit: usize) -> Told<RequestInfo>;
    fn links(&self, limit: usize) -> Told<LinkInfo>;
}

impl<E: 'static> Observed for RuntimeHandle<E> {
    fn serving(&self) -> Serving {
        self.serving()
    }

    fn status(&self) -> ServerStatus {
        self.status()
    }

    fn instance(&self) -> InstanceInfo {
        self.instance()
    }

    fn metrics(&self) -> Metrics {
        self.metrics()
    }

    fn heartbeats(&self) -> Heartbeats {
        self.heartbeats()
    }

    fn turn_under_way(&self) -> Option<Duration> {
        self.turn_under_way()
    }

    fn has_started(&self) -> bool {
        self.has_started()
    }

    fn solo_policy(&self) -> SoloPolicy {
        self.settings().solo_policy
    }

    fn descriptors(&self) -> Vec<DescriptorInfo> {
        self.descriptors()
    }

    fn transitions(&self) -> Vec<TransitionRecord> {
        self.transitions()
    }

    fn connections(&self, limit: usize) -> Told<ConnectionInfo> {
        let runtime = self.clone();
        Box::pin(async move { runtime.connections(limit).await })
    }

    fn requests(&self, limit: usize) -> Told<RequestInfo> {
        let runtime = self.clone();
        Box::pin(async move { runtime.requests(limit).await })
    }

    fn links(&self, limit: usize) -> Told<LinkInfo> {
        let runtime = self.clone();
        Box::pin(async move { runtime.links(limit).await })
    }
}
