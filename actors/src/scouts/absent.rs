//! What is looked at while an upstream is absent.
//!
//! ```text
//!   scout's connection   ── asked ──▶ no answer ──▶ ended ─ ─ connecting, waiting ─ ─ ▶ greeted
//!   links                ── requests on their way, and no byte ──────┬───────────────▶
//!                          ◀─────────── silent_abandon ─────────────▶ given up
//! ```

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;

use futures::future::{Either, select};
use tokio::time::sleep;

use super::board::ScoutBoard;
use crate::limits::SCOUT_LOOK_PERIOD;

/// Does something while an upstream is absent. Links to it may be open, and wait for what it owed
/// before: they are given up at their time.
pub(super) async fn while_absent<T>(
    board: &ScoutBoard,
    index: usize,
    work: impl Future<Output = T>,
) -> T {
    let reads = || board.gateway.sight.upstreams()[index].reads();
    let mut seen = reads();
    let look = async {
        while board.may_abandon(index) {
            sleep(SCOUT_LOOK_PERIOD).await;
            let before = std::mem::replace(&mut seen, reads());
            // It may come to owe something meanwhile: a greeting.
            if board.is_waited_for_absent(index) {
                let now = board.now();
                board.tell(index, |scout| {
                    if seen != before {
                        scout.on_sign(now);
                    }
                    scout.look(now, SCOUT_LOOK_PERIOD);
                });
            }
        }
        pending::<Infallible>().await
    };
    match select(pin!(work), pin!(look)).await {
        Either::Left((done, _)) => done,
        Either::Right((never, _)) => match never {},
    }
}
