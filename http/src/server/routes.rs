//! The table of paths.

use std::rc::Rc;

use crate::door::{Answer, Door, Later, Question};
use crate::pages::{events, lists, page, probes, status};

/// Who may see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    All,
    /// Clients on this machine, and those with the token.
    Private,
}

/// What a path is answered by.
#[derive(Clone, Copy)]
pub(super) enum Page {
    Now(fn(&Door, &Question) -> Answer),
    Later(fn(Rc<Door>, Question) -> Later),
}

/// A path.
pub(super) struct Route {
    pub(super) path: &'static str,
    pub(super) audience: Audience,
    pub(super) page: Page,
    pub(super) about: &'static str,
}

/// All paths.
pub(super) const ROUTES: &[Route] = &[
    Route {
        path: "/livez",
        audience: Audience::All,
        page: Page::Now(probes::live),
        about: "200 while the network side lives; ?tx_stalled=TIME asks for Tx as well",
    },
    Route {
        path: "/startupz",
        audience: Audience::All,
        page: Page::Now(probes::started),
        about: "200 from the end of the first recovery on",
    },
    Route {
        path: "/readyz",
        audience: Audience::All,
        page: Page::Now(probes::ready),
        about: "200 while it is to be sent clients; ?writes asks whether changes are taken",
    },
    Route {
        path: "/metrics",
        audience: Audience::All,
        page: Page::Now(status::metrics),
        about: "metrics, as Prometheus's text or as OpenMetrics",
    },
    Route {
        path: "/",
        audience: Audience::Private,
        page: Page::Now(page::index),
        about: "the page",
    },
    Route {
        path: "/status.js",
        audience: Audience::Private,
        page: Page::Now(page::script),
        about: "its script",
    },
    Route {
        path: "/status.css",
        audience: Audience::Private,
        page: Page::Now(page::style),
        about: "its style",
    },
    Route {
        path: "/events",
        audience: Audience::Private,
        page: Page::Now(events::stream),
        about: "what it shows, as server-sent events: one a second",
    },
    Route {
        path: "/status.txt",
        audience: Audience::Private,
        page: Page::Now(status::text),
        about: "the state, for people",
    },
    Route {
        path: "/status.json",
        audience: Audience::Private,
        page: Page::Now(status::json),
        about: "the state and all numbers; ?history adds those of the last minutes",
    },
    Route {
        path: "/connections.json",
        audience: Audience::Private,
        page: Page::Later(lists::connections),
        about: "open connections; ?limit=N",
    },
    Route {
        path: "/requests.json",
        audience: Audience::Private,
        page: Page::Later(lists::requests),
        about: "requests that somebody waits for; ?limit=N",
    },
    Route {
        path: "/links.json",
        audience: Audience::Private,
        page: Page::Later(lists::links),
        about: "connections of a gateway to its upstreams; ?limit=N",
    },
    Route {
        path: "/transitions.json",
        audience: Audience::Private,
        page: Page::Now(lists::transitions),
        about: "the last transitions; ?limit=N",
    },
    Route {
        path: "/config.json",
        audience: Audience::Private,
        page: Page::Now(lists::config),
        about: "the options and where they come from",
    },
];

/// The name under which paths are counted that do not exist.
pub(super) const OTHER: &str = "other";

/// The route of a path.
pub(super) fn find(path: &str) -> Option<&'static Route> {
    ROUTES.iter().find(|own| own.path == path)
}

/// What is answered to a path that does not exist: those that do.
pub(super) fn not_found() -> Answer {
    let mut text = "There is nothing here. There is:\n".to_owned();
    for own in ROUTES {
        text.push_str(&format!("{:<18} {}\n", own.path, own.about));
    }
    Answer::text(404, text)
}
