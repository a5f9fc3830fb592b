//! Answers, with the headers that all of them have.

use std::pin::Pin;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// An answer that takes a while.
pub(crate) type Later = Pin<Box<dyn Future<Output = Answer>>>;

/// Nothing from elsewhere is loaded or framed, and nobody else's page reads what stands here.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         connect-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    status: u16,
    content_type: &'static str,
    body: Bytes,
    /// One header more.
    more: Option<(HeaderName, &'static str)>,
}

impl Answer {
    pub(crate) fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type,
            body: body.into(),
            more: None,
        }
    }

    /// Text, as people read it.
    pub(crate) fn text(status: u16, body: impl Into<Bytes>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    /// A value as JSON.
    pub(crate) fn json(value: &impl Serialize) -> Self {
        match serde_json::to_vec_pretty(value) {
            Ok(mut body) => {
                body.push(b'\n');
                Self::new(200, "application/json", body)
            }
            Err(error) => Self::text(500, format!("It cannot be written as JSON: {error}\n")),
        }
    }

    /// Tells which methods there are.
    pub(crate) fn allow(self) -> Self {
        Self {
            more: Some((header::ALLOW, "GET, HEAD")),
            ..self
        }
    }

    /// Asks for the token.
    pub(crate) fn ask_for_token(self) -> Self {
        let scheme = "Bearer realm=\"vestibule\", Basic realm=\"vestibule\"";
        Self {
            more: Some((header::WWW_AUTHENTICATE, scheme)),
            ..self
        }
    }

    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        let status = StatusCode::from_u16(self.status);
        *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        let own = [(header::CONTENT_TYPE, self.content_type)];
        for (name, value) in HEADERS.into_iter().chain(own).chain(self.more) {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
