//! The file a command fills: whole under its name, or not there.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Write, stdout};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Bytes after which the free space is looked at again.
const LOOK: u64 = 8 << 20;

/// A file while it is filled. What was not finished is removed.
#[derive(Debug)]
pub enum Output {
    /// Standard output, a pipe or a device.
    Stream {
        /// Where it goes.
        file: File,
        /// Whether it is standard output.
        standard: bool,
    },
    /// A file of its own: mode 0600, under another name until it is whole.
    File(Partial),
}

/// A file under a name of its own until it is whole.
#[derive(Debug)]
pub struct Partial {
    file: File,
    name: PathBuf,
    partial: PathBuf,
    reserve: u64,
    unlooked: u64,
    finished: bool,
}

impl Output {
    /// Opens `name`, or standard output for "-". Writing ends when only `reserve` bytes are free, which the store needs.
    ///
    /// # Errors
    /// In words; so for all of these.
    pub fn begin(name: &str, reserve: u64) -> Result<Output, String> {
        if name == "-" {
            if stdout().is_terminal() {
                return Err(
                    "this is not for a terminal: give a file, or send it on: … - | gzip > FILE"
                        .to_owned(),
                );
            }
            let file = std::os::fd::AsFd::as_fd(&stdout()).try_clone_to_owned();
            let file = File::from(file.map_err(|error| error.to_string())?);
            let standard = true;
            return Ok(Output::Stream { file, standard });
        }
        let path = Path::new(name);
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Err(format!("{name} is a directory")),
            Ok(metadata) if !metadata.is_file() => {
                let file = File::options().write(true).open(path);
                let standard = false;
                file.map(|file| Output::Stream { file, standard })
                    .map_err(|error| format!("{name}: {error}"))
            }
            _ => Partial::begin(path, reserve).map(Output::File),
        }
    }

    /// Whether it is standard output, so that nothing else belongs there.
    pub fn is_standard(&self) -> bool {
        matches!(self, Output::Stream { standard: true, .. })
    }

    /// Adds bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        match self {
            Output::Stream { file, .. } => {
                let written = file.write_all(bytes);
                written.map_err(|error| format!("cannot write: {error}"))
            }
            Output::File(partial) => partial.write(bytes),
        }
    }

    /// Makes it durable and gives it its name; a file that had it is replaced.
    pub fn finish(self) -> Result<(), String> {
        match self {
            Output::Stream { mut file, .. } => file.flush().map_err(|error| error.to_string()),
            Output::File(partial) => partial.finish(),
        }
    }
}

impl Partial {
    fn begin(name: &Path, reserve: u64) -> Result<Partial, String> {
        let mut partial: OsString = name.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let failed = |error: io::Error| format!("cannot write {}: {error}", partial.display());
        match fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let mut options = File::options();
        let file = options.write(true).create_new(true).mode(0o600);
        let file = file.open(&partial).map_err(failed)?;
        Ok(Partial {
            file,
            name: name.to_owned(),
            partial,
            reserve,
            unlooked: LOOK,
            finished: false,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.unlooked += bytes.len() as u64;
        if self.unlooked >= LOOK {
            self.unlooked = 0;
            let free = rustix::fs::fstatvfs(&self.file);
            if free.is_ok_and(|fs| fs.f_bavail.saturating_mul(fs.f_frsize) < self.reserve) {
                let name = self.name.display();
                return Err(format!(
                    "too little space is left for {name}: the store needs its reserve (store.reserve) itself"
                ));
            }
        }
        let written = self.file.write_all(bytes);
        written.map_err(|error| format!("cannot write {}: {error}", self.name.display()))
    }

    fn finish(mut self) -> Result<(), String> {
        let done = self.file.sync_all().and_then(|()| {
            fs::rename(&self.partial, &self.name)?;
            self.finished = true;
            let folder = self.name.parent();
            let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        });
        done.map_err(|error| format!("cannot write {}: {error}", self.name.display()))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.partial);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_has_its_name_only_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("out");
        fs::write(&name, "older").unwrap();
        let begun = || Output::begin(name.to_str().unwrap(), 0).unwrap();
        let mut output = begun();
        output.write(b"half").unwrap();
        assert_eq!(fs::read(&name).unwrap(), b"older");
        drop(output);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

        let mut output = begun();
        output.write(b"whole").unwrap();
        output.finish().unwrap();
        assert_eq!(fs::read(&name).unwrap(), b"whole");
        assert_eq!(
            fs::metadata(&name).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_reserve_of_the_store_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("out");
        let mut output = Output::begin(name.to_str().unwrap(), u64::MAX).unwrap();
        assert!(output.write(b"x").unwrap_err().contains("reserve"));
    }
}
