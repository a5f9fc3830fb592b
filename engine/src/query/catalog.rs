//! The catalog that sessions answer schema requests and AUTH from.

use vestibule_actors::catalog::{Catalog, CatalogBuilder, User};

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
pub(crate) fn build(image: &Image) -> Catalog {
    let mut builder = CatalogBuilder::new().visibility(image.access.clone());
    for space in SHOWN {
        for row in read::rows(image, space) {
            builder = builder.row(space, row.to_vec());
        }
    }
    let mut catalog = builder.build();
    let users = read::users(image).expect("a row of _user was checked before it was stored");
    for user in users.iter().filter(|user| *user.kind == *"user") {
        let password = user.password;
        let user = User {
            name: (*user.name).into(),
            id: user.id,
            generation: 0,
        };
        catalog.put_user(user, password);
    }
    catalog
}
