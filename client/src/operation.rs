//! Requests as they are kept until they are sent, which may be more than once.

use std::sync::Arc;

use vestibule_wire::client::{RequestHeader, Statement};
use vestibule_wire::groups::Group;
use vestibule_wire::keys::RequestType;
use vestibule_wire::request::{
    After, Begin, Body, Call, Delete, Eval, IdOrName, IteratorType, Select, Store, Update, Upsert,
};

/// A space or index: by number or by name.
///
/// Names are looked up once and remembered if the server does not take them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Identifier {
    /// By number.
    Id(u32),
    /// By name.
    Name(Arc<str>),
}

impl From<u32> for Identifier {
    fn from(id: u32) -> Self {
        Self::Id(id)
    }
}

impl From<&str> for Identifier {
    fn from(name: &str) -> Self {
        Self::Name(name.into())
    }
}

impl From<String> for Identifier {
    fn from(name: String) -> Self {
        Self::Name(name.into())
    }
}

impl Identifier {
    /// As requests name it.
    pub(crate) fn as_is(&self) -> IdOrName<'_> {
        match self {
            Self::Id(id) => IdOrName::Id(*id),
            Self::Name(name) => IdOrName::Name(name),
        }
    }
}

/// Where a page begins.
#[derive(Debug, Clone, Default)]
pub(crate) enum Start {
    #[default]
    First,
    Position(Vec<u8>),
}

/// A SELECT.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    pub(crate) limit: u64,
    pub(crate) offset: u64,
    pub(crate) iterator: IteratorType,
    pub(crate) key: Vec<u8>,
    pub(crate) fetch_position: bool,
    pub(crate) start: Start,
}

/// A statement of SQL.
#[derive(Debug, Clone)]
pub(crate) enum Sql {
    Text(String),
    Id(u64),
}

impl Sql {
    fn statement(&self) -> Statement<'_> {
        match self {
            Self::Text(text) => Statement::Text(text),
            Self::Id(id) => Statement::Id(*id),
        }
    }
}

/// What a request is about.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    Ping,
    Select(Selection),
    Insert(Vec<u8>),
    Replace(Vec<u8>),
    Update { key: Vec<u8>, ops: Vec<u8> },
    Delete { key: Vec<u8> },
    Upsert { tuple: Vec<u8>, ops: Vec<u8> },
    Call { name: String, args: Vec<u8> },
    Eval { expression: String, args: Vec<u8> },
    Execute { sql: Sql, bind: Vec<u8> },
    Prepare(Sql),
    Begin(Begin),
    Commit,
    Rollback,
    WatchOnce(String),
}

/// A request: what it is about, and where.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) action: Action,
    pub(crate) space: Option<Identifier>,
    pub(crate) index: Option<Identifier>,
}

impl From<Action> for Operation {
    fn from(action: Action) -> Self {
        Self {
            action,
            space: None,
            index: None,
        }
    }
}

impl Operation {
    pub(crate) fn on(space: Identifier, index: Option<Identifier>, action: Action) -> Self {
        Self {
            action,
            space: Some(space),
            index,
        }
    }

    /// The name of the procedure that it calls; an empty one for an EVAL.
    pub(crate) fn procedure(&self) -> Option<&str> {
        match &self.action {
            Action::Call { name, .. } => Some(name),
            Action::Eval { .. } => Some(""),
            _ => None,
        }
    }

    /// The group that it shares the connection in, outside of streams.
    pub(crate) fn group(&self) -> Group {
        match &self.action {
            Action::Ping | Action::WatchOnce(_) => Group::Control,
            Action::Select(_) => Group::Read,
            Action::Insert(_)
            | Action::Replace(_)
            | Action::Update { .. }
            | Action::Delete { .. }
            | Action::Upsert { .. }
            | Action::Begin(_)
            | Action::Commit
            | Action::Rollback => Group::Write,
            Action::Call { .. }
            | Action::Eval { .. }
            | Action::Execute { .. }
            | Action::Prepare(_) => Group::Call,
        }
    }

    /// The whole request as bytes.
    pub(crate) fn frame(
        &self,
        header: RequestHeader,
        space: IdOrName<'_>,
        index: IdOrName<'_>,
    ) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.size());
        match &self.action {
            Action::Execute { sql, bind } => {
                header.write_with(&mut out, RequestType::Execute as u64, |out| {
                    sql.statement().write_execute(out, bind);
                });
            }
            Action::Prepare(sql) => {
                header.write_with(&mut out, RequestType::Prepare as u64, |out| {
                    sql.statement().write_prepare(out);
                });
            }
            action => header.write(&mut out, &body(action, space, index)),
        }
        out
    }

    /// Bytes of what it carries, about.
    pub(crate) fn size(&self) -> usize {
        match &self.action {
            Action::Select(select) => select.key.len(),
            Action::Insert(tuple) | Action::Replace(tuple) => tuple.len(),
            Action::Update { key, ops } => key.len() + ops.len(),
            Action::Delete { key } => key.len(),
            Action::Upsert { tuple, ops } => tuple.len() + ops.len(),
            Action::Call { name, args } => name.len() + args.len(),
            Action::Eval { expression, args } => expression.len() + args.len(),
            Action::Execute { sql, bind } => sql_size(sql) + bind.len(),
            Action::Prepare(sql) => sql_size(sql),
            Action::WatchOnce(key) => key.len(),
            Action::Ping | Action::Begin(_) | Action::Commit | Action::Rollback => 0,
        }
    }
}

fn sql_size(sql: &Sql) -> usize {
    match sql {
        Sql::Text(text) => text.len(),
        Sql::Id(_) => 0,
    }
}

fn body<'a>(action: &'a Action, space: IdOrName<'a>, index: IdOrName<'a>) -> Body<'a> {
    // Numbers of fields count from 0.
    let index_base = 0;
    match action {
        Action::Select(select) => Body::Select(Select {
            space,
            index,
            limit: select.limit,
            offset: select.offset,
            iterator: select.iterator as u64,
            key: &select.key,
            fetch_position: select.fetch_position,
            after: match &select.start {
                Start::First => After::Start,
                Start::Position(position) => After::Position(position),
            },
        }),
        Action::Insert(tuple) => Body::Insert(Store { space, tuple }),
        Action::Replace(tuple) => Body::Replace(Store { space, tuple }),
        Action::Update { key, ops } => Body::Update(Update {
            space,
            index,
            key,
            ops,
            index_base,
        }),
        Action::Delete { key } => Body::Delete(Delete { space, index, key }),
        Action::Upsert { tuple, ops } => Body::Upsert(Upsert {
            space,
            tuple,
            ops,
            index_base,
        }),
        Action::Call { name, args } => Body::Call(Call {
            name,
            args,
            wrap_results: false,
        }),
        Action::Eval { expression, args } => Body::Eval(Eval {
            expression: expression.as_bytes(),
            args,
        }),
        Action::Begin(begin) => Body::Begin(*begin),
        Action::Commit => Body::Commit,
        Action::Rollback => Body::Rollback,
        Action::WatchOnce(key) => Body::WatchOnce(key),
        Action::Ping => Body::Ping,
        // A body cannot hold SQL: `frame` writes these.
        Action::Execute { .. } => Body::Execute,
        Action::Prepare(_) => Body::Prepare,
    }
}
