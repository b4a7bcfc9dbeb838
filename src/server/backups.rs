//! Backups that the server makes by itself: `[backup] directory`, `every`, `keep`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::admin::cli::output::Output;
use crate::config::Config;
use crate::proto::datetime;
use crate::runtime::clock::Clock;
use crate::store::{BackupError, Copied, Store, backup};

const PREFIX: &str = "waxwing-";
const SUFFIX: &str = ".backup";
/// Pause after one that failed.
const PATIENCE: Duration = Duration::from_secs(600);

/// Makes backups for as long as it runs.
#[derive(Clone)]
pub(super) struct Backups {
    store: Store,
    folder: PathBuf,
    every: Duration,
    keep: usize,
    rate: u64,
    reserve: u64,
}

impl Backups {
    /// As configured; `None` when none are wanted.
    pub(super) fn new(config: &Config, store: &Store) -> Option<Backups> {
        let wanted = &config.backup;
        Some(Backups {
            store: store.clone(),
            folder: config.in_data_dir(wanted.directory.as_ref()?),
            every: wanted.every.0,
            keep: wanted.keep as usize,
            rate: wanted.rate.0,
            reserve: config.store.reserve.0,
        })
    }

    /// Makes one whenever the newest is old enough, over restarts too.
    pub(super) async fn run(self) {
        loop {
            tokio::time::sleep(self.due()).await;
            let this = self.clone();
            let Ok(made) = tokio::task::spawn_blocking(move || this.make()).await else {
                return;
            };
            if let Err(error) = made {
                tracing::error!(%error, folder = %self.folder.display(), "no backup was made");
                tokio::time::sleep(PATIENCE.min(self.every)).await;
            }
        }
    }

    fn due(&self) -> Duration {
        let newest = existing(&self.folder).unwrap_or_default().pop();
        let made = newest.and_then(|path| fs::metadata(path).ok()?.modified().ok());
        let age = made.and_then(|made| made.elapsed().ok());
        age.map_or(Duration::ZERO, |age| self.every.saturating_sub(age))
    }

    fn make(&self) -> Result<(), String> {
        super::settings::make_private(&self.folder)?;
        let now = Clock::system().wall() / 1000 * 1000;
        let stamp = datetime::format(now).replace([':', '-'], "");
        let path = self.folder.join(format!("{PREFIX}{stamp}{SUFFIX}"));
        let mut sink = Sink {
            output: Output::begin(&path.to_string_lossy(), self.reserve)?,
            error: None,
        };
        let written = self
            .store
            .frozen()
            .map_err(BackupError::from)
            .and_then(|view| backup(&view, &mut sink, Some(self.rate), |_| true));
        let Copied { records, .. } =
            written.map_err(|error| sink.error.take().unwrap_or_else(|| error.to_string()))?;
        sink.output.finish()?;
        tracing::info!(file = %path.display(), records, "a backup was made");
        let all = existing(&self.folder).map_err(|error| error.to_string())?;
        let old = all.len().saturating_sub(self.keep);
        for path in all.into_iter().take(old) {
            fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }
}

struct Sink {
    output: Output,
    /// What it says itself says more than what passes through the writer of the backup.
    error: Option<String>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes).map_err(|text| {
            self.error = Some(text.clone());
            io::Error::other(text)
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Backups of ours in a directory, oldest first.
fn existing(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::store::Options;

    #[tokio::test]
    async fn so_many_are_kept_and_the_next_is_due_in_time() {
        let folder = tempfile::tempdir().unwrap();
        for old in [
            "waxwing-20200101T000000Z.backup",
            "waxwing-20210101T000000Z.backup",
            "mine.backup",
        ] {
            fs::write(folder.path().join(old), "x").unwrap();
        }
        let backups = Backups {
            store: Store::open(Options::memory(), Clock::system()).unwrap(),
            folder: folder.path().to_owned(),
            every: Duration::from_secs(3600),
            keep: 2,
            rate: 1 << 20,
            reserve: 0,
        };
        backups.make().unwrap();
        let names = existing(folder.path()).unwrap();
        assert_eq!(names.len(), 2);
        assert!(
            names
                .first()
                .unwrap()
                .ends_with("waxwing-20210101T000000Z.backup")
        );
        assert!(folder.path().join("mine.backup").exists());
        assert!(backups.due() > Duration::from_secs(3500));
        let full = Backups {
            reserve: u64::MAX,
            ..backups
        };
        assert!(full.make().unwrap_err().contains("too little space"));
        assert_eq!(existing(folder.path()).unwrap().len(), 2);
    }
}
