//! Requests that a session answers alone, whatever Tx is doing.

use vestibule_wire::features::Features;
use vestibule_wire::reply::{Rows, finish};
use vestibule_wire::request::{Body, Select};
use vestibule_wire::{Error, ErrorCode};

use crate::connection::scan::ScanSource;
use crate::engine::catalog::CatalogScan;
use crate::limits::{EVENT_KEY_SIZE_MAX, SESSION_TURN_WORK_PER_LOOK};
use crate::serving::events::is_own;
use crate::session::dispatch::{DecodedRequest, Dispatcher};

impl Dispatcher<'_> {
    /// Answers a request of class `Local` that calls no control procedure.
    pub(crate) fn answer(&mut self, request: &DecodedRequest<'_>) {
        let header = self.header(request.sync);
        match request.body {
            Body::Ping => header.write_empty(self.session.output()),
            // Chunks aside, nothing is sent that needs what the client can do, but by upstreams.
            Body::Id(id) => {
                let chunks = self.agree_to_chunks(&id);
                let features = self.features();
                if self.shared.gateway.is_some() {
                    let format = id.features.and(features).and(Features::OF_VALUES);
                    self.session.set_format(format);
                }
                header.write_id(self.session.output(), features, chunks);
            }
            Body::Auth(auth) => self.answer_auth(request, &auth),
            Body::Select(select) => self.answer_catalog(request, &select),
            Body::Watch(key) => self.watch(request.sync, key),
            Body::Unwatch(key) => self.session.unwatch(key),
            Body::WatchOnce(key) => self.answer_watch_once(request.sync, key),
            Body::Eval(_) => self.refuse(request.sync, &Error::unsupported("vestibule", "EVAL")),
            Body::Execute | Body::Prepare => {
                self.refuse(request.sync, &Error::unsupported("vestibule", "SQL"));
            }
            // Other types are never local.
            _ => {
                let error = Error::unknown_request_type(request.request_type as u64);
                self.refuse(request.sync, &error);
            }
        }
    }

    fn answer_catalog(&mut self, request: &DecodedRequest<'_>, select: &Select<'_>) {
        let Some(catalog) = self.worker.published.catalog(self.shared) else {
            self.reject_as_judged(request, ErrorCode::LOADING);
            return;
        };
        // It may walk through many definitions.
        let work = SESSION_TURN_WORK_PER_LOOK;
        let scan = ScanSource::Catalog(CatalogScan::new(catalog));
        self.begin_scan(request, select, scan, work);
    }

    fn watch(&mut self, sync: u64, key: &str) {
        if key.len() > EVENT_KEY_SIZE_MAX {
            let error = Error::illegal_params("The event's key is too long");
            return self.refuse(sync, &error);
        }
        let upstream = self.shared.gateway.as_ref().filter(|_| !is_own(key));
        let is_watched = match upstream {
            Some(gateway) => self.session.watch_upstream(key, sync, &gateway.watched),
            None => self.session.watch(key, sync),
        };
        if !is_watched {
            let error = Error::illegal_params("Too many watched keys on this connection");
            return self.refuse(sync, &error);
        }
        self.send_events();
    }

    /// Sends every EVENT that this connection is owed.
    pub(crate) fn send_events(&mut self) {
        self.session.send_events(&self.shared.events);
        if self.shared.serving.load().is_stop_announced() {
            self.session.is_on_notice(self.now);
        }
    }

    fn answer_watch_once(&mut self, sync: u64, key: &str) {
        let value = self.shared.events.board().get(key).value.clone();
        let header = self.header(sync);
        let out = self.session.output();
        let start = header.begin(out);
        let mut rows = Rows::begin(out);
        if let Some(value) = value {
            rows.push(&value);
        }
        rows.finish(None);
        finish(out, start);
    }
}
