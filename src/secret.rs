//! Secrets: only in files, which nobody else may read.

use std::io::Read as _;
use std::path::Path;

use vestibule_actors::internal::open_private;

/// Longest secret, in bytes.
const SIZE_MAX: u64 = 4096;

/// What stands in a file, without the end of its last line.
///
/// # Errors
///
/// A file that cannot be read, that others may read or write, that is empty, too long, or no text:
/// told with the file's name, and without anything that stands in it.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    let text = read_text(path, SIZE_MAX)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let secret = line.strip_suffix('\r').unwrap_or(line);
    match secret.is_empty() {
        true => Err(about(path, &"nothing stands there")),
        false => Ok(secret.to_owned()),
    }
}

/// The whole text of a file with secrets, of this number of bytes at most.
///
/// # Errors
///
/// Those of [`read`], but that it may be empty.
pub(crate) fn read_text(path: &Path, size_max: u64) -> Result<String, String> {
    let file = open_private(path).map_err(|fault| about(path, &fault))?;
    let mut text = String::new();
    file.take(size_max + 1)
        .read_to_string(&mut text)
        .map_err(|fault| about(path, &fault))?;
    match text.len() as u64 > size_max {
        true => Err(about(path, &format!("longer than {size_max} bytes"))),
        false => Ok(text),
    }
}

fn about(path: &Path, fault: &dyn std::fmt::Display) -> String {
    format!("{}: {fault}", path.display())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_is_what_only_its_owner_and_group_may_read() {
        let path = std::env::temp_dir().join(format!("vestibule-secret-{}", std::process::id()));
        let told = |text: &str, mode: u32| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let told = read(&path);
            fs::remove_file(&path).unwrap();
            told.map_err(|told| told.replace(path.to_str().unwrap(), "FILE"))
        };
        for (text, secret) in [
            ("word", "word"),
            ("word\n", "word"),
            ("word\r\n", "word"),
            (" two words \n\n", " two words \n"),
        ] {
            for mode in [0o400, 0o600, 0o440, 0o640] {
                assert_eq!(told(text, mode).as_deref(), Ok(secret));
            }
        }
        for mode in [0o644, 0o604, 0o602, 0o601] {
            let text = told("word", mode).unwrap_err();
            let expected = format!("FILE: others may use it (mode {mode:03o}): ");
            assert!(text.starts_with(&expected), "{text}");
            assert!(!text.contains("word"));
        }
        let refused = |text: &str| told(text, 0o600).unwrap_err();
        assert_eq!(refused("\n"), "FILE: nothing stands there");
        assert_eq!(refused(&"x".repeat(4097)), "FILE: longer than 4096 bytes");
        assert!(told(&"x".repeat(4096), 0o600).is_ok());
        assert!(read(&path).unwrap_err().contains("No such file"));
    }
}
