//! Procedures that sessions run: what they are given, and what they may read.
//!
//! ```text
//!   CALL ─▶ session ─▶ the closure, with caller, serving state, read view ─▶ its one value
//!                         └ reads: a bounded number of steps on the view, with the caller's rights
//! ```

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use vestibule_wire::msgpack::Reader;
use vestibule_wire::reply;
use vestibule_wire::request::{After, IdOrName, IteratorType, Select};
use vestibule_wire::{Error, ErrorCode, keys};

use super::arguments::{key_array, parse_args, tuple_as};
use super::body::ReplyBody;
use super::request::{Audience, Caller};
use super::view::{ReadView, Scan, ViewStep};
use crate::limits::LOCAL_READ_STEPS_MAX;
use crate::states::Serving;

/// One call of a procedure that sessions run: see [`Procedures::local`](crate::Procedures::local).
#[non_exhaustive]
pub struct LocalCall<'a> {
    /// The name that was called.
    pub name: &'a str,
    /// The arguments as a MessagePack array.
    pub args: &'a [u8],
    /// Who calls.
    pub caller: &'a Caller,
    /// The state, the role and the epoch at the moment.
    pub serving: Serving,
    view: Option<&'a dyn ReadView>,
    steps_left: Cell<u32>,
}

impl fmt::Debug for LocalCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalCall")
            .field("name", &self.name)
            .field("caller", &self.caller)
            .field("serving", &self.serving)
            .finish_non_exhaustive()
    }
}

impl<'a> LocalCall<'a> {
    pub(crate) fn new(
        name: &'a str,
        args: &'a [u8],
        caller: &'a Caller,
        serving: Serving,
        view: Option<&'a dyn ReadView>,
    ) -> Self {
        Self {
            name,
            args,
            caller,
            serving,
            view,
            steps_left: Cell::new(LOCAL_READ_STEPS_MAX),
        }
    }

    /// The arguments as a tuple or other sequence of the given type, as
    /// [`Procedures::function`](crate::Procedures::function) takes them.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::ILLEGAL_PARAMS`], naming the procedure, the argument, what is expected and what
    /// came, if they do not fit.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        parse_args(self.name, self.args)
    }

    /// A space of the read view, whose tuples are read as this type: a tuple, or a struct with a
    /// field for each. What is read was committed, and what its reader may not read is refused.
    #[must_use]
    pub fn space<T>(&self, name: &'a str) -> LocalSpace<'_, T> {
        LocalSpace {
            call: self,
            space: IdOrName::Name(name),
            index: IdOrName::Id(0),
            row: PhantomData,
        }
    }

    fn read<T: DeserializeOwned>(&self, select: &Select<'_>) -> Result<Vec<T>, Error> {
        let Some(view) = self.view else {
            let text =
                "There is nothing to read from: the engine has not recovered, or gives no view";
            return Err(Error::new(ErrorCode::LOADING, text));
        };
        let (mut scan, mut out) = (Scan::default(), Vec::new());
        loop {
            self.spend_step()?;
            let mut body = ReplyBody::contiguous(&mut out);
            match view.select(select, self.caller, &mut scan, &mut body)? {
                ViewStep::Done => break,
                ViewStep::More => {}
                ViewStep::Changed => {
                    scan = Scan::default();
                    out.clear();
                }
            }
        }
        rows(&out)
    }

    fn spend_step(&self) -> Result<(), Error> {
        let left = self.steps_left.get().checked_sub(1).ok_or_else(|| {
            let text = format!("Procedure '{}' reads more than sessions may", self.name);
            Error::new(ErrorCode::PROC, text)
        })?;
        self.steps_left.set(left);
        Ok(())
    }
}

/// A space of the read view, or an index of it.
///
/// Keys are a tuple of parts, or one part by itself; `&()` is the one without parts, and so is
/// `&None`: a part that is nil stands in a tuple, `&(None::<u64>,)`.
pub struct LocalSpace<'a, T> {
    call: &'a LocalCall<'a>,
    space: IdOrName<'a>,
    index: IdOrName<'a>,
    row: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for LocalSpace<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSpace")
            .field("space", &self.space)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

impl<'a, T: DeserializeOwned> LocalSpace<'a, T> {
    /// Another index of the space, by its name.
    #[must_use]
    pub fn index(self, name: &'a str) -> Self {
        let index = IdOrName::Name(name);
        Self { index, ..self }
    }

    /// The first tuple of a key, if there is one.
    ///
    /// # Errors
    ///
    /// As those of [`select`](Self::select).
    pub fn get(&self, key: &(impl Serialize + ?Sized)) -> Result<Option<T>, Error> {
        let found = self.select(IteratorType::Eq, key, 1)?;
        Ok(found.into_iter().next())
    }

    /// The tuples that an iterator meets, `limit` at most, in the order of the index.
    ///
    /// # Errors
    ///
    /// Those of SELECT; [`ErrorCode::LOADING`] if there is no view,
    /// [`ErrorCode::PROC`] for tuples of another type, and when the call has read as much as it
    /// may: [`LOCAL_READ_STEPS_MAX`] steps.
    pub fn select(
        &self,
        iterator: IteratorType,
        key: &(impl Serialize + ?Sized),
        limit: u32,
    ) -> Result<Vec<T>, Error> {
        self.call.read(&Select {
            space: self.space,
            index: self.index,
            limit: u64::from(limit),
            offset: 0,
            iterator: iterator as u64,
            key: &key_array(key)?,
            fetch_position: false,
            after: After::Start,
        })
    }
}

/// The tuples in the body of a reply.
fn rows<T: DeserializeOwned>(body: &[u8]) -> Result<Vec<T>, Error> {
    let malformed = |_| Error::invalid_msgpack("tuple");
    let mut reader = Reader::new(body);
    let pairs = match body {
        [] => 0,
        _ => reader.read_map_len().map_err(malformed)?,
    };
    for _ in 0..pairs {
        if reader.read_uint().map_err(malformed)? != keys::DATA {
            reader.skip().map_err(malformed)?;
            continue;
        }
        let count = reader.read_array_len().map_err(malformed)?;
        let parse = |_| tuple_as(reader.skip().map_err(malformed)?);
        return (0..count).map(parse).collect();
    }
    Ok(Vec::new())
}

/// The body of the reply to a call.
type RunLocal = Box<dyn Fn(&LocalCall<'_>) -> Result<Vec<u8>, Error> + Send + Sync>;

/// A procedure that sessions run.
pub(crate) struct LocalProcedure {
    pub(crate) audience: Audience,
    run: RunLocal,
}

impl LocalProcedure {
    pub(crate) fn new<R: Serialize>(
        audience: Audience,
        procedure: impl Fn(&LocalCall<'_>) -> Result<R, Error> + Send + Sync + 'static,
    ) -> Self {
        let run = move |call: &LocalCall<'_>| {
            let mut body = Vec::new();
            reply::write_value(&mut body, &procedure(call)?)?;
            Ok(body)
        };
        Self {
            audience,
            run: Box::new(run),
        }
    }

    pub(crate) fn run(&self, call: &LocalCall<'_>) -> Result<Vec<u8>, Error> {
        self.audience.check(call.caller, call.name)?;
        (self.run)(call)
    }
}

/// The procedures that sessions run, by name.
pub(crate) type LocalProcedures = HashMap<String, LocalProcedure>;
