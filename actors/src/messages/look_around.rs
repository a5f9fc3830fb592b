//! A clock was wound by hand, or is about to be: everybody looks at what is due.

#[cfg(feature = "testing")]
use std::sync::mpsc::{Receiver, Sender, channel};
#[cfg(feature = "testing")]
use std::time::Instant;

#[cfg(feature = "testing")]
use actix::{Handler, Message};

/// Look at what is due by now, and go on with what has come so far. Dropped unanswered, its
/// receiver has nothing to look at any more.
#[cfg(feature = "testing")]
#[derive(Debug, Clone)]
pub(crate) struct LookAround {
    told: Sender<Option<Instant>>,
    is_for_tx: bool,
}

#[cfg(feature = "testing")]
impl LookAround {
    /// One, and where the answers of all come who were given it.
    pub(crate) fn new(is_for_tx: bool) -> (Self, Receiver<Option<Instant>>) {
        let (told, answers) = channel();
        (Self { told, is_for_tx }, answers)
    }

    /// Whether Tx is to look as well, of which only the Supervisor knows where it is.
    pub(crate) fn is_for_tx(&self) -> bool {
        self.is_for_tx
    }

    /// Answers that it is done, and when the next thing is due, if any is known.
    pub(crate) fn done(self, next: Option<Instant>) {
        // Who has asked may have lost patience.
        let _ = self.told.send(next);
    }
}

#[cfg(feature = "testing")]
impl Message for LookAround {
    type Result = ();
}

/// Who looks around when it is told to; everybody, where nobody tells.
#[cfg(feature = "testing")]
pub(crate) trait LooksAround: Handler<LookAround> {}
#[cfg(not(feature = "testing"))]
pub(crate) trait LooksAround {}

#[cfg(feature = "testing")]
impl<A: Handler<LookAround>> LooksAround for A {}
#[cfg(not(feature = "testing"))]
impl<A> LooksAround for A {}
