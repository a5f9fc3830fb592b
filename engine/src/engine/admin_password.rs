//! A password that `admin` is given at a start, so that somebody can log in to data that are new.

use vestibule_actors::engine::{Detached, Fault, Reply};

use super::EmbeddedEngine;
use crate::schema::system::{self, read};

impl EmbeddedEngine {
    /// Gives `admin` the password of the options, if it has another one or none, before anybody is
    /// served.
    ///
    /// # Errors
    ///
    /// The journal could not be written.
    pub(super) fn take_admin_password(&mut self) -> Result<(), Fault> {
        let Some(wanted) = self.options.admin_password.clone() else {
            return Ok(());
        };
        wanted.take_once(|hash| {
            let row = self.look(|snapshot| read::user(snapshot, system::ADMIN))?;
            let Some(mut row) = row.filter(|row| row.password != Some(hash)) else {
                return Ok(());
            };
            row.password = Some(hash);
            let (mut out, mut context) = (Vec::new(), Detached::default());
            let reply = Reply::detached(&mut out, &mut context);
            self.as_admin(|engine| {
                engine.alter(|engine| engine.put_system(system::USER, &row.encode(), &reply))
            })?;
            self.commit_turn()?;
            log::info!("the user 'admin' has the password of the options now");
            Ok(())
        })
    }
}
