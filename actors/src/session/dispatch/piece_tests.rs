//! What is read at a time of large pieces.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::io::ReadBuf;
use vestibule_wire::groups::chunk::{self, First};
use vestibule_wire::groups::{Agreement, Group};
use vestibule_wire::limits::CHUNK_PAYLOAD_MAX;

use super::tests::connect;
use crate::connection::transport::Transport;
use crate::limits::{HEAD_READ_SIZE, READ_SIZE};
use crate::session::io::read;
use crate::testing::pipe::{ServerEnd, pipe};

/// A pipe that notes how much is asked for at a time.
struct Noted {
    pipe: ServerEnd,
    asked: Rc<RefCell<Vec<usize>>>,
}

impl Transport for Noted {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.asked.borrow_mut().push(buffer.remaining());
        self.pipe.poll_read(cx, buffer)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pipe.try_write(bytes)
    }

    fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe.poll_write_ready(cx)
    }

    fn has_unread(&self) -> bool {
        self.pipe.has_unread()
    }

    fn is_read_closed(&self) -> bool {
        self.pipe.is_read_closed()
    }

    fn is_gone(&self) -> bool {
        self.pipe.is_gone()
    }
}

#[test]
fn behind_a_piece_the_head_of_the_next_is_read_alone_also_if_it_comes_later() {
    let (client, server) = pipe(1 << 20);
    let asked = Rc::new(RefCell::default());
    let (worker, cell) = connect(Box::new(Noted {
        pipe: server,
        asked: asked.clone(),
    }));
    let mut state = worker.state.borrow_mut();
    let mut own = cell.state.borrow_mut();
    worker.shared.serving.ready(worker.shared.clock.now());
    own.agree_to_chunks(Agreement {
        window: 0,
        messages_max: 1,
    });
    let mut cx = Context::from_waker(Waker::noop());
    let mut asked_for = |first| {
        let head = chunk::data(1, first, CHUNK_PAYLOAD_MAX as u32);
        client.send(head.as_bytes());
        client.send(&[1; CHUNK_PAYLOAD_MAX]);
        state.turns.begin();
        assert!(read(&worker, &cell, &mut state, &mut own, &mut cx).is_pending());
        asked.borrow_mut().drain(..).collect::<Vec<_>>()
    };
    let group = Group::stream(2).expect("above 0");
    let total = 8 * CHUNK_PAYLOAD_MAX as u32;
    let of_first = asked_for(Some(First { group, total }));
    assert_eq!(of_first.first(), Some(&READ_SIZE));
    assert_eq!(of_first.last(), Some(&HEAD_READ_SIZE), "there is none");
    for _ in 0..3 {
        let of_next = asked_for(None);
        assert_eq!(of_next.first(), Some(&HEAD_READ_SIZE), "{of_next:?}");
        assert!(of_next.iter().all(|size| *size != READ_SIZE), "{of_next:?}");
    }
}
