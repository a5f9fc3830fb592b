//! The requests of tests, as the bytes that clients send.

use vestibule_wire::client::RequestHeader;
use vestibule_wire::keys::{self, RequestType};
use vestibule_wire::msgpack::{write_map_len, write_str, write_uint};

/// Builds one request.
#[derive(Debug, Clone)]
pub struct RequestBuilder {
    request: u64,
    header: RequestHeader,
    pairs: u32,
    body: Vec<u8>,
}

impl RequestBuilder {
    /// A request of this type without a body.
    #[must_use]
    pub fn new(request: RequestType, sync: u64) -> Self {
        Self::raw(request as u64, sync)
    }

    /// A request with any type number.
    #[must_use]
    pub fn raw(request: u64, sync: u64) -> Self {
        Self {
            request,
            header: RequestHeader::with_sync(sync),
            pairs: 0,
            body: Vec::new(),
        }
    }

    /// In a stream.
    #[must_use]
    pub fn stream(mut self, stream: u64) -> Self {
        self.header.stream_id = stream;
        self
    }

    /// With a schema version.
    #[must_use]
    pub fn schema_version(mut self, schema_version: u64) -> Self {
        self.header.schema_version = schema_version;
        self
    }

    /// Adds a pair whose value is raw MessagePack.
    #[must_use]
    pub fn pair(mut self, key: u64, value: &[u8]) -> Self {
        self.pairs += 1;
        write_uint(&mut self.body, key);
        self.body.extend_from_slice(value);
        self
    }

    /// Adds a pair whose value is an unsigned number.
    #[must_use]
    pub fn uint(self, key: u64, value: u64) -> Self {
        let mut bytes = Vec::new();
        write_uint(&mut bytes, value);
        self.pair(key, &bytes)
    }

    /// Adds a pair whose value is a text.
    #[must_use]
    pub fn text(self, key: u64, value: &str) -> Self {
        let mut bytes = Vec::new();
        write_str(&mut bytes, value);
        self.pair(key, &bytes)
    }

    /// A REPLACE of `[key, key]` into space 512.
    #[must_use]
    pub fn replace(sync: u64, key: u64) -> Self {
        let mut tuple = vec![0x92];
        write_uint(&mut tuple, key);
        write_uint(&mut tuple, key);
        Self::new(RequestType::Replace, sync)
            .uint(keys::SPACE_ID, 512)
            .pair(keys::TUPLE, &tuple)
    }

    /// A REPLACE of a tuple of the key and `size` bytes into space 512.
    #[must_use]
    pub fn replace_large(sync: u64, key: u64, size: u32) -> Self {
        let mut tuple = vec![0x92];
        write_uint(&mut tuple, key);
        tuple.push(0xc6);
        tuple.extend_from_slice(&size.to_be_bytes());
        tuple.resize(tuple.len() + size as usize, key as u8);
        Self::new(RequestType::Replace, sync)
            .uint(keys::SPACE_ID, 512)
            .pair(keys::TUPLE, &tuple)
    }

    /// A SELECT by key from space 512.
    #[must_use]
    pub fn select(sync: u64, key: u64) -> Self {
        let mut bytes = vec![0x91];
        write_uint(&mut bytes, key);
        Self::new(RequestType::Select, sync)
            .uint(keys::SPACE_ID, 512)
            .uint(keys::LIMIT, 1)
            .pair(keys::KEY, &bytes)
    }

    /// A CALL with arguments given as a raw MessagePack array.
    #[must_use]
    pub fn call(sync: u64, name: &str, args: &[u8]) -> Self {
        Self::new(RequestType::Call, sync)
            .text(keys::FUNCTION_NAME, name)
            .pair(keys::TUPLE, args)
    }

    /// A WATCH of an event, or the acknowledgement of the last one. It has no reply: an
    /// [event](super::Frame::event) comes at once, with the value at present. No further one of
    /// this key comes before the last one was acknowledged, by the same request again; then the
    /// value that it has by then is sent, if it is another.
    ///
    /// ```
    /// use vestibule_actors::testing::{AsyncPeer, Harness, RequestBuilder};
    ///
    /// actix_rt::System::new().block_on(async {
    ///     let harness = Harness::start();
    ///     let events = harness.handle().events();
    ///     let mut peer = AsyncPeer::connect(harness.address()).await;
    ///     let watch = RequestBuilder::watch(1, "jobs");
    ///     let (key, value) = peer.ask(&watch).await.event().unwrap();
    ///     assert_eq!((key.as_str(), value), ("jobs", None));
    ///     events.set("jobs", &3).unwrap();
    ///     // The acknowledgement, to which the next event is the answer.
    ///     let (_, value) = peer.ask(&watch).await.event().unwrap();
    ///     assert_eq!(value, Some(vec![3]));
    /// });
    /// ```
    #[must_use]
    pub fn watch(sync: u64, key: &str) -> Self {
        Self::new(RequestType::Watch, sync).text(keys::EVENT_KEY, key)
    }

    /// An UNWATCH of an event, which has no answer.
    #[must_use]
    pub fn unwatch(key: &str) -> Self {
        Self::new(RequestType::Unwatch, 0).text(keys::EVENT_KEY, key)
    }

    /// A request for the value that an event has now.
    #[must_use]
    pub fn watch_once(sync: u64, key: &str) -> Self {
        Self::new(RequestType::WatchOnce, sync).text(keys::EVENT_KEY, key)
    }

    /// The whole frame.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        self.header.write_with(&mut frame, self.request, |out| {
            if self.pairs > 0 {
                write_map_len(out, self.pairs);
                out.extend_from_slice(&self.body);
            }
        });
        frame
    }
}
