//! The read view: sessions answer SELECT from the image, on their own threads.
//!
//! ```text
//!   session ─▶ first step ─┬ a key, a few tuples ─▶ under the read lock ─▶ Done
//!                          └ more ─▶ a version of the image, no lock ─▶ Done │ More: it is kept
//!              later steps ──▶ the version that is kept ─▶ More │ Done │ Changed: taken back
//! ```
//!
//! A turn is applied as a whole under the write lock, so no version has half of one. A version
//! costs Tx a copy of every node that it changes meanwhile, once; it is taken back if that becomes
//! too much. Rights are looked at when a scan begins.

use vestibule_actors::engine::{Caller, ReadView, Scan, ViewStep};
use vestibule_wire::request::Select;
use vestibule_wire::{Error, ErrorCode};

use crate::errors;
use crate::limits::{
    REPLY_SIZE_MAX, VIEW_LOCKED_TUPLES_MAX, VIEW_STEP_BYTES_MAX, VIEW_STEP_TUPLES_MAX,
};
use crate::model::key::{Key, KeyView};
use crate::model::tuple::Tuple;
use crate::query::scan::{KeyRange, Plan, check_iterator};
use crate::store::image::{Image, Space};
use crate::store::shared_image::{HalfApplied, SharedImage};
use crate::store::snapshot::MergedRange;
use crate::store::tree::Tree;
use crate::store::versions::Version;

/// A window on the image.
#[derive(Debug, Clone)]
pub(crate) struct ImageView(pub(crate) SharedImage);

/// What `Rows` of the wire package begins a body with; a body here is written in several steps.
const BODY_HEAD: [u8; 7] = [0x81, 0x30, 0xdd, 0, 0, 0, 0];
const COUNT_AT: usize = 3;
/// A map of two: the tuples, and a position.
const BODY_WITH_POSITION: u8 = 0x82;
const POSITION_KEY: u8 = 0x35;

impl ReadView for ImageView {
    fn select(
        &self,
        select: &Select<'_>,
        caller: &Caller,
        scan: &mut Scan,
        out: &mut Vec<u8>,
    ) -> Result<ViewStep, Error> {
        let kept = scan.held.as_ref().map(|held| held.downcast_ref());
        if let Some(version) = kept {
            let Some(image) = version.and_then(Version::image) else {
                return Ok(ViewStep::Changed);
            };
            return walk_version(&image, select, scan, out);
        }
        self.begin(select, caller, scan, out)
    }

    fn last_record(&self) -> Option<u64> {
        self.0.read_whole().ok().map(|image| image.sequence)
    }
}

impl ImageView {
    fn begin(
        &self,
        select: &Select<'_>,
        caller: &Caller,
        scan: &mut Scan,
        out: &mut Vec<u8>,
    ) -> Result<ViewStep, Error> {
        let image = {
            // Poisoned means that Tx died while it applied a turn: half of it may be visible.
            let image = self.0.read_whole().map_err(|HalfApplied| {
                Error::new(
                    ErrorCode::LOADING,
                    "Instance bootstrap hasn't finished yet: Tx restarts",
                )
            })?;
            check_iterator(select)?;
            let space = image.resolve(select.space);
            let found = space.as_ref().ok();
            let found = found.map(|space| (space.def.id, &*space.def.name));
            image.access.check_read(&caller.user, select.space, found)?;
            let space = space?;
            let plan = Plan::new(&space.def, select)?;
            if let KeyRange::Point(key) = &plan.range {
                answer_point(space, &plan, key, out);
                return Ok(ViewStep::Done);
            }
            if plan.offset.saturating_add(plan.limit) <= VIEW_LOCKED_TUPLES_MAX
                && walk(space, plan, scan, out)? == ViewStep::Done
            {
                return Ok(ViewStep::Done);
            }
            image.clone()
        };
        if scan.steps == 0 && walk_version(&image, select, scan, out)? == ViewStep::Done {
            return Ok(ViewStep::Done);
        }
        scan.held = Some(Box::new(self.0.keep(image)));
        Ok(ViewStep::More)
    }
}

/// One step of a SELECT over a version, which nobody changes.
fn walk_version(
    image: &Image,
    select: &Select<'_>,
    scan: &mut Scan,
    out: &mut Vec<u8>,
) -> Result<ViewStep, Error> {
    let space = image.resolve(select.space)?;
    let plan = Plan::new(&space.def, select)?;
    walk(space, plan, scan, out)
}

/// One step over a range.
fn walk(
    space: &Space,
    plan: Plan<'_>,
    scan: &mut Scan,
    out: &mut Vec<u8>,
) -> Result<ViewStep, Error> {
    let tree = tree(space, &plan);
    let step = Step {
        tree,
        plan,
        scan,
        out,
    };
    step.run()
}

fn tree<'a>(space: &'a Space, plan: &Plan<'_>) -> &'a Tree {
    space
        .tree(plan.index.id)
        .expect("the plan was made for this space")
}

fn answer_point(space: &Space, plan: &Plan<'_>, key: &Key, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&BODY_HEAD);
    if plan.offset > 0 || plan.limit == 0 {
        return;
    }
    if let Some(tuple) = tree(space, plan).get(key) {
        out[start + COUNT_AT + 3] = 1;
        out.extend_from_slice(tuple);
        write_position(plan, (key.view(), tuple), start, out);
    }
}

fn write_position(
    plan: &Plan<'_>,
    (key, tuple): (KeyView<'_>, &Tuple),
    start: usize,
    out: &mut Vec<u8>,
) {
    if plan.fetch_position {
        out[start] = BODY_WITH_POSITION;
        out.push(POSITION_KEY);
        vestibule_wire::msgpack::write_str_bytes(out, &plan.position_of(tuple, key));
    }
}

/// One step over a range.
struct Step<'a, 's> {
    tree: &'a Tree,
    plan: Plan<'a>,
    /// The scan's position is the last key that was looked at.
    scan: &'s mut Scan,
    out: &'s mut Vec<u8>,
}

impl Step<'_, '_> {
    fn run(mut self) -> Result<ViewStep, Error> {
        self.resume()?;
        let start = self.scan.body_start;
        let KeyRange::Bounded(range) = &self.plan.range else {
            return Ok(ViewStep::Done);
        };
        let limit = u32::try_from(self.plan.limit).unwrap_or(u32::MAX);
        let bytes_max = self.out.len() + VIEW_STEP_BYTES_MAX;
        let walk = MergedRange::over(self.tree, range.bounds(), range.is_reverse);
        let mut last: Option<(KeyView<'_>, &Tuple)> = None;
        for (looked_at, (key, tuple)) in walk.enumerate() {
            if self.scan.written >= limit {
                break;
            }
            if looked_at >= VIEW_STEP_TUPLES_MAX || self.out.len() >= bytes_max {
                return Ok(self.pause(last, start));
            }
            last = Some((key, tuple));
            if self.scan.skipped < self.plan.offset {
                self.scan.skipped += 1;
                continue;
            }
            if self.out.len() - start + tuple.len() > REPLY_SIZE_MAX {
                return Err(errors::reply_too_large(
                    self.out.len() - start + tuple.len(),
                ));
            }
            self.out.extend_from_slice(tuple);
            self.scan.written += 1;
        }
        self.finish(last, start);
        Ok(ViewStep::Done)
    }

    /// Begins the body, or goes on after the last step's key.
    fn resume(&mut self) -> Result<(), Error> {
        if self.scan.steps == 0 {
            self.scan.position.clear();
            self.out.extend_from_slice(&BODY_HEAD);
        } else if let KeyRange::Bounded(range) = &mut self.plan.range {
            range.start_after(Key::from_bytes(&self.scan.position))?;
        }
        Ok(())
    }

    fn pause(&mut self, last: Option<(KeyView<'_>, &Tuple)>, start: usize) -> ViewStep {
        self.write_count(start);
        self.scan.steps += 1;
        if let Some((key, _)) = last {
            self.scan.position.clear();
            key.write(&mut self.scan.position);
        }
        ViewStep::More
    }

    fn finish(&mut self, last: Option<(KeyView<'_>, &Tuple)>, start: usize) {
        self.write_count(start);
        if self.scan.written == 0 {
            return;
        }
        let earlier = Key::from_bytes(&self.scan.position);
        // A step that found nothing more ends with the tuple of the step before.
        let earlier = || Some((earlier.view(), self.tree.get(&earlier)?));
        if let Some(last) = last.or_else(earlier) {
            write_position(&self.plan, last, start, self.out);
        }
    }

    fn write_count(&mut self, start: usize) {
        let count = self.scan.written.to_be_bytes();
        self.out[start + COUNT_AT..start + COUNT_AT + 4].copy_from_slice(&count);
    }
}
