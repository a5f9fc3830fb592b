//! The engine as Tx would drive it.

use std::sync::Arc;

use vestibule_wire::msgpack::Reader;
use vestibule_wire::request::{After, Begin, Body, IdOrName, Select, Store};
use vestibule_wire::{Error, ErrorCode};

use super::broken::broken;
use super::target::Target;
use crate::endpoints::PeerAddress;
use crate::engine::catalog::User;
use crate::engine::{
    Caller, Detached, Engine, Fault, Outcome, ReadView, Reply, ReplyBody, Request, Scan,
    TransactionId, ViewStep,
};

/// More tuples than one check stores.
const NUMBERS_MAX: u64 = 64;
/// Steps of a SELECT on the view after which it is taken for endless.
const VIEW_STEPS_MAX: usize = 1_000_000;

/// An engine that has recovered, and what it is asked with.
pub(super) struct Subject<'a, E> {
    make: &'a dyn Fn() -> Result<E, Fault>,
    /// None while one takes another's place: they may have the same files.
    engine: Option<E>,
    pub(super) target: Target,
    caller: Caller,
    view: Option<Arc<dyn ReadView>>,
    /// Of the tuples: no two have the same.
    last_number: u64,
    last_transaction: u64,
}

impl<'a, E: Engine> Subject<'a, E> {
    pub(super) fn new(make: &'a dyn Fn() -> Result<E, Fault>, space: Option<u32>) -> Self {
        let engine = recovered(make);
        if engine.schema_version() < 1 {
            broken("a schema version is at least 1", "0");
        }
        let catalog = engine.catalog();
        let admin = catalog.user("admin");
        let caller = Caller {
            connection: 1,
            user: admin.map_or_else(User::guest, |(user, _)| user),
            peer: PeerAddress::Local,
            is_administrator: true,
        };
        let mut subject = Self {
            make,
            target: Target::find(&catalog, &caller, space),
            caller,
            view: engine.view(),
            engine: Some(engine),
            last_number: 0,
            last_transaction: 0,
        };
        subject.skip_numbers();
        subject
    }

    /// Leaves out what an earlier check has left there: up to a gap in which this one has room.
    fn skip_numbers(&mut self) {
        let mut free = 0;
        for number in 1.. {
            free = if self.is_seen(number, None) {
                0
            } else {
                free + 1
            };
            if free > NUMBERS_MAX {
                self.last_number = number - free;
                return;
            }
        }
    }

    /// Drops the engine as a panic would, and has another one made.
    pub(super) fn replace_engine(&mut self) {
        self.view = None;
        self.engine = None;
        let engine = recovered(self.make);
        self.view = engine.view();
        self.engine = Some(engine);
    }

    /// The engine.
    pub(super) fn engine(&mut self) -> &mut E {
        let engine = self.engine.as_mut();
        engine.expect("there is none only while one takes another's place")
    }

    /// A number that no tuple has.
    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Asks for something in a turn, which is committed before if the engine wants that.
    pub(super) fn ask(
        &mut self,
        body: Body<'_>,
        transaction: Option<TransactionId>,
    ) -> Result<Vec<u8>, Error> {
        let caller = self.caller.clone();
        let request = Request {
            body,
            caller: &caller,
            stream: u64::from(transaction.is_some()),
            transaction,
        };
        for _ in 0..2 {
            let mut out = Vec::new();
            let mut context = Detached::default();
            let mut reply = Reply::detached(&mut out, &mut context);
            match self.engine().execute(&request, &mut reply)? {
                Outcome::Done => return Ok(out),
                Outcome::CommitFirst => self.engine().commit()?,
                Outcome::Deferred => broken(
                    "REPLACE and SELECT of the space are answered at once",
                    "a request was deferred",
                ),
            }
        }
        broken(
            "a request that asks for a turn of its own is executed in it",
            "it asked for another one",
        )
    }

    /// Stores a tuple that is not there yet; returns its number.
    pub(super) fn store(&mut self, transaction: Option<TransactionId>) -> u64 {
        let (number, stored) = self.try_to_store(transaction);
        if let Err(error) = stored {
            let tuple = self.target.tuple(number);
            broken(
                "REPLACE stores a tuple of the types that the catalog gives its fields",
                &format!("{error}, for the tuple {tuple:02x?}"),
            );
        }
        number
    }

    /// Asks for a tuple that is not there yet to be stored; returns its number.
    pub(super) fn try_to_store(
        &mut self,
        transaction: Option<TransactionId>,
    ) -> (u64, Result<Vec<u8>, Error>) {
        let number = self.next_number();
        let tuple = self.target.tuple(number);
        let store = Store {
            space: IdOrName::Id(self.target.space),
            tuple: &tuple,
        };
        (number, self.ask(Body::Replace(store), transaction))
    }

    /// Whether a request sees the tuple of a number.
    pub(super) fn is_seen(&mut self, number: u64, transaction: Option<TransactionId>) -> bool {
        let key = self.target.key(number);
        let select = by_key(self.target.space, &key);
        match self.ask(Body::Select(select), transaction) {
            Ok(body) => count(&body) > 0,
            Err(error) => broken("SELECT by the primary key is answered", &error.to_string()),
        }
    }

    /// Whether the view shows it; `None` without a view.
    pub(super) fn is_shown(&self, number: u64) -> Option<bool> {
        let key = self.target.key(number);
        let body = self.look(&by_key(self.target.space, &key))?;
        match body {
            Ok(body) => Some(count(&body) > 0),
            Err(error) => {
                let rule = "the view answers SELECT by the primary key";
                broken(rule, &error.to_string())
            }
        }
    }

    /// What the view answers, however many steps it takes; `None` without a view.
    pub(super) fn look(&self, select: &Select<'_>) -> Option<Result<Vec<u8>, Error>> {
        let view = self.view.as_ref()?;
        let (mut out, mut scan) = (Vec::new(), Scan::default());
        let mut body = ReplyBody::in_buffer(&mut out);
        for _ in 0..VIEW_STEPS_MAX {
            match view.select(select, &self.caller, &mut scan, &mut body) {
                Ok(ViewStep::More) => {}
                Ok(ViewStep::Done) => return Some(Ok(out)),
                Ok(ViewStep::Changed) => broken(
                    "a SELECT on the view goes on while nothing changes",
                    "it says that the data have changed",
                ),
                Err(error) => return Some(Err(error)),
            }
        }
        broken("a SELECT on the view comes to an end", "it goes on and on")
    }

    /// Commits the turn.
    pub(super) fn commit(&mut self) {
        if let Err(error) = self.engine().commit() {
            broken("a turn is committed", &error.to_string());
        }
    }

    /// Begins a transaction; `None` if the engine has none.
    pub(super) fn begin(&mut self) -> Option<TransactionId> {
        self.last_transaction += 1;
        let id = TransactionId(self.last_transaction);
        let options = Begin {
            timeout: None,
            isolation: 0,
        };
        let caller = self.caller.clone();
        match self.engine().begin(id, &options, &caller) {
            Ok(()) => Some(id),
            Err(error) if error.code() == ErrorCode::UNSUPPORTED => None,
            Err(error) => {
                let rule = "a transaction begins, or is not supported";
                broken(rule, &error.to_string())
            }
        }
    }
}

fn recovered<E: Engine>(make: &dyn Fn() -> Result<E, Fault>) -> E {
    let made = make();
    let mut engine = made.unwrap_or_else(|fault| broken("an engine is made", &fault.to_string()));
    if let Err(fault) = engine.recover(&mut |_| ()) {
        let rule = "an engine recovers, also after another one";
        broken(rule, &fault.to_string());
    }
    engine.set_read_only(false);
    engine
}

/// A SELECT of one tuple by its whole key.
pub(super) fn by_key(space: u32, key: &[u8]) -> Select<'_> {
    Select {
        space: IdOrName::Id(space),
        index: IdOrName::Id(0),
        limit: 1,
        offset: 0,
        iterator: 0,
        key,
        fetch_position: false,
        after: After::Start,
    }
}

/// How many tuples a body has.
fn count(body: &[u8]) -> u32 {
    let mut reader = Reader::new(body);
    let read = reader.read_map_len().ok().filter(|pairs| *pairs > 0);
    let data = read.and_then(|_| reader.read_uint().ok());
    let count = data.and_then(|_| reader.read_array_len().ok());
    count.unwrap_or_else(|| {
        let rule = "the reply to SELECT is a body of tuples, as Reply::rows writes it";
        broken(rule, &format!("{body:02x?}"))
    })
}
