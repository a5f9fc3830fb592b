//! Rows in the order of their keys, under layers of changes, and SELECT on them.

use std::iter::Peekable;
use std::ops::Bound;

use vestibule_wire::reply::Rows;
use vestibule_wire::request::{After, IteratorType, Select};
use vestibule_wire::{Error, ErrorCode};

use super::{Changes, Key, KeyDef, Tuple, TupleTable};
use crate::engine::body::ReplyBody;
use crate::engine::view::{Scan, ViewStep};

/// Rows that one step looks at.
pub const STEP_ROWS_MAX: usize = 1000;

/// Rows as they are seen under layers of changes: what a turn has changed, and above that what one
/// transaction has.
#[derive(Debug, Clone)]
pub struct OrderedRows<'a> {
    base: &'a TupleTable,
    /// From the lowest up.
    layers: Vec<&'a Changes>,
}

/// What a layer says of some rows, in one direction.
type Layer<'a> = Box<dyn Iterator<Item = (&'a Key, Option<&'a Tuple>)> + 'a>;

impl<'a> OrderedRows<'a> {
    /// Rows without changes.
    #[must_use]
    pub fn of(base: &'a TupleTable) -> Self {
        Self {
            base,
            layers: Vec::new(),
        }
    }

    /// The same under another layer, which hides what is below it.
    #[must_use]
    pub fn under(mut self, changes: &'a Changes) -> Self {
        self.layers.push(changes);
        self
    }

    /// The row of a whole key.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&'a Tuple> {
        let mut layers = self.layers.iter().rev();
        match layers.find_map(|layer| layer.get(key)) {
            Some(changed) => changed.as_ref(),
            None => self.base.get(key),
        }
    }

    /// The rows that an iterator meets for a key or the beginning of one, in its order.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UNSUPPORTED`] for iterators of other kinds of indexes.
    pub fn scan(
        &self,
        iterator: IteratorType,
        key: &Key,
    ) -> Result<impl Iterator<Item = &'a Tuple> + use<'a>, Error> {
        let range = Range::of(iterator, key)?;
        Ok(self.walk(range).map(|(_, tuple)| tuple))
    }

    /// Answers a SELECT by this key: writes the whole body of a reply.
    ///
    /// # Errors
    ///
    /// Those of [`KeyDef::read`]; [`ErrorCode::ILLEGAL_PARAMS`] for an iterator that does not
    /// exist, [`ErrorCode::UNSUPPORTED`] for one of other kinds of indexes, and
    /// [`ErrorCode::ITERATOR_POSITION`] for a position that is none of the rows'.
    pub fn select(
        &self,
        def: &KeyDef,
        select: &Select<'_>,
        body: &mut ReplyBody<'_>,
    ) -> Result<(), Error> {
        let mut scan = Scan::default();
        while self.step(def, select, &mut scan, body)? == ViewStep::More {}
        Ok(())
    }

    /// The same in steps of at most [`STEP_ROWS_MAX`] rows, as a
    /// [`ReadView`](crate::engine::ReadView) takes them. The rows have to be those that the first
    /// step saw: keep them in [`Scan::held`], or return [`ViewStep::Changed`].
    ///
    /// # Errors
    ///
    /// Those of [`select`](Self::select).
    pub fn step(
        &self,
        def: &KeyDef,
        select: &Select<'_>,
        scan: &mut Scan,
        body: &mut ReplyBody<'_>,
    ) -> Result<ViewStep, Error> {
        let iterator = IteratorType::from_code(select.iterator)?;
        let mut range = Range::of(iterator, &def.read(select.key)?)?;
        let mut rows = if scan.steps == 0 {
            if let Some(after) = after(def, select)? {
                range.go_on_after(after)?;
            }
            Rows::begin(body)
        } else {
            range.go_on_after(def.read(&scan.position)?)?;
            Rows::resume(body, 0, scan.written)
        };
        scan.steps += 1;
        let mut last = None;
        for (looked_at, (key, tuple)) in self.walk(range).enumerate() {
            if u64::from(rows.count()) >= select.limit {
                break;
            }
            if looked_at == STEP_ROWS_MAX {
                scan.written = rows.count();
                scan.position = last.map_or_else(Vec::new, Key::to_msgpack);
                return Ok(ViewStep::More);
            }
            last = Some(key);
            if scan.skipped < select.offset {
                scan.skipped += 1;
                continue;
            }
            rows.push_shared(tuple);
        }
        let has_position = select.fetch_position && rows.count() > 0;
        // A step that found nothing more ends with the row of the step before.
        let position = || last.map_or_else(|| scan.position.clone(), Key::to_msgpack);
        rows.finish(has_position.then(position).as_deref());
        Ok(ViewStep::Done)
    }

    fn walk(&self, range: Range) -> Merged<'a> {
        let Range { bounds, is_reverse } = range;
        let base = self.base.range(bounds.clone());
        let base = directed(base.map(|(key, tuple)| (key, Some(tuple))), is_reverse);
        let layers = self.layers.iter().map(|layer| {
            let layer: &'a Changes = layer;
            let changes = layer.range(bounds.clone());
            directed(changes.map(|(key, own)| (key, own.as_ref())), is_reverse)
        });
        Merged {
            layers: std::iter::once(base)
                .chain(layers)
                .map(Iterator::peekable)
                .collect(),
            is_reverse,
        }
    }
}

fn directed<'a>(
    rows: impl DoubleEndedIterator<Item = (&'a Key, Option<&'a Tuple>)> + 'a,
    is_reverse: bool,
) -> Layer<'a> {
    if is_reverse {
        Box::new(rows.rev())
    } else {
        Box::new(rows)
    }
}

/// Where to go on from, if the request says so.
fn after(def: &KeyDef, select: &Select<'_>) -> Result<Option<Key>, Error> {
    match select.after {
        After::Start => Ok(None),
        After::Position(position) => def.read_whole(position).map(Some).map_err(|_| invalid()),
        After::Tuple(tuple) => def.of(tuple).map(Some),
    }
}

/// Tells that a request goes on from nowhere.
#[cold]
fn invalid() -> Error {
    Error::new(ErrorCode::ITERATOR_POSITION, "Iterator position is invalid")
}

/// The rows that an iterator meets.
#[derive(Debug, Clone)]
struct Range {
    bounds: (Bound<Key>, Bound<Key>),
    is_reverse: bool,
}

impl Range {
    fn of(iterator: IteratorType, key: &Key) -> Result<Self, Error> {
        use Bound::{Excluded, Included, Unbounded};
        let whole = (Included(key.clone()), Excluded(key.end()));
        let (bounds, is_reverse) = match iterator {
            IteratorType::Eq => (whole, false),
            IteratorType::Req => (whole, true),
            IteratorType::Ge | IteratorType::All => ((whole.0, Unbounded), false),
            // Without a key there is nothing that the rows could be beyond.
            IteratorType::Gt if key.is_empty() => ((Unbounded, Unbounded), false),
            IteratorType::Gt => ((Included(key.end()), Unbounded), false),
            IteratorType::Le => ((Unbounded, whole.1), true),
            IteratorType::Lt if key.is_empty() => ((Unbounded, Unbounded), true),
            IteratorType::Lt => ((Unbounded, Excluded(key.clone())), true),
            _ => {
                let text = "this type of iterator";
                return Err(Error::unsupported("An ordered index", text));
            }
        };
        Ok(Self { bounds, is_reverse })
    }

    /// Leaves out the rows up to this one.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::ITERATOR_POSITION`] if it is not among the rows that the iterator meets.
    fn go_on_after(&mut self, last: Key) -> Result<(), Error> {
        use std::ops::RangeBounds as _;
        if !self.bounds.contains(&last) {
            return Err(invalid());
        }
        if self.is_reverse {
            self.bounds.1 = Bound::Excluded(last);
        } else {
            self.bounds.0 = Bound::Excluded(last);
        }
        Ok(())
    }
}

/// Layers walked through together: of one row the uppermost that knows it tells.
struct Merged<'a> {
    layers: Vec<Peekable<Layer<'a>>>,
    is_reverse: bool,
}

impl<'a> Iterator for Merged<'a> {
    type Item = (&'a Key, &'a Tuple);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let is_reverse = self.is_reverse;
            let order = |one: &Key, other: &Key| match is_reverse {
                true => other.cmp(one),
                false => one.cmp(other),
            };
            let heads = self.layers.iter_mut().filter_map(|own| own.peek());
            let next = heads.map(|(key, _)| *key).min_by(|a, b| order(a, b))?;
            let mut told = None;
            for layer in &mut self.layers {
                let is_next = |(key, _): &(&Key, _)| *key == next;
                if let Some((_, tuple)) = layer.next_if(is_next) {
                    told = tuple;
                }
            }
            if let Some(tuple) = told {
                return Some((next, tuple));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use vestibule_wire::request::IdOrName;

    use super::*;
    use crate::engine::tuples::to_tuple;

    fn def() -> KeyDef {
        KeyDef::new(&[(0, "unsigned"), (1, "unsigned")])
    }

    fn table(rows: &[(u64, u64)]) -> TupleTable {
        let row = |row: &(u64, u64)| {
            let tuple = to_tuple(row).unwrap();
            (def().of(&tuple).unwrap(), tuple)
        };
        rows.iter().map(row).collect()
    }

    fn select(iterator: IteratorType, key: &[u8]) -> Select<'_> {
        Select {
            space: IdOrName::Id(512),
            index: IdOrName::Id(0),
            limit: u64::MAX,
            offset: 0,
            iterator: iterator as u64,
            key,
            fetch_position: false,
            after: After::Start,
        }
    }

    fn rows_of(body: &[u8]) -> Vec<(u64, u64)> {
        rmp_serde::from_slice(&body[2..]).unwrap()
    }

    #[test]
    fn every_iterator_meets_its_rows_in_its_order() {
        let table = table(&[(1, 1), (1, 2), (2, 1), (3, 1)]);
        let scan = |iterator, key: &[u8]| -> Vec<(u64, u64)> {
            let mut out = Vec::new();
            let request = select(iterator, key);
            let rows = OrderedRows::of(&table);
            rows.select(&def(), &request, &mut ReplyBody::in_buffer(&mut out))
                .unwrap();
            rows_of(&out)
        };
        use IteratorType::{All, Eq, Ge, Gt, Le, Lt, Req};
        let all = [(1, 1), (1, 2), (2, 1), (3, 1)];
        let reversed = [(3, 1), (2, 1), (1, 2), (1, 1)];
        for iterator in [All, Eq, Ge, Gt] {
            assert_eq!(scan(iterator, &[0x90]), all);
        }
        for iterator in [Req, Le, Lt] {
            assert_eq!(scan(iterator, &[0x90]), reversed);
        }
        let one = &[0x91, 1];
        assert_eq!(scan(Eq, one), [(1, 1), (1, 2)]);
        assert_eq!(scan(Req, one), [(1, 2), (1, 1)]);
        assert_eq!(scan(Ge, one), all);
        assert_eq!(scan(Gt, one), [(2, 1), (3, 1)]);
        assert_eq!(scan(Le, one), [(1, 2), (1, 1)]);
        assert_eq!(scan(Lt, one), []);
        assert_eq!(scan(Lt, &[0x92, 2, 1]), [(1, 2), (1, 1)]);
        let refused = OrderedRows::of(&table).select(
            &def(),
            &select(IteratorType::Overlaps, one),
            &mut ReplyBody::in_buffer(&mut Vec::new()),
        );
        assert_eq!(refused.unwrap_err().code(), ErrorCode::UNSUPPORTED);
    }

    #[test]
    fn the_uppermost_layer_that_knows_a_row_tells() {
        let base = table(&[(1, 1), (2, 2), (3, 3)]);
        let key = |row: (u64, u64)| def().of(&to_tuple(&row).unwrap()).unwrap();
        let wide = |row: (u64, u64)| Some(to_tuple(&(row.0, row.1, "new")).unwrap());
        let turn = Changes::from([(key((1, 1)), None), (key((4, 4)), wide((4, 4)))]);
        let own = Changes::from([(key((1, 1)), wide((1, 1))), (key((4, 4)), None)]);
        let rows = OrderedRows::of(&base).under(&turn);
        let count = |rows: &OrderedRows<'_>, iterator| {
            let empty = def().read(&[0x90]).unwrap();
            rows.scan(iterator, &empty).unwrap().count()
        };
        assert_eq!(count(&rows, IteratorType::All), 3);
        assert_eq!(rows.get(&key((1, 1))), None);
        assert!(rows.get(&key((4, 4))).is_some());
        let rows = rows.under(&own);
        for iterator in [IteratorType::All, IteratorType::Req] {
            assert_eq!(count(&rows, iterator), 3);
        }
        assert_eq!(rows.get(&key((1, 1))), wide((1, 1)).as_ref());
        assert_eq!(rows.get(&key((4, 4))), None);
    }

    #[test]
    fn a_select_is_paged_by_offset_limit_and_position_and_goes_in_steps() {
        let many: Vec<_> = (0..3 * STEP_ROWS_MAX as u64)
            .map(|own| (own, own))
            .collect();
        let table = table(&many);
        let rows = OrderedRows::of(&table);
        let mut request = select(IteratorType::Ge, &[0x90]);
        (request.offset, request.limit) = (10, 2 * STEP_ROWS_MAX as u64);
        let (mut out, mut scan) = (Vec::new(), Scan::default());
        let mut body = ReplyBody::in_buffer(&mut out);
        let mut steps = 0;
        while rows.step(&def(), &request, &mut scan, &mut body).unwrap() == ViewStep::More {
            steps += 1;
        }
        assert_eq!(steps, 2);
        assert_eq!(rows_of(&out), many[10..][..2 * STEP_ROWS_MAX]);
        // Backward, a page of two after the row 7.
        let (key, last) = ([0x90], [0x92, 7, 7]);
        for after in [After::Tuple(&last), After::Position(&last)] {
            let mut request = select(IteratorType::Le, &key);
            (request.limit, request.fetch_position, request.after) = (2, true, after);
            let mut out = Vec::new();
            rows.select(&def(), &request, &mut ReplyBody::in_buffer(&mut out))
                .unwrap();
            assert_eq!(rows_of(&out), [(6, 6), (5, 5)]);
            assert!(out.ends_with(&[0x92, 5, 5]), "the next page goes on there");
        }
    }

    #[test]
    fn a_position_is_that_of_one_of_the_rows() {
        let table = table(&[(1, 1), (1, 2), (2, 1)]);
        let page = |after| {
            let mut request = select(IteratorType::Eq, &[0x91, 1]);
            request.after = after;
            let mut out = Vec::new();
            let rows = OrderedRows::of(&table);
            let done = rows.select(&def(), &request, &mut ReplyBody::in_buffer(&mut out));
            done.map(|()| rows_of(&out))
        };
        assert_eq!(page(After::Position(&[0x92, 1, 1])), Ok(vec![(1, 2)]));
        for wrong in [&[0x91, 1][..], &[0x92, 2, 1], b"?"] {
            let told = page(After::Position(wrong)).unwrap_err();
            assert_eq!(told.to_string(), "Iterator position is invalid (error 247)");
        }
        let told = page(After::Tuple(&[0x92, 2, 1])).unwrap_err();
        assert_eq!(told.code(), ErrorCode::ITERATOR_POSITION);
    }
}
