//! Who this instance is: a UUID in the data directory, made at the first start.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use vestibule_engine::internal::private_file;
use vestibule_engine::journal;
use vestibule_wire::Uuid;

/// The file that the instance's UUID stands in.
pub(crate) const INSTANCE_UUID: &str = "instance-uuid";

/// The same, until it is whole.
pub(crate) const INSTANCE_UUID_NEW: &str = "instance-uuid.new";

/// The instance's UUID: made once, kept beside the journal.
pub(crate) fn instance_uuid(data: &Path) -> io::Result<Uuid> {
    let path = data.join(INSTANCE_UUID);
    match fs::read_to_string(&path) {
        Ok(text) => {
            let uuid = text
                .trim()
                .parse()
                .map_err(|_| io::Error::other(format!("{} holds no UUID", path.display())))?;
            if !journal::has_journal(data) {
                log::warn!(
                    "{} was used before, but holds no journal: no data",
                    data.display()
                );
            }
            Ok(uuid)
        }
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => {
            let uuid = random_uuid()?;
            // Whole or not at all, whenever the power goes.
            let new = data.join(INSTANCE_UUID_NEW);
            let write = || {
                let mut file = private_file(&new)?;
                file.write_all(format!("{uuid}\n").as_bytes())?;
                file.sync_all()?;
                fs::rename(&new, &path)
            };
            write().map_err(|fault| on_file("write", &new, &fault))?;
            Ok(uuid)
        }
        Err(fault) => Err(on_file("read", &path, &fault)),
    }
}

fn on_file(action: &str, path: &Path, fault: &io::Error) -> io::Error {
    let text = format!("cannot {action} {}: {fault}", path.display());
    io::Error::new(fault.kind(), text)
}

/// A random UUID, version 4.
fn random_uuid() -> io::Result<Uuid> {
    let mut bytes = [0; Uuid::SIZE];
    getrandom::fill(&mut bytes).map_err(|fault| io::Error::other(fault.to_string()))?;
    Ok(Uuid::from_random_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_made_once_and_kept() {
        let data = std::env::temp_dir().join(format!("vestibule-uuid-{}", std::process::id()));
        fs::create_dir_all(&data).unwrap();
        let first = instance_uuid(&data).unwrap();
        assert_eq!(first.to_string().len(), 36);
        assert_eq!(&first.to_string()[14..15], "4");
        assert_eq!(instance_uuid(&data).unwrap(), first);
        fs::write(data.join(INSTANCE_UUID), "nonsense").unwrap();
        assert!(instance_uuid(&data).is_err());
        // A directory is in the way.
        fs::remove_file(data.join(INSTANCE_UUID)).unwrap();
        fs::create_dir(data.join(INSTANCE_UUID_NEW)).unwrap();
        let told = instance_uuid(&data).unwrap_err().to_string();
        let expected = format!("cannot write {}", data.join(INSTANCE_UUID_NEW).display());
        assert!(told.starts_with(&expected), "{told}");
        fs::remove_dir_all(&data).unwrap();
    }
}
