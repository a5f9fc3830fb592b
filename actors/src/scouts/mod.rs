//! The scouts of a gateway, on the System arbiter: one connection to each upstream, which asks how
//! it is and for its users. What they find out decides where requests go, and the serving state.
//!
//! ```text
//!   upstream ◀─ VOTE, box.info, _user ─ connection ─▶ Scout ─▶ board ─ choose ─┬▶ target
//!   session threads ── questions for users ──▲                                  └▶ serving state
//! ```
//!
//! | file | what |
//! |---|---|
//! | `absent` | what is looked at while there is no connection |
//! | `board` | what all of them know, and what follows from it |
//! | `catalog` | the catalog of an upstream, read in pages |
//! | `connection` | one connection: greeted, logged in, asked again and again |
//! | `events` | what is watched on a connection |
//! | `answers` | what stands in the replies |
//! | `warned` | what the log says of those that are not reached |

mod absent;
mod answers;
mod board;
mod catalog;
mod connection;
mod events;
mod warned;

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use futures::future::select;
use tokio::sync::mpsc;
use tokio::time::sleep;

use self::board::ScoutBoard;
use self::connection::scout;
use crate::limits::SCOUT_LOOK_PERIOD;
use crate::serving::State;
use crate::shared::Shared;
use crate::upstream::{GatewayCell, UpstreamDrain};

/// The scouts of a gateway, which are still to be sent out.
pub(crate) struct Scouts(Rc<ScoutBoard>);

impl Scouts {
    pub(crate) fn new(shared: Arc<Shared>, gateway: Arc<GatewayCell>) -> Self {
        Self(Rc::new(ScoutBoard::new(shared, gateway)))
    }

    /// What drains upstreams, and takes them into use again: what follows is done when it returns.
    pub(crate) fn draining(&self) -> impl Fn(usize, UpstreamDrain) + 'static {
        let board = self.0.clone();
        move |upstream, drain| board.drain(upstream, drain)
    }

    /// Sends them out, on the System's thread. They end when the runtime has stopped.
    pub(crate) fn launch(self) {
        launch(self.0);
    }
}

fn launch(board: Rc<ScoutBoard>) {
    let (shared, gateway) = (board.shared.clone(), board.gateway.clone());
    let upstreams = 0..gateway.config.upstreams.len();
    let (questions, asked): (Vec<_>, Vec<_>) = upstreams.map(|_| mpsc::unbounded_channel()).unzip();
    gateway.set_questions(questions);
    let (own, until) = (board.clone(), shared.clone());
    actix_rt::spawn(async move {
        let stopped = pin!(stopped(&until));
        select(stopped, pin!(end_holds(&own))).await;
    });
    for (index, asked) in asked.into_iter().enumerate() {
        let (board, shared) = (board.clone(), shared.clone());
        actix_rt::spawn(async move {
            let stopped = pin!(stopped(&shared));
            let scout = pin!(scout(&board, index, asked));
            select(stopped, scout).await;
        });
    }
}

/// Has the board decide again when requests were held for as long as they may be. It may be that no
/// scout hears anything meanwhile.
async fn end_holds(board: &ScoutBoard) {
    loop {
        board.held.notified().await;
        while let Some(until) = board.held_until() {
            let left = until.saturating_duration_since(board.now());
            let look = match left.is_zero() {
                // A drain is waited for.
                true => SCOUT_LOOK_PERIOD,
                false => left.min(SCOUT_LOOK_PERIOD),
            };
            sleep(look).await;
            board.decide();
        }
    }
}

async fn stopped(shared: &Shared) {
    let mut changes = shared.changes.subscribe();
    let _ = changes.wait_for(|now| now.state == State::Stopped).await;
}
