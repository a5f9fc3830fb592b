//! A connection's life: reading, writing, pings, leaving. The first of them that ends, ends it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWriteExt as _};
use tokio::time::Instant;
use vestibule_wire::groups::Pace;
use vestibule_wire::request::Body;

use super::deliver::Answers;
use super::handshake::{broken, ended, malformed};
use super::shared::{Link, Phase};
use super::transport::Write;
use crate::error::{Error, ErrorKind};
use crate::incoming::Incoming;
use crate::limits::GOODBYE_TIME_MAX;
use crate::outgoing::Batch;

/// When something was last received: anything is a sign of life.
struct Life {
    began: Instant,
    heard_ms: AtomicU64,
}

impl Life {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            heard_ms: AtomicU64::new(0),
        }
    }

    fn hear(&self) {
        let elapsed = self.began.elapsed().as_millis();
        self.heard_ms.store(
            u64::try_from(elapsed).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    fn heard_at(&self) -> Instant {
        self.began + Duration::from_millis(self.heard_ms.load(Ordering::Relaxed))
    }
}

/// Serves a connection until it ends; returns why.
pub(super) async fn drive<R, W>(link: &Link, incoming: Incoming, reader: R, mut writer: W) -> Error
where
    R: AsyncRead + Unpin,
    W: Write,
{
    let life = Life::new();
    tokio::select! {
        biased;
        error = read(link, incoming, reader, &life) => error,
        error = write(link, &mut writer) => error,
        error = ping(link, &life) => error,
        () = leave(link) => {
            // TLS has what it still holds to send, and its goodbye.
            let _ = tokio::time::timeout(GOODBYE_TIME_MAX, writer.shutdown()).await;
            Error::not_sent(ErrorKind::Connection, "the server is about to stop")
        }
    }
}

async fn read<R: AsyncRead + Unpin>(
    link: &Link,
    mut incoming: Incoming,
    mut reader: R,
    life: &Life,
) -> Error {
    let (mut arrived, mut answers) = (Vec::new(), Answers::new());
    loop {
        let fault = loop {
            match incoming.next() {
                Ok(Some(one)) => arrived.push(one),
                Ok(None) => break None,
                Err(fault) => break Some(fault),
            }
        };
        incoming.stop_unwanted(link.given_up.load(Ordering::Acquire), || {
            let state = link.lock();
            move |sync| state.table.has(sync)
        });
        let answer = incoming.take_answer();
        if (!arrived.is_empty() || !answer.is_empty())
            && let Err(error) = link.deliver(&mut arrived, &mut answers, answer)
        {
            return error;
        }
        if let Some(fault) = fault {
            return malformed(fault);
        }
        match incoming.read(&mut reader).await {
            Ok(0) => return ended(),
            Ok(_) => life.hear(),
            Err(fault) => return broken(fault),
        }
    }
}

async fn write<W: Write>(link: &Link, writer: &mut W) -> Error {
    let mut batch = Batch::default();
    // How much the socket has taken since it was full, or there was nothing for it.
    let (mut pace, mut taken) = (Pace::default(), 0);
    loop {
        let (freed, is_leaving) = {
            let mut state = link.lock();
            let freed = state.outgoing.take(&mut batch, pace.ahead(taken));
            (freed, !matches!(state.phase, Phase::Up(_)))
        };
        link.free(freed);
        if batch.size() == 0 {
            // A socket has taken what it took; TLS may hold the last of it.
            if let Err(fault) = writer.flush().await {
                return broken(fault);
            }
            if is_leaving {
                link.to_leave.notify_one();
            }
            pace.on_open(std::mem::take(&mut taken));
            follow(&mut pace, writer);
            link.to_write.notified().await;
            continue;
        }
        while batch.size() > 0 {
            let rest = batch.rest();
            match writer.write(rest).await {
                Ok(0) => return ended(),
                Ok(count) => {
                    taken += count;
                    if count < rest.len() {
                        pace.on_full(std::mem::take(&mut taken));
                        follow(&mut pace, writer);
                    }
                    batch.skip(count);
                    link.lock().outgoing.wrote(count);
                }
                Err(fault) => return broken(fault),
            }
        }
    }
}

/// Has the kernel hold what goes with the bytes that the socket takes at a time.
fn follow(pace: &mut Pace, writer: &impl Write) {
    if let Some(max) = pace.new_unsent_max() {
        writer.bound_unsent(max);
    }
}

/// Asks a silent server whether it is there; ends when it does not answer.
async fn ping(link: &Link, life: &Life) -> Error {
    let Some(interval) = link.options.ping_interval else {
        return std::future::pending().await;
    };
    let timeout = link.options.ping_timeout;
    loop {
        let heard = life.heard_at();
        tokio::time::sleep_until(heard + interval).await;
        if life.heard_at() > heard {
            continue;
        }
        link.post(&mut link.lock(), 0, &Body::Ping);
        tokio::time::sleep(timeout).await;
        if life.heard_at() <= heard {
            let text = format!(
                "nothing was heard of the server for {:?}",
                interval + timeout
            );
            return Error::not_sent(ErrorKind::Connection, text);
        }
    }
}

/// Ends when what keeps a connection that is being left has ended.
async fn leave(link: &Link) {
    while !link.has_left() {
        link.to_leave.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll};

    use tokio::io::AsyncWrite;
    use vestibule_wire::client::RequestHeader;
    use vestibule_wire::groups::chunk::HEAD_SIZE_MAX;
    use vestibule_wire::groups::{Agreement, Group};
    use vestibule_wire::limits::{
        AHEAD_MAX, AHEAD_MIN, GROUP_QUANTUM, UNSENT_IN_KERNEL_FAST_MAX, UNSENT_IN_KERNEL_MAX,
    };

    use super::*;
    use crate::options::Options;
    use crate::outgoing::Room;

    /// What TLS may do: it takes everything, and has sent nothing before it is flushed or shut
    /// down.
    #[derive(Default)]
    struct Holds {
        taken: Vec<u8>,
        sent: Vec<u8>,
        /// As if there were no room to send.
        is_stuck: bool,
        is_shut_down: bool,
    }

    impl AsyncWrite for Holds {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.taken.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.is_stuck {
                return Poll::Pending;
            }
            let own = &mut *self;
            own.sent.append(&mut own.taken);
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            let own = &mut *self;
            own.sent.append(&mut own.taken);
            own.is_shut_down = true;
            Poll::Ready(Ok(()))
        }
    }

    impl Write for Holds {}
    impl Write for &mut Holds {}

    /// A socket that is full when it has taken the first of these numbers of bytes, and so on.
    struct Filling {
        rooms: Vec<usize>,
        bounds: RefCell<Vec<u32>>,
    }

    impl AsyncWrite for Filling {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let Some(room) = self.rooms.first_mut() else {
                return Poll::Pending;
            };
            let count = bytes.len().min(*room);
            *room -= count;
            if *room == 0 {
                self.rooms.remove(0);
            }
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Write for Filling {
        fn bound_unsent(&self, max: u32) {
            self.bounds.borrow_mut().push(max);
        }
    }

    #[tokio::test]
    async fn the_kernel_is_asked_to_hold_more_of_a_large_request_while_the_socket_takes_much() {
        let link = link_with_large_request();
        let mut writer = Filling {
            rooms: vec![AHEAD_MIN, AHEAD_MAX + 1, AHEAD_MAX / 4 + 1, AHEAD_MIN + 1],
            bounds: RefCell::default(),
        };
        tokio::select! {
            biased;
            error = write(&link, &mut writer) => panic!("{error}"),
            () = std::future::ready(()) => {}
        }
        assert!(writer.rooms.is_empty());
        let expected = [UNSENT_IN_KERNEL_FAST_MAX, UNSENT_IN_KERNEL_MAX];
        assert_eq!(writer.bounds.into_inner(), expected);
    }

    /// A socket that takes little at a time. A ping is asked for now and then.
    struct Slow {
        link: Arc<Link>,
        taken: Vec<u8>,
        /// Numbers of the pings, and how much it had taken when they were asked for.
        asked: Vec<(u64, usize)>,
    }

    const LITTLE: usize = 3000;
    const MUCH: usize = 1 << 20;
    const PINGS_EVERY: usize = 50_000;

    impl AsyncWrite for Slow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            if self.taken.len() > 2 * MUCH {
                return Poll::Pending;
            }
            let count = bytes.len().min(LITTLE);
            self.taken.extend_from_slice(&bytes[..count]);
            let taken = self.taken.len();
            if taken / PINGS_EVERY > self.asked.len() && taken < MUCH {
                let sync = self.link.post(&mut self.link.lock(), 0, &Body::Ping);
                self.asked.push((sync, taken));
            }
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Write for Slow {}

    /// On a slow link a batch of 64 KiB would be milliseconds ahead of it.
    #[tokio::test]
    async fn over_a_slow_socket_a_ping_waits_for_one_chunk() {
        let link = link_with_large_request();
        let mut writer = Slow {
            link: link.clone(),
            taken: Vec::new(),
            asked: Vec::new(),
        };
        tokio::select! {
            biased;
            error = write(&link, &mut writer) => panic!("{error}"),
            () = std::future::ready(()) => {}
        }
        assert!(writer.asked.len() > 10);
        for (sync, asked_at) in writer.asked {
            let mut ping = Vec::new();
            RequestHeader::with_sync(sync).write(&mut ping, &Body::Ping);
            let came = writer.taken.windows(ping.len()).position(|own| own == ping);
            let waited = came.expect("it was sent") - asked_at;
            assert!(waited <= GROUP_QUANTUM + HEAD_SIZE_MAX, "{waited}");
        }
    }

    fn link_with_large_request() -> Arc<Link> {
        let link = Link::new("h".parse().unwrap(), Options::default());
        {
            let mut state = link.lock();
            state.outgoing.cut(Agreement {
                window: 16 * MUCH,
                messages_max: 8,
            });
            let frame = vec![0; 4 * MUCH];
            state.outgoing.push(Group::Write, 1, frame, Room::default());
        }
        link
    }

    fn link_with_a_ping() -> Arc<Link> {
        let target = "h".parse().unwrap();
        let link = Link::new(target, Options::default());
        link.post(&mut link.lock(), 0, &Body::Ping);
        link
    }

    #[tokio::test]
    async fn what_a_writer_holds_back_is_sent_when_nothing_else_waits() {
        let link = link_with_a_ping();
        let mut writer = Holds::default();
        tokio::select! {
            biased;
            error = write(&link, &mut writer) => panic!("{error}"),
            () = std::future::ready(()) => {}
        }
        assert!(!writer.sent.is_empty() && writer.taken.is_empty());
    }

    #[tokio::test]
    async fn a_connection_that_is_left_sends_what_its_writer_holds_and_says_goodbye() {
        let link = link_with_a_ping();
        let mut writer = Holds {
            is_stuck: true,
            ..Holds::default()
        };
        let (reader, _peer) = tokio::io::duplex(1);
        link.close();
        drive(&link, Incoming::new(1 << 20), reader, &mut writer).await;
        assert!(!writer.sent.is_empty() && writer.taken.is_empty());
        assert!(writer.is_shut_down);
    }
}
