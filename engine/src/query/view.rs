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

use std::{array, iter};

use vestibule_actors::engine::{Caller, ReadView, ReplyBody, Scan, ViewStep};
use vestibule_wire::reply::Rows;
use vestibule_wire::request::Select;
use vestibule_wire::{Error, ErrorCode};

use crate::errors;
use crate::limits::{
    LOOK_UPS_TOGETHER_MAX, LOOK_UPS_TOGETHER_TUPLES_MIN, REPLY_SIZE_MAX, VIEW_LOCKED_TUPLES_MAX,
    VIEW_STEP_BYTES_MAX, VIEW_STEP_TUPLES_MAX,
};
use crate::model::key::Key;
use crate::query::scan::{KeyRange, Plan, check_iterator};
use crate::store::image::{Image, Space};
use crate::store::shared_image::{HalfApplied, SharedImage};
use crate::store::tree::{Together, Tree, TuplePlace};
use crate::store::versions::Version;

/// A window on the image.
#[derive(Debug, Clone)]
pub(crate) struct ImageView(pub(crate) SharedImage);

impl ReadView for ImageView {
    fn select(
        &self,
        select: &Select<'_>,
        caller: &Caller,
        scan: &mut Scan,
        body: &mut ReplyBody<'_>,
    ) -> Result<ViewStep, Error> {
        let kept = scan.held.as_ref().map(|held| held.downcast_ref());
        if let Some(version) = kept {
            let Some(image) = version.and_then(Version::image) else {
                return Ok(ViewStep::Changed);
            };
            return walk_version(&image, select, scan, body);
        }
        self.begin(select, caller, scan, body)
    }

    fn foresee(&self, selects: &mut dyn Iterator<Item = Select<'_>>) -> bool {
        self.look_up_together(selects, LOOK_UPS_TOGETHER_TUPLES_MIN) > 0
    }

    fn last_record(&self) -> Option<u64> {
        self.0.read_whole().ok().map(|image| image.sequence)
    }
}

impl ImageView {
    /// Goes down to where those SELECTs begin that read an index of `tuples_min` tuples or more,
    /// all at once, if they are several; tells how many found the key that they begin at.
    pub(crate) fn look_up_together(
        &self,
        selects: &mut dyn Iterator<Item = Select<'_>>,
        tuples_min: usize,
    ) -> usize {
        // Decoded before the image is locked.
        let mut selects = selects.fuse();
        let selects: [_; LOOK_UPS_TOGETHER_MAX] = array::from_fn(|_| selects.next());
        let Ok(image) = self.0.read_whole() else {
            return 0;
        };
        let mut together = Together::default();
        for (looked_at, select) in selects.iter().flatten().enumerate() {
            if let Some((tree, key)) = start_of(&image, select, tuples_min) {
                together.add(tree, key);
            } else if looked_at == 0 {
                // Those that follow are most often of the same space.
                return 0;
            }
        }
        if together.len() < 2 {
            return 0;
        }
        together.go()
    }

    fn begin(
        &self,
        select: &Select<'_>,
        caller: &Caller,
        scan: &mut Scan,
        body: &mut ReplyBody<'_>,
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
                answer_point(space, &plan, key, body);
                return Ok(ViewStep::Done);
            }
            if plan.offset.saturating_add(plan.limit) <= VIEW_LOCKED_TUPLES_MAX
                && walk(space, plan, scan, body)? == ViewStep::Done
            {
                return Ok(ViewStep::Done);
            }
            image.clone()
        };
        if scan.steps == 0 && walk_version(&image, select, scan, body)? == ViewStep::Done {
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
    body: &mut ReplyBody<'_>,
) -> Result<ViewStep, Error> {
    let space = image.resolve(select.space)?;
    let plan = Plan::new(&space.def, select)?;
    walk(space, plan, scan, body)
}

/// One step over a range.
fn walk(
    space: &Space,
    plan: Plan<'_>,
    scan: &mut Scan,
    body: &mut ReplyBody<'_>,
) -> Result<ViewStep, Error> {
    let tree = tree(space, &plan);
    let step = Step {
        tree,
        plan,
        scan,
        body,
    };
    step.run()
}

/// Where a SELECT begins, and in which tree, if that has `tuples_min` tuples or more.
fn start_of<'a>(
    image: &'a Image,
    select: &Select<'_>,
    tuples_min: usize,
) -> Option<(&'a Tree, Key)> {
    let space = image.resolve(select.space).ok()?;
    let plan = Plan::new(&space.def, select).ok()?;
    let tree = space.tree(plan.index.id)?;
    if tree.len() < tuples_min {
        return None;
    }
    plan.range.into_start().map(|key| (tree, key))
}

fn tree<'a>(space: &'a Space, plan: &Plan<'_>) -> &'a Tree {
    space
        .tree(plan.index.id)
        .expect("the plan was made for this space")
}

fn answer_point(space: &Space, plan: &Plan<'_>, key: &Key, body: &mut ReplyBody<'_>) {
    let mut rows = Rows::begin(body);
    let found = tree(space, plan).get(key);
    let found = found.filter(|_| plan.offset == 0 && plan.limit > 0);
    found.into_iter().for_each(|tuple| tuple.push_to(&mut rows));
    let last = found.filter(|_| plan.fetch_position);
    rows.finish(
        last.map(|tuple| plan.position_of(tuple, key.view()))
            .as_deref(),
    );
}

/// One step over a range.
struct Step<'a, 's, 'b> {
    tree: &'a Tree,
    plan: Plan<'a>,
    /// The scan's position is the last key that was looked at.
    scan: &'s mut Scan,
    body: &'s mut ReplyBody<'b>,
}

impl Step<'_, '_, '_> {
    fn run(mut self) -> Result<ViewStep, Error> {
        self.skip_seen()?;
        let KeyRange::Bounded(range) = &self.plan.range else {
            return Ok(ViewStep::Done);
        };
        let mut rows = match self.scan.steps {
            0 => Rows::begin(self.body),
            _ => Rows::resume(self.body, 0, self.scan.written),
        };
        let limit = u32::try_from(self.plan.limit).unwrap_or(u32::MAX);
        let bytes_max = rows.size() + VIEW_STEP_BYTES_MAX;
        let mut walk = self.tree.range(range.bounds(), range.is_reverse);
        let mut last: Option<TuplePlace<'_>> = None;
        for (looked_at, place) in iter::from_fn(|| walk.next_place()).enumerate() {
            if rows.count() >= limit {
                break;
            }
            if looked_at >= VIEW_STEP_TUPLES_MAX || rows.size() >= bytes_max {
                self.scan.written = rows.count();
                self.scan.steps += 1;
                if let Some(last) = last {
                    self.scan.position.clear();
                    last.key().write(&mut self.scan.position);
                }
                return Ok(ViewStep::More);
            }
            last = Some(place);
            let tuple = place.tuple;
            if self.scan.skipped < self.plan.offset {
                self.scan.skipped += 1;
                continue;
            }
            if rows.size() + tuple.len() > REPLY_SIZE_MAX {
                return Err(errors::reply_too_large(rows.size() + tuple.len()));
            }
            tuple.push_to(&mut rows);
        }
        let earlier = Key::from_bytes(&self.scan.position);
        // A step that found nothing more ends with the tuple of the step before.
        let earlier = || Some((earlier.view(), self.tree.get(&earlier)?));
        let has_position = rows.count() > 0 && self.plan.fetch_position;
        let last = last.map(|place| (place.key(), place.tuple));
        let last = has_position.then(|| last.or_else(earlier)).flatten();
        let position = last.map(|(key, tuple)| self.plan.position_of(tuple, key));
        rows.finish(position.as_deref());
        Ok(ViewStep::Done)
    }

    /// Goes on after the last step's key.
    fn skip_seen(&mut self) -> Result<(), Error> {
        if self.scan.steps == 0 {
            self.scan.position.clear();
        } else if let KeyRange::Bounded(range) = &mut self.plan.range {
            range.start_after(Key::from_bytes(&self.scan.position))?;
        }
        Ok(())
    }
}
