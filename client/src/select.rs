//! SELECT: a range of keys, all at once or page by page.

use std::collections::VecDeque;
use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::ops::{RangeFrom, RangeFull, RangeTo, RangeToInclusive};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use vestibule_wire::features::Feature;
use vestibule_wire::msgpack::{Reader, write_array_len};
use vestibule_wire::request::IteratorType;

use crate::error::{Error, ErrorKind, Outcome};
use crate::incoming::Reply;
use crate::limits::PAGE_SIZE_DEFAULT;
use crate::operation::{Action, Identifier, Operation, Selection, Start};
use crate::options::Retry;
use crate::pack;
use crate::request::{BoxFuture, Decode, Request, Route};

/// Which tuples of an index, and in which order.
///
/// A key may have fewer parts than the index: `KeyRange::eq(("a",))` are all tuples whose key
/// begins so. What is no list is a key of one part.
///
/// | range | the same as | order |
/// |---|---|---|
/// | `..` | [`all`](Self::all) | ascending |
/// | `key..` | [`ge`](Self::ge) | ascending |
/// | `..key` | [`lt`](Self::lt) | **descending**, from the key down |
/// | `..=key` | [`le`](Self::le) | **descending**, from the key down |
#[derive(Debug, Clone)]
pub struct KeyRange {
    iterator: IteratorType,
    key: Result<Vec<u8>, Error>,
}

impl KeyRange {
    /// Tuples by an iterator of the protocol and its key.
    #[must_use]
    pub fn new(iterator: IteratorType, key: impl Serialize) -> Self {
        Self {
            iterator,
            key: pack::parts(&key),
        }
    }

    /// All tuples, ascending.
    #[must_use]
    pub fn all() -> Self {
        Self::new(IteratorType::All, ())
    }

    /// Tuples with this key, ascending.
    #[must_use]
    pub fn eq(key: impl Serialize) -> Self {
        Self::new(IteratorType::Eq, key)
    }

    /// Tuples from this key on, ascending.
    #[must_use]
    pub fn ge(key: impl Serialize) -> Self {
        Self::new(IteratorType::Ge, key)
    }

    /// Tuples behind this key, ascending.
    #[must_use]
    pub fn gt(key: impl Serialize) -> Self {
        Self::new(IteratorType::Gt, key)
    }

    /// Tuples from this key down, descending.
    #[must_use]
    pub fn le(key: impl Serialize) -> Self {
        Self::new(IteratorType::Le, key)
    }

    /// Tuples before this key, descending.
    #[must_use]
    pub fn lt(key: impl Serialize) -> Self {
        Self::new(IteratorType::Lt, key)
    }
}

impl From<RangeFull> for KeyRange {
    fn from(_: RangeFull) -> Self {
        Self::all()
    }
}

impl<K: Serialize> From<RangeFrom<K>> for KeyRange {
    fn from(range: RangeFrom<K>) -> Self {
        Self::ge(range.start)
    }
}

impl<K: Serialize> From<RangeTo<K>> for KeyRange {
    fn from(range: RangeTo<K>) -> Self {
        Self::lt(range.end)
    }
}

impl<K: Serialize> From<RangeToInclusive<K>> for KeyRange {
    fn from(range: RangeToInclusive<K>) -> Self {
        Self::le(range.end)
    }
}

/// A SELECT, not sent yet: await it for all tuples at once, or take them page by page from
/// [`stream`](Self::stream).
#[must_use = "a request is sent when it is awaited"]
pub struct Select<T> {
    route: Route,
    space: Identifier,
    index: Identifier,
    range: KeyRange,
    limit: u64,
    offset: u64,
    page_size: usize,
    timeout: Option<Duration>,
    retry: Option<Retry>,
    tuple: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for Select<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select")
            .field("space", &self.space)
            .field("index", &self.index)
            .field("range", &self.range)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl<T: DeserializeOwned> Select<T> {
    pub(crate) fn new(route: Route, space: Identifier, index: Identifier, range: KeyRange) -> Self {
        Self {
            route,
            space,
            index,
            range,
            // What every server takes.
            limit: u32::MAX.into(),
            offset: 0,
            page_size: PAGE_SIZE_DEFAULT,
            timeout: None,
            retry: None,
            tuple: PhantomData,
        }
    }

    /// At most this number of tuples.
    pub fn limit(mut self, tuples: usize) -> Self {
        self.limit = (tuples as u64).min(u32::MAX.into());
        self
    }

    /// Without the first of them.
    pub fn offset(mut self, tuples: usize) -> Self {
        self.offset = tuples as u64;
        self
    }

    /// How many tuples a page of [`stream`](Self::stream) has; at least 1.
    pub fn batch(mut self, tuples: usize) -> Self {
        self.page_size = tuples.max(1);
        self
    }

    /// A time limit of its own: of a stream, for each page.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Repetitions of its own, if it surely did not run.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }

    fn request<R>(&self, selection: Result<Selection, Error>, decode: Decode<R>) -> Request<R> {
        let operation = selection.map(|selection| {
            let index = Some(self.index.clone());
            Operation::on(self.space.clone(), index, Action::Select(selection))
        });
        let mut request = Request::new(self.route.clone(), operation, decode);
        if let Some(timeout) = self.timeout {
            request = request.timeout(timeout);
        }
        if let Some(retry) = self.retry {
            request = request.retry(retry);
        }
        request
    }

    /// Tuples one by one, fetched page by page. Between pages others may change the data: a server
    /// with positions goes on behind the last tuple that was seen, whatever happened, and so does
    /// this client on an older server, if the index is a unique tree that is walked over from a key
    /// on; else it counts tuples, and changes before that place shift it.
    #[must_use]
    pub fn stream(self) -> TupleStream<T> {
        TupleStream {
            left: self.limit,
            skip: self.offset,
            select: self,
            paging: None,
            fetched: VecDeque::new(),
            is_over: false,
        }
    }
}

impl<T: DeserializeOwned + Send + 'static> IntoFuture for Select<T> {
    type Output = Result<Vec<T>, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let selection = self.range.key.clone().map(|key| Selection {
            limit: self.limit,
            offset: self.offset,
            iterator: self.range.iterator,
            key,
            fetch_position: false,
            start: Start::First,
        });
        self.request(selection, |reply| pack::data(&reply.frame()))
            .into_future()
    }
}

/// How the next page is found.
#[derive(Debug, Clone)]
enum Paging {
    /// By the position that the server gave with the last tuple.
    Position(Start),
    /// Behind the key of the last tuple, which has these fields.
    Key(Vec<u32>),
    /// By counting.
    Offset,
}

/// Tuples that are fetched page by page.
#[derive(Debug)]
pub struct TupleStream<T> {
    select: Select<T>,
    paging: Option<Paging>,
    fetched: VecDeque<T>,
    left: u64,
    skip: u64,
    is_over: bool,
}

impl<T: DeserializeOwned + Send + 'static> TupleStream<T> {
    /// The next tuple; `None` behind the last.
    ///
    /// # Errors
    ///
    /// A page cannot be fetched or decoded. The next call tries it again.
    pub async fn try_next(&mut self) -> Result<Option<T>, Error> {
        while self.fetched.is_empty() && !self.is_over {
            self.fetch().await?;
        }
        Ok(self.fetched.pop_front())
    }

    /// The tuples of the next page, at least one; `None` behind the last.
    ///
    /// # Errors
    ///
    /// As [`try_next`](Self::try_next).
    pub async fn try_next_page(&mut self) -> Result<Option<Vec<T>>, Error> {
        while self.fetched.is_empty() && !self.is_over {
            self.fetch().await?;
        }
        let page: Vec<T> = self.fetched.drain(..).collect();
        Ok((!page.is_empty()).then_some(page))
    }

    async fn fetch(&mut self) -> Result<(), Error> {
        let paging = match &self.paging {
            Some(paging) => paging.clone(),
            None => self.choose().await?,
        };
        let limit = self.left.min(self.select.page_size as u64);
        if limit == 0 {
            self.is_over = true;
            return Ok(());
        }
        let (fetch_position, start) = match &paging {
            Paging::Position(start) => (true, start.clone()),
            Paging::Key(_) | Paging::Offset => (false, Start::First),
        };
        let selection = self.select.range.key.clone().map(|key| Selection {
            limit,
            offset: self.skip,
            iterator: self.select.range.iterator,
            key,
            fetch_position,
            start,
        });
        let reply = self
            .select
            .request(selection, |reply| Ok(reply.clone()))
            .await?;
        let page = Page::<T>::read(&reply)?;
        let count = page.tuples.len() as u64;
        self.go_on(paging, &reply, count, page.last)?;
        self.left -= count.min(limit);
        self.is_over = count < limit || self.left == 0;
        self.fetched.extend(page.tuples);
        Ok(())
    }

    /// Where the next page begins.
    fn go_on(
        &mut self,
        paging: Paging,
        reply: &Reply,
        count: u64,
        last: Option<&[u8]>,
    ) -> Result<(), Error> {
        let next = match (paging, last) {
            (Paging::Position(_), Some(_)) => {
                let position = reply.frame().position().ok_or_else(no_position)?;
                self.skip = 0;
                Paging::Position(Start::Position(position.to_vec()))
            }
            (Paging::Key(fields), Some(tuple)) => {
                self.skip = 0;
                self.select.range = KeyRange {
                    iterator: behind(self.select.range.iterator),
                    key: Ok(key_of(tuple, &fields).ok_or_else(no_position)?),
                };
                Paging::Key(fields)
            }
            (Paging::Offset, _) => {
                self.skip += count;
                Paging::Offset
            }
            (paging, None) => paging,
        };
        self.paging = Some(next);
        Ok(())
    }

    async fn choose(&self) -> Result<Paging, Error> {
        let route = &self.select.route;
        let choice = async {
            let holder = route.holder().await?;
            let session = holder.0.wait_up().await?;
            if session.has(Feature::Pagination) {
                return Ok(Paging::Position(Start::First));
            }
            if !is_from_a_key_on(self.select.range.iterator) {
                return Ok(Paging::Offset);
            }
            let (space, index) = (&self.select.space, &self.select.index);
            let entry = holder.0.index_entry(space, index).await?;
            let fields = entry.fields.filter(|_| entry.is_ordered);
            Ok(fields.map_or(Paging::Offset, Paging::Key))
        };
        route.in_time(choice).await
    }
}

/// The tuples of a reply, and the last of them as it came.
struct Page<'a, T> {
    tuples: Vec<T>,
    last: Option<&'a [u8]>,
}

impl<'a, T: DeserializeOwned> Page<'a, T> {
    fn read(reply: &'a Reply) -> Result<Self, Error> {
        let mut reader = Reader::new(reply.frame().data().unwrap_or(&[0x90]));
        let count = reader.read_array_len().map_err(|_| no_position())?;
        // What a reply announces is no reason to take memory for it.
        let (mut tuples, mut last) = (Vec::new(), None);
        for _ in 0..count {
            let tuple = reader.skip().map_err(|_| no_position())?;
            tuples.push(pack::read(tuple)?);
            last = Some(tuple);
        }
        Ok(Self { tuples, last })
    }
}

fn no_position() -> Error {
    let text = "the reply does not say where the next page begins";
    Error::new(ErrorKind::Decode, Outcome::Unknown, text)
}

/// Whether a walk goes from a key on, so that it can go on behind another one.
fn is_from_a_key_on(iterator: IteratorType) -> bool {
    use IteratorType::{All, Ge, Gt, Le, Lt};
    matches!(iterator, All | Ge | Gt | Le | Lt)
}

/// The iterator that goes on behind a key, in the same direction.
fn behind(iterator: IteratorType) -> IteratorType {
    match iterator {
        IteratorType::Le | IteratorType::Lt => IteratorType::Lt,
        _ => IteratorType::Gt,
    }
}

/// The key of a tuple: these of its fields, as an array.
fn key_of(tuple: &[u8], fields: &[u32]) -> Option<Vec<u8>> {
    let mut reader = Reader::new(tuple);
    let count = reader.read_array_len().ok()?;
    let values: Vec<&[u8]> = (0..count)
        .map(|_| reader.skip().ok())
        .collect::<Option<_>>()?;
    let mut key = Vec::new();
    write_array_len(&mut key, fields.len() as u32);
    for field in fields {
        key.extend_from_slice(values.get(*field as usize)?);
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_iterators_with_keys() {
        let told = |range: KeyRange| (range.iterator, range.key.unwrap());
        assert_eq!(told((..).into()), (IteratorType::All, vec![0x90]));
        assert_eq!(told((18..).into()), (IteratorType::Ge, vec![0x91, 18]));
        assert_eq!(told((..18).into()), (IteratorType::Lt, vec![0x91, 18]));
        assert_eq!(told((..=18).into()), (IteratorType::Le, vec![0x91, 18]));
        assert_eq!(
            told(KeyRange::eq((1, 2))),
            (IteratorType::Eq, vec![0x92, 1, 2])
        );
    }

    #[test]
    fn the_key_of_a_tuple_has_the_fields_of_the_index() {
        let tuple = [0x93, 1, 0xa1, b'x', 3];
        assert_eq!(key_of(&tuple, &[2, 1]), Some(vec![0x92, 3, 0xa1, b'x']));
        assert_eq!(key_of(&tuple, &[3]), None);
        assert_eq!(key_of(&[0x92, 1], &[0]), None);
    }

    #[test]
    fn a_walk_goes_on_in_its_direction() {
        assert_eq!(behind(IteratorType::Le), IteratorType::Lt);
        assert_eq!(behind(IteratorType::All), IteratorType::Gt);
        assert!(!is_from_a_key_on(IteratorType::Eq));
    }
}
