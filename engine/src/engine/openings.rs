//! What is open to everybody without a login, told to the log: all of it at a start, and later what
//! a change opens. Where guest may do everything anyway, nothing is told.

use super::EmbeddedEngine;
use crate::access::exposure::Opening;
use crate::ddl::grant_checks::name_of;
use crate::limits::OPENINGS_TOLD_MAX;
use crate::options::GuestRights;
use crate::schema::system::changes::RowChange;
use crate::store::image::Image;

/// Writes a line of what is open.
pub(super) fn tell(text: &String) {
    log::warn!("open to everybody without a login (user 'guest'): {text}");
}

impl EmbeddedEngine {
    /// Everything that is open, one line each; beyond a bound, their number.
    pub(crate) fn openings(&self) -> Vec<String> {
        if self.options.guest == GuestRights::Super {
            return Vec::new();
        }
        let born = Image::new();
        let found = self.schema.access().openings(&born.access);
        let told = found.iter().take(OPENINGS_TOLD_MAX);
        let mut texts: Vec<_> = told.map(|own| self.text_of(own)).collect();
        if let Some(more @ 1..) = found.len().checked_sub(OPENINGS_TOLD_MAX) {
            texts.push(format!("and {more} objects more"));
        }
        texts
    }

    /// What changes of rows have opened.
    pub(crate) fn opened_by(&self, changes: &[RowChange]) -> Vec<String> {
        if self.options.guest == GuestRights::Super {
            return Vec::new();
        }
        let access = self.schema.access();
        let found = changes.iter().flat_map(|change| {
            let opened = access.opened_by(change);
            opened.expect("a row was checked before it was journaled")
        });
        found.map(|own| self.text_of(&own)).collect()
    }

    fn text_of(&self, opening: &Opening) -> String {
        let object = opening.object();
        let name = object.map(|object| self.look(|snapshot| name_of(snapshot, object)));
        let name = name.and_then(Result::ok).unwrap_or_default();
        opening.text(&name)
    }
}
