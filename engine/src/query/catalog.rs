//! The catalog that sessions answer schema requests and AUTH from.

use std::sync::Arc;

use vestibule_actors::catalog::{Catalog, CatalogBuilder};

use crate::access::Access;
use crate::schema::system::changes::RowChange;
use crate::schema::system::rows::UserRow;
use crate::schema::system::{self, read};
use crate::store::image::Image;

/// Rows of these spaces are what clients look up.
const SHOWN: [u32; 8] = [
    system::SPACE,
    system::INDEX,
    system::COLLATION,
    system::FUNC,
    system::USER,
    system::PRIV,
    system::SEQUENCE,
    system::SPACE_SEQUENCE,
];

/// A snapshot of the image's system spaces.
pub(crate) fn build(image: &Image, access: &Arc<Access>) -> Catalog {
    let builder = CatalogBuilder::new().visibility(access.clone());
    let mut catalog = builder.build();
    for space in SHOWN {
        for row in read::rows(image, space) {
            put(&mut catalog, access, space, row);
        }
    }
    catalog
}

/// Follows changes of rows, one turn's.
pub(crate) fn change(catalog: &mut Catalog, access: &Arc<Access>, changes: &[RowChange]) {
    catalog.set_visibility(access.clone());
    let shown = || changes.iter().filter(|own| SHOWN.contains(&own.space));
    // What goes makes room first: a name may pass from one to another.
    for change in shown() {
        let Some(old) = &change.old else { continue };
        catalog.remove_row(change.space, old);
        if change.space == system::USER {
            catalog.remove_user(&decoded(old).name);
        }
    }
    for change in shown() {
        if let Some(new) = &change.new {
            put(catalog, access, change.space, new);
        }
    }
}

fn put(catalog: &mut Catalog, access: &Access, space: u32, row: &[u8]) {
    catalog.put_row(space, row.to_vec());
    if space != system::USER {
        return;
    }
    let row = decoded(row);
    // A role is no user.
    if let Some(user) = access.user(row.id) {
        catalog.put_user(user, row.password);
    }
}

fn decoded(row: &[u8]) -> UserRow {
    UserRow::decode(row).expect("a row of _user was checked before it was stored")
}
