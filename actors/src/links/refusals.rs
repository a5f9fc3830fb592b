//! Requests that go over no link, and what they are told.

use std::sync::Arc;

use vestibule_wire::{Error, ErrorCode};

use crate::resources::WorkerCell;
use crate::upstream::GatewayCell;

/// Why a request goes over no link.
pub(super) enum NoLink {
    /// No upstream serves.
    NoUpstream,
    /// Requests are held.
    Held,
    /// What its user has proven is not valid any more.
    Forgotten(Arc<str>),
    /// Links did not come about just now, or there are as many as there may be.
    Paused,
}

impl NoLink {
    /// What the request is told.
    pub(super) fn error(&self, worker: &WorkerCell, gateway: &GatewayCell) -> Error {
        match self {
            Self::NoUpstream | Self::Held => not_there(worker, "no upstream serves"),
            Self::Paused => not_there(worker, "no connection to the upstream can be had now"),
            Self::Forgotten(user) => gateway.wrong_login(user, true),
        }
    }
}

/// The error for what is not sent because an upstream is not there, which is known before the
/// serving state says so.
pub(super) fn not_there(worker: &WorkerCell, why: &str) -> Error {
    let shared = &worker.shared;
    let status = shared.serving.status(shared.clock.now());
    if !status.reason.is_empty() {
        return status.error(ErrorCode::LOADING);
    }
    let retry_after = status.retry_after.as_secs_f64();
    let text = format!("{why}, retry after {retry_after:.1} s");
    status.error_with_text(ErrorCode::LOADING, text)
}
