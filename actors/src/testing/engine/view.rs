//! The read view of the scripted engine.

use std::sync::{Arc, PoisonError};

use vestibule_wire::Error;
use vestibule_wire::reply::Rows;
use vestibule_wire::request::Select;

use super::{Script, selected};
use crate::engine::{Caller, ReadView, ReplyBody, Scan, ViewStep};

impl Script {
    /// The committed rows.
    pub(super) fn view(&self) -> Arc<dyn ReadView> {
        Arc::new(ScriptedView(self.clone()))
    }
}

struct ScriptedView(Script);

impl ReadView for ScriptedView {
    fn select(
        &self,
        select: &Select<'_>,
        _caller: &Caller,
        scan: &mut Scan,
        body: &mut ReplyBody<'_>,
    ) -> Result<ViewStep, Error> {
        // A limit above 1 makes it a scan of several steps, so that those are tested too.
        scan.steps += 1;
        if select.limit > 1 && u64::from(scan.steps) < select.limit {
            return Ok(ViewStep::More);
        }
        let mut panics = false;
        self.0
            .change(|state| panics = std::mem::take(&mut state.view_panics));
        assert!(!panics, "scripted panic in the view");
        let key = selected(select)?;
        let committed = self.0.rows.read().unwrap_or_else(PoisonError::into_inner);
        let mut rows = Rows::begin(body);
        if let Some(tuple) = committed.get(&key) {
            rows.push(tuple);
        }
        rows.finish(None);
        Ok(ViewStep::Done)
    }
}
