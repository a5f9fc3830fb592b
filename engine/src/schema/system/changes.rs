//! Changes of the system spaces' rows, as a committed turn made them: what follows from the rows
//! follows the changes, and is not made from all rows again.

use crate::model::tuple::Tuple;

/// What became of one row of a system space.
#[derive(Debug, Clone)]
pub(crate) struct RowChange {
    pub(crate) space: u32,
    /// What stood there.
    pub(crate) old: Option<Tuple>,
    /// What stands there now.
    pub(crate) new: Option<Tuple>,
}
