//! A sequence of runs that is cut, filled and emptied at any place, in steps that grow with the
//! root of their number and not with it: thousands of operations on one value stay cheap together.
//!
//! ```text
//!   chunks   [ 7 │ 2 │ 1 ]  [ 40 │ 1 ]  [ 3 ]        sizes 10, 41, 3: place 52 is the second one
//!             └ a run of 7 places                    of the last chunk's only run
//! ```

use super::steps;

/// Runs of a chunk before it becomes two.
const CHUNK_RUNS_MAX: usize = 128;

/// A number of places in a row that are kept as one.
pub(super) trait Run {
    /// How many places, never zero.
    fn size(&self) -> usize;

    /// Keeps the first places and returns the rest.
    fn cut(&mut self, keep: usize) -> Self;
}

/// Runs in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Runs<T> {
    chunks: Vec<Chunk<T>>,
    size: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Chunk<T> {
    /// Places of all its runs, of which there is one at least.
    size: usize,
    runs: Vec<T>,
}

/// Where a run stands: its chunk, and its number there.
type RunPlace = (usize, usize);

impl<T: Run> Runs<T> {
    pub(super) fn new() -> Self {
        Self {
            chunks: Vec::new(),
            size: 0,
        }
    }

    /// How many places there are.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Every run, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| &chunk.runs)
    }

    /// The run that begins at this place, which is cut off from what stands before and after it: it
    /// has one place.
    pub(super) fn only(&mut self, place: usize) -> &mut T {
        self.split(place + 1);
        let (chunk, at) = self.split(place);
        &mut self.chunks[chunk].runs[at]
    }

    /// Puts a run before this place, or behind the last one.
    pub(super) fn insert(&mut self, place: usize, run: T) {
        let size = run.size();
        let (chunk, at) = match self.split(place) {
            (chunk, at) if chunk < self.chunks.len() => (chunk, at),
            _ => match self.chunks.last() {
                Some(last) => (self.chunks.len() - 1, last.runs.len()),
                None => {
                    self.chunks.push(Chunk {
                        size: 0,
                        runs: Vec::new(),
                    });
                    (0, 0)
                }
            },
        };
        self.chunks[chunk].runs.insert(at, run);
        self.chunks[chunk].size += size;
        self.size += size;
        self.halve_if_full(chunk);
    }

    /// Removes places, all of which must be there.
    pub(super) fn remove(&mut self, place: usize, count: usize) {
        self.split(place + count);
        // This may move what the end is at.
        let first = self.split(place);
        let end = self.split(place + count);
        if first == end {
            return;
        }
        let take = |chunk: &mut Chunk<T>, range: std::ops::Range<usize>| {
            let taken: usize = chunk.runs.drain(range).map(|run| run.size()).sum();
            chunk.size -= taken;
        };
        if first.0 == end.0 {
            take(&mut self.chunks[first.0], first.1..end.1);
        } else {
            if let Some(last) = self.chunks.get_mut(end.0) {
                take(last, 0..end.1);
            }
            let own = &mut self.chunks[first.0];
            let all = own.runs.len();
            take(own, first.1..all);
            self.chunks.drain(first.0 + 1..end.0);
        }
        self.size -= count;
        self.chunks.retain(|chunk| !chunk.runs.is_empty());
    }

    /// Where the run begins that starts with this place, which one is cut in two for if need be;
    /// the end is the first run of a chunk that is not there.
    fn split(&mut self, place: usize) -> RunPlace {
        let (mut start, mut chunk) = (0, 0);
        while let Some(own) = self.chunks.get(chunk)
            && start + own.size <= place
        {
            start += own.size;
            chunk += 1;
        }
        steps::take(chunk as u64);
        let Some(own) = self.chunks.get_mut(chunk) else {
            return (chunk, 0);
        };
        for at in 0..own.runs.len() {
            if start == place {
                steps::take(at as u64);
                return (chunk, at);
            }
            let size = own.runs[at].size();
            if place < start + size {
                let right = own.runs[at].cut(place - start);
                own.runs.insert(at + 1, right);
                steps::take(own.runs.len() as u64);
                return match self.halve_if_full(chunk) {
                    Some(half) if at + 1 >= half => (chunk + 1, at + 1 - half),
                    _ => (chunk, at + 1),
                };
            }
            start += size;
        }
        unreachable!("the place lies within the chunk")
    }

    /// Makes two of a chunk that has become too long, and tells how many runs the first one keeps.
    fn halve_if_full(&mut self, chunk: usize) -> Option<usize> {
        let own = &mut self.chunks[chunk];
        if own.runs.len() <= CHUNK_RUNS_MAX {
            return None;
        }
        let half = own.runs.len() / 2;
        let runs = own.runs.split_off(half);
        let size = runs.iter().map(Run::size).sum();
        own.size -= size;
        self.chunks.insert(chunk + 1, Chunk { size, runs });
        Some(half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Letters of one kind, in order.
    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Letters(Vec<u32>);

    impl Run for Letters {
        fn size(&self) -> usize {
            self.0.len()
        }

        fn cut(&mut self, keep: usize) -> Self {
            Self(self.0.split_off(keep))
        }
    }

    proptest! {
        #[test]
        fn runs_are_a_list_of_their_places(
            steps in prop::collection::vec(
                (0..3u8, any::<prop::sample::Index>(), 1..40usize),
                0..600,
            ),
        ) {
            let (mut runs, mut list, mut next) = (Runs::new(), Vec::new(), 0..);
            for (kind, place, count) in steps {
                let at = place.index(list.len() + 1);
                let rest = list.len() - at;
                match kind {
                    0 => {
                        let new: Vec<u32> = next.by_ref().take(count).collect();
                        list.splice(at..at, new.clone());
                        runs.insert(at, Letters(new));
                    }
                    1 => {
                        let count = count.min(rest);
                        list.drain(at..at + count);
                        runs.remove(at, count);
                    }
                    _ if rest > 0 => {
                        let run = runs.only(at);
                        prop_assert_eq!(&run.0, &list[at..=at]);
                        list[at] = next.next().unwrap();
                        run.0[0] = list[at];
                    }
                    _ => {}
                }
                prop_assert_eq!(runs.size(), list.len());
            }
            let all: Vec<u32> = runs.iter().flat_map(|run| run.0.clone()).collect();
            prop_assert_eq!(all, list);
        }
    }
}
