//! `waxwing backup`, `restore` and `store …`: the real program, its files, and its exit status.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use waxwing::runtime::clock::Clock;
use waxwing::store::{Batch, EngineKind, Options, Space, Store};

use crate::support::process::Process;

/// A data directory for a server that does not run, and the program on it.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let text =
            "[hosts.localhost]\n[auth]\nscram_iterations = 4096\n[store]\nreserve = \"0B\"\n";
        fs::write(folder.path().join("waxwing.toml"), text).unwrap();
        Place(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, engine: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxwing"));
        command
            .current_dir(self.path())
            .env_remove("WAXWING_CONFIG")
            .args(["--config", "waxwing.toml", "--set", "server.data_dir=data"])
            .args(["--set", &format!("store.engine={engine}")]);
        command
    }

    fn run(&self, engine: &str, arguments: &[&str]) -> Output {
        self.command(engine).args(arguments).output().unwrap()
    }

    fn add(&self, engine: &str, account: &str) {
        let added = self.run(engine, &["user", "add", account, "--generate"]);
        assert!(added.status.success(), "{}", errors(&added));
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains("backup")).collect()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_backup_is_restored_into_the_other_engine() {
    for (from, to) in [("fjall", "sled"), ("sled", "fjall")] {
        let (old, new) = (Place::new(), Place::new());
        for n in 0..3 {
            old.add(from, &format!("user{n}@localhost"));
        }
        let made = old.run(from, &["backup", "a.backup"]);
        assert!(made.status.success(), "{}", errors(&made));
        let file = old.path().join("a.backup");
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(
            (mode & 0o777, old.names()),
            (0o600, vec!["a.backup".to_owned()])
        );

        // The same through a pipe.
        let piped = old.run(from, &["backup", "-"]);
        assert!(piped.stdout.starts_with(b"waxwing backup\r\n"));
        assert!(errors(&piped).contains("records"));

        let restored = new.run(to, &["restore", file.to_str().unwrap()]);
        assert!(restored.status.success(), "{}", errors(&restored));
        let list = |place: &Place, engine| said(&place.run(engine, &["user", "list"]));
        assert_eq!(list(&new, to), list(&old, from));
        let again = new.run(to, &["restore", file.to_str().unwrap()]);
        assert_eq!(again.status.code(), Some(1));
        assert!(
            errors(&again).contains("is not empty"),
            "{}",
            errors(&again)
        );
        // A store with others in it is left as it is, wherever it came from.
        let other = Place::new();
        other.add(to, "somebody@localhost");
        let refused = other.run(to, &["restore", file.to_str().unwrap()]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(
            errors(&refused).contains("is not empty"),
            "{}",
            errors(&refused)
        );
        let kept = list(&other, to);
        assert!(
            kept.contains("somebody@localhost") && !kept.contains("user0@localhost"),
            "{kept}"
        );
        // A new account does not get the number of an old one.
        new.add(to, "another@localhost");
    }
}

#[test]
fn what_is_cut_off_or_altered_is_refused_and_changes_nothing() {
    let (old, new) = (Place::new(), Place::new());
    for n in 0..10 {
        old.add("fjall", &format!("user{n}@localhost"));
    }
    assert!(old.run("fjall", &["backup", "a.backup"]).status.success());
    let file = fs::read(old.path().join("a.backup")).unwrap();
    let bad = new.path().join("bad");
    let refused = |bytes: &[u8], why: &str| {
        fs::write(&bad, bytes).unwrap();
        let output = new.run("fjall", &["restore", "bad"]);
        let text = errors(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(
            text.contains(why) && text.contains("nothing was restored"),
            "{text}"
        );
        assert_eq!(fs::read_dir(new.path().join("data")).unwrap().count(), 0);
    };
    for at in [1, 20, 40, file.len() / 2, file.len() - 100, file.len() - 1] {
        refused(&file[..at], "cut off");
    }
    let mut altered = file.clone();
    altered[file.len() / 2] ^= 1;
    refused(&altered, "damaged");
    refused(b"something else altogether, long enough", "not a backup");
    fs::write(&bad, &file).unwrap();
    assert!(new.run("fjall", &["restore", "bad"]).status.success());
}

#[test]
fn a_store_is_copied_to_another_engine() {
    let place = Place::new();
    place.add("fjall", "romeo@localhost");
    let copied = place.run("fjall", &["store", "copy", "--to", "sled"]);
    assert!(copied.status.success(), "{}", errors(&copied));
    assert!(
        said(&copied).contains("engine = \"sled\", path = "),
        "{}",
        said(&copied)
    );
    let list = place
        .command("sled")
        .args(["--set", "store.path=store-sled", "user", "list"])
        .output()
        .unwrap();
    assert!(said(&list).contains("romeo@localhost"), "{}", errors(&list));
    let again = place.run("fjall", &["store", "copy", "--to", "sled"]);
    assert_eq!(again.status.code(), Some(1));
    let compacted = place.run("fjall", &["store", "compact"]);
    assert!(
        said(&compacted).contains("MiB now"),
        "{}",
        errors(&compacted)
    );
}

/// What does not fit together is told, and makes the check fail.
#[test]
fn a_check_tells_what_is_wrong() {
    let place = Place::new();
    place.add("sled", "romeo@localhost");
    let checked = place.run("sled", &["store", "check"]);
    assert!(checked.status.success(), "{}", errors(&checked));
    assert!(said(&checked).contains("Everything is as it should be"));

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let options = Options::new(EngineKind::Sled, place.path().join("data/store"));
    let store = Store::open(options, Clock::system()).unwrap();
    let mut batch = Batch::new();
    batch.put(
        Space::ACCOUNT_BY_ID,
        &7u64.to_be_bytes(),
        b"nobody@localhost".as_slice(),
    );
    batch.put(Space::ROSTER, &8u64.to_be_bytes(), b"{}".as_slice());
    runtime.block_on(store.commit(batch)).unwrap();
    runtime.block_on(store.close());
    drop(store);
    let checked = place.run("sled", &["store", "check"]);
    assert_eq!(checked.status.code(), Some(1));
    for what in [
        "the number 7 leads to nobody@localhost",
        "the number 8, which no account has",
    ] {
        assert!(said(&checked).contains(what), "{}", said(&checked));
    }
}

/// What stands in the way of a file is said before anything is read.
#[test]
fn an_output_that_cannot_be_written_is_named() {
    let place = Place::new();
    let output = place.run("fjall", &["backup", "no/such/place"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors(&output).contains("no/such/place"),
        "{}",
        errors(&output)
    );
    let output = place.run("fjall", &["backup", "/dev/full"]);
    assert_eq!(output.status.code(), Some(1));
}

fn beside(process: &Process, arguments: &[&str]) -> Command {
    let mut command = process.command();
    command.args(arguments).stdin(Stdio::null());
    command
}

#[test]
fn beside_a_running_server() {
    let mut process = Process::start(&["romeo", "juliet"], &[]);
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = folder.path().join("live.backup");
    let made = beside(&process, &["backup", file.to_str().unwrap()]).output();
    let made = made.unwrap();
    assert!(made.status.success(), "{}", errors(&made));
    for arguments in [
        &["restore", file.to_str().unwrap()][..],
        &["store", "copy", "--to", "sled"],
    ] {
        let refused = beside(&process, arguments).output().unwrap();
        assert_eq!(refused.status.code(), Some(1));
        assert!(
            errors(&refused).contains("stop it first"),
            "{}",
            errors(&refused)
        );
    }
    assert!(process.is_running());
    let new = Place::new();
    let restored = new.run("sled", &["restore", file.to_str().unwrap()]);
    assert!(restored.status.success(), "{}", errors(&restored));
    let list = said(&new.run("sled", &["user", "list"]));
    assert!(
        list.contains("romeo@localhost") && list.contains("juliet@localhost"),
        "{list}"
    );
}
