//! Streams of events: those who look at the page are told each sample as it is taken.
//!
//! ```text
//!   sampler ─▶ the newest event, once for all ─▶ each stream takes it when its client has room
//! ```
//!
//! A client that does not read misses events and costs no memory; one that takes none for a while
//! is closed.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt as _};
use tokio::sync::watch;

use super::patience::Patience;
use crate::limits::EVENT_STREAMS_MAX;

/// The streams.
pub(crate) struct Events {
    /// The newest event; none any more when the door closes.
    newest: RefCell<Option<watch::Sender<Bytes>>>,
    open: Rc<Cell<usize>>,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            newest: RefCell::new(Some(watch::Sender::new(Bytes::new()))),
            open: Rc::default(),
        }
    }
}

impl Events {
    /// One more stream, which begins with what this makes; `None`, and nothing is made, if there
    /// are as many as there may be.
    pub(crate) fn open(&self, first: impl FnOnce() -> Bytes) -> Option<EventStream> {
        let newest = self.newest.borrow().as_ref()?.subscribe();
        if self.open.get() >= EVENT_STREAMS_MAX {
            return None;
        }
        self.open.set(self.open.get() + 1);
        let following = stream::unfold(newest, |mut newest| async move {
            newest.changed().await.ok()?;
            let event = newest.borrow_and_update().clone();
            Some((event, newest))
        });
        let first = stream::once(std::future::ready(first()));
        Some(EventStream {
            events: first.chain(following).boxed_local(),
            patience: None,
            open: self.open.clone(),
        })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.open.get()
    }

    pub(crate) fn tell(&self, event: Bytes) {
        if let Some(newest) = self.newest.borrow().as_ref() {
            newest.send_replace(event);
        }
    }

    /// Ends all streams that are open.
    pub(crate) fn end_all(&self) {
        if let Some(newest) = self.newest.borrow_mut().as_mut() {
            *newest = watch::Sender::new(Bytes::new());
        }
    }

    /// Ends all streams, and has no more.
    pub(crate) fn close(&self) {
        self.newest.take();
    }
}

/// What one client is told. Its place is free again when it is dropped.
pub(crate) struct EventStream {
    events: Pin<Box<dyn Stream<Item = Bytes>>>,
    patience: Option<Rc<Patience>>,
    open: Rc<Cell<usize>>,
}

impl EventStream {
    /// Has its connection go on for as long as its client takes what it is told.
    pub(crate) fn extend(&mut self, patience: Rc<Patience>) {
        self.patience = Some(patience);
    }

    /// The next event. Asked for only when there is room for it.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(patience) = &self.patience {
            patience.renew();
        }
        self.events.as_mut().poll_next(context)
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.open.set(self.open.get() - 1);
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventStream")
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::future::poll_fn;

    use super::*;

    fn next(stream: &mut EventStream) -> Option<Option<Bytes>> {
        poll_fn(|context| stream.poll_next(context)).now_or_never()
    }

    #[test]
    fn streams_begin_with_the_first_and_skip_what_nobody_had_room_for() {
        let events = Events::default();
        events.tell("before".into());
        assert_eq!(events.count(), 0);
        let mut stream = events.open(|| "first".into()).expect("there is room");
        assert_eq!(next(&mut stream), Some(Some("first".into())));
        assert_eq!(next(&mut stream), None, "it waits");
        events.tell("one".into());
        events.tell("two".into());
        assert_eq!(next(&mut stream), Some(Some("two".into())));
        events.close();
        assert_eq!(next(&mut stream), Some(None), "it has ended");
        assert!(events.open(|| unreachable!("it is closed")).is_none());
    }

    #[test]
    fn there_are_so_many_and_the_place_of_one_that_is_gone_is_free() {
        let events = Events::default();
        let open = || events.open(|| "first".into());
        let mut all: Vec<_> = (0..EVENT_STREAMS_MAX).map(|_| open()).collect();
        assert!(all.iter().all(Option::is_some));
        // What a stream begins with is the whole history: who gets none has none made.
        assert!(events.open(|| unreachable!("there is no room")).is_none());
        all.pop();
        assert!(open().is_some());
        drop(all);
        assert_eq!(events.count(), 0);
    }
}
