//! A runtime, as the door sees it: whatever its engine.

use std::future::Future;
use std::pin::Pin;

use vestibule_actors::monitoring::{
    ConnectionInfo, DescriptorInfo, InstanceInfo, Metrics, RequestInfo, ServerStatus,
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
    fn descriptors(&self) -> Vec<DescriptorInfo>;
    fn transitions(&self) -> Vec<TransitionRecord>;
    fn connections(&self, limit: usize) -> Told<ConnectionInfo>;
    fn requests(&self, limit: usize) -> Told<RequestInfo>;
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
}
