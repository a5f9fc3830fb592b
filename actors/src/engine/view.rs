//! What sessions read from on their own threads.

use std::any::Any;

use vestibule_wire::Error;
use vestibule_wire::request::Select;

use crate::engine::body::ReplyBody;
use crate::engine::request::Caller;

/// A read-only window on what is durable: sessions answer SELECT from it while Tx is busy.
///
/// It never shows half a turn. A lock inside it may be held for a moment only, because Tx may have
/// to wait for it.
///
/// ```
/// use std::sync::{Arc, PoisonError, RwLock};
///
/// use vestibule_actors::engine::tuples::{KeyDef, OrderedRows, TupleTable};
/// use vestibule_actors::engine::{Caller, ReadView, ReplyBody, Scan, ViewStep};
/// use vestibule_actors::wire::Error;
/// use vestibule_actors::wire::request::Select;
///
/// /// The rows that are committed, which the engine changes in its commit.
/// struct Committed {
///     rows: Arc<RwLock<TupleTable>>,
///     by_id: KeyDef,
/// }
///
/// impl ReadView for Committed {
///     fn select(
///         &self,
///         select: &Select<'_>,
///         _caller: &Caller,
///         scan: &mut Scan,
///         body: &mut ReplyBody<'_>,
///     ) -> Result<ViewStep, Error> {
///         let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
///         OrderedRows::of(&rows).step(&self.by_id, select, scan, body)
///     }
/// }
/// ```
///
/// With changes between two steps of a scan the view of `examples/own_engine.rs` says
/// [`ViewStep::Changed`].
pub trait ReadView: Send + Sync + 'static {
    /// Executes one bounded step of a SELECT, appending to the reply's body.
    ///
    /// The first step gets a fresh `scan`; after [`ViewStep::More`] the same `scan` comes again,
    /// and the body with what was written.
    ///
    /// # Errors
    ///
    /// The error is the reply; what was written is then dropped by the caller.
    fn select(
        &self,
        select: &Select<'_>,
        caller: &Caller,
        scan: &mut Scan,
        body: &mut ReplyBody<'_>,
    ) -> Result<ViewStep, Error>;

    /// Hears which SELECTs are about to be asked for, in their order, so that what their look-ups
    /// wait for in memory can come for all of them at once. They may not be asked for after all,
    /// or by somebody who may not read that. Nothing is answered, and nothing needs to be done.
    /// Each is decoded when it is taken from `selects`, sixteen at most: before a lock is.
    ///
    /// True if it was worth it, as far as that is known: if not, it is not told of the next 63
    /// bursts of that connection.
    fn foresee(&self, selects: &mut dyn Iterator<Item = Select<'_>>) -> bool {
        let _ = selects;
        false
    }

    /// The number of the journal's last record whose changes are seen here, 0 before the first.
    /// `None` for an engine that does not number what it writes.
    fn last_record(&self) -> Option<u64> {
        None
    }
}

/// What one step of a SELECT on a view came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewStep {
    /// The body is complete.
    Done,
    /// There is more to scan; the step's bound was reached.
    More,
    /// The data that the first step saw are gone, so going on would show a mixture. The caller
    /// starts over, or asks Tx.
    Changed,
}

/// Where a stepwise SELECT stands. All fields are the view's own.
#[derive(Debug, Default)]
pub struct Scan {
    /// The data as the first step saw them, for as long as the scan goes on.
    pub held: Option<Box<dyn Any + Send>>,
    /// Where the next step starts.
    pub position: Vec<u8>,
    /// Tuples skipped so far, for the offset.
    pub skipped: u64,
    /// Tuples written so far, for the limit and the count.
    pub written: u32,
    /// Steps done so far.
    pub steps: u32,
}
