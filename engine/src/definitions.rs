//! What an embedder's data look like, made at the first start and held against at later ones.
//!
//! ```text
//!   wanted ─▶ is it there? ─┬ no ─▶ made, as admin would
//!                           └ yes ─▶ as wanted? ─┬ yes ─▶ nothing is done
//!                                                └ no ─▶ an error says what differs
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use vestibule_actors::engine::{Engine, EngineWrapper};
use vestibule_actors::serving::State;
use vestibule_actors::{EngineError, RuntimeHandle};
use vestibule_wire::request::IdOrName;

use crate::engine::EmbeddedEngine;
use crate::model::field::FieldType;
use crate::model::index::IndexDef;
use crate::model::space::{Field, SpaceDef};

/// Who makes what is missing.
const ADMIN: &str = "admin";

/// The spaces and users that an embedder's program needs.
///
/// ```
/// use vestibule_actors::testing::{TestServer, block_on};
/// use vestibule_engine::testing::TestData;
/// use vestibule_engine::{Definitions, SpaceDefinition, procedures};
///
/// let visits = SpaceDefinition::new("visits")
///     .field("page", "string")
///     .field("count", "unsigned")
///     .index("primary", &["page"])
///     .non_unique_index("by_count", &["count"]);
/// let definitions = Definitions::new()
///     .space(visits)
///     .user("alice", "secret", &[("read,write", "space", "visits")]);
///
/// let data = TestData::new();
/// let server = TestServer::of(data.engine(), procedures::standard());
/// // At the first start all of it is made; at later ones nothing is.
/// block_on(definitions.establish(server.handle()))?;
/// block_on(definitions.establish(server.handle()))?;
/// assert_eq!(server.connect().log_in("alice", "secret").code, 0);
/// # Ok::<(), vestibule_engine::DefinitionsError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Definitions {
    spaces: Vec<SpaceDefinition>,
    users: Vec<UserDefinition>,
}

/// A space: its fields, and its indexes, of which the first one is the primary one.
#[derive(Debug, Clone)]
pub struct SpaceDefinition {
    name: String,
    fields: Vec<FieldDefinition>,
    indexes: Vec<IndexDefinition>,
    is_temporary: bool,
}

/// A field, as a format has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct FieldDefinition {
    name: String,
    /// By its own name, not by an older one.
    #[serde(rename = "type")]
    kind: String,
    is_nullable: bool,
}

impl FieldDefinition {
    fn of(field: &Field) -> Self {
        Self {
            name: field.name.to_string(),
            kind: field.kind.name().to_owned(),
            is_nullable: field.is_nullable,
        }
    }
}

#[derive(Debug, Clone)]
struct IndexDefinition {
    name: String,
    fields: Vec<String>,
    is_unique: bool,
}

#[derive(Debug, Clone)]
struct UserDefinition {
    name: String,
    password: String,
    /// Privileges, kind and name of what they are on.
    grants: Vec<(String, String, String)>,
}

/// Why definitions are not as they are wanted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DefinitionsError {
    /// Something is there and is another: nothing was changed about it.
    #[error("{what} is not as the program needs it: {found} is there, {wanted} is needed")]
    Differs {
        /// What it is: a space's format, an index.
        what: String,
        /// How it is.
        found: String,
        /// How it was to be.
        wanted: String,
    },
    /// An index is defined over a field that its space does not have.
    #[error("the index '{index}' is defined over '{field}', which is no field of '{space}'")]
    NoSuchField {
        /// The space.
        space: String,
        /// The index.
        index: String,
        /// The field.
        field: String,
    },
    /// The engine did not make it, or could not be asked: on a replica, say, where something is
    /// missing ([`ErrorCode::READONLY`](vestibule_wire::ErrorCode::READONLY)).
    #[error("{0}")]
    Engine(#[from] EngineError),
}

/// Where there is an embedded engine: itself, and what is around it.
pub trait HasData: Engine {
    /// The embedded engine.
    fn embedded(&self) -> &EmbeddedEngine;
}

impl HasData for EmbeddedEngine {
    fn embedded(&self) -> &EmbeddedEngine {
        self
    }
}

impl<W: EngineWrapper<Inner = EmbeddedEngine>> HasData for W {
    fn embedded(&self) -> &EmbeddedEngine {
        self.inner()
    }
}

impl SpaceDefinition {
    /// A space of this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            fields: Vec::new(),
            indexes: Vec::new(),
            is_temporary: false,
        }
    }

    /// Another field, of one of Tarantool's types: `"unsigned"`, `"string"`, `"map"`.
    #[must_use]
    pub fn field(self, name: &str, kind: &str) -> Self {
        self.with_field(name, kind, false)
    }

    /// The same, which may be nil.
    #[must_use]
    pub fn nullable_field(self, name: &str, kind: &str) -> Self {
        self.with_field(name, kind, true)
    }

    fn with_field(mut self, name: &str, kind: &str, is_nullable: bool) -> Self {
        // What is no type the engine refuses, as it was written.
        let kind = FieldType::from_name(kind).map_or(kind, |own| own.name());
        self.fields.push(FieldDefinition {
            name: name.to_owned(),
            kind: kind.to_owned(),
            is_nullable,
        });
        self
    }

    /// Another index over these fields, whose keys are unique. The first one is the primary one.
    #[must_use]
    pub fn index(self, name: &str, fields: &[&str]) -> Self {
        self.with_index(name, fields, true)
    }

    /// The same, whose keys need not be unique.
    #[must_use]
    pub fn non_unique_index(self, name: &str, fields: &[&str]) -> Self {
        self.with_index(name, fields, false)
    }

    fn with_index(mut self, name: &str, fields: &[&str], is_unique: bool) -> Self {
        self.indexes.push(IndexDefinition {
            name: name.to_owned(),
            fields: fields.iter().map(|own| (*own).to_owned()).collect(),
            is_unique,
        });
        self
    }

    /// A space whose tuples are forgotten with the server.
    #[must_use]
    pub fn temporary(mut self) -> Self {
        self.is_temporary = true;
        self
    }

    /// The parts of an index: numbers of fields, from 0 on, with their types.
    fn parts(&self, index: &IndexDefinition) -> Result<Vec<(u32, String)>, DefinitionsError> {
        let part = |name: &String| {
            let mut fields = self.fields.iter().zip(0..);
            let found = fields.find(|(own, _)| own.name == *name);
            let found = found.map(|(own, number)| (number, own.kind.clone()));
            found.ok_or_else(|| DefinitionsError::NoSuchField {
                space: self.name.clone(),
                index: index.name.clone(),
                field: name.clone(),
            })
        };
        index.fields.iter().map(part).collect()
    }
}

impl Definitions {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Another space.
    #[must_use]
    pub fn space(mut self, space: SpaceDefinition) -> Self {
        self.spaces.push(space);
        self
    }

    /// Another user, with what is granted when the user is made: privileges, and kind and name of
    /// what they are on, as `box.schema.user.grant` takes them. Of a user who is there nothing is
    /// looked at, so that a password that was changed and a right that was revoked stay so.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str, grants: &[(&str, &str, &str)]) -> Self {
        let owned =
            |own: &(&str, &str, &str)| (own.0.to_owned(), own.1.to_owned(), own.2.to_owned());
        self.users.push(UserDefinition {
            name: name.to_owned(),
            password: password.to_owned(),
            grants: grants.iter().map(owned).collect(),
        });
        self
    }

    /// Waits until the engine has recovered, makes what is missing, with the rights of `admin`, and
    /// holds what is there against what is wanted. To be called after each start, before clients
    /// are let in: with [`RuntimeHandle::listen`], say, after it. What a start that was cut off has
    /// left is completed by the next one. More fields at the end of a format, and more indexes, are
    /// left alone: later versions of a program, or operators, may have added them.
    ///
    /// A replica makes nothing: where all is there it is as elsewhere, and where something is
    /// missing that is refused.
    ///
    /// # Errors
    ///
    /// [`DefinitionsError`]: what differs, or cannot be made. What was made until then stays.
    pub async fn establish<E: HasData>(
        &self,
        runtime: &RuntimeHandle<E>,
    ) -> Result<(), DefinitionsError> {
        while runtime.serving().state == State::Loading {
            runtime.changed(runtime.serving()).await;
        }
        for space in &self.spaces {
            establish_space(runtime, space).await?;
        }
        for user in &self.users {
            establish_user(runtime, user).await?;
        }
        Ok(())
    }
}

/// A row of `_vuser`, as far as it is looked at.
#[derive(Debug, Deserialize)]
struct FoundUser(
    IgnoredAny,
    IgnoredAny,
    IgnoredAny,
    IgnoredAny,
    BTreeMap<String, IgnoredAny>,
);

#[derive(Debug, Serialize)]
struct WantedSpace<'a> {
    format: &'a [FieldDefinition],
    temporary: bool,
}

#[derive(Debug, Serialize)]
struct WantedIndex<'a> {
    unique: bool,
    parts: Vec<WantedPart<'a>>,
}

#[derive(Debug, Serialize)]
struct WantedPart<'a> {
    field: &'a str,
}

#[derive(Debug, Serialize)]
struct IfNotExists {
    if_not_exists: bool,
}

async fn call<E: HasData>(
    runtime: &RuntimeHandle<E>,
    name: &str,
    args: &impl Serialize,
) -> Result<(), DefinitionsError> {
    let _: Vec<IgnoredAny> = runtime.call(ADMIN, name, args).await?;
    Ok(())
}

/// The space, if it is there.
async fn find_space<E: HasData>(
    runtime: &RuntimeHandle<E>,
    name: &str,
) -> Result<Option<Arc<SpaceDef>>, EngineError> {
    let name = name.to_owned();
    let find = move |engine: &E| Ok(engine.embedded().definition(IdOrName::Name(&name)).ok());
    runtime.read(find).await
}

async fn establish_space<E: HasData>(
    runtime: &RuntimeHandle<E>,
    wanted: &SpaceDefinition,
) -> Result<(), DefinitionsError> {
    let found = find_space(runtime, &wanted.name).await?;
    if let Some(space) = &found {
        check_space(wanted, space)?;
    } else {
        let options = WantedSpace {
            format: &wanted.fields,
            temporary: wanted.is_temporary,
        };
        call(runtime, "box.schema.space.create", &(&wanted.name, options)).await?;
    }
    for index in &wanted.indexes {
        let parts = wanted.parts(index)?;
        let mut there = found.iter().flat_map(|space| space.indexes());
        if let Some(there) = there.find(|own| *own.name == *index.name) {
            check_index(wanted, index, &parts, there)?;
            continue;
        }
        let parts = index.fields.iter().map(|field| WantedPart { field });
        let options = WantedIndex {
            unique: index.is_unique,
            parts: parts.collect(),
        };
        let create = format!("box.space.{}:create_index", wanted.name);
        call(runtime, &create, &(&index.name, options)).await?;
    }
    Ok(())
}

fn check_space(wanted: &SpaceDefinition, found: &SpaceDef) -> Result<(), DefinitionsError> {
    let differs = |what: &str, found: String, needed: String| DefinitionsError::Differs {
        what: format!("the {what} of the space '{}'", wanted.name),
        found,
        wanted: needed,
    };
    let format: Vec<_> = found.format.iter().map(FieldDefinition::of).collect();
    if !format.starts_with(&wanted.fields) {
        let (found, needed) = (format_text(&format), format_text(&wanted.fields));
        return Err(differs("format", found, needed));
    }
    if found.is_temporary != wanted.is_temporary {
        let kind = |is_temporary| match is_temporary {
            true => "a temporary one".to_owned(),
            false => "one that is kept".to_owned(),
        };
        let (found, needed) = (kind(found.is_temporary), kind(wanted.is_temporary));
        return Err(differs("kind", found, needed));
    }
    Ok(())
}

fn format_text(format: &[FieldDefinition]) -> String {
    let field = |own: &FieldDefinition| {
        let nil = if own.is_nullable { " or nil" } else { "" };
        format!("{} {}{nil}", own.name, own.kind)
    };
    let fields: Vec<_> = format.iter().map(field).collect();
    format!("({})", fields.join(", "))
}

fn check_index(
    space: &SpaceDefinition,
    wanted: &IndexDefinition,
    parts: &[(u32, String)],
    found: &IndexDef,
) -> Result<(), DefinitionsError> {
    let found_parts = found.parts.iter();
    let found_parts = found_parts.map(|part| (part.field, part.kind.name().to_owned()));
    let found_parts: Vec<_> = found_parts.collect();
    if (found.is_unique, &*found_parts) == (wanted.is_unique, parts) {
        return Ok(());
    }
    let text = |is_unique: bool, parts: &[(u32, String)]| {
        let kind = if is_unique { "unique" } else { "not unique" };
        let part = |(field, kind): &(u32, String)| format!("field {} as {kind}", field + 1);
        let parts: Vec<_> = parts.iter().map(part).collect();
        format!("{kind} over {}", parts.join(", "))
    };
    Err(DefinitionsError::Differs {
        what: format!("the index '{}' of the space '{}'", wanted.name, space.name),
        found: text(found.is_unique, &found_parts),
        wanted: text(wanted.is_unique, parts),
    })
}

/// The password comes last: a user without one is not complete yet.
async fn establish_user<E: HasData>(
    runtime: &RuntimeHandle<E>,
    wanted: &UserDefinition,
) -> Result<(), DefinitionsError> {
    let name = wanted.name.clone();
    let find = move |engine: &E| {
        let users = engine.embedded().reader().space::<FoundUser>("_vuser");
        users.index("name").get(&name)
    };
    match runtime.read(find).await? {
        Some(FoundUser(_, _, _, _, authentication)) if !authentication.is_empty() => return Ok(()),
        Some(_) => {}
        None => call(runtime, "box.schema.user.create", &(&wanted.name,)).await?,
    }
    for (privileges, kind, on) in &wanted.grants {
        let lenient = IfNotExists {
            if_not_exists: true,
        };
        let grant = (&wanted.name, privileges, kind, on, lenient);
        call(runtime, "box.schema.user.grant", &grant).await?;
    }
    let password = (&wanted.name, &wanted.password);
    call(runtime, "box.schema.user.passwd", &password).await
}
