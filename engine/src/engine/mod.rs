//! The engine: its parts joined, and a request's way through them.
//!
//! ```text
//!   execute ─▶ permissions: may the effective user?       ◀── schema: definitions, rights, catalog
//!      └─▶ reads:  select ─▶ look ─▶ workspace over image
//!      └─▶ writes: write ─▶ workspace: the turn, or a transaction's own changes
//!   commit ─▶ log: the turn's record ─▶ image ─▶ schema, if definitions changed
//! ```
//!
//! | module | what |
//! |---|---|
//! | `schema_cache` | definitions, rights and catalog, to be looked up without the image's lock |
//! | `permissions` | what the request at hand may do |
//! | `execute` | a data request's way, from its body to its reply |
//! | `select` | SELECT, and what procedures read like it |
//! | `data_bound` | the bound on the memory of data |
//! | `write` | tuples stored, changed and deleted, in every index |
//! | `foreign_keys` | what tuples refer to, and what refers to them |
//! | `definitions` | changes of the system spaces |
//! | `openings` | what is open to everybody without a login, told to the log |
//! | `sequences` | numbers handed out one by one |
//! | `atomic` | work of the embedder that is done all or not at all |
//! | `scratch` | a buffer that requests use one after the other |
//! | `commit` | the end of a turn |
//! | `author` | who has changed definitions |
//! | `audit` | what changed of users, rights and spaces, told to the audit log |
//! | `admin_password` | the password that `admin` is given at a start |
//! | `statistics` | what monitoring is told |
//! | `settings` | what may be replaced while engines serve |
//! | `factory` | engines of one directory, one after the other |

mod admin_password;
mod atomic;
mod audit;
mod author;
mod commit;
mod data_bound;
mod definitions;
mod execute;
mod factory;
mod foreign_keys;
mod openings;
mod permissions;
mod schema_cache;
mod scratch;
mod select;
mod sequences;
mod settings;
mod statistics;
#[cfg(test)]
mod test_access;
mod write;

use std::path::Path;
use std::sync::Arc;

use vestibule_actors::catalog::{Catalog, User};
use vestibule_actors::engine::{
    Caller, DataMemory, Engine, Fault, Outcome, Progress, ReadView, RefusedBy, Reply, Request,
    Statistics, TransactionId,
};
use vestibule_wire::Error;
use vestibule_wire::request::Begin;

use crate::access::effective_user::EffectiveUser;
use crate::access::generations::UserGenerations;
use crate::ddl::foreign_keys::ReferenceChecks;
use crate::durability::commit_log::CommitLog;
use crate::durability::journal::Journal;
use crate::durability::recovery;
use crate::durability::storage::{Disk, Storage};
use crate::errors;
use crate::options::EngineOptions;
use crate::query::view::ImageView;
use crate::store::image::Image;
use crate::store::shared_image::SharedImage;
use crate::store::snapshot::Snapshot;
use crate::transaction::workspace::Workspace;
use data_bound::DataBound;
pub use factory::EmbeddedFactory;
use schema_cache::SchemaCache;
use scratch::Scratch;
pub(crate) use select::tuples_of;
use settings::LiveSettings;
use statistics::EngineWindow;
pub(crate) use write::Existing;

/// The embedded engine.
///
/// What is to be beside the data on Tx's thread, or to have a say in what is asked, is put around
/// it: an [`EngineWrapper`](vestibule_actors::engine::EngineWrapper).
///
/// ```
/// use vestibule_actors::EngineFactory as _;
/// use vestibule_actors::engine::{Engine as _, EngineWrapper};
/// use vestibule_actors::testing::TestServer;
/// use vestibule_actors::wire::Error;
/// use vestibule_engine::testing::TestData;
/// use vestibule_engine::{EmbeddedEngine, procedures};
///
/// /// Data, and how many turns have changed them.
/// struct Counting {
///     data: EmbeddedEngine,
///     commits: u64,
/// }
///
/// impl EngineWrapper for Counting {
///     type Inner = EmbeddedEngine;
///
///     fn inner(&self) -> &EmbeddedEngine {
///         &self.data
///     }
///
///     fn inner_mut(&mut self) -> &mut EmbeddedEngine {
///         &mut self.data
///     }
///
///     // What is not written here is done by the engine inside.
///     fn commit(&mut self) -> Result<(), Error> {
///         self.data.commit()?;
///         self.commits += 1;
///         Ok(())
///     }
/// }
///
/// let procedures = procedures::standard()
///     .wrapped::<Counting>()
///     .read_only("commits", |call| call.reply.value(&call.engine.commits));
/// let data = TestData::new();
/// // In a server: `EmbeddedEngine::factory(options).wrapped(…)`.
/// let engine = data.engine().wrapped(|data| Counting { data, commits: 0 });
/// let server = TestServer::of(engine, procedures);
/// let mut peer = server.connect();
/// let before: u64 = peer.call_with("commits", &()).value();
/// assert_eq!(peer.call_with("box.schema.space.create", &("shop",)).code, 0);
/// let after: u64 = peer.call_with("commits", &()).value();
/// assert!(after > before);
/// ```
#[derive(Debug)]
pub struct EmbeddedEngine {
    options: EngineOptions,
    storage: Arc<dyn Storage>,
    /// What is durable.
    image: SharedImage,
    /// What follows from the image's system spaces.
    schema: SchemaCache,
    /// Whose rights the request at hand has.
    user: EffectiveUser,
    /// What is changed and not durable yet.
    workspace: Workspace,
    /// Where turns are written to.
    log: CommitLog,
    /// What data may take.
    memory: DataBound,
    /// The role is replica.
    is_read_only: bool,
    /// What may be replaced while it serves.
    settings: Arc<LiveSettings>,
    /// When foreign keys are held against what they refer to.
    references: ReferenceChecks,
    /// Who users are, for engines that come after this one as well.
    generations: UserGenerations,
    /// Who has changed the definitions of the turn at hand.
    author: Option<author::Author>,
    /// Where new tuples are put together.
    scratch: Scratch,
}

impl EmbeddedEngine {
    /// An engine with nothing but the system spaces, until it has recovered.
    #[must_use]
    pub fn new(options: EngineOptions) -> Self {
        Self::with_storage(options, Arc::new(Disk))
    }

    /// The same, whose files are made by this storage.
    pub(crate) fn with_storage(options: EngineOptions, storage: Arc<dyn Storage>) -> Self {
        Self::with_users(options, storage, UserGenerations::default())
    }

    /// The same, whose users have these generations.
    pub(crate) fn with_users(
        options: EngineOptions,
        storage: Arc<dyn Storage>,
        generations: UserGenerations,
    ) -> Self {
        let settings = LiveSettings::new(options.settings);
        Self::with_settings(options, storage, generations, settings)
    }

    /// The same, which goes by these settings.
    fn with_settings(
        options: EngineOptions,
        storage: Arc<dyn Storage>,
        generations: UserGenerations,
        settings: Arc<LiveSettings>,
    ) -> Self {
        let mut image = Image::new();
        // Who is there is known once the engine has recovered.
        image
            .set_guest(options.guest, &UserGenerations::default())
            .expect("the system's own rows are valid");
        let schema = SchemaCache::of(&image);
        let image = SharedImage::new(image);
        Self {
            user: EffectiveUser::new(User::guest(), schema.access()),
            schema,
            workspace: Workspace::new(image.clone()),
            image,
            memory: DataBound::new(settings.memory().clone()),
            settings,
            options,
            storage,
            log: CommitLog::default(),
            is_read_only: false,
            references: ReferenceChecks::Now,
            generations,
            author: None,
            scratch: Scratch::default(),
        }
    }

    /// An engine that goes on from this image and writes to this journal, for as long as nobody is
    /// served: everything is allowed, no checkpoints are made, and foreign keys are not looked at:
    /// what is put comes in no order.
    ///
    /// # Errors
    ///
    /// Those of [`adopt`](Self::adopt).
    pub(crate) fn offline(
        options: EngineOptions,
        image: Image,
        journal: Journal,
    ) -> Result<Self, Fault> {
        let mut engine = Self::new(options);
        engine.adopt(image)?;
        engine.log = CommitLog::new(journal);
        engine.references = ReferenceChecks::Later;
        engine.switch_to_superuser();
        Ok(engine)
    }

    /// Goes on from what was recovered.
    ///
    /// # Errors
    ///
    /// Rows of rights that make no sense.
    pub(crate) fn adopt(&mut self, mut recovered: Image) -> Result<(), Fault> {
        recovered.set_guest(self.options.guest, &self.generations)?;
        self.schema = SchemaCache::of(&recovered);
        self.memory.note(recovered.bytes(), 0);
        *self.image.write() = recovered;
        self.user.refresh(self.schema.access());
        self.openings().iter().for_each(openings::tell);
        Ok(())
    }

    /// What the data takes in memory, in bytes: tuples, keys, and the nodes of all indexes, without
    /// what is not committed yet.
    #[must_use]
    pub fn data_bytes(&self) -> usize {
        self.image.read().bytes()
    }

    /// Calls `look` with the data as this turn's requests see it, or those of the transaction.
    #[inline]
    pub(crate) fn look<T>(&self, look: impl FnOnce(Snapshot<'_>) -> T) -> T {
        self.workspace.look(&self.image.read(), look)
    }

    /// Calls `look` with the data as they are, even in a transaction that sees the past: for
    /// numbers that are handed out whatever becomes of it.
    pub(crate) fn look_at_present<T>(&self, look: impl FnOnce(Snapshot<'_>) -> T) -> T {
        self.workspace.look_at_present(&self.image.read(), look)
    }

    /// Whether data can be changed at all.
    ///
    /// # Errors
    ///
    /// `ErrorCode::READONLY` for a replica, and after the journal failed.
    #[inline]
    fn check_writable(&self) -> Result<(), Error> {
        if self.is_read_only {
            return Err(Error::read_only("config", "box.cfg.read_only is true"));
        }
        match self.log.failure() {
            None => Ok(()),
            Some(reason) => {
                let reason = self.for_users(reason);
                Err(Error::read_only(
                    "journal",
                    &format!("journal failed: {reason}"),
                ))
            }
        }
    }

    /// Where its files are.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.options.data_dir
    }

    /// What a client may be told of a fault of the files.
    pub(crate) fn for_users(&self, text: &str) -> String {
        errors::without_directory(text, &self.options.data_dir)
    }
}

impl Engine for EmbeddedEngine {
    fn recover(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<(), Fault> {
        let recovered = recovery::recover(self.storage.clone(), &self.options, progress)?;
        let mut log = CommitLog::new(recovered.journal);
        self.adopt(recovered.image)?;
        log.start_checkpoints(
            self.image.clone(),
            self.storage.clone(),
            &self.options,
            self.settings.checkpoints(),
            recovered.checkpoint,
            recovered.journal_bytes,
        )?;
        self.log = log;
        self.take_admin_password()
    }

    #[inline]
    fn execute(&mut self, request: &Request<'_>, reply: &mut Reply<'_>) -> Result<Outcome, Error> {
        if self.is_turn_full() {
            return Ok(Outcome::CommitFirst);
        }
        self.user.switch(&request.caller.user, self.schema.access());
        let outcome = self.execute_as_effective_user(request, reply);
        self.note_author(request.caller);
        outcome
    }

    fn must_commit_first(&self) -> bool {
        self.is_turn_full()
    }

    fn may_call(&self, caller: &Caller, procedure: &str) -> Result<(), Error> {
        self.check_call(&caller.user, procedure)
    }

    fn may_commit(&self, caller: &Caller) -> Result<(), Error> {
        self.check_user(&caller.user)
    }

    fn may_begin(&self, caller: &Caller) -> Result<(), Error> {
        self.check_begin(&caller.user)
    }

    fn no_procedure(&self, name: &str) -> Option<Error> {
        let function = self.schema.access().function(name)?;
        function
            .has_body
            .then(|| errors::access::foreign_function(name))
    }

    // All levels of isolation are the strictest one. The time a transaction may take is the
    // runtime's to watch.
    fn begin(
        &mut self,
        transaction: TransactionId,
        _options: &Begin,
        caller: &Caller,
    ) -> Result<(), Error> {
        self.workspace.begin(transaction, caller)
    }

    fn commit_transaction(&mut self, transaction: TransactionId) -> Result<(), Error> {
        self.merge(transaction)
    }

    fn rollback_transaction(&mut self, transaction: TransactionId) {
        self.workspace.roll_back(transaction);
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.workspace.tidy();
        if self.workspace.turn().is_empty() {
            return Ok(());
        }
        self.commit_turn()
    }

    fn discard_turn(&mut self) -> Result<(), Fault> {
        self.workspace.discard_turn().discard();
        Ok(())
    }

    fn fault(&self) -> Option<String> {
        let text = |reason| format!("read-only, journal failed: {}", self.for_users(reason));
        self.log.failure().map(text)
    }

    fn set_read_only(&mut self, read_only: bool) -> RefusedBy {
        self.is_read_only = read_only;
        RefusedBy::Engine
    }

    fn catalog(&self) -> Arc<Catalog> {
        self.schema.catalog().clone()
    }

    fn schema_version(&self) -> u64 {
        self.image.read().schema_version
    }

    fn view(&self) -> Option<Arc<dyn ReadView>> {
        Some(Arc::new(ImageView(self.image.clone())))
    }

    fn data_memory(&self) -> Option<Arc<DataMemory>> {
        Some(self.memory.told().clone())
    }

    fn statistics(&self) -> Option<Arc<dyn Statistics>> {
        let (journal, checkpoints) = self.log.watches();
        Some(Arc::new(EngineWindow {
            image: self.image.clone(),
            journal,
            checkpoints,
        }))
    }
}
