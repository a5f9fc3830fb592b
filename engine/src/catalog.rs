//! The catalog that sessions answer schema requests and AUTH from.

use std::ops::Bound::Unbounded;

use vestibule_actors::catalog::{Catalog, CatalogBuilder};

use super::ddl;
use super::image::Image;
use super::index::PRIMARY;
use super::layer::Sight;
use super::system;

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
pub(crate) fn build(image: &Image) -> Catalog {
    let sight = Sight { layers: &[], image };
    let mut builder = CatalogBuilder::new().visibility(image.access.clone());
    for space in SHOWN {
        for (_, tuple) in sight.range(space, PRIMARY, (Unbounded, Unbounded), false) {
            builder = builder.row(space, tuple.to_vec());
        }
    }
    let users = ddl::users(sight).expect("a row of _user was checked before it was stored");
    for user in users.iter().filter(|user| *user.kind == *"user") {
        builder = builder.user(&user.name, user.password);
    }
    builder.build()
}
