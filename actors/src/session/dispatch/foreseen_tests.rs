//! Which connections tell the view of their bursts.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use vestibule_wire::request::Select;

use super::tests::{connect, connect_to};
use super::*;
use crate::engine::{Caller, ReadView, ReplyBody, Scan, ViewStep};
use crate::limits::BURSTS_UNFORESEEN;
use crate::session::io::take_bytes;
use crate::testing::RequestBuilder;
use crate::testing::pipe::pipe;

/// Counts the bursts that it hears of, and has a use for SELECTs.
#[derive(Default)]
struct Hearing(AtomicUsize);

impl ReadView for Hearing {
    fn select(
        &self,
        _select: &Select<'_>,
        _caller: &Caller,
        _scan: &mut Scan,
        _body: &mut ReplyBody<'_>,
    ) -> Result<ViewStep, Error> {
        Ok(ViewStep::Done)
    }

    fn foresee(&self, selects: &mut dyn Iterator<Item = Select<'_>>) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        selects.count() > 0
    }
}

#[test]
fn a_connection_whose_bursts_are_of_no_use_keeps_no_other_from_telling_its_own() {
    actix_rt::System::new().block_on(async {
        let [(_one, first), (_other, second)] = [pipe(1 << 20), pipe(1 << 20)];
        let (worker, idle) = connect(Box::new(first));
        let busy = connect_to(&worker, 1, Box::new(second));
        let view = Arc::new(Hearing::default());
        worker.shared.publish_view(Some(view.clone()));
        let mut state = worker.state.borrow_mut();
        assert!(state.published.refresh_view(&worker.shared));
        let mut heard = |cell: &Rc<ConnectionCell>, request: &RequestBuilder| {
            let before = view.0.load(Ordering::Relaxed);
            let mut own = cell.state.borrow_mut();
            let now = worker.shared.clock.now();
            let mut dispatcher = Dispatcher::new(&worker, cell, &mut state, &mut own, now);
            dispatcher.worker.turns.begin();
            take_bytes(&mut dispatcher, &request.bytes().repeat(2));
            view.0.load(Ordering::Relaxed) - before
        };
        let ping = RequestBuilder::new(RequestType::Ping, 1);
        let select = RequestBuilder::select(1, 1);
        assert_eq!(heard(&idle, &ping), 1);
        for _ in 0..BURSTS_UNFORESEEN {
            assert_eq!(heard(&busy, &select), 1);
            assert_eq!(heard(&idle, &ping), 0, "it pays for its own");
        }
        assert_eq!(heard(&idle, &ping), 1, "it may do something else by now");
    });
}
