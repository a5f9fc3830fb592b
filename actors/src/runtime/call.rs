//! Procedures called from outside of Tx, with a user's rights and without a connection.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use vestibule_wire::msgpack::Reader;
use vestibule_wire::{Error, ErrorCode};

use super::handle::RuntimeHandle;
use crate::admission::Class;
use crate::endpoints::PeerAddress;
use crate::engine::Caller;
use crate::engine::arguments::{args_array, parse_results};
use crate::engine::catalog::{GUEST, User};
use crate::jobs::EngineError;

impl<E: 'static> RuntimeHandle<E> {
    /// Calls a procedure with the rights of a user, in Tx's next turn, and waits until that is
    /// committed. From any thread and in any executor, and treated as a client's CALL: see
    /// [`write`](Self::write), of whose jobs it is one.
    ///
    /// The arguments are a tuple or another sequence, `&()` for none; a struct among them is a map,
    /// as procedures with options take it. The results are as many as the procedure returns: a
    /// tuple again, `(R,)` for the one of a
    /// [`function`](crate::Procedures::function), `()` for none; `Option`s at the end may be
    /// missing.
    ///
    /// What is called has no connection: its [`Caller::connection`] is 0, and its peer
    /// this machine. What it pushes goes nowhere, and it can neither reserve nor lock. It is an
    /// administrator's call if one from this machine and of this user would be. The control
    /// procedures that sessions answer are not reached. A future that is dropped is a client that
    /// is gone: an async procedure ends where it waits, another one may [see
    /// it](crate::engine::Reply::is_cancelled).
    ///
    /// ```
    /// use vestibule_actors::catalog::GUEST;
    /// use vestibule_actors::testing::{Script, TestServer};
    /// use vestibule_actors::{EngineError, Procedures};
    ///
    /// # actix_rt::System::new().block_on(async {
    /// let script = Script::default();
    /// let procedures = Procedures::default().function("sum", |(a, b): (i64, i64)| Ok(a + b));
    /// let server = TestServer::of(move || Ok(script.engine()), procedures);
    ///
    /// let (sum,): (i64,) = server.handle().call(GUEST, "sum", &(2, 3)).await?;
    /// assert_eq!(sum, 5);
    ///
    /// let unknown = server.handle().call::<_, ()>(GUEST, "product", &(2, 3)).await;
    /// let Err(EngineError::Failed(error)) = unknown else {
    ///     panic!("there is no such procedure");
    /// };
    /// assert_eq!(error.to_string(), "Procedure 'product' is not defined (error 33)");
    /// # Ok::<_, EngineError>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// As those of [`write`](Self::write); a replica calls what only reads, and an engine that
    /// refuses changes [itself](crate::engine::RefusedBy::Engine) is asked for all: what it refuses
    /// is [`EngineError::Refused`] as well. [`EngineError::Failed`] with what a client would be
    /// told:
    /// [`ErrorCode::ACCESS_DENIED`], [`ErrorCode::NO_SUCH_PROC`], the procedure's own error. The
    /// same with [`ErrorCode::NO_SUCH_USER`]; with [`ErrorCode::ILLEGAL_PARAMS`] for arguments
    /// that are no sequence; and with [`ErrorCode::PROC`] for results of another type, when the
    /// call is done and committed.
    pub async fn call<A, R>(&self, user: &str, name: &str, args: &A) -> Result<R, EngineError>
    where
        A: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        let args = args_array(args).map_err(EngineError::Failed)?;
        let results = self.call_raw(user, name, args).await?;
        parse_results(name, &results).map_err(EngineError::Failed)
    }

    /// As [`call`](Self::call), with arguments and results as MessagePack: an array each.
    ///
    /// # Errors
    ///
    /// As those of [`call`](Self::call), but for results of another type.
    pub async fn call_raw(
        &self,
        user: &str,
        name: &str,
        args: Vec<u8>,
    ) -> Result<Vec<u8>, EngineError> {
        check_array(&args)?;
        let caller = Arc::new(self.embedder_as(user)?);
        let name = name.to_owned();
        self.jobs.call(&self.queue, caller, name, args).await
    }

    /// The embedder as a user.
    fn embedder_as(&self, name: &str) -> Result<Caller, EngineError> {
        // Without an engine nobody knows the users.
        self.jobs.check(Class::Call)?;
        let catalog = self.shared.catalog();
        let catalog = catalog.ok_or_else(|| self.jobs.refusal(ErrorCode::LOADING))?;
        let user = match catalog.user(name) {
            _ if name == GUEST => User::guest(),
            Some((user, _)) => user,
            None => return Err(EngineError::Failed(Error::no_such_user(name))),
        };
        let settings = self.shared.settings.load();
        Ok(Caller {
            connection: 0,
            user,
            peer: PeerAddress::Local,
            is_administrator: settings.administrators.includes(name, PeerAddress::Local),
        })
    }
}

/// An array and nothing else.
fn check_array(args: &[u8]) -> Result<(), EngineError> {
    let mut reader = Reader::new(args);
    let is_array = Reader::new(args).read_array_len().is_ok();
    if is_array && reader.skip_checked().is_ok() && reader.rest().is_empty() {
        return Ok(());
    }
    let error = Error::illegal_params("The arguments of a call are one array");
    Err(EngineError::Failed(error))
}
