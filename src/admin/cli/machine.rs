//! What `waxwing check` looks at on the machine: clock, ports, descriptors, the data directory and its disk.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::admin::finding::{Finding, Level};
use crate::config::{Bytes, Loaded};

/// No clock that is right shows an earlier time: 2025-11-01.
const EARLIEST: Duration = Duration::from_secs(1_761_955_200);
/// Files may come from machines whose clock is a little ahead.
const AHEAD: Duration = Duration::from_secs(86_400);

/// Whether the clock can be right. Certificates and archives depend on it.
pub fn clock(files: &[std::path::PathBuf]) -> Finding {
    let now = SystemTime::now();
    let future = |file: &std::path::PathBuf| {
        let written = fs::metadata(file).and_then(|metadata| metadata.modified());
        written.is_ok_and(|written| written > now + AHEAD)
    };
    if now
        .duration_since(UNIX_EPOCH)
        .is_ok_and(|now| now >= EARLIEST)
    {
        return match files.iter().find(|file| future(file)) {
            None => Finding::new(Level::Good, "the clock"),
            Some(file) => Finding::new(
                Level::Warning,
                format!(
                    "{} was written in the future: is the clock right? See timedatectl",
                    file.display()
                ),
            ),
        };
    }
    let text = "the clock is wrong: it shows a time long ago. Set it, and keep it right with NTP (timedatectl set-ntp true)";
    Finding::new(Level::Error, text)
}

/// The directory of everything the server writes.
pub fn data_dir(path: &Path) -> Vec<Finding> {
    let shown = path.display();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return vec![Finding::new(
                Level::Note,
                format!("the data directory {shown} is not there yet; the server makes it"),
            )];
        }
        Err(error) => {
            return vec![Finding::new(
                Level::Error,
                format!("the data directory {shown} cannot be read: {error}"),
            )];
        }
    };
    let mut findings = Vec::new();
    if !metadata.is_dir() {
        findings.push(Finding::new(
            Level::Error,
            format!("the data directory {shown} is not a directory"),
        ));
    }
    let (owner, own) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != own {
        let text = format!(
            "the data directory {shown} belongs to uid {owner}, this is uid {own}; run the server and this check as its owner, or `chown -R` it"
        );
        findings.push(Finding::new(Level::Error, text));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let text = format!(
            "others may look into the data directory {shown} (mode {mode:o}): chmod 700 {shown}"
        );
        findings.push(Finding::new(Level::Warning, text));
    }
    if findings.is_empty() {
        findings.push(Finding::new(
            Level::Good,
            format!("data directory: {shown}"),
        ));
    }
    findings
}

/// Whether the server can listen where it shall.
pub fn ports(loaded: &Loaded) -> Vec<Finding> {
    // Grouped, so that [::] and 0.0.0.0 on one port are tried one after the other, not against each other.
    let mut addresses = BTreeMap::new();
    for listen in &loaded.config.listen {
        addresses.insert(listen.address, listen.kind.as_str());
    }
    let federation = &loaded.config.federation;
    for address in federation.listen.iter().filter(|_| federation.enabled) {
        addresses.insert(*address, "server");
    }
    let findings = addresses.into_iter().map(|(address, kind)| match TcpListener::bind(address) {
        Ok(_) => Finding::new(Level::Good, format!("{address} is free for {kind} connections")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Finding::new(Level::Error, format!("{address} is in use by another program; find it with: ss -ltnp 'sport = :{}'", address.port()))
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Finding::new(Level::Error, format!("this user may not listen on {address}; ports below 1024 need the capability CAP_NET_BIND_SERVICE"))
        }
        Err(error) => Finding::new(Level::Error, format!("cannot listen on {address}: {error}")),
    });
    findings.collect()
}

/// Descriptors that the server needs besides those of its connections.
const OTHER_DESCRIPTORS: u64 = 256;

/// Whether enough files may be open.
pub fn descriptors(connections: u32) -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let needed = u64::from(connections) + OTHER_DESCRIPTORS;
    match limit.maximum {
        Some(maximum) if maximum < needed => {
            let text = format!(
                "this process may open {maximum} files, limits.connections.total needs {needed}: more connections will wait. Raise LimitNOFILE (systemd) or ulimit -n"
            );
            Finding::new(Level::Warning, text)
        }
        _ => Finding::new(
            Level::Good,
            format!("open files: {needed} needed at most, allowed"),
        ),
    }
}

/// Whether the store has room: `path` is its directory, or where it will be.
pub fn free_space(path: &Path, reserve: Bytes) -> Option<Finding> {
    let there = path.ancestors().find(|path| path.exists())?;
    let file_system = rustix::fs::statvfs(there).ok()?;
    let free = file_system.f_bavail.saturating_mul(file_system.f_frsize);
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    let (shown, kept) = (mib(free), mib(reserve.0));
    let level = match free {
        free if free < reserve.0 => Level::Error,
        free if free < reserve.0.saturating_mul(4) => Level::Warning,
        _ => {
            return Some(Finding::new(
                Level::Good,
                format!("free disk space: {shown}"),
            ));
        }
    };
    let text = format!(
        "free disk space at {}: {shown}; below {kept} (store.reserve) nothing new is accepted",
        there.display()
    );
    Some(Finding::new(level, text))
}
