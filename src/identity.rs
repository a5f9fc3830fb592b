//! Who this instance is: a UUID in the data directory, made at the first start.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use vestibule_engine::journal;

/// The instance's UUID: made once, kept beside the journal.
pub(crate) fn instance_uuid(data: &Path) -> io::Result<String> {
    let path = data.join("instance-uuid");
    match fs::read_to_string(&path) {
        Ok(text) if is_uuid(text.trim()) => {
            if !journal::has_journal(data) {
                log::warn!(
                    "{} was used before, but holds no journal: no data",
                    data.display()
                );
            }
            Ok(text.trim().to_owned())
        }
        Ok(_) => Err(io::Error::other(format!(
            "{} holds no UUID",
            path.display()
        ))),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => {
            let uuid = random_uuid()?;
            // Whole or not at all, whenever the power goes.
            let new = data.join("instance-uuid.new");
            let write = || {
                let mut file = fs::File::create(&new)?;
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

/// Whether a text is a UUID as it is usually written.
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// A random UUID, version 4.
fn random_uuid() -> io::Result<String> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|fault| io::Error::other(fault.to_string()))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    Ok(parts.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_made_once_and_kept() {
        let data = std::env::temp_dir().join(format!("vestibule-uuid-{}", std::process::id()));
        fs::create_dir_all(&data).unwrap();
        let first = instance_uuid(&data).unwrap();
        assert_eq!(first.len(), 36);
        assert_eq!(&first[14..15], "4");
        assert_eq!(instance_uuid(&data).unwrap(), first);
        fs::write(data.join("instance-uuid"), "nonsense").unwrap();
        assert!(instance_uuid(&data).is_err());
        // A directory is in the way.
        fs::remove_file(data.join("instance-uuid")).unwrap();
        fs::create_dir(data.join("instance-uuid.new")).unwrap();
        let told = instance_uuid(&data).unwrap_err().to_string();
        let expected = format!("cannot write {}", data.join("instance-uuid.new").display());
        assert!(told.starts_with(&expected), "{told}");
        fs::remove_dir_all(&data).unwrap();
    }
}
