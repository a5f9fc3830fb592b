//! Tasks that have more to do than others may wait for go on behind the reactor.
//!
//! ```text
//!   woken         turn ─ turn ─ turn ─ … sixty of them … ─ reactor: what came meanwhile ─ …
//!   behind it     turn ─ reactor: what came meanwhile ─ who is ready for that ─ turn ─ …
//! ```
//!
//! A thread polls the tasks that are ready some sixty times between two looks of its reactor
//! (tokio's `LocalSet`). Of turns that take some 100 µs each, all who have sent something wait for
//! that many.

use std::pin::pin;
use std::task::Context;

/// Has the task of `cx` polled again when those that are ready were, and the reactor was asked for
/// what came meanwhile. Its poll is over with this: it returns `Pending`.
pub(crate) fn go_on_behind_reactor(cx: &mut Context<'_>) {
    // The first poll hands over the waker, and that is all there is to it.
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;
    use std::rc::Rc;
    use std::task::Poll;

    use tokio::task::{LocalSet, spawn_local, yield_now};

    use super::*;

    const TURNS: u32 = 1000;

    /// After how many turns of one task another one has what came before the first of them.
    async fn turns_until_read(go_on: fn(&mut Context<'_>)) -> u32 {
        let (mut far, near) = UnixStream::pair().expect("two sockets");
        near.set_nonblocking(true).expect("a flag");
        let near = tokio::net::UnixStream::from_std(near).expect("a reactor");
        let turns = Rc::new(Cell::new(0));
        let reader = spawn_local(async move { near.readable().await.expect("a byte") });
        // It waits for the reactor by now, which has seen nothing.
        yield_now().await;
        far.write_all(b"x").expect("room for a byte");
        let own = turns.clone();
        spawn_local(poll_fn(move |cx| {
            own.set(own.get() + 1);
            if own.get() == TURNS {
                return Poll::Ready(());
            }
            go_on(cx);
            Poll::Pending
        }));
        reader.await.expect("no panic");
        turns.get()
    }

    #[test]
    fn what_came_goes_before_the_next_turn_of_one_that_goes_on_behind_the_reactor() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .expect("a runtime");
        let behind = LocalSet::new().block_on(&runtime, turns_until_read(go_on_behind_reactor));
        assert!(behind <= 3, "{behind}");
        let woken =
            LocalSet::new().block_on(&runtime, turns_until_read(|cx| cx.waker().wake_by_ref()));
        assert!(woken > 10, "nothing is gained any more: {woken}");
    }
}
