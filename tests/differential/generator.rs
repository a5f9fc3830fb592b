//! The stream of requests: a few spaces at a time, each made, filled, asked, altered and dropped.
//!
//! ```text
//!   seed ─▶ generator ─▶ batch of requests ─▶ both servers
//!               ▲                                  │
//!               └── learn: what the reference did ◀┘
//! ```
//!
//! A space lives for some hundred requests under a number of its own, so that all that concerns it
//! can be told from the rest of the stream, and run again by itself.

use vestibule_wire::keys::{self, RequestType};

use crate::request::{Effect, KnownIndex, Request};
use crate::rng::Rng;
use crate::values::KINDS;
use crate::{data, definitions, junk};

/// Spaces that are alive at a time.
const SPACES: usize = 6;
/// Requests that a space lives for: at least this many, and at most twice as many.
const LIFE: usize = 150;
/// Fields of a tuple that have a type.
pub(crate) const FIELDS: usize = 5;

/// A space as the generator knows it.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) id: u32,
    pub(crate) name: String,
    /// What its fields mostly hold.
    pub(crate) kinds: Vec<&'static str>,
    /// From this field on, all may be null wherever they are told of, and no other one may in an
    /// index. Tarantool 2.6 crashes when an index is gone that kept tuples from being too short for
    /// another one.
    pub(crate) soft: usize,
    /// Names of its fields, if it has a format.
    pub(crate) names: Vec<String>,
    pub(crate) indexes: Vec<KnownIndex>,
    /// How many names were made up for it and its indexes.
    pub(crate) named: u32,
    /// A change of its definitions is on its way, so that this may not be what it is.
    pub(crate) is_unsettled: bool,
    left: usize,
}

impl Known {
    /// Whether the tuples may stand in no order.
    pub(crate) fn may_be_hash(&self) -> bool {
        let primary = self.indexes.iter().find(|index| index.id == 0);
        self.is_unsettled || primary.is_some_and(|primary| primary.is_hash)
    }
}

/// Makes requests.
#[derive(Debug)]
pub(crate) struct Generator {
    rng: Rng,
    spaces: Vec<Known>,
    /// Their drop is on its way.
    leaving: Vec<u32>,
    /// Looks at definitions, to be first in the next batch.
    looks: Vec<Request>,
    next_id: u32,
}

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            spaces: Vec::new(),
            leaving: Vec::new(),
            looks: Vec::new(),
            next_id: 600,
        }
    }

    /// About `size` requests, to be sent before any reply is read.
    pub(crate) fn batch(&mut self, size: usize) -> Vec<Request> {
        let mut batch = std::mem::take(&mut self.looks);
        let leaving = std::mem::take(&mut self.leaving);
        self.spaces.retain(|own| !leaving.contains(&own.id));
        self.spaces
            .iter_mut()
            .for_each(|own| own.is_unsettled = false);
        // What is made in this batch is known only once it is answered.
        let settled = self.spaces.len();
        while self.spaces.len() < SPACES {
            let space = self.new_space();
            batch.extend(definitions::set_up(&mut self.rng, &space));
            self.spaces.push(space);
        }
        while batch.len() < size && settled > 0 {
            let at = self.rng.below(settled);
            let (rng, space) = (&mut self.rng, &mut self.spaces[at]);
            if space.indexes.is_empty() {
                // Its making failed: a few errors are enough.
                space.left = space.left.min(5);
            }
            let request = if space.left == 0 {
                self.leaving.push(space.id);
                definitions::drop_space(space)
            } else {
                space.left -= 1;
                request(rng, space)
            };
            let is_upsert = request.is_upsert();
            let is_hash = space.may_be_hash();
            let id = space.id;
            if definitions::is_look(&request) {
                // The catalog answers without waiting for what is under way on its connection.
                self.looks.push(request);
                continue;
            }
            batch.push(request);
            if is_upsert {
                batch.push(data::probe(id, is_hash));
            }
        }
        batch
    }

    fn new_space(&mut self) -> Known {
        self.next_id += 1;
        let id = self.next_id;
        let rng = &mut self.rng;
        Known {
            id,
            name: format!("s{id}"),
            kinds: (0..FIELDS).map(|_| rng.of(&KINDS)).collect(),
            soft: FIELDS - rng.below(3),
            names: Vec::new(),
            indexes: Vec::new(),
            named: 0,
            is_unsettled: false,
            left: LIFE + rng.below(LIFE),
        }
    }

    /// The reference has executed a request of an earlier batch.
    pub(crate) fn learn(&mut self, request: &Request) {
        let found = self
            .spaces
            .iter_mut()
            .find(|own| Some(own.id) == request.space);
        let (Some(space), Some(effect)) = (found, request.effect.clone()) else {
            return;
        };
        match effect {
            Effect::Index(index) => {
                space.indexes.retain(|own| own.id != index.id);
                space.indexes.push(index);
            }
            Effect::NoIndex(id) => space.indexes.retain(|own| own.id != id),
            Effect::IndexName(id, name) => {
                let found = space.indexes.iter_mut().find(|own| own.id == id);
                found.into_iter().for_each(|own| own.name.clone_from(&name));
            }
            Effect::SpaceName(name) => space.name = name,
            Effect::Format(names) => space.names = names,
            Effect::Gone => {
                let id = space.id;
                self.forget(id);
            }
        }
    }

    pub(crate) fn knows(&self, id: u32) -> bool {
        self.spaces.iter().any(|own| own.id == id)
    }

    /// A space is gone.
    pub(crate) fn forget(&mut self, id: u32) {
        self.spaces.retain(|own| own.id != id);
    }
}

fn request(rng: &mut Rng, space: &mut Known) -> Request {
    type Maker = fn(&mut Rng, &mut Known) -> Request;
    let choices: [(u32, Maker); 12] = [
        (18, |rng, space| {
            data::store(rng, space, RequestType::Insert)
        }),
        (12, |rng, space| {
            data::store(rng, space, RequestType::Replace)
        }),
        (20, data::select),
        (14, data::update),
        (10, data::upsert),
        (6, data::delete),
        (6, data::call),
        (4, definitions::by_call),
        (3, definitions::by_write),
        (2, definitions::look),
        (2, junk::odd),
        (3, |rng, space| {
            let makers: [Maker; 5] = [
                |rng, space| data::store(rng, space, RequestType::Insert),
                data::select,
                data::update,
                data::upsert,
                data::delete,
            ];
            let good = rng.of(&makers)(rng, space);
            // Without its index, it is about the primary one.
            let is_hash = good.is_hash || space.may_be_hash();
            junk::spoiled(rng, good).of_hash(is_hash)
        }),
    ];
    let is_hash = space.may_be_hash();
    let mut made = rng.weighed(&choices)(rng, space);
    if made.defines() && space.is_unsettled {
        // What comes of two at a time is not easily known.
        made = data::select(rng, space);
    }
    if made.defines() {
        space.is_unsettled = true;
        made.is_hash = is_hash;
    }
    if rng.percent(1) {
        return junk::of_another_schema(rng, made);
    }
    made
}

/// Removes a space from both servers, whatever it is called and however far it came.
pub(crate) fn removal(id: u32) -> Vec<Request> {
    let delete = |space: u64, key: &[u64]| {
        let mut bytes = vec![0x90 | key.len() as u8];
        for part in key {
            vestibule_wire::msgpack::write_uint(&mut bytes, *part);
        }
        Request::new(RequestType::Delete)
            .uint(keys::SPACE_ID, space)
            .raw(keys::KEY, bytes)
    };
    let id = u64::from(id);
    let indexes = (0..definitions::INDEX_ID_END).rev();
    let indexes = indexes.map(|index| delete(definitions::INDEX, &[id, u64::from(index)]));
    let rest = [definitions::TRUNCATE, definitions::SPACE];
    indexes
        .chain(rest.map(|space| delete(space, &[id])))
        .collect()
}
