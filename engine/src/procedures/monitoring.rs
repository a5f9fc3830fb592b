//! What monitoring calls: sizes of spaces and indexes, memory, and the session.
//!
//! What is told is what is committed and visible, in bytes as allocated where nothing else is said.

use serde::Serialize;
use vestibule_actors::engine::Outcome;
use vestibule_wire::Error;
use vestibule_wire::request::IdOrName;

use super::call::EngineCall;
use crate::privileges::Privileges;
use crate::store::image::{Image, Space};

/// What `box.info.memory` returns: the part of Tarantool's that is known here.
#[derive(Debug, Serialize)]
struct MemoryInfo {
    /// Tuples beside the nodes of their indexes.
    data: usize,
    /// Indexes, with their keys and the small tuples that stand in them.
    index: usize,
}

/// What `box.slab.info` returns: there are no slabs, so that what is used is what there is.
#[derive(Debug, Serialize)]
struct SlabInfo {
    items_size: usize,
    items_used: usize,
    arena_size: usize,
    arena_used: usize,
    quota_used: usize,
    /// As `--memory-max` says; left out if there is no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    quota_size: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quota_used_ratio: Option<String>,
}

/// Answers with what is committed, the turn so far included.
fn of_committed<T: Serialize>(
    call: &mut EngineCall<'_>,
    look: impl FnOnce(&Image) -> T,
) -> Result<Outcome, Error> {
    match call.engine.committed(look) {
        Some(value) => call.reply.value(&value),
        None => Ok(Outcome::CommitFirst),
    }
}

/// `box.info.memory()`
pub(super) fn memory(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    of_committed(call, |image| {
        let data = image.data_bytes();
        let index = image.bytes().saturating_sub(data);
        MemoryInfo { data, index }
    })
}

/// `box.slab.info()`
pub(super) fn slab_info(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let quota = Some(call.engine.memory_max()).filter(|max| *max > 0);
    of_committed(call, |image| {
        let (items, used) = (image.data_bytes(), image.bytes());
        let ratio = |max: usize| format!("{:.2}%", used as f64 / max as f64 * 100.0);
        SlabInfo {
            items_size: items,
            items_used: items,
            arena_size: used,
            arena_used: used,
            quota_used: used,
            quota_size: quota,
            quota_used_ratio: quota.map(ratio),
        }
    })
}

/// `:bsize()` of a space: its tuples themselves.
pub(super) fn space_size(call: &mut EngineCall<'_>, space: u32) -> Result<Outcome, Error> {
    call.engine.allowed(IdOrName::Id(space), Privileges::READ)?;
    of_committed(call, |image| {
        let size = |space: &Space| space.rows.tally().contents;
        image.space(space).map_or(0, size)
    })
}

/// `:bsize()` of an index: its nodes.
pub(super) fn index_size(
    call: &mut EngineCall<'_>,
    space: u32,
    index: u32,
) -> Result<Outcome, Error> {
    call.engine.allowed(IdOrName::Id(space), Privileges::READ)?;
    of_committed(call, |image| {
        let tree = image.space(space).and_then(|space| space.tree(index));
        tree.map_or(0, |tree| tree.tally().nodes)
    })
}

/// `box.session.id()`
pub(super) fn session_id(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let id = call.caller.connection;
    call.reply.value(&id)
}

/// `box.session.type()`
pub(super) fn session_type(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    call.reply.value(&"binary")
}

/// `box.session.uid()`: of who logged in.
pub(super) fn session_uid(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let id = call.caller.user.id;
    call.reply.value(&id)
}

/// `box.session.user()`: who logged in.
pub(super) fn session_user(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let name = call.caller.user.name.clone();
    call.reply.value(&*name)
}

/// `box.session.euid()`: of whose rights the call has.
pub(super) fn session_euid(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let id = call.engine.effective_user().id;
    call.reply.value(&id)
}

/// `box.session.effective_user()`: whose rights the call has.
pub(super) fn session_effective_user(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let name = call.engine.effective_user().name.clone();
    call.reply.value(&*name)
}
