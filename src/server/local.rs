//! A secret of this installation that is in no backup: a file beside the store.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::runtime::random;
use crate::stream::Secret;

/// The file, in the data directory.
const FILE: &str = "local.key";
const BYTES: usize = 32;

/// Reads the secret, or makes it.
///
/// # Errors
/// In words for the administrator.
pub(super) fn secret(folder: &Path) -> Result<Secret, String> {
    let path = folder.join(FILE);
    match fs::read(&path) {
        Ok(known) if known.len() == BYTES => Ok(Secret::new(known)),
        Ok(_) => Err(format!(
            "{} is damaged; remove it, and clients log in with passwords once",
            path.display()
        )),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let made = random::bytes::<BYTES>().to_vec();
            write(&path, &made)
                .map_err(|error| format!("cannot make {}: {error}", path.display()))?;
            Ok(Secret::new(made))
        }
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

/// Whole or not at all, and never readable by others.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn made_once_private_and_not_mended() {
        let folder = tempfile::tempdir().unwrap();
        let first = secret(folder.path()).unwrap();
        assert_eq!(first, secret(folder.path()).unwrap());
        let path = folder.path().join(FILE);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(&path, b"short").unwrap();
        assert!(secret(folder.path()).unwrap_err().contains("damaged"));
    }
}
