//! Names of spaces and indexes as numbers, for servers that take numbers only.
//!
//! Each name is looked up in `_vspace` or `_vindex` when it is first used, and again when the
//! server's definitions have changed.

use std::sync::Arc;

use vestibule_wire::features::Feature;
use vestibule_wire::request::IteratorType;

use super::ask::{Asked, Failure, Tracker};
use super::shared::{Link, Session};
use crate::error::{Error, Outcome, ServerError};
use crate::operation::{Action, Identifier, Operation, Selection, Start};
use crate::pack;
use crate::schema::{IndexEntry, SpaceRow};

/// The space of the definitions of spaces that the user may see, and that of indexes.
const VSPACE: u32 = 281;
const VINDEX: u32 = 289;
/// The index of both by name.
const BY_NAME: u32 = 2;
/// The index of [`VINDEX`] by number.
const BY_ID: u32 = 0;

/// Space and index as a request tells them, and of which version of definitions they are.
pub(crate) struct Names {
    pub(crate) space: Identifier,
    pub(crate) index: Identifier,
    /// 0 if they hold for any.
    pub(crate) schema_version: u64,
}

impl Names {
    fn of_numbers(space: u32, index: u32) -> Self {
        Self {
            space: Identifier::Id(space),
            index: Identifier::Id(index),
            schema_version: 0,
        }
    }
}

impl Link {
    /// How a request has to tell its space and index over this connection.
    pub(super) async fn resolve(
        &self,
        session: &Session,
        operation: &Operation,
    ) -> Result<Names, Failure> {
        let space = operation.space.clone().unwrap_or(Identifier::Id(0));
        let index = operation.index.clone().unwrap_or(Identifier::Id(0));
        let needs_none = |own: &Identifier| matches!(own, Identifier::Id(_));
        if session.has(Feature::SpaceAndIndexNames) || (needs_none(&space) && needs_none(&index)) {
            return Ok(Names {
                space,
                index,
                schema_version: 0,
            });
        }
        loop {
            let version = self.lock().schema.version();
            let space_id = self.space_id(session, &space).await?;
            let index_id = match &index {
                Identifier::Id(id) => *id,
                Identifier::Name(name) => {
                    self.index_by_name(session, space_id, name, &space)
                        .await?
                        .id
                }
            };
            let after = self.lock().schema.version();
            // What was looked up at different versions may not belong together.
            if version == after || version == 0 {
                return Ok(Names {
                    schema_version: after,
                    ..Names::of_numbers(space_id, index_id)
                });
            }
        }
    }

    async fn space_id(&self, session: &Session, space: &Identifier) -> Result<u32, Failure> {
        let name = match space {
            Identifier::Id(id) => return Ok(*id),
            Identifier::Name(name) => name,
        };
        let known = self.lock().schema.space(name);
        if let Some(id) = known {
            return Ok(id);
        }
        let key = pack::parts(&**name).map_err(Failure::Error)?;
        let found = self
            .look_up::<SpaceRow>(session, VSPACE, BY_NAME, key)
            .await?;
        let (row, version) = found.ok_or_else(|| missing(ServerError::no_such_space(name)))?;
        self.lock().schema.put_space(version, name, row.id);
        Ok(row.id)
    }

    async fn index_by_name(
        &self,
        session: &Session,
        space_id: u32,
        name: &Arc<str>,
        space: &Identifier,
    ) -> Result<Arc<IndexEntry>, Failure> {
        let known = self.lock().schema.index(space_id, name);
        if let Some(entry) = known {
            return Ok(entry);
        }
        let key = pack::parts(&(space_id, &**name)).map_err(Failure::Error)?;
        let found = self
            .look_up::<IndexEntry>(session, VINDEX, BY_NAME, key)
            .await?;
        let (entry, version) = found.ok_or_else(|| missing(no_such_index(name, space)))?;
        let entry = Arc::new(entry);
        let mut state = self.lock();
        state
            .schema
            .put_index(version, space_id, name, Arc::clone(&entry));
        Ok(entry)
    }

    /// What is known of an index: `None` if there is none.
    pub(crate) async fn index_entry(
        &self,
        space: &Identifier,
        index: &Identifier,
    ) -> Result<IndexEntry, Error> {
        loop {
            let session = self.wait_up().await?;
            let looked_up = async {
                let space_id = self.space_id(&session, space).await?;
                match index {
                    Identifier::Name(name) => {
                        let entry = self.index_by_name(&session, space_id, name, space).await?;
                        Ok(Some((*entry).clone()))
                    }
                    Identifier::Id(id) => {
                        let key = pack::parts(&(space_id, *id)).map_err(Failure::Error)?;
                        let found = self.look_up(&session, VINDEX, BY_ID, key).await?;
                        Ok(found.map(|(entry, _)| entry))
                    }
                }
            };
            match looked_up.await {
                Ok(Some(entry)) => return Ok(entry),
                Ok(None) => return Err(absent(ServerError::no_such_index_id(0, "of this number"))),
                Err(Failure::Stale) => {}
                Err(Failure::Error(error)) => return Err(error),
            }
        }
    }

    /// The row with this key, and the version of definitions that it is of.
    async fn look_up<T: serde::de::DeserializeOwned>(
        &self,
        session: &Session,
        space: u32,
        index: u32,
        key: Vec<u8>,
    ) -> Result<Option<(T, u64)>, Failure> {
        let action = Action::Select(Selection {
            limit: 1,
            offset: 0,
            iterator: IteratorType::Eq,
            key,
            fetch_position: false,
            start: Start::First,
        });
        let names = Names::of_numbers(space, index);
        // Whether a lookup has run is nobody's concern: the request that needs it was not sent.
        let tracker = Tracker::default();
        let operation = Operation::from(action);
        let asked = Asked::own(&operation, &tracker);
        let attempt = self.attempt(asked, &names, session, None);
        let reply = attempt.await.map_err(|failure| match failure {
            Failure::Error(error) => Failure::Error(error.with_outcome(Outcome::NotSent)),
            Failure::Stale => Failure::Stale,
        })?;
        let not_sent = |error: Error| Failure::Error(error.with_outcome(Outcome::NotSent));
        let rows: Vec<T> = pack::data(&reply.frame()).map_err(not_sent)?;
        let version = reply.schema_version.unwrap_or(0);
        Ok(rows.into_iter().next().map(|row| (row, version)))
    }
}

/// The error that the server would give if it took names.
fn missing(error: ServerError) -> Failure {
    Failure::Error(absent(error))
}

fn absent(error: ServerError) -> Error {
    Error::from_server(error, Outcome::NotSent)
}

fn no_such_index(name: &str, space: &Identifier) -> ServerError {
    let space = match space {
        Identifier::Id(id) => id.to_string(),
        Identifier::Name(name) => name.to_string(),
    };
    let text = format!("No index '{name}' is defined in space '{space}'");
    ServerError::new(vestibule_wire::ErrorCode::NO_SUCH_INDEX_NAME, text)
}
