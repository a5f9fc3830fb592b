//! SELECT: from iterator and key to a range of keys.
//!
//! ```text
//!   key P (a prefix), its end S (the first key beyond all that begin with P)
//!
//!        LT      P        EQ         S      GT
//!   ─────────────┼───────────────────┼─────────────
//!        ◀─── LE ────────────────────┘
//!                └──────── GE, ALL ─────────────▶
//! ```
//!
//! NP and PP see the last part of the key, a string, as the beginning of a string: NP goes on from
//! the first one that does not begin like this, PP goes back from the last one before it.

use std::ops::Bound;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use vestibule_wire::Error;
use vestibule_wire::request::{After, IdOrName, IteratorType, Select};

use crate::errors::{self, parts as part_errors};
use crate::model::index::{IndexDef, IndexKind};
use crate::model::key::{Key, KeyView};
use crate::model::space::SpaceDef;

/// Names are looked up before a request is looked at, numbers after its iterator. As in Tarantool.
///
/// # Errors
///
/// `ErrorCode::ILLEGAL_PARAMS` for an iterator that does not exist, beside numbers that need not
/// lead anywhere.
#[inline]
pub(crate) fn check_iterator(select: &Select<'_>) -> Result<(), Error> {
    match (select.space, select.index) {
        (IdOrName::Id(_), IdOrName::Id(_)) => IteratorType::from_code(select.iterator).map(drop),
        _ => Ok(()),
    }
}

/// What a SELECT comes to.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) index: &'a IndexDef,
    pub(crate) range: KeyRange,
    pub(crate) offset: u64,
    pub(crate) limit: u64,
    pub(crate) fetch_position: bool,
}

/// Which keys are walked over.
#[derive(Debug)]
pub(crate) enum KeyRange {
    /// At most one tuple.
    Point(Key),
    /// Keys between two bounds.
    Bounded(DirectedRange),
}

impl KeyRange {
    /// The key that a walk starts at, if there is one.
    pub(crate) fn into_start(self) -> Option<Key> {
        match self {
            Self::Point(key) => Some(key),
            Self::Bounded(range) => range.into_start(),
        }
    }
}

/// Two bounds and a direction.
#[derive(Debug)]
pub(crate) struct DirectedRange {
    lower: Bound<Key>,
    upper: Bound<Key>,
    pub(crate) is_reverse: bool,
}

impl<'a> Plan<'a> {
    /// Reads a SELECT on this space.
    ///
    /// # Errors
    ///
    /// Those of the index's name (`ErrorCode::NO_SUCH_INDEX_NAME`), the iterator
    /// (`ErrorCode::ILLEGAL_PARAMS`), the index's number (`ErrorCode::NO_SUCH_INDEX_ID`), the key
    /// (`ErrorCode::KEY_PART_COUNT`, `ErrorCode::KEY_PART_TYPE`, `ErrorCode::PARTIAL_KEY`), what
    /// the index does not support (`ErrorCode::UNSUPPORTED_INDEX_FEATURE`), the position
    /// (`ErrorCode::ITERATOR_POSITION`), in this order.
    #[inline]
    pub(crate) fn new(space: &'a SpaceDef, select: &Select<'_>) -> Result<Self, Error> {
        if let IdOrName::Id(_) = select.index {
            IteratorType::from_code(select.iterator)?;
        }
        let index = space.index(select.index)?;
        let iterator = IteratorType::from_code(select.iterator)?;
        let given = index.partial_key(select.key, !is_open(iterator))?;
        if is_for_other_types(iterator) || index.kind == IndexKind::Hash {
            check_support(space, index, iterator, select)?;
        }
        if index.is_collated && is_by_prefix(iterator) {
            check_last_part(space, index, given.parts)?;
        }
        let is_whole = given.parts == index.parts.len() && index.is_unique && !given.has_null;
        let is_equal = matches!(iterator, IteratorType::Eq | IteratorType::Req);
        let range = if is_whole && is_equal && select.after == After::Start {
            KeyRange::Point(given.key)
        } else {
            let is_whole_hash = index.kind == IndexKind::Hash && iterator == IteratorType::All;
            let mut range = match iterator {
                IteratorType::NextPrefix if given.ends_in_text => {
                    DirectedRange::beyond(&given.key.without_end())
                }
                IteratorType::PreviousPrefix if given.ends_in_text => {
                    DirectedRange::ahead(given.key.without_end())
                }
                _ if is_whole_hash => DirectedRange::new(iterator, Key::from_bytes(&[])),
                _ => DirectedRange::new(iterator, given.key),
            };
            if select.after != After::Start {
                range.start_after(position(index, &select.after)?)?;
            }
            KeyRange::Bounded(range)
        };
        let Select {
            offset,
            limit,
            fetch_position,
            ..
        } = *select;
        Ok(Self {
            index,
            range,
            offset,
            limit,
            fetch_position,
        })
    }

    /// The position for clients of a tuple under a key of the index: this key, in base64.
    pub(crate) fn position_of(&self, tuple: &[u8], key: KeyView<'_>) -> Vec<u8> {
        let mut position = Vec::new();
        self.index
            .write_position(tuple, key, &mut position)
            .expect("a stored tuple passed its space's check");
        STANDARD_NO_PAD.encode(position).into_bytes()
    }
}

/// Iterators of the index types that are not here.
fn is_for_other_types(iterator: IteratorType) -> bool {
    use IteratorType::{BitsAllNotSet, BitsAllSet, BitsAnySet, Neighbor, Overlaps};
    matches!(
        iterator,
        BitsAllSet | BitsAnySet | BitsAllNotSet | Overlaps | Neighbor
    )
}

/// Iterators that see a string as the beginning of strings.
fn is_by_prefix(iterator: IteratorType) -> bool {
    matches!(
        iterator,
        IteratorType::NextPrefix | IteratorType::PreviousPrefix
    )
}

/// Checks that the last one of this number of parts has strings whose beginning can be told: what
/// orders texts by a collation cannot.
#[cold]
fn check_last_part(space: &SpaceDef, index: &IndexDef, parts: usize) -> Result<(), Error> {
    let last = parts.checked_sub(1).map(|last| &index.parts[last]);
    if last.is_some_and(|last| last.collation.is_some()) {
        let feature = "requested iterator type along with collation";
        return Err(errors::index_feature(
            &index.name,
            index.kind,
            &space.name,
            feature,
        ));
    }
    Ok(())
}

/// Whether any index walks like this without a key.
fn is_open(iterator: IteratorType) -> bool {
    matches!(iterator, IteratorType::All | IteratorType::Gt)
}

/// What only some indexes can do.
#[cold]
fn check_support(
    space: &SpaceDef,
    index: &IndexDef,
    iterator: IteratorType,
    select: &Select<'_>,
) -> Result<(), Error> {
    let unsupported = |feature| {
        Err(errors::index_feature(
            &index.name,
            index.kind,
            &space.name,
            feature,
        ))
    };
    let is_hash = index.kind == IndexKind::Hash;
    if is_for_other_types(iterator)
        || (is_hash && !is_open(iterator) && iterator != IteratorType::Eq)
    {
        return unsupported("requested iterator type");
    }
    if is_hash && (select.fetch_position || select.after != After::Start) {
        return unsupported("pagination");
    }
    Ok(())
}

/// The key that a client wants to go on after.
fn position(index: &IndexDef, after: &After<'_>) -> Result<Key, Error> {
    let invalid = errors::iterator_position;
    match after {
        After::Start => Ok(Key::from_bytes(&[])),
        // Which of its keys is meant is not said.
        After::Tuple(_) if index.is_multikey => Err(part_errors::position_of_multikey()),
        After::Tuple(tuple) => {
            let key = index.stored_key(tuple).map_err(|_| invalid())?;
            key.ok_or_else(invalid)
        }
        After::Position(position) => {
            let key = STANDARD_NO_PAD.decode(position).map_err(|_| invalid())?;
            index.read_key(&key).map_err(|_| invalid())
        }
    }
}

impl DirectedRange {
    fn new(iterator: IteratorType, key: Key) -> Self {
        let is_reverse = matches!(
            iterator,
            IteratorType::Req | IteratorType::Lt | IteratorType::Le | IteratorType::PreviousPrefix
        );
        if key.is_empty() {
            return Self {
                lower: Bound::Unbounded,
                upper: Bound::Unbounded,
                is_reverse,
            };
        }
        let until_beyond = |key: &Key| key.after_prefix().map_or(Bound::Unbounded, Bound::Excluded);
        let (lower, upper) = match iterator {
            IteratorType::Eq | IteratorType::Req => {
                let upper = until_beyond(&key);
                (Bound::Included(key), upper)
            }
            IteratorType::Lt | IteratorType::PreviousPrefix => return Self::ahead(key),
            IteratorType::Le => (Bound::Unbounded, until_beyond(&key)),
            IteratorType::Gt | IteratorType::NextPrefix => return Self::beyond(&key),
            _ => (Bound::Included(key), Bound::Unbounded),
        };
        Self {
            lower,
            upper,
            is_reverse,
        }
    }

    /// Everything before the keys that begin with this one, from the last one on.
    fn ahead(key: Key) -> Self {
        Self {
            lower: Bound::Unbounded,
            upper: Bound::Excluded(key),
            is_reverse: true,
        }
    }

    /// Everything beyond the keys that begin with this one.
    fn beyond(key: &Key) -> Self {
        let (lower, upper) = match key.after_prefix() {
            Some(beyond) => (Bound::Included(beyond), Bound::Unbounded),
            // Nothing is beyond the last prefix.
            None => (Bound::Included(key.clone()), Bound::Excluded(key.clone())),
        };
        Self {
            lower,
            upper,
            is_reverse: false,
        }
    }

    /// Leaves out what comes before this key and the key itself, in the range's direction.
    ///
    /// # Errors
    ///
    /// `ErrorCode::ITERATOR_POSITION` if the key is not inside the range.
    pub(crate) fn start_after(&mut self, key: Key) -> Result<(), Error> {
        use std::ops::RangeBounds;
        if !self.bounds().contains(&key) {
            return Err(errors::iterator_position());
        }
        if self.is_reverse {
            self.upper = Bound::Excluded(key);
        } else {
            self.lower = Bound::Excluded(key);
        }
        Ok(())
    }

    /// What of the range was seen by a walk that stopped at a key, or else at the end.
    pub(crate) fn seen(&self, until: Option<KeyView<'_>>) -> (Bound<Key>, Bound<Key>) {
        let (lower, upper) = (self.lower.clone(), self.upper.clone());
        match until.map(|key| Bound::Included(key.to_key())) {
            None => (lower, upper),
            Some(last) if self.is_reverse => (last, upper),
            Some(last) => (lower, last),
        }
    }

    pub(crate) fn is_everything(&self) -> bool {
        (&self.lower, &self.upper) == (&Bound::Unbounded, &Bound::Unbounded)
    }

    /// The key that it starts at, if there is one.
    fn into_start(self) -> Option<Key> {
        let start = match self.is_reverse {
            false => self.lower,
            true => self.upper,
        };
        match start {
            Bound::Included(key) | Bound::Excluded(key) => Some(key),
            Bound::Unbounded => None,
        }
    }

    pub(crate) fn bounds(&self) -> (Bound<&Key>, Bound<&Key>) {
        (self.lower.as_ref(), self.upper.as_ref())
    }
}
