//! Requests that a session answers alone, whatever Tx is doing.

use vestibule_wire::features::Features;
use vestibule_wire::reply::{HEADER_SIZE, Rows, finish, wrap_results, write_event};
use vestibule_wire::request::{Auth, Body, Call, Select};
use vestibule_wire::{Error, ErrorCode};

use crate::admin::run;
use crate::config::Administrators;
use crate::engine::catalog::GUEST;
use crate::limits::EVENT_KEY_SIZE_MAX;
use crate::session::dispatch::{DecodedRequest, Dispatcher};
use crate::session::login::log_in;
use crate::session::watch::{Due, Watches};

impl Dispatcher<'_> {
    /// Answers a request of class `Local`.
    pub(crate) fn answer(&mut self, request: &DecodedRequest<'_>) {
        let header = self.header(request.sync);
        match request.body {
            Body::Ping => header.write_empty(self.session.output.buffer()),
            // What the client can do makes no difference yet: nothing is sent that needs it.
            Body::Id(_) => header.write_id(self.session.output.buffer(), Features::SUPPORTED),
            Body::Auth(auth) => self.answer_auth(request.sync, &auth),
            Body::Select(select) => self.answer_catalog(request.sync, &select),
            Body::Watch(key) => self.watch(request.sync, key),
            Body::Unwatch(key) => {
                if let Some(watches) = &mut self.session.watches {
                    watches.unwatch(key);
                }
            }
            Body::WatchOnce(key) => self.answer_watch_once(request.sync, key),
            Body::Call(call) => self.answer_control(request.sync, &call),
            Body::Eval(_) => self.refuse(request.sync, &Error::unsupported("vestibule", "EVAL")),
            _ => {
                let error = Error::unknown_request_type(request.request_type as u64);
                self.refuse(request.sync, &error);
            }
        }
    }

    fn answer_auth(&mut self, sync: u64, auth: &Auth<'_>) {
        let Some(catalog) = self.worker.catalog(self.shared) else {
            return self.reject(sync, ErrorCode::LOADING);
        };
        match log_in(auth, &self.session.salt, &catalog) {
            Ok(user) => {
                if let Administrators::Users(names) = &self.shared.config.administrators {
                    self.session.caller.is_administrator = names.iter().any(|name| **name == *user);
                }
                self.session.has_logged_in |= *user != *GUEST;
                self.session.caller.user = user;
                // Tx hears of it with the next request.
                self.session.must_introduce = true;
                self.header(sync).write_empty(self.session.output.buffer());
            }
            Err(error) => self.refuse(sync, &error),
        }
    }

    fn answer_catalog(&mut self, sync: u64, select: &Select<'_>) {
        let header = self.header(sync);
        let Some(catalog) = self.worker.catalog(self.shared) else {
            return self.reject(sync, ErrorCode::LOADING);
        };
        let user = &self.session.caller.user;
        // A failure is the reply, already written.
        let _ = header.write(self.session.output.buffer(), |out| {
            catalog.select(select, user, out)
        });
    }

    fn watch(&mut self, sync: u64, key: &str) {
        if key.len() > EVENT_KEY_SIZE_MAX {
            let error = Error::illegal_params("The event's key is too long");
            return self.refuse(sync, &error);
        }
        let watches = self
            .session
            .watches
            .get_or_insert_with(Box::<Watches>::default);
        if !watches.watch(key, sync) {
            let error = Error::illegal_params("Too many watched keys on this connection");
            return self.refuse(sync, &error);
        }
        self.send_events();
    }

    /// Sends every EVENT that this connection is owed.
    pub(crate) fn send_events(&mut self) {
        let events = &self.shared.events;
        self.session.events_seen = events.version();
        let Some(watches) = &mut self.session.watches else {
            return;
        };
        let out = self.session.output.buffer();
        watches.take_due(
            |key| {
                let event = events.get(key);
                (event.version, event.value)
            },
            |Due { key, sync, value }| write_event(out, sync, key, value.as_deref()),
        );
        if watches.is_empty() {
            self.session.watches = None;
        }
    }

    fn answer_watch_once(&mut self, sync: u64, key: &str) {
        let value = self.shared.events.get(key).value;
        let header = self.header(sync);
        let out = self.session.output.buffer();
        let start = header.begin(out);
        let mut rows = Rows::begin(out);
        if let Some(value) = value {
            rows.push(&value);
        }
        rows.finish(None);
        finish(out, start);
    }

    fn answer_control(&mut self, sync: u64, call: &Call<'_>) {
        let mut body = Vec::new();
        match run::run(self, sync, call, &mut body) {
            Ok(run::Answer::Now) => {
                if call.wrap_results {
                    wrap_results(&mut body, 0);
                }
                let header = self.header(sync);
                let out = self.session.output.buffer();
                let start = header.begin(out);
                debug_assert_eq!(out.len(), start + HEADER_SIZE);
                out.extend_from_slice(&body);
                finish(out, start);
            }
            Ok(run::Answer::Later) => {}
            Err(error) => self.refuse(sync, &error),
        }
    }
}
