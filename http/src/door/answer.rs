//! Answers, with the headers that all of them have.

use std::convert::Infallible;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::events::EventStream;
use super::patience::Patience;

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
#[derive(Debug)]
pub(crate) struct Answer {
    status: u16,
    content_type: &'static str,
    content: Content,
    /// One header more.
    more: Option<(HeaderName, &'static str)>,
}

impl Answer {
    pub(crate) fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type,
            content: Content::Whole(body.into()),
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

    /// Events, one after another, for as long as they are read.
    pub(crate) fn events(stream: EventStream) -> Self {
        Self {
            content: Content::Events(stream),
            ..Self::new(200, "text/event-stream", Bytes::new())
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

    pub(crate) fn into_response(self) -> Response<Content> {
        let mut response = Response::new(self.content);
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

/// What an answer tells.
#[derive(Debug)]
pub(crate) enum Content {
    /// All of it. What has been handed out is empty.
    Whole(Bytes),
    /// Events, which go on.
    Events(EventStream),
}

impl Content {
    /// Has the connection wait for its client, if what it is told goes on: whether it does.
    pub(crate) fn extend(&mut self, patience: &Rc<Patience>) -> bool {
        match self {
            Self::Whole(_) => false,
            Self::Events(stream) => {
                stream.extend(patience.clone());
                true
            }
        }
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(Some(mem::take(bytes)).filter(|own| !own.is_empty())),
            Self::Events(stream) => stream.poll_next(context),
        };
        next.map(|bytes| bytes.map(|own| Ok(Frame::data(own))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Events(_) => SizeHint::default(),
        }
    }
}
