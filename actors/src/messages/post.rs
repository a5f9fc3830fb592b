//! How the actors tell each other something: by one call, so that a test can count them.

use actix::dev::{MessageResponse, ToEnvelope};
use actix::{Actor, Addr, Handler, Message, Recipient};

/// Who can be told something, without an answer.
pub(crate) trait Post<M> {
    /// Puts a message into the mailbox, however full it is: what bounds it is asked before.
    fn post(&self, message: M);
}

impl<A, M> Post<M> for Addr<A>
where
    A: Actor + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message + Send + 'static,
    M::Result: MessageResponse<A, M> + Send,
{
    #[inline]
    fn post(&self, message: M) {
        note();
        self.do_send(message);
    }
}

impl<M> Post<M> for Recipient<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    #[inline]
    fn post(&self, message: M) {
        note();
        self.do_send(message);
    }
}

#[cfg(not(test))]
#[inline]
fn note() {}

#[cfg(test)]
std::thread_local! {
    static POSTED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
fn note() {
    POSTED.set(POSTED.get() + 1);
}

/// How many messages this thread has sent.
#[cfg(test)]
pub(crate) fn posted() -> usize {
    POSTED.get()
}
