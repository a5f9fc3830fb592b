//! The engine: its parts joined, and a request's way through them.
//!
//! | module | what |
//! |---|---|
//! | `effective_user` | whose rights the request at hand has |
//! | `execute` | data requests |
//! | `statements` | how they read and write, inside transactions and beside them |
//! | `sequences` | numbers handed out one by one |
//! | `commit` | the end of a turn |
//! | `schema_cache` | definitions, to be looked up without the image's lock |

mod commit;
mod effective_user;
pub(crate) mod execute;
mod schema_cache;
mod sequences;
mod statements;

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use vestibule_actors::catalog::{Catalog, GUEST};
use vestibule_actors::engine::{
    Caller, Engine, Fault, Outcome, Progress, ReadView, Reply, Request, TransactionId,
};
use vestibule_wire::Error;
use vestibule_wire::request::{Begin, IdOrName};

use crate::access::Access;
use crate::access::rights::Rights;
use crate::ddl::{self, Busy};
use crate::durability::checkpoint::{Checkpointer, Task};
use crate::durability::journal::Journal;
use crate::durability::recovery;
use crate::durability::storage::{Disk, Storage};
use crate::model::key::Key;
use crate::model::space::SpaceDef;
use crate::model::tuple::Tuple;
use crate::query::catalog;
use crate::query::view::ImageView;
use crate::schema::privileges::Privileges;
use crate::schema::system;
use crate::store::image::Image;
use crate::store::index_build::Built;
use crate::store::layer::Layer;
use crate::store::snapshot::Snapshot;
use crate::transaction::{Transaction, Transactions};
use crate::{EngineOptions, errors, limits};
use schema_cache::Definitions;

/// The embedded engine.
#[derive(Debug)]
pub struct EmbeddedEngine {
    pub(crate) options: EngineOptions,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) image: Arc<RwLock<Image>>,
    /// The image's definitions, to be looked at without its lock.
    pub(crate) definitions: Definitions,
    /// The image's rights, likewise.
    pub(crate) access: Arc<Access>,
    /// Those of the request at hand.
    pub(crate) effective_user: Arc<Rights>,
    pub(crate) turn: Layer,
    pub(crate) transactions: Transactions,
    /// The transaction whose statement is executed.
    pub(crate) active: Option<Box<Transaction>>,
    /// Indexes for the definitions that the turn changes.
    pub(crate) built: Vec<Built>,
    /// Whether the turn changes definitions: whatever comes next must wait for its commit.
    pub(crate) is_ddl: bool,
    /// Open once recovery is done.
    pub(crate) journal: Option<Arc<Mutex<Journal>>>,
    /// Running once recovery is done.
    pub(crate) checkpointer: Option<Checkpointer>,
    /// The turn's record, kept for its allocation.
    pub(crate) record: Vec<u8>,
    /// Why nothing can be written, if the journal failed.
    pub(crate) failure: Option<String>,
    /// The role is replica.
    pub(crate) is_read_only: bool,
    pub(crate) catalog: Arc<Catalog>,
    #[cfg(test)]
    pub(crate) fails_next_append: bool,
}

impl EmbeddedEngine {
    /// An engine with nothing but the system spaces, until it has recovered.
    #[must_use]
    pub fn new(options: EngineOptions) -> Self {
        let mut image = Image::new();
        image
            .set_guest(options.guest)
            .expect("the system's own rows are valid");
        Self {
            access: image.access.clone(),
            effective_user: image.access.rights_or_none(&GUEST.into()),
            definitions: Definitions::of(&image),
            catalog: Arc::new(catalog::build(&image)),
            image: Arc::new(RwLock::new(image)),
            options,
            storage: Arc::new(Disk),
            turn: Layer::default(),
            transactions: Transactions::default(),
            active: None,
            built: Vec::new(),
            is_ddl: false,
            journal: None,
            checkpointer: None,
            record: Vec::new(),
            failure: None,
            is_read_only: false,
            #[cfg(test)]
            fails_next_append: false,
        }
    }

    /// Goes on from what was recovered.
    ///
    /// # Errors
    ///
    /// A guest that may do everything where other machines reach the server, or rows of rights that
    /// make no sense.
    pub(crate) fn take_up(&mut self, mut recovered: Image) -> Result<(), Fault> {
        recovered.set_guest(self.options.guest)?;
        if self.options.is_exposed {
            recovered.access.check_guest()?;
        }
        self.definitions = Definitions::of(&recovered);
        self.catalog = Arc::new(catalog::build(&recovered));
        *self.image.write().unwrap_or_else(PoisonError::into_inner) = recovered;
        self.refresh_effective_user();
        Ok(())
    }

    // Only Tx writes, and it does not outlive a panic while it does.
    pub(crate) fn image(&self) -> RwLockReadGuard<'_, Image> {
        self.image.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `look` with the data as this turn's requests see it, or those of the transaction.
    pub(crate) fn look<T>(&self, look: impl FnOnce(Snapshot<'_>) -> T) -> T {
        let (turn, both);
        let layers: &[&Layer] = match &self.active {
            None => {
                turn = [&self.turn];
                &turn
            }
            Some(own) => {
                both = [&own.layer, &self.turn];
                &both
            }
        };
        let image = &self.image();
        look(Snapshot { layers, image })
    }

    /// The definition of a space.
    ///
    /// # Errors
    ///
    /// 36 if there is none.
    pub(crate) fn definition(&self, space: IdOrName<'_>) -> Result<Arc<SpaceDef>, Error> {
        self.definitions.resolve(space).cloned()
    }

    /// Whether the turn changes definitions: whatever comes next must wait for its commit.
    pub(crate) fn is_altered(&self) -> bool {
        self.is_ddl
    }

    /// Whether a change of definitions can be made now; if not, the turn has to be committed first.
    pub(crate) fn is_turn_empty(&self) -> bool {
        self.turn.is_empty()
    }

    fn check_writable(&self) -> Result<(), Error> {
        if self.is_read_only {
            return Err(Error::read_only("config", "box.cfg.read_only is true"));
        }
        match &self.failure {
            None => Ok(()),
            Some(reason) => Err(Error::read_only(
                "journal",
                &format!("journal failed: {reason}"),
            )),
        }
    }

    /// Changes system spaces, as the only thing of a turn: all that `work` writes, or nothing.
    /// `None` means that the turn so far has to be committed first.
    ///
    /// # Errors
    ///
    /// 5 inside a transaction, 7 if nothing can be written, and what `work` fails with.
    pub(crate) fn alter<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        if self.active.is_some() {
            return Err(errors::unsupported(
                "changes of definitions in a transaction",
            ));
        }
        if !self.is_turn_empty() {
            return Ok(None);
        }
        self.check_writable()?;
        let result = work(self);
        match &result {
            Ok(_) => {
                self.is_ddl = !self.turn.is_empty();
                self.transactions.note_definitions(&self.turn);
            }
            Err(_) => self.forget_turn(),
        }
        result.map(Some)
    }

    /// Puts a row into a system space, after it passed the checks for it. For use inside
    /// [`alter`](Self::alter).
    pub(crate) fn put_system(
        &mut self,
        space: u32,
        row: &[u8],
        reply: &Reply<'_>,
    ) -> Result<(), Error> {
        let def = self.definition(IdOrName::Id(space))?;
        def.check(row)?;
        let key = def
            .primary()?
            .key_of(row)
            .map_err(|_| Error::invalid_msgpack("system row"))?;
        self.change_system(&def, key, Some(row.into()), reply)
            .map(drop)
    }

    /// Changes one row of a system space and returns what stood there.
    pub(crate) fn change_system(
        &mut self,
        space: &SpaceDef,
        key: Key,
        new: Option<Tuple>,
        reply: &Reply<'_>,
    ) -> Result<Option<Tuple>, Error> {
        let old = self.look(|snapshot| snapshot.get(space.id, &key).cloned());
        self.authorize(space, old.as_ref(), new.as_ref())?;
        let built = self.look(|snapshot| {
            let mut busy = Busy::new(reply);
            ddl::check(snapshot, space, old.as_deref(), new.as_deref(), &mut busy)
        });
        let built = built.map_err(|error| self.without_rows(space, &key, error))?;
        self.built.extend(built);
        if old.is_some() || new.is_some() {
            self.turn.set(space.id, key, new);
        }
        Ok(old)
    }

    /// Remembers a value that only the engine writes, such as the largest number of a space.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::ACCESS_DENIED`] if the user may not write there.
    pub(crate) fn put_counter(&mut self, row: &[u8]) -> Result<(), Error> {
        let def = self
            .allowed(IdOrName::Id(system::SCHEMA), Privileges::WRITE)?
            .clone();
        let key = def
            .primary()?
            .key_of(row)
            .map_err(|_| Error::invalid_msgpack("system row"))?;
        self.turn.set(def.id, key, Some(row.into()));
        Ok(())
    }
}

impl Engine for EmbeddedEngine {
    fn recover(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<(), Fault> {
        let force = self.options.force_recovery;
        let recovered = recovery::recover(self.storage.clone(), &self.options, progress)?;
        let journal = Arc::new(Mutex::new(recovered.journal));
        self.take_up(recovered.image)?;
        let task = Task {
            image: self.image.clone(),
            journal: journal.clone(),
            storage: self.storage.clone(),
            directory: self.options.data_dir.clone(),
            step_rows_max: limits::CHECKPOINT_STEP_ROWS_MAX,
            count: self.options.checkpoints.count.max(1),
            newest: recovered.checkpoint.filter(|_| !force),
            obsolete_files: Vec::new(),
        };
        let (options, bytes) = (&self.options.checkpoints, recovered.journal_bytes);
        let checkpointer = Checkpointer::start(task, options, bytes, force);
        self.checkpointer = Some(checkpointer?);
        self.journal = Some(journal);
        Ok(())
    }

    #[inline]
    fn execute(&mut self, request: &Request<'_>, reply: &mut Reply<'_>) -> Result<Outcome, Error> {
        if self.is_ddl {
            return Ok(Outcome::CommitFirst);
        }
        self.switch_user(&request.caller.user);
        self.execute_as_effective_user(request, reply)
    }

    fn may_call(&self, caller: &Caller, procedure: &str) -> Result<(), Error> {
        self.check_call(&caller.user, procedure)
    }

    // All levels of isolation are the strictest one. The time a transaction may take is the
    // runtime's to watch.
    fn begin(&mut self, transaction: TransactionId, _options: &Begin) -> Result<(), Error> {
        self.transactions.open(transaction)
    }

    fn commit_transaction(&mut self, transaction: TransactionId) -> Result<(), Error> {
        self.merge(transaction)
    }

    fn rollback_transaction(&mut self, transaction: TransactionId) {
        self.transactions.forget(transaction);
    }

    fn commit(&mut self) -> Result<(), Error> {
        if self.turn.is_empty() {
            return Ok(());
        }
        self.commit_turn()
    }

    fn discard_turn(&mut self) {
        self.forget_turn();
        self.is_ddl = false;
    }

    fn fault(&self) -> Option<String> {
        let text = |reason| format!("read-only, journal failed: {reason}");
        self.failure.as_ref().map(text)
    }

    fn set_read_only(&mut self, read_only: bool) {
        self.is_read_only = read_only;
    }

    fn catalog(&self) -> Arc<Catalog> {
        self.catalog.clone()
    }

    fn schema_version(&self) -> u64 {
        self.image().schema_version
    }

    fn view(&self) -> Option<Arc<dyn ReadView>> {
        Some(Arc::new(ImageView(self.image.clone())))
    }
}
