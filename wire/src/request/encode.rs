//! Bodies to bytes: what a client sends, and what [`decode`](super::decode()) reads back.

use super::body::{After, Auth, Begin, Body, Call, Delete, Eval, Id, IdOrName, Select};
use super::body::{Store, Update, Upsert};
use crate::features::{CHUNKS, Features};
use crate::groups::Agreement;
use crate::keys::{self, RequestType};
use crate::msgpack::{
    write_array_len, write_bool, write_f64, write_map_len, write_str, write_str_bytes, write_uint,
};

impl Body<'_> {
    /// The type that the header of the request has to name.
    #[must_use]
    pub const fn request_type(&self) -> RequestType {
        match self {
            Self::Ping => RequestType::Ping,
            Self::Id(_) => RequestType::Id,
            Self::Auth(_) => RequestType::Auth,
            Self::Select(_) => RequestType::Select,
            Self::Insert(_) => RequestType::Insert,
            Self::Replace(_) => RequestType::Replace,
            Self::Update(_) => RequestType::Update,
            Self::Delete(_) => RequestType::Delete,
            Self::Upsert(_) => RequestType::Upsert,
            Self::Call(Call {
                wrap_results: true, ..
            }) => RequestType::Call16,
            Self::Call(_) => RequestType::Call,
            Self::Eval(_) => RequestType::Eval,
            Self::Execute => RequestType::Execute,
            Self::Prepare => RequestType::Prepare,
            Self::Begin(_) => RequestType::Begin,
            Self::Commit => RequestType::Commit,
            Self::Rollback => RequestType::Rollback,
            Self::Watch(_) => RequestType::Watch,
            Self::Unwatch(_) => RequestType::Unwatch,
            Self::WatchOnce(_) => RequestType::WatchOnce,
        }
    }

    /// Appends the body: one map, or nothing for a type that carries nothing.
    ///
    /// The key of a SELECT and the tuple of an INSERT or REPLACE come last, so that they can be
    /// patched at the end of a request that is sent again and again.
    ///
    /// A statement of SQL cannot be held by a [`Body`]: EXECUTE and PREPARE carry nothing.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ping | Self::Execute | Self::Prepare | Self::Commit | Self::Rollback => {}
            Self::Id(id) => write_id(out, id),
            Self::Auth(auth) => write_auth(out, auth),
            Self::Select(select) => write_select(out, select),
            Self::Insert(store) | Self::Replace(store) => write_store(out, store),
            Self::Update(update) => write_update(out, update),
            Self::Delete(delete) => write_delete(out, delete),
            Self::Upsert(upsert) => write_upsert(out, upsert),
            Self::Call(call) => write_call(out, call),
            Self::Eval(eval) => write_eval(out, eval),
            Self::Begin(begin) => write_begin(out, begin),
            Self::Watch(key) | Self::Unwatch(key) | Self::WatchOnce(key) => {
                write_map_len(out, 1);
                write_uint(out, keys::EVENT_KEY);
                write_str(out, key);
            }
        }
    }
}

fn write_pair(out: &mut Vec<u8>, key: u64, value: u64) {
    write_uint(out, key);
    write_uint(out, value);
}

fn write_raw_pair(out: &mut Vec<u8>, key: u64, value: &[u8]) {
    write_uint(out, key);
    out.extend_from_slice(value);
}

fn write_space(out: &mut Vec<u8>, space: IdOrName<'_>) {
    write_id_or_name(out, space, keys::SPACE_ID, keys::SPACE_NAME);
}

fn write_index(out: &mut Vec<u8>, index: IdOrName<'_>) {
    write_id_or_name(out, index, keys::INDEX_ID, keys::INDEX_NAME);
}

fn write_id_or_name(out: &mut Vec<u8>, which: IdOrName<'_>, id_key: u64, name_key: u64) {
    match which {
        IdOrName::Id(id) => write_pair(out, id_key, u64::from(id)),
        IdOrName::Name(name) => {
            write_uint(out, name_key);
            write_str(out, name);
        }
    }
}

fn write_select(out: &mut Vec<u8>, select: &Select<'_>) {
    let more = u32::from(select.fetch_position) + u32::from(select.after != After::Start);
    write_map_len(out, 6 + more);
    write_space(out, select.space);
    write_index(out, select.index);
    write_pair(out, keys::LIMIT, select.limit);
    write_pair(out, keys::OFFSET, select.offset);
    write_pair(out, keys::ITERATOR, select.iterator);
    if select.fetch_position {
        write_uint(out, keys::FETCH_POSITION);
        write_bool(out, true);
    }
    match select.after {
        After::Start => {}
        After::Position(position) => {
            write_uint(out, keys::AFTER_POSITION);
            write_str_bytes(out, position);
        }
        After::Tuple(tuple) => write_raw_pair(out, keys::AFTER_TUPLE, tuple),
    }
    write_raw_pair(out, keys::KEY, select.key);
}

fn write_store(out: &mut Vec<u8>, store: &Store<'_>) {
    write_map_len(out, 2);
    write_space(out, store.space);
    write_raw_pair(out, keys::TUPLE, store.tuple);
}

fn write_update(out: &mut Vec<u8>, update: &Update<'_>) {
    write_map_len(out, 5);
    write_space(out, update.space);
    write_index(out, update.index);
    write_pair(out, keys::INDEX_BASE, update.index_base);
    write_raw_pair(out, keys::KEY, update.key);
    // The operations of an UPDATE stand under the key of tuples.
    write_raw_pair(out, keys::TUPLE, update.ops);
}

fn write_delete(out: &mut Vec<u8>, delete: &Delete<'_>) {
    write_map_len(out, 3);
    write_space(out, delete.space);
    write_index(out, delete.index);
    write_raw_pair(out, keys::KEY, delete.key);
}

fn write_upsert(out: &mut Vec<u8>, upsert: &Upsert<'_>) {
    write_map_len(out, 4);
    write_space(out, upsert.space);
    write_pair(out, keys::INDEX_BASE, upsert.index_base);
    write_raw_pair(out, keys::OPS, upsert.ops);
    write_raw_pair(out, keys::TUPLE, upsert.tuple);
}

fn write_call(out: &mut Vec<u8>, call: &Call<'_>) {
    write_map_len(out, 2);
    write_uint(out, keys::FUNCTION_NAME);
    write_str(out, call.name);
    write_raw_pair(out, keys::TUPLE, call.args);
}

fn write_eval(out: &mut Vec<u8>, eval: &Eval<'_>) {
    write_map_len(out, 2);
    write_uint(out, keys::EXPR);
    write_str_bytes(out, eval.expression);
    write_raw_pair(out, keys::TUPLE, eval.args);
}

fn write_auth(out: &mut Vec<u8>, auth: &Auth<'_>) {
    write_map_len(out, 2);
    write_uint(out, keys::USER_NAME);
    write_str(out, auth.user);
    write_raw_pair(out, keys::TUPLE, auth.tuple);
}

fn write_id(out: &mut Vec<u8>, id: &Id) {
    write_map_len(out, if id.chunks.is_some() { 4 } else { 2 });
    write_pair(out, keys::VERSION, id.version);
    write_features(out, id.features, id.chunks);
}

/// The pair of the features, and those of the agreement if chunks are one of them.
pub(crate) fn write_features(out: &mut Vec<u8>, features: Features, chunks: Option<Agreement>) {
    write_uint(out, keys::FEATURES);
    let own = chunks.map(|_| CHUNKS);
    let codes = || features.codes().chain(own);
    write_array_len(out, codes().count() as u32);
    codes().for_each(|code| write_uint(out, code));
    if let Some(agreement) = chunks {
        write_pair(out, keys::CHUNK_WINDOW, agreement.window as u64);
        write_pair(out, keys::CHUNK_MESSAGES, agreement.messages_max as u64);
    }
}

fn write_begin(out: &mut Vec<u8>, begin: &Begin) {
    let has_isolation = begin.isolation != 0;
    write_map_len(
        out,
        u32::from(begin.timeout.is_some()) + u32::from(has_isolation),
    );
    if let Some(seconds) = begin.timeout {
        write_uint(out, keys::TIMEOUT);
        write_f64(out, seconds);
    }
    if has_isolation {
        write_pair(out, keys::TXN_ISOLATION, begin.isolation);
    }
}
