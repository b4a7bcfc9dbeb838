//! Restoring: a backup becomes a store, all of it or nothing.

use super::format::BackupError;
use super::read::BackupReader;
use crate::store::open::{self, directory};
use crate::store::{Copied, Filling, OpenError, Options, Space};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Makes the store of `options` from a backup. It is built beside its place and put there when all of it has proved right.
/// `progress` hears how many bytes of the backup were read, and ends it by returning `false`.
///
/// # Errors
/// [`OpenError::NotEmpty`] where a store is already; what is wrong with the backup. Then nothing has changed.
pub fn restore<R: Read>(
    source: R,
    options: &Options,
    mut progress: impl FnMut(u64) -> bool,
) -> Result<Copied, BackupError> {
    let free = open::is_free(&options.path);
    if !free.map_err(directory(&options.path))? {
        let path = options.path.clone();
        return Err(OpenError::NotEmpty { path }.into());
    }
    let mut reader = BackupReader::open(source)?;
    let found = reader.header().schema;
    if found > open::CURRENT {
        return Err(OpenError::Newer {
            path: options.path.clone(),
            found,
            known: open::CURRENT,
        }
        .into());
    }
    let beside = Beside::make(&options.path)?;
    let mut filling = Filling::begin(&Options {
        path: beside.0.clone(),
        ..options.clone()
    })?;
    while reader.next(|key, value| {
        let (space, key) = key.split_first().unwrap_or((&0, &[]));
        filling.put(Space(*space), key, value.to_vec())?;
        Ok(())
    })? {
        if !progress(reader.position()) {
            return Err(BackupError::Interrupted);
        }
    }
    filling.finish_as(&options.path)?;
    Ok(reader.seen())
}

/// A directory next to the store's, which goes when it was not put in its place.
struct Beside(PathBuf);

impl Beside {
    fn make(path: &Path) -> Result<Beside, BackupError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".restoring");
        let beside = path.with_file_name(name);
        // What an earlier attempt left when it was killed, unless it is still at it.
        if beside.exists() {
            let _lock = open::lock(&beside)?;
            std::fs::remove_dir_all(&beside).map_err(directory(&beside))?;
        }
        Ok(Beside(beside))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
