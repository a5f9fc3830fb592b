//! The life of a link: connecting, greeting and login, reading and writing, and its end.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use futures::future::{Either, select};
use tokio::time::{sleep, timeout};

use super::cell::{LinkCell, lost};
use super::hub::Links;
use crate::limits::LINK_IDLE_MAX;
use crate::outbound::connect_link;
use crate::upstream::LinkFault;

/// How often a link is looked at, whether anybody uses it.
const IDLE_LOOKS: u32 = 4;

/// Lives as long as its link.
pub(super) async fn live(links: Rc<Links>, cell: Rc<LinkCell>) {
    let fault = match open(&links, &cell).await {
        Ok(()) => {
            if cell.link.borrow().is_logged_in() {
                links.on_ready(&cell);
            }
            let used = pin!(serve(&links, &cell, false));
            let unused = pin!(become_idle(&links, &cell));
            match select(used, unused).await {
                Either::Left((ended, _)) => ended.err(),
                Either::Right(_) => None,
            }
        }
        Err(fault) => Some(fault),
    };
    links.on_over(&cell, fault);
}

/// Connects, is greeted, and logs in.
async fn open(links: &Links, cell: &LinkCell) -> Result<(), LinkFault> {
    let begin = async {
        let transport = connect_link(&links.gateway, cell.incarnation.upstream).await;
        cell.set_transport(transport.map_err(|fault| lost(&fault))?);
        serve(links, cell, true).await
    };
    let limit = links.gateway.config.connect_timeout;
    let late = |_| LinkFault::Lost(format!("no connection within {limit:?}"));
    timeout(limit, begin).await.map_err(late)?
}

/// Writes and reads until it ends, or is ready to be used.
async fn serve(links: &Links, cell: &LinkCell, until_ready: bool) -> Result<(), LinkFault> {
    poll_fn(|cx| match links.worker.upgrade() {
        Some(worker) => {
            if let Some(why) = cell.cut_off.get() {
                return Poll::Ready(Err(LinkFault::Lost(why.to_owned())));
            }
            links.take_back(&worker, cell);
            let polled = cell.poll(&worker, &links.gateway, &links.mailbox, until_ready, cx);
            links.note_settings(cell);
            links.note_gone_user(cell);
            links.note_large(&worker, cell);
            links.send_elsewhere(&worker, cell);
            cell.link.borrow_mut().show_waiting();
            polled
        }
        // Its thread ends.
        None => Poll::Ready(Ok(())),
    })
    .await
}

/// Ends when nobody has used it for long.
async fn become_idle(links: &Links, cell: &LinkCell) {
    loop {
        sleep(LINK_IDLE_MAX / IDLE_LOOKS).await;
        let idle_since = cell.link.borrow().idle_since();
        let Some(worker) = links.worker.upgrade() else {
            return;
        };
        let stays = |connection| links.state.borrow().callers.has(connection);
        if cell.client.pinned.is_some_and(stays) {
            // It is its client's for as long as that stays.
            continue;
        }
        let now = worker.shared.clock.now();
        let is_old = |since| now.saturating_duration_since(since) >= LINK_IDLE_MAX;
        if idle_since.is_some_and(is_old) {
            return;
        }
    }
}
