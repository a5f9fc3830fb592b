//! A checkpoint back into an image.
//!
//! ```text
//!   system rows ─▶ into the built-in ones ─▶ spaces are defined ─▶ rows, space by space ─▶ trees
//! ```
//!
//! The built-in definitions and collations are those of this program, whatever program wrote the
//! checkpoint; all other rows of a system space are the checkpoint's.

use std::path::Path;

use super::CheckpointError;
use super::read::{Block, Next, Reader};
use crate::model::tuple::Tuple;
use crate::schema::system;
use crate::store::garbage::Garbage;
use crate::store::image::{Image, ReplayError, Space};
use crate::store::tree::Builder;

/// An image as a checkpoint tells it: with the journal's records from there on it is whole, and
/// secondary indexes are built then.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) image: Image,
    /// The last record that the journal must have.
    pub(crate) required_until: u64,
}

/// Loads the checkpoint that is gone on from with this record. `progress` is told bytes and rows so
/// far, block by block.
///
/// # Errors
///
/// It cannot be read, is damaged, contradicts itself, or was written by a later version of this
/// program.
pub(crate) fn load(
    directory: &Path,
    from: u64,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Loaded, CheckpointError> {
    let mut reader = Reader::open(directory, from)?;
    let header = reader.header;
    let inconsistent = |path: &Path, error: &ReplayError| {
        let (file, reason) = (path.to_path_buf(), error.to_string());
        if error.is_of_another_build() {
            return CheckpointError::OtherBuild { file, reason };
        }
        CheckpointError::Inconsistent { file, reason }
    };
    let mut loader = Loader::new();
    let required_until = loop {
        let path = reader.path().to_path_buf();
        match reader.next()? {
            Next::Block(block) => loader
                .block(&block)
                .map_err(|reason| inconsistent(&path, &reason))?,
            Next::End { required_until } => break required_until,
        }
        progress(reader.at, reader.rows());
    };
    let finished = loader.finish();
    let mut image = finished.map_err(|reason| inconsistent(reader.path(), &reason))?;
    image.schema_version = header.schema_version;
    image.sequence = from - 1;
    progress(reader.size, reader.rows());
    Ok(Loaded {
        image,
        required_until,
    })
}

struct Loader {
    image: Image,
    /// The system space that rows came for last.
    system: Option<u32>,
    /// The space whose rows are coming, once all spaces are defined.
    current: Option<(u32, Builder)>,
    is_defined: bool,
}

impl Loader {
    fn new() -> Self {
        Self {
            image: Image::new(),
            system: None,
            current: None,
            is_defined: false,
        }
    }

    fn block(&mut self, block: &Block<'_>) -> Result<(), ReplayError> {
        if system::is_system(block.space) {
            return self.system_block(block);
        }
        self.define()?;
        if self
            .current
            .as_ref()
            .is_none_or(|(id, _)| *id != block.space)
        {
            self.complete()?;
            self.current = Some((block.space, Builder::default()));
        }
        let space = space(&mut self.image, block.space)?;
        let Some((_, builder)) = &mut self.current else {
            return Ok(());
        };
        let misfit = || ReplayError::Tuple(space.def.name.to_string());
        let primary = space.def.primary().map_err(|_| misfit())?;
        for row in block.rows() {
            let row = row.ok_or(ReplayError::Record)?;
            let key = primary.key_of(row).map_err(|_| misfit())?;
            builder.push(key, Tuple::from(row)).map_err(|_| misfit())?;
        }
        Ok(())
    }

    fn system_block(&mut self, block: &Block<'_>) -> Result<(), ReplayError> {
        let id = block.space;
        if self.is_defined {
            return Err(ReplayError::Space(id));
        }
        let is_merged = matches!(id, system::SPACE | system::INDEX | system::COLLATION);
        if !is_merged && self.system != Some(id) {
            space(&mut self.image, id)?.rows = crate::store::tree::Tree::default();
        }
        self.system = Some(id);
        let primary = space(&mut self.image, id)?.def.clone();
        let misfit = || ReplayError::Tuple(primary.name.to_string());
        for row in block.rows() {
            let row = row.ok_or(ReplayError::Record)?;
            let key = primary.primary().ok().and_then(|own| own.key_of(row).ok());
            let about = key.ok_or_else(misfit)?.first_number();
            let is_built_in = matches!(id, system::SPACE | system::INDEX)
                && u32::try_from(about).is_ok_and(system::is_system);
            if !is_built_in {
                self.image.put(id, row.into())?;
            }
        }
        Ok(())
    }

    /// Defines the spaces, once all system rows are there.
    fn define(&mut self) -> Result<(), ReplayError> {
        if std::mem::replace(&mut self.is_defined, true) {
            return Ok(());
        }
        let defined = self.image.define_all(&mut Garbage::default());
        defined.map_err(ReplayError::Definition)
    }

    /// Gives the space its rows, once they are all there.
    fn complete(&mut self) -> Result<(), ReplayError> {
        if let Some((id, builder)) = self.current.take() {
            let space = space(&mut self.image, id)?;
            if !space.rows.is_empty() {
                return Err(ReplayError::Space(id));
            }
            space.rows = builder.finish();
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Image, ReplayError> {
        self.define()?;
        self.complete()?;
        Ok(self.image)
    }
}

fn space(image: &mut Image, id: u32) -> Result<&mut Space, ReplayError> {
    image.space_mut(id).ok_or(ReplayError::Space(id))
}
